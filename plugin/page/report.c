/* /metrics in Prometheus' text format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats), and /healthz. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "plugin/page/state.h"

#define SECOND_NS INT64_C(1000000000)
#define SILENT_NS (5 * SECOND_NS) /* of heartbeats that come each second */

static void name_it(struct fly_text *text, const char *name, const char *type, const char *help)
{
    fly_text_addf(text, "# HELP flyback_%s %s\n# TYPE flyback_%s %s\n", name, help, name, type);
}

static void gauge(struct fly_text *text, const char *name, const char *help, double value)
{
    name_it(text, name, "gauge", help);
    if (isnan(value))
        fly_text_addf(text, "flyback_%s NaN\n", name);
    else
        fly_text_addf(text, "flyback_%s %.9g\n", name, value);
}

static void counter(struct fly_text *text, const char *name, const char *help, uint64_t value)
{
    name_it(text, name, "counter", help);
    fly_text_addf(text, "flyback_%s %" PRIu64 "\n", name, value);
}

/* A label's value: backslash, quote and line break are written as \\, \" and \n. */
static void label(struct fly_text *text, const char *value, size_t len)
{
    fly_text_add(text, "\"");
    for (size_t i = 0; i < len; i++)
        switch (value[i]) {
        case '\\':
            fly_text_add(text, "\\\\");
            break;
        case '"':
            fly_text_add(text, "\\\"");
            break;
        case '\n':
            fly_text_add(text, "\\n");
            break;
        default:
            fly_text_addn(text, &value[i], 1);
        }
    fly_text_add(text, "\"");
}

/* {name: integer} of a header as one metric with a label. */
static void labelled(struct fly_text *text, const char *metric, const char *label_name, struct fly_value map)
{
    struct fly_value_iter it = {0};
    struct fly_value key, value;
    const char *name;
    uint64_t number;
    size_t len;

    while (fly_value_kind(map) == FLY_KIND_MAP && fly_value_next(map, &it, &key, &value)) {
        if (!fly_value_str(key, &name, &len) || !fly_value_uint(value, &number))
            continue;
        fly_text_addf(text, "flyback_%s{%s=", metric, label_name);
        label(text, name, len);
        fly_text_addf(text, "} %" PRIu64 "\n", number);
    }
}

static void counters(struct fly_text *text, struct fly_value map)
{
    struct fly_value_iter it = {0};
    struct fly_value key, value;
    const char *name;
    uint64_t number;
    char metric[80];
    size_t len;

    while (fly_value_kind(map) == FLY_KIND_MAP && fly_value_next(map, &it, &key, &value)) {
        if (!fly_value_str(key, &name, &len) || len > 60)
            continue;
        snprintf(metric, sizeof metric, "%.*s_total", (int)len, name);
        if (fly_value_uint(value, &number)) {
            counter(text, metric, "Counter of that name in PROTOCOL.md, 6.", number);
        } else if (fly_value_kind(value) == FLY_KIND_MAP) {
            name_it(text, metric, "counter", "Messages refused, by reason.");
            labelled(text, metric, "reason", value);
        }
    }
}

static int word_of(const struct fly_page *page, enum fly_page_topic topic, const char *key, char *out, size_t cap)
{
    struct fly_value value;
    const char *text;
    size_t len;

    out[0] = '\0';
    if (!fly_page_cache_get(&page->cache, topic, key, &value) || !fly_value_str(value, &text, &len))
        return 0;
    snprintf(out, cap, "%.*s", (int)len, text);
    return 1;
}

static double number_of(const struct fly_page *page, enum fly_page_topic topic, const char *key)
{
    struct fly_value value;
    double number;

    return fly_page_cache_get(&page->cache, topic, key, &value) && fly_value_f64(value, &number) ? number : NAN;
}

/* One of some words is in force: 1 for it, 0 for the others, as Prometheus has no words. */
static void choice(struct fly_text *text, const char *metric, const char *help, const char *now,
                   const char *const *words)
{
    name_it(text, metric, "gauge", help);
    for (; *words; words++)
        fly_text_addf(text, "flyback_%s{state=\"%s\"} %d\n", metric, *words, strcmp(*words, now) == 0);
}

static void latency(struct fly_text *text, const struct fly_page *page)
{
    static const char *const keys[3] = {"p50", "p99", "max"}, *const quantiles[3] = {"0.5", "0.99", "1"};
    struct fly_value map, value;
    double ms;

    name_it(text, "chip_to_label_seconds", "gauge",
            "Arrival of the line that completed a chip to the publication of its label, by quantile.");
    if (!fly_page_cache_get(&page->cache, FLY_PAGE_METRICS, "latency_ms", &map) || fly_value_kind(map) != FLY_KIND_MAP)
        return;
    for (int i = 0; i < 3; i++)
        if (fly_value_get(map, keys[i], &value) && fly_value_f64(value, &ms))
            fly_text_addf(text, "flyback_chip_to_label_seconds{quantile=\"%s\"} %.9g\n", quantiles[i], ms / 1e3);
}

