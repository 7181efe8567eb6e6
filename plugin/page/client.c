/* The client thread: hears what is published, carries requests to control and back, and looks at the engine for all
 * viewers together. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugin/page/state.h"

#define SECOND_NS INT64_C(1000000000)
#define COMMENT_NS (15 * SECOND_NS) /* /events says something this often, so that proxies and people see it alive */
#define ASK_NS (15 * SECOND_NS)     /* a look whose answer does not come is given up */

enum {
    MESSAGES_A_TURN = 256,
    HIGH_WATER = 256,
    RUNS = 64,          /* as many as changes.get tells of */
    STATUS_BUSY = 503,  /* HTTP's */
    STATUS_TIMEOUT = 504,
    WITHOUT_MS = 100,
    CALLS_OUT = 16,     /* with the plugin at once: the engine answers all that wait in one turn */
};

/* What is being asked of the engine, one question at a time; the order is that of a look. */
enum asking { ASK_NOTHING, ASK_CHANGES, ASK_IMAGE, ASK_ELEMENTS, ASK_SUPPORT, ASK_MAP };

struct client {
    struct fly_page *page;
    struct fly_endpoint *publish, *control;
    struct fly_visit *to_wake;
    enum asking asking;
    uint64_t id;         /* of the question */
    int64_t asked_ns, began_ns, news_ns, elements_ns;
    uint64_t told;       /* cache.changes as in the last news */
    uint64_t look;       /* number of the look under way */
    uint64_t stale;      /* looks up to this one began before a call's reply, which may have changed what they saw */
    int tried_elements, tried_support, failed; /* by the look under way */
    /* what was seen of this session */
    char session[FLY_SESSION_MAX + 1];
    uint64_t image, elements, support;       /* versions asked up to */
    uint64_t image_now, elements_now, support_now; /* as the look under way found them */
    int32_t runs[RUNS][2], n_runs, next_run; /* rows of the scan, [from, how many] */
};

/* ---- waking -------------------------------------------------------------------------------------- */

static void wake(struct client *c, struct fly_visit *visit)
{
    visit->wake = c->to_wake;
    c->to_wake = visit;
}

static void wake_viewers(struct client *c)
{
    for (struct fly_visit *v = c->page->viewers; v; v = v->next)
        if (v->suspended) {
            v->suspended = 0;
            wake(c, v);
        }
}

static void answer_call(struct client *c, struct fly_visit *visit, int status)
{
    visit->answered = 1;
    visit->status = status;
    wake(c, visit);
}

/* Not under the lock: once resumed, a visit may end at any moment. */
static void resume_all(struct client *c)
{
    struct fly_visit *visit = c->to_wake;

    c->to_wake = NULL;
    while (visit) {
        struct fly_visit *next = visit->wake;

        fly_page_resume(visit);
        visit = next;
    }
}

/* Looks that this one answers, those that waited long enough, or all of them. */
static void release(struct client *c, uint64_t done, int64_t now)
{
    for (struct fly_visit **at = &c->page->waiting; *at;) {
        struct fly_visit *visit = *at;

        if (visit->id > done && visit->until_ns > now && !c->page->closing) {
            at = &visit->next;
            continue;
        }
        *at = visit->next;
        wake(c, visit);
    }
}

/* ---- asking -------------------------------------------------------------------------------------- */

static int send_request(struct client *c, const void *bytes, size_t len)
{
    struct fly_part parts[2] = {{"", 0}, {bytes, len}};

    return fly_endpoint_send(c->control, parts, 2);
}

/* all: everything that is to be seen was seen. */
static void done_looking(struct client *c, int all)
{
    c->asking = ASK_NOTHING;
    if (!all)
        return;
    if (c->look > c->stale)
        c->page->looked_ns = fly_page_now(c->page);
    release(c, c->look, fly_page_now(c->page));
}

