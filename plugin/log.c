#include "plugin/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "plugin/json.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_int threshold = FLY_LOG_INFO; /* relaxed: a level seen late by a line does no harm */
static struct {                             /* under lock */
    enum fly_log_format format;
    int fd, colour;
    const struct fly_clock *clock;
} out = {.format = FLY_LOG_TEXT, .fd = STDERR_FILENO, .colour = -1};

const char *fly_log_level_name(enum fly_log_level level)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};

    FLY_ASSERT(level >= FLY_LOG_ERROR && level <= FLY_LOG_DEBUG);
    return names[level];
}

void fly_log_open(const struct fly_log_config *config)
{
    pthread_mutex_lock(&lock);
    out.format = config->format;
    out.fd = config->fd;
    out.colour = config->colour;
    out.clock = config->clock;
    pthread_mutex_unlock(&lock);
    fly_log_set_level(config->level);
}

void fly_log_set_level(enum fly_log_level level)
{
    atomic_store_explicit(&threshold, (int)level, memory_order_relaxed);
}

int fly_log_wants(enum fly_log_level level)
{
    return (int)level <= atomic_load_explicit(&threshold, memory_order_relaxed);
}

static void stamp(char text[40])
{
    struct timespec now;
    struct tm utc;
    size_t len;

    if (out.clock) {
        int64_t ns = out.clock->unix_ns(out.clock->ctx);

        now.tv_sec = ns / 1000000000;
        now.tv_nsec = ns % 1000000000;
    } else {
        clock_gettime(CLOCK_REALTIME, &now);
    }
    gmtime_r(&now.tv_sec, &utc);
    len = strftime(text, 40, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text + len, 40 - len, ".%03dZ", (int)(now.tv_nsec / 1000000));
}

/* One message is one line: whatever would break it or speak to the terminal becomes a space. */
static void flatten(char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7F)
            *text = ' ';
    }
}

static int is_coloured(void)
{
    const char *no = getenv("NO_COLOR");

    if (out.colour >= 0)
        return out.colour;
    return isatty(out.fd) && !(no && no[0]);
}

static void add_text_line(struct fly_text *line, enum fly_log_level level, const char *code,
                          const char *when, const char *text)
{
    static const char *const colours[] = {"\033[1;31m", "\033[33m", "", "\033[2m"};
    const char *colour = is_coloured() ? colours[level] : "";

    fly_text_addf(line, "%s %s%s%s %s%s%s\n", when, colour, fly_log_level_name(level),
                  colour[0] ? "\033[0m" : "", code ? code : "", code ? ": " : "", text);
}

static void add_json_line(struct fly_text *line, enum fly_log_level level, const char *code,
                          const char *when, const char *text)
{
    struct fly_json json;

    fly_json_init(&json, line, 1);
    fly_json_object(&json);
    fly_json_key(&json, "t");
    fly_json_str(&json, when);
    fly_json_key(&json, "level");
    fly_json_str(&json, fly_log_level_name(level));
    if (code) {
        fly_json_key(&json, "code");
        fly_json_str(&json, code);
    }
    fly_json_key(&json, "text");
    fly_json_str(&json, text);
    fly_json_end(&json);
    fly_json_done(&json);
}

void fly_log(enum fly_log_level level, const char *code, const char *format, ...)
{
    char text[FLY_LOG_TEXT_MAX + 1], when[40];
    struct fly_text line;
    va_list args;
    int len;

    if (!fly_log_wants(level))
        return;
    va_start(args, format);
    len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len >= (int)sizeof text)
        memcpy(text + sizeof text - 4, "...", 4);
    flatten(text);
    fly_text_init(&line);
    pthread_mutex_lock(&lock);
    stamp(when);
    if (out.format == FLY_LOG_JSON)
        add_json_line(&line, level, code, when, text);
    else
        add_text_line(&line, level, code, when, text);
    if (out.fd >= 0 && !line.failed) {
        /* A log that cannot be written has nobody left to tell. */
        ssize_t wrote = write(out.fd, line.bytes, line.len);

        (void)wrote;
    }
    pthread_mutex_unlock(&lock);
    fly_text_fini(&line);
}

int fly_gate_open(struct fly_gate *gate, const char *code, int64_t now_ns, uint64_t *held)
{
    int32_t i;

    for (i = 0; i < gate->count; i++) {
        if (strncmp(gate->codes[i].code, code, FLY_GATE_CODE_MAX - 1) == 0)
            break;
    }
    if (i == gate->count && gate->count == FLY_GATE_CODES) {
        i = FLY_GATE_CODES - 1;
    } else if (i == gate->count) {
        gate->count++;
        snprintf(gate->codes[i].code, FLY_GATE_CODE_MAX, "%s", code);
        gate->codes[i].last_ns = now_ns;
        gate->codes[i].held = 0;
        if (held)
            *held = 0;
        return 1;
    }
    if (now_ns - gate->codes[i].last_ns < 1000000000) {
        gate->codes[i].held++;
        return 0;
    }
    if (held)
        *held = gate->codes[i].held;
    gate->codes[i].held = 0;
    gate->codes[i].last_ns = now_ns;
    return 1;
}
