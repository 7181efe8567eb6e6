#include "engine/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static _Thread_local char last_text[512];

int fly_fail(int code, const char *format, ...)
{
    /* Callers may pass the old text as an argument, so write beside it first. */
    char text[sizeof last_text];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    for (size_t i = 0; i < sizeof text; i++) {
        last_text[i] = text[i];
        if (text[i] == '\0')
            break;
    }
    return code;
}

const char *fly_fail_text(void)
{
    return last_text;
}

const char *fly_err_name(int code)
{
    switch (code) {
    case FLY_OK:
        return "FLY_OK";
    case FLY_EAGAIN:
        return "FLY_EAGAIN";
    case FLY_ERANGE:
        return "FLY_ERANGE";
    case FLY_ENOMEM:
        return "FLY_ENOMEM";
    case FLY_EWIRE:
        return "FLY_EWIRE";
    case FLY_EIO:
        return "FLY_EIO";
    }
    return "FLY_E?";
}

/* The one place below plugin/ that writes: the process is about to die of our own bug, and nobody
 * above will get to say why. */
_Noreturn void fly_assert_failed(const char *cond, const char *file, int line)
{
    char text[512];
    int len = snprintf(text, sizeof text, "flyback: bug: %s:%d: %s\n", file, line, cond);

    if (len > 0 && write(STDERR_FILENO, text, (size_t)len < sizeof text ? (size_t)len : sizeof text - 1) < 0)
        abort();
    abort();
}