static void ask(struct client *c, enum asking what, const char *op, struct fly_pack *args)
{
    unsigned char bytes[1024];
    struct fly_part packed = {args ? args->bytes : NULL, args ? args->len : 0};
    struct fly_pack pack;

    fly_pack_init(&pack, bytes, sizeof bytes);
    c->id = ++c->page->next_id;
    fly_request_pack(&pack, c->id, op, args ? &packed : NULL);
    c->asking = what;
    c->asked_ns = fly_page_now(c->page);
    if (pack.full || send_request(c, bytes, pack.len) < 0)
        done_looking(c, 0);
}

static void ask_changes(struct client *c)
{
    unsigned char bytes[64];
    struct fly_pack args;

    fly_pack_init(&args, bytes, sizeof bytes);
    fly_pack_map(&args, 1);
    fly_pack_str(&args, "image");
    fly_pack_uint(&args, c->image);
    c->began_ns = fly_page_now(c->page);
    c->look = ++c->page->looks;
    c->tried_elements = c->tried_support = c->failed = 0;
    ask(c, ASK_CHANGES, "changes.get", &args);
}

/* The next run of rows, as whole rows of the picture. */
static void ask_image(struct client *c)
{
    const struct fly_picture *picture = &c->page->cache.picture;
    int32_t step = picture->step, from = c->runs[c->next_run][0] / step * step;
    int32_t end = c->runs[c->next_run][0] + c->runs[c->next_run][1];
    unsigned char bytes[64];
    struct fly_pack args;

    end = (end + step - 1) / step * step;
    end = end < picture->height_px ? end : picture->height_px;
    c->next_run++;
    fly_pack_init(&args, bytes, sizeof bytes);
    fly_pack_map(&args, 3);
    fly_pack_str(&args, "y0_px");
    fly_pack_int(&args, from);
    fly_pack_str(&args, "h");
    fly_pack_int(&args, end - from);
    fly_pack_str(&args, "step");
    fly_pack_int(&args, step);
    ask(c, ASK_IMAGE, "image.get", &args);
}

static void ask_map(struct client *c, const char *method, const char *modality)
{
    unsigned char bytes[128];
    struct fly_pack args;

    fly_pack_init(&args, bytes, sizeof bytes);
    fly_pack_map(&args, 2);
    fly_pack_str(&args, "method");
    fly_pack_str(&args, method);
    fly_pack_str(&args, "modality");
    fly_pack_str(&args, modality);
    ask(c, ASK_MAP, "map.get", &args);
}

/* Of many chips they are long, and come less often: 10 MiB a second. */
static int elements_due(const struct client *c)
{
    const struct fly_blob *last = c->page->cache.elements;
    int64_t mib = last ? (int64_t)(last->len >> 20) : 0;

    return !c->elements_ns || fly_page_now(c->page) - c->elements_ns >= mib * FLY_PAGE_NEWS_NS;
}

/* What of this look is still to be asked. What was refused is asked for again by the next one. */
static void go_on(struct client *c)
{
    c->asking = ASK_NOTHING;
    if (c->next_run < c->n_runs && c->page->cache.picture.step) {
        ask_image(c);
        return;
    }
    if (!c->failed)
        c->image = c->image_now;
    if (c->elements != c->elements_now && !c->tried_elements && elements_due(c)) {
        c->tried_elements = 1;
        c->elements_ns = fly_page_now(c->page);
        ask(c, ASK_ELEMENTS, "elements.get", NULL);
        return;
    }
    if (c->support != c->support_now && !c->tried_support) {
        c->tried_support = 1;
        ask(c, ASK_SUPPORT, "support.get", NULL);
        return;
    }
    done_looking(c, 1);
}

static void look_if_due(struct client *c, int64_t now)
{
    struct fly_page *page = c->page;
    char method[32], modality[32];
    int looked_at = page->viewers || page->waiting ||
                    (page->wanted_ns && now - page->wanted_ns < FLY_PAGE_WANTED_NS);

    if (c->asking != ASK_NOTHING) {
        if (now - c->asked_ns > ASK_NS)
            done_looking(c, 0);
        return;
    }
    if (!looked_at || (c->began_ns && now - c->began_ns < FLY_PAGE_NEWS_NS))
        return;
    if (fly_page_cache_lacks(&page->cache, method, modality))
        ask_map(c, method, modality);
    else
        ask_changes(c);
}

