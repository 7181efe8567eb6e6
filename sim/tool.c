#include "sim/tool.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t mono_ns(void *ctx)
{
    (void)ctx;
    return read_clock(CLOCK_MONOTONIC);
}

static int64_t unix_ns(void *ctx)
{
    (void)ctx;
    return read_clock(CLOCK_REALTIME);
}

struct fly_clock fly_tool_clock(void)
{
    return (struct fly_clock){.mono_ns = mono_ns, .unix_ns = unix_ns};
}

static volatile int stop_asked;
static struct sigaction old_int, old_term;

static void ask_stop(int signal_number)
{
    (void)signal_number;
    stop_asked = 1;
}

void fly_tool_signals_begin(void)
{
    /* Once: whoever is not heard the first time gets the system's way the second. */
    struct sigaction act = {.sa_handler = ask_stop, .sa_flags = (int)SA_RESETHAND};

    stop_asked = 0;
    sigaction(SIGINT, &act, &old_int);
    sigaction(SIGTERM, &act, &old_term);
}

void fly_tool_signals_end(void)
{
    sigaction(SIGINT, &old_int, NULL);
    sigaction(SIGTERM, &old_term, NULL);
}

const volatile int *fly_tool_stop(void)
{
    return &stop_asked;
}

int fly_tool_int(const char *option, const char *text, int64_t low, int64_t high, int64_t *out)
{
    char *end;

    errno = 0;
    long long value = strtoll(text, &end, 10);

    if (end == text || *end || errno || value < low || value > high)
        return fly_fail(FLY_ERANGE, "%s %.80s: a whole number %lld .. %lld is allowed", option, text,
                        (long long)low, (long long)high);
    *out = value;
    return FLY_OK;
}

int fly_tool_f64(const char *option, const char *text, double low, double high, double *out)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end || !(value >= low && value <= high))
        return fly_fail(FLY_ERANGE, "%s %.80s: a number %g .. %g is allowed", option, text, low, high);
    *out = value;
    return FLY_OK;
}

int fly_tool_size(const char *option, const char *text, int32_t low, int32_t high, int32_t size[2])
{
    long h, w;
    char *end;

    errno = 0;
    h = w = strtol(text, &end, 10);
    int bad = end == text;

    if (!bad && *end == 'x') {
        const char *second = end + 1;

        w = strtol(second, &end, 10);
        bad = end == second;
    }
    if (bad || *end || errno || h < low || h > high || w < low || w > high)
        return fly_fail(FLY_ERANGE, "%s %.80s: HxW or one side, each %d .. %d, is allowed", option, text, low,
                        high);
    size[0] = (int32_t)h;
    size[1] = (int32_t)w;
    return FLY_OK;
}

int fly_tool_session_check(const char *session)
{
    size_t len = strlen(session);

    if (len < 1 || len > FLY_SESSION_MAX ||
        strspn(session, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != len)
        return fly_fail(FLY_ERANGE, "session '%.80s': 1 .. %d of [A-Za-z0-9._-] are allowed", session,
                        FLY_SESSION_MAX);
    return FLY_OK;
}

int fly_tool_session(const char *prefix, char session[FLY_SESSION_MAX + 1])
{
    unsigned char r[16];

    if (getrandom(r, sizeof r, 0) != (ssize_t)sizeof r)
        return fly_fail(FLY_EIO, "no random numbers for a session's name: %s", strerror(errno));
    r[6] = (unsigned char)((r[6] & 0x0f) | 0x40);
    r[8] = (unsigned char)((r[8] & 0x3f) | 0x80);
    snprintf(session, FLY_SESSION_MAX + 1,
             "%.20s%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", prefix, r[0], r[1], r[2],
             r[3], r[4], r[5], r[6], r[7], r[8], r[9], r[10], r[11], r[12], r[13], r[14], r[15]);
    return FLY_OK;
}