static void session(struct fly_text *text, const struct fly_page *page)
{
    static const char *const keys[] = {"profile", "embedder", "flyback_version"};
    char word[128];

    name_it(text, "session_info", "gauge", "1, labelled with the newest session.");
    if (!page->cache.session[0])
        return;
    fly_text_add(text, "flyback_session_info{session=");
    label(text, page->cache.session, strlen(page->cache.session));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        word_of(page, FLY_PAGE_START, keys[i], word, sizeof word);
        fly_text_addf(text, ",%s=", keys[i]);
        label(text, word, strlen(word));
    }
    fly_text_add(text, "} 1\n");
}

static void streams(struct fly_text *text, const struct fly_page *page)
{
    struct fly_value map;

    name_it(text, "last_seq", "gauge", "Highest message seen, by stream.");
    if (fly_page_cache_get(&page->cache, FLY_PAGE_HEARTBEAT, "last_seq", &map))
        labelled(text, "last_seq", "stream", map);
    name_it(text, "durable_seq", "gauge", "All messages up to it are on disk, by stream.");
    if (fly_page_cache_get(&page->cache, FLY_PAGE_HEARTBEAT, "durable_seq", &map))
        labelled(text, "durable_seq", "stream", map);
}

static void own(struct fly_text *text, const struct fly_page *page)
{
    gauge(text, "page_viewers", "Open /events.", page->n_viewers);
    gauge(text, "page_under_way_bytes", "Answers that are being sent.",
          (double)atomic_load_explicit(&page->under_way, memory_order_relaxed));
    counter(text, "page_requests_total", "HTTP requests.", page->count.requests);
    counter(text, "page_refused_total", "HTTP requests that were refused, or asked for what is not there.",
            page->count.refused);
    counter(text, "page_calls_total", "Requests handed to control.", page->count.calls);
    counter(text, "page_timeouts_total", "Of those, unanswered.", page->count.timeouts);
    counter(text, "page_looks_total", "Times that the engine was asked what changed.", page->looks);
    counter(text, "page_news_total", "Events sent to viewers, all together.", page->count.news);
}

struct fly_blob *fly_page_metrics(struct fly_page *page)
{
    static const char *const states[] = {"idle", "running", "draining", NULL};
    static const char *const recordings[] = {"off", "ok", "behind", "failed", NULL};
    struct fly_value map;
    struct fly_blob *blob;
    struct fly_text text;
    char word[32];

    fly_text_init(&text);
    if (page->heard_ns)
        gauge(&text, "heartbeat_age_seconds", "Since the plugin was last heard of.",
              (double)(fly_page_now(page) - page->heard_ns) / 1e9);
    if (word_of(page, FLY_PAGE_HEARTBEAT, "state", word, sizeof word))
        choice(&text, "state", "What the plugin does.", word, states);
    if (word_of(page, FLY_PAGE_HEARTBEAT, "recording", word, sizeof word))
        choice(&text, "recording", "How recording stands.", word, recordings);
    session(&text, page);
    if (page->heard_ns) {
        gauge(&text, "backlog_chips", "Chips that wait for an embedding or a composition.",
              number_of(page, FLY_PAGE_HEARTBEAT, "backlog_chips"));
        gauge(&text, "resident_bytes", "Memory of the process.", number_of(page, FLY_PAGE_HEARTBEAT, "rss_bytes"));
        streams(&text, page);
        latency(&text, page);
        if (fly_page_cache_get(&page->cache, FLY_PAGE_HEARTBEAT, "counters", &map))
            counters(&text, map);
    }
    own(&text, page);
    blob = fly_blob_of_text(&text);
    fly_text_fini(&text);
    return blob;
}

struct fly_blob *fly_page_health(struct fly_page *page, int *status)
{
    char state[32], recording[32];
    const char *reason = NULL, *word = "ok";
    struct fly_blob *blob;
    struct fly_text text;
    struct fly_json json;

    word_of(page, FLY_PAGE_HEARTBEAT, "state", state, sizeof state);
    word_of(page, FLY_PAGE_HEARTBEAT, "recording", recording, sizeof recording);
    if (!page->heard_ns || fly_page_now(page) - page->heard_ns > SILENT_NS) {
        word = "silent";
        reason = page->heard_ns ? "no heartbeat for more than 5 s: the plugin hangs, or this machine stands still"
                                : "no heartbeat yet: the plugin is starting";
    } else if (strcmp(recording, "failed") == 0) {
        word = "not_recording";
        reason = "the recording failed: data are shown and not kept; look at the event `recording`";
    }
    *status = reason ? 503 : 200;
    fly_text_init(&text);
    fly_json_init(&json, &text, 1);
    fly_json_object(&json);
    fly_json_key(&json, "status");
    fly_json_str(&json, word);
    if (reason) {
        fly_json_key(&json, "reason");
        fly_json_str(&json, reason);
    }
    fly_json_key(&json, "state");
    fly_json_str(&json, state);
    fly_json_key(&json, "session");
    fly_json_str(&json, page->cache.session);
    fly_json_key(&json, "recording");
    fly_json_str(&json, recording);
    fly_json_end(&json);
    blob = fly_blob_of_text(&text);
    fly_text_fini(&text);
    return blob;
}