/* ---- answers ------------------------------------------------------------------------------------- */

static uint64_t number_in(struct fly_value map, const char *key)
{
    struct fly_value value;
    uint64_t number = 0;

    if (fly_value_get(map, key, &value))
        fly_value_uint(value, &number);
    return number;
}

static void take_runs(struct client *c, struct fly_value result)
{
    int32_t height = c->page->cache.picture.height_px;
    struct fly_value list, run, key, item;
    struct fly_value_iter it = {0};

    c->n_runs = c->next_run = 0;
    if (!fly_value_get(result, "rows_px", &list) || fly_value_kind(list) != FLY_KIND_ARRAY)
        return;
    while (c->n_runs < RUNS && fly_value_next(list, &it, &key, &run)) {
        struct fly_value_iter in = {0};
        int64_t pair[2] = {-1, -1};

        for (int i = 0; i < 2 && fly_value_next(run, &in, &key, &item); i++)
            fly_value_int(item, &pair[i]);
        if (pair[0] < 0 || pair[1] < 1 || pair[0] + pair[1] > height)
            continue;
        c->runs[c->n_runs][0] = (int32_t)pair[0];
        c->runs[c->n_runs++][1] = (int32_t)pair[1];
    }
}

static void take_changes(struct client *c, struct fly_value result)
{
    struct fly_value session;
    const char *text;
    size_t len;

    /* Its start was published before, but may not have come by this other way yet. */
    if (!fly_value_get(result, "session", &session) || !fly_value_str(session, &text, &len) ||
        strlen(c->page->cache.session) != len || memcmp(text, c->page->cache.session, len) != 0) {
        done_looking(c, 0);
        return;
    }
    if (strcmp(c->session, c->page->cache.session) != 0) {
        snprintf(c->session, sizeof c->session, "%s", c->page->cache.session);
        c->elements = 0;
        c->support = UINT64_MAX; /* of an empty set, too, it is known then that it is empty */
        if (c->image != 0) { /* those rows were counted in another session */
            c->image = 0;
            done_looking(c, 0);
            c->began_ns = 0;
            return;
        }
    }
    c->image_now = number_in(result, "image");
    c->elements_now = number_in(result, "elements");
    c->support_now = number_in(result, "support");
    take_runs(c, result);
    go_on(c);
}

static void take_look(struct client *c, struct fly_value header, const struct fly_part *payloads, int32_t n_payloads)
{
    struct fly_page_cache *cache = &c->page->cache;
    struct fly_value ok, result;
    int good = 0;

    if (fly_value_get(header, "ok", &ok))
        fly_value_bool(ok, &good);
    good = good && fly_value_get(header, "result", &result) && fly_value_kind(result) == FLY_KIND_MAP;
    /* Another session has begun since: this is not of it. */
    if (c->asking != ASK_CHANGES && c->asking != ASK_MAP && strcmp(c->session, cache->session) != 0) {
        done_looking(c, 0);
        return;
    }
    switch (c->asking) {
    case ASK_CHANGES:
        if (good)
            take_changes(c, result);
        else
            done_looking(c, 1); /* there is no session: nothing is to be seen */
        return;
    case ASK_IMAGE:
        if (good && n_payloads == 1)
            fly_page_cache_take_image(cache, result, &payloads[0]);
        else
            c->failed = 1;
        break;
    case ASK_ELEMENTS:
        if (good) {
            fly_page_cache_take_elements(cache, result, payloads, n_payloads);
            c->elements = c->elements_now;
        }
        break;
    case ASK_SUPPORT:
        if (good) {
            fly_page_cache_take_support(cache, result);
            c->support = c->support_now;
        }
        break;
    case ASK_MAP:
        if (good)
            fly_page_cache_take_map(cache, result, payloads, n_payloads);
        ask_changes(c);
        return;
    case ASK_NOTHING:
        return;
    }
    go_on(c);
}

static void take_reply(struct client *c, const struct fly_msg *msg)
{
    struct fly_page *page = c->page;
    struct fly_value header, id;
    uint64_t number;

    if (msg->n_parts < 2 || fly_wire_scan(msg->parts[1].bytes, msg->parts[1].len) != FLY_REFUSE_NONE)
        return;
    header = fly_value_root(msg->parts[1].bytes, msg->parts[1].len);
    if (!fly_value_get(header, "id", &id) || !fly_value_uint(id, &number))
        return;
    if (c->asking != ASK_NOTHING && number == c->id) {
        take_look(c, header, msg->parts + 2, msg->n_parts - 2);
        return;
    }
    for (struct fly_visit **at = &page->calls; *at; at = &(*at)->next) {
        struct fly_visit *visit = *at;

        if (visit->id != number)
            continue;
        *at = visit->next;
        page->looked_ns = 0; /* it may have changed what was seen */
        c->stale = c->page->looks;
        if (fly_reply_to_json(&visit->answer, visit->op, header, msg->parts + 2, msg->n_parts - 2) < 0)
            visit->answer = NULL;
        answer_call(c, visit, visit->answer ? 0 : STATUS_BUSY);
        return;
    }
}

/* ---- turns --------------------------------------------------------------------------------------- */

static void send_calls(struct client *c)
{
    int32_t out = 0;

    for (const struct fly_visit *visit = c->page->calls; visit; visit = visit->next)
        out++;
    while (c->page->fresh && (out++ < CALLS_OUT || c->page->closing)) {
        struct fly_visit *visit = c->page->fresh;

        c->page->fresh = visit->next;
        if (c->page->closing || send_request(c, visit->packed, visit->packed_len) < 0) {
            answer_call(c, visit, STATUS_BUSY);
            continue;
        }
        visit->next = c->page->calls;
        c->page->calls = visit;
    }
}

static void give_up(struct client *c, struct fly_visit **list, int64_t now)
{
    for (struct fly_visit **at = list; *at;) {
        struct fly_visit *visit = *at;

        if (now < visit->until_ns && !c->page->closing) {
            at = &visit->next;
            continue;
        }
        *at = visit->next;
        c->page->count.timeouts++;
        answer_call(c, visit, c->page->closing ? STATUS_BUSY : STATUS_TIMEOUT);
    }
}

static void make_news(struct client *c, int64_t now)
{
    struct fly_page *page = c->page;
    struct fly_blob *json;
    struct fly_text text;

    if (page->cache.changes == c->told || (c->news_ns && now - c->news_ns < FLY_PAGE_NEWS_NS)) {
        if (page->viewers && now - c->news_ns > COMMENT_NS) {
            page->comment_no++;
            c->news_ns = now;
            wake_viewers(c);
        }
        return;
    }
    json = fly_page_cache_news(&page->cache);
    fly_text_init(&text);
    fly_text_addf(&text, "id: %llu\nevent: news\ndata: ", (unsigned long long)page->news_no + 1);
    if (json)
        fly_text_addn(&text, json->bytes, json->len);
    fly_text_add(&text, "\n\n");
    if (json && !text.failed) {
        fly_blob_drop(&page->news);
        page->news = fly_blob_of_text(&text);
        page->news_no += page->news != NULL;
        c->told = page->cache.changes;
        wake_viewers(c);
    }
    /* In step: what a turn comes late by is not added up. Without memory for it, the same a while later. */
    c->news_ns = now - c->news_ns < 2 * FLY_PAGE_NEWS_NS ? c->news_ns + FLY_PAGE_NEWS_NS : now;
    fly_blob_drop(&json);
    fly_text_fini(&text);
}

static void hear(struct client *c)
{
    struct fly_msg msg;

    for (int i = 0; i < MESSAGES_A_TURN && fly_endpoint_recv(c->publish, &msg) == FLY_OK; i++) {
        if (msg.n_parts > 0 && msg.parts[0].len == 9 && memcmp(msg.parts[0].bytes, "heartbeat", 9) == 0)
            c->page->heard_ns = fly_page_now(c->page);
        fly_page_cache_take(&c->page->cache, msg.parts, msg.n_parts);
        fly_msg_close(&msg);
    }
    for (int i = 0; i < MESSAGES_A_TURN && fly_endpoint_recv(c->control, &msg) == FLY_OK; i++) {
        take_reply(c, &msg);
        fly_msg_close(&msg);
    }
}

/* How long there is nothing to do by itself. */
static int32_t sleep_ms(const struct client *c, int64_t now)
{
    const struct fly_page *page = c->page;
    int64_t until = now + SECOND_NS, due;

    if (page->cache.changes != c->told) {
        due = c->news_ns + FLY_PAGE_NEWS_NS;
        until = due < until ? due : until;
    }
    if (c->asking == ASK_NOTHING && (page->viewers || page->waiting ||
                                     (page->wanted_ns && now - page->wanted_ns < FLY_PAGE_WANTED_NS))) {
        due = c->began_ns + FLY_PAGE_NEWS_NS;
        until = due < until ? due : until;
    }
    return until <= now ? 0 : (int32_t)((until - now + 999999) / 1000000);
}

static void turn(struct client *c)
{
    struct fly_page *page = c->page;
    int64_t now;

    pthread_mutex_lock(&page->lock);
    if (!page->closing)
        hear(c);
    now = fly_page_now(page);
    send_calls(c);
    give_up(c, &page->calls, now);
    give_up(c, &page->fresh, now);
    release(c, 0, now);
    if (page->closing) {
        wake_viewers(c);
    } else {
        look_if_due(c, now);
        make_news(c, now);
    }
    pthread_mutex_unlock(&page->lock);
    resume_all(c);
}

static int open_sockets(struct client *c)
{
    const struct fly_page_config *config = &c->page->config;
    int rc = fly_endpoint_open(&c->publish, config->net,
                               &(struct fly_endpoint_config){
                                   .socket = FLY_SUB, .address = config->publish, .high_water = HIGH_WATER});

    if (rc == FLY_OK)
        rc = fly_endpoint_subscribe(c->publish, "");
    if (rc == FLY_OK)
        rc = fly_endpoint_open(&c->control, config->net,
                               &(struct fly_endpoint_config){
                                   .socket = FLY_DEALER, .address = config->control, .high_water = HIGH_WATER});
    return rc;
}

void *fly_page_client(void *arg)
{
    struct client client = {.page = arg}, *c = &client;
    struct fly_page *page = arg;
    int rc = open_sockets(c);
    uint64_t woken;

    pthread_setname_np(pthread_self(), "page");
    pthread_mutex_lock(&page->lock);
    page->opened = rc < 0 ? rc : 1;
    if (rc < 0)
        snprintf(page->why, sizeof page->why, "%s", fly_fail_text());
    pthread_cond_signal(&page->moved);
    pthread_mutex_unlock(&page->lock);
    while (rc == FLY_OK && !atomic_load_explicit(&page->stop, memory_order_acquire)) {
        struct fly_endpoint *endpoints[2] = {c->publish, c->control};
        int32_t timeout_ms;

        turn(c);
        pthread_mutex_lock(&page->lock);
        timeout_ms = sleep_ms(c, fly_page_now(page));
        pthread_mutex_unlock(&page->lock);
        if (fly_net_wait(endpoints, 2, 0, page->wake_fd, timeout_ms) == FLY_OK &&
            read(page->wake_fd, &woken, sizeof woken) < 0)
            continue; /* something else woke us */
    }
    /* Whoever came meanwhile, and waits, is let go by the last turn. */
    while (rc < 0 && !atomic_load_explicit(&page->stop, memory_order_acquire))
        if (fly_net_wait(NULL, 0, 0, page->wake_fd, WITHOUT_MS) < 0)
            continue;
    turn(c); /* closing: nobody waits any longer */
    fly_endpoint_close(&c->publish);
    fly_endpoint_close(&c->control);
    return NULL;
}
