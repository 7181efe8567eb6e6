#include "plugin/page/state.h"

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SECOND_NS INT64_C(1000000000)
/* The plugin itself gives up on the disk after 10 s and says so: let it have the word. */
#define CALL_NS (12 * SECOND_NS)
#define LOOK_NS (3 * SECOND_NS)
#define FRESH_NS SECOND_NS

enum {
    IDLE_S = 10,                   /* a connection on which nothing moves ends */
    CONNECTION_MEMORY = 16 * 1024, /* headers of a request, and a block of news */
    SWALLOWED_MAX = 1024 * 1024,   /* of a body too long, before the connection is cut */
};

void fly_page_resume(struct fly_visit *visit)
{
    MHD_resume_connection(visit->connection);
}

/* ---- what the engine has to tell ------------------------------------------------------------------ */

/* 1: suspended until the client thread has asked the engine. While somebody looks all is fresh; who asks once finds
 * what was asked for long ago. */
static int wait_for_look(struct fly_page *page, struct fly_visit *visit)
{
    int64_t now = fly_page_now(page);
    int stale;

    pthread_mutex_lock(&page->lock);
    page->wanted_ns = now;
    stale = !visit->asked && !page->closing && (!page->looked_ns || now - page->looked_ns > FRESH_NS);
    if (stale) {
        visit->asked = 1;
        visit->id = page->looks + 1;
        visit->until_ns = now + LOOK_NS;
        visit->next = page->waiting;
        page->waiting = visit;
        MHD_suspend_connection(visit->connection);
    }
    pthread_mutex_unlock(&page->lock);
    fly_page_wake(page);
    return stale;
}

/* ?NAME=digits; 0 where it is not there. 0 returned: it is no number. */
static int number_asked(struct fly_visit *visit, const char *name, uint64_t *out)
{
    const char *text = MHD_lookup_connection_value(visit->connection, MHD_GET_ARGUMENT_KIND, name);

    *out = 0;
    if (!text)
        return 1;
    for (const char *at = text; *at; at++) {
        if (*at < '0' || *at > '9' || at - text >= 18)
            return 0;
        *out = *out * 10 + (uint64_t)(*at - '0');
    }
    return text[0] != '\0';
}

static int get_looked(struct fly_page *page, struct fly_visit *visit, uint64_t since)
{
    const char *name = visit->path + strlen("/api/v1/");
    struct fly_blob *blob;

    if (wait_for_look(page, visit))
        return MHD_YES;
    pthread_mutex_lock(&page->lock);
    blob = strcmp(name, "image") == 0      ? fly_page_cache_image(&page->cache, since)
           : strcmp(name, "elements") == 0 ? fly_page_cache_elements(&page->cache, since)
                                           : fly_page_cache_support(&page->cache);
    pthread_mutex_unlock(&page->lock);
    return fly_page_give_made(page, visit, blob, name);
}

/* ---- paths --------------------------------------------------------------------------------------- */

static int get_report(struct fly_page *page, struct fly_visit *visit)
{
    int is_health = strcmp(visit->path, "/healthz") == 0, status = MHD_HTTP_OK;
    struct fly_blob *blob;

    pthread_mutex_lock(&page->lock);
    blob = is_health ? fly_page_health(page, &status) : fly_page_metrics(page);
    pthread_mutex_unlock(&page->lock);
    if (!blob)
        return MHD_NO;
    return fly_page_give(page, visit, status, blob,
                         is_health ? "application/json" : "text/plain; version=0.0.4; charset=utf-8");
}

static int get_list(struct fly_page *page, struct fly_visit *visit, uint64_t since)
{
    const char *name = visit->path + strlen("/api/v1/");
    struct fly_blob *blob;

    pthread_mutex_lock(&page->lock);
    blob = strcmp(name, "events") == 0   ? fly_page_cache_events(&page->cache, since)
           : strcmp(name, "dose") == 0   ? fly_page_cache_dose(&page->cache)
           : strcmp(name, "course") == 0 ? fly_page_cache_course(&page->cache)
                                         : fly_page_cache_agreement(&page->cache);
    pthread_mutex_unlock(&page->lock);
    return fly_page_give_made(page, visit, blob, name);
}

static int is_topic(const char *name, enum fly_page_topic *topic)
{
    for (int t = 0; t < FLY_PAGE_TOPICS; t++)
        if (strcmp(fly_page_topic_name((enum fly_page_topic)t), name) == 0) {
            *topic = (enum fly_page_topic)t;
            return 1;
        }
    return 0;
}

/* 1: the path has that beginning and a word, a slash and a word behind it. */
static int has_pair(const char *path, const char *begins, const char **pair)
{
    size_t len = strlen(begins);
    const char *slash;

    if (strncmp(path, begins, len) != 0)
        return 0;
    *pair = path + len;
    slash = strchr(*pair, '/');
    return slash && slash > *pair && slash[1] && !strchr(slash + 1, '/') && strlen(*pair) < FLY_PAGE_KEY;
}

enum path_kind { PATH_NONE, PATH_FILE, PATH_NEWS, PATH_REPORT, PATH_TOPIC, PATH_MAP, PATH_CLUSTERS, PATH_LOOK, PATH_LIST,
                 PATH_REQUEST };

static enum path_kind kind_of(const char *path)
{
    static const struct {
        const char *path;
        enum path_kind kind;
    } fixed[] = {{"/events", PATH_NEWS},           {"/metrics", PATH_REPORT},       {"/healthz", PATH_REPORT},
                 {"/api/v1/image", PATH_LOOK},     {"/api/v1/elements", PATH_LOOK}, {"/api/v1/support", PATH_LOOK},
                 {"/api/v1/events", PATH_LIST},    {"/api/v1/agreement", PATH_LIST}, {"/api/v1/dose", PATH_LIST},
                 {"/api/v1/course", PATH_LIST},    {FLY_PAGE_REQUEST, PATH_REQUEST}};
    enum fly_page_topic topic;
    const char *pair;

    if (fly_page_file(path))
        return PATH_FILE;
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        if (strcmp(fixed[i].path, path) == 0)
            return fixed[i].kind;
    if (strncmp(path, "/api/v1/", 8) == 0 && is_topic(path + 8, &topic))
        return PATH_TOPIC;
    if (has_pair(path, "/api/v1/map/", &pair))
        return PATH_MAP;
    return has_pair(path, "/api/v1/clusters/", &pair) ? PATH_CLUSTERS : PATH_NONE;
}

static int get_kept(struct fly_page *page, struct fly_visit *visit, enum path_kind kind)
{
    enum fly_page_topic topic = FLY_PAGE_START;
    struct fly_blob *blob;
    const char *pair = visit->path;

    pthread_mutex_lock(&page->lock);
    if (kind == PATH_TOPIC && is_topic(visit->path + 8, &topic))
        blob = fly_page_cache_topic(&page->cache, topic);
    else if (kind == PATH_MAP && has_pair(visit->path, "/api/v1/map/", &pair))
        blob = fly_page_cache_map(&page->cache, pair);
    else
        blob = has_pair(visit->path, "/api/v1/clusters/", &pair) ? fly_page_cache_clusters(&page->cache, pair) : NULL;
    pthread_mutex_unlock(&page->lock);
    return fly_page_give_made(page, visit, blob, pair == visit->path ? visit->path + 8 : pair);
}

static int get(struct fly_page *page, struct fly_visit *visit)
{
    enum path_kind kind = kind_of(visit->path);
    uint64_t since = 0;

    if ((kind == PATH_LOOK || kind == PATH_LIST) && !number_asked(visit, "since", &since))
        return fly_page_refuse(page, visit, MHD_HTTP_BAD_REQUEST, "bad_value", "since: a number of digits is needed");
    switch (kind) {
    case PATH_FILE:
        return fly_page_give_file(visit, fly_page_file(visit->path));
    case PATH_NEWS:
        return fly_page_give_news(page, visit);
    case PATH_REPORT:
        return get_report(page, visit);
    case PATH_TOPIC:
    case PATH_MAP:
    case PATH_CLUSTERS:
        return get_kept(page, visit, kind);
    case PATH_LOOK:
        return get_looked(page, visit, since);
    case PATH_LIST:
        return get_list(page, visit, since);
    case PATH_NONE:
    case PATH_REQUEST:
        break;
    }
    return MHD_NO; /* begin has answered those */
}

/* ---- POST ---------------------------------------------------------------------------------------- */

static const char *header_of(struct fly_visit *visit, const char *name)
{
    return MHD_lookup_connection_value(visit->connection, MHD_HEADER_KIND, name);
}

static int is_json(const char *type)
{
    static const char json[] = "application/json";
    size_t len = sizeof json - 1;

    return type && strncasecmp(type, json, len) == 0 && (!type[len] || type[len] == ';' || type[len] == ' ');
}

static int too_long(struct fly_page *page, struct fly_visit *visit)
{
    return fly_page_refuse(page, visit, MHD_HTTP_CONTENT_TOO_LARGE, "oversize", "a request has at most 65536 bytes");
}

/* By its headers alone. */
static void refuse_post(struct fly_page *page, struct fly_visit *visit, int *rc)
{
    const char *length = header_of(visit, MHD_HTTP_HEADER_CONTENT_LENGTH);

    if (!is_json(header_of(visit, MHD_HTTP_HEADER_CONTENT_TYPE)))
        *rc = fly_page_refuse(page, visit, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE, "not_json",
                              "Content-Type: application/json is needed");
    else if (length && (strlen(length) > 9 || strtol(length, NULL, 10) > FLY_PAGE_BODY_MAX))
        *rc = too_long(page, visit);
}

static int take_body(struct fly_visit *visit, const char *bytes, size_t *len)
{
    if (visit->body.len + *len <= FLY_PAGE_BODY_MAX)
        fly_text_addn(&visit->body, bytes, *len);
    else
        visit->swallowed += *len;
    *len = 0;
    /* Whoever never comes to an end is cut off. */
    return visit->swallowed > SWALLOWED_MAX || visit->body.failed ? MHD_NO : MHD_YES;
}

static int bad_body(struct fly_page *page, struct fly_visit *visit)
{
    char text[320];

    snprintf(text, sizeof text, "%s", fly_fail_text());
    return fly_page_refuse(page, visit, MHD_HTTP_BAD_REQUEST, "malformed", text);
}

/* The id is given when it is sent; here the request is only made sure of. */
static int pack_call(struct fly_visit *visit, uint64_t id)
{
    unsigned char *bytes = malloc(FLY_HEADER_MAX);
    struct fly_value op;
    struct fly_pack pack;
    const char *text;
    size_t len;
    int rc;

    if (!bytes)
        return fly_fail(FLY_ENOMEM, "no memory for the request");
    fly_pack_init(&pack, bytes, FLY_HEADER_MAX);
    rc = fly_request_of_json(&pack, id, visit->body.bytes ? visit->body.bytes : "", visit->body.len);
    if (rc == FLY_OK && fly_value_get(fly_value_root(bytes, pack.len), "op", &op) && fly_value_str(op, &text, &len) &&
        len < sizeof visit->op) {
        memcpy(visit->op, text, len);
        visit->op[len] = '\0';
        visit->packed = realloc(bytes, pack.len);
        visit->packed_len = pack.len;
        if (visit->packed)
            return FLY_OK;
    }
    free(bytes);
    return rc < 0 ? rc : fly_fail(FLY_ENOMEM, "no memory for the request");
}

static int call(struct fly_page *page, struct fly_visit *visit)
{
    uint64_t id;

    pthread_mutex_lock(&page->lock);
    id = ++page->next_id;
    pthread_mutex_unlock(&page->lock);
    if (pack_call(visit, id) < 0)
        return bad_body(page, visit);
    fly_text_fini(&visit->body);
    pthread_mutex_lock(&page->lock);
    if (page->closing) {
        visit->answered = 1;
        visit->status = MHD_HTTP_SERVICE_UNAVAILABLE;
    } else {
        visit->id = id;
        visit->until_ns = fly_page_now(page) + CALL_NS;
        visit->next = page->fresh;
        page->fresh = visit;
        page->count.calls++;
        /* Before the lock is given back: it may be answered at once. */
        MHD_suspend_connection(visit->connection);
    }
    visit->asked = 1;
    pthread_mutex_unlock(&page->lock);
    fly_page_wake(page);
    return MHD_YES;
}

static int give_reply(struct fly_page *page, struct fly_visit *visit)
{
    struct fly_blob *blob = visit->answer;

    visit->answer = NULL;
    if (blob)
        return fly_page_give(page, visit, MHD_HTTP_OK, blob,
                             blob->is_bundle ? "application/octet-stream" : "application/json");
    if (visit->status == MHD_HTTP_GATEWAY_TIMEOUT)
        return fly_page_refuse(page, visit, visit->status, "timeout", "the plugin did not answer within 12 s");
    return fly_page_refuse(page, visit, MHD_HTTP_SERVICE_UNAVAILABLE, "busy", "the plugin takes no request now");
}

static int post(struct fly_page *page, struct fly_visit *visit, const char *bytes, size_t *len)
{
    if (*len > 0)
        return take_body(visit, bytes, len);
    if (visit->asked)
        return visit->answered ? give_reply(page, visit) : MHD_YES;
    return visit->swallowed ? too_long(page, visit) : call(page, visit);
}

/* ---- requests ------------------------------------------------------------------------------------ */

/* What a browser says of where a request comes from; others say nothing. */
static int is_foreign(const char *site)
{
    return site && (strcmp(site, "cross-site") == 0 || strcmp(site, "same-site") == 0);
}

/* A new request, its headers there: answered, *rc what was said to that, where it is refused. */
static void begin(struct fly_page *page, struct fly_visit *visit, const char *url, const char *method, int *rc)
{
    int is_post = strcmp(method, MHD_HTTP_METHOD_POST) == 0;
    int is_get = strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
    enum path_kind kind;

    pthread_mutex_lock(&page->lock);
    page->count.requests++;
    pthread_mutex_unlock(&page->lock);
    if (!fly_listen_is_host(&page->listen, header_of(visit, MHD_HTTP_HEADER_HOST))) {
        *rc = fly_page_refuse(page, visit, MHD_HTTP_FORBIDDEN, "host", "this page has another Host");
        return;
    }
    if (!fly_listen_is_origin(&page->listen, header_of(visit, MHD_HTTP_HEADER_ORIGIN))) {
        *rc = fly_page_refuse(page, visit, MHD_HTTP_FORBIDDEN, "origin", "pages of another Origin may not ask");
        return;
    }
    /* Other pages may lead here, and no more: a picture or a frame of theirs that asks would keep the engine busy. */
    if (is_foreign(header_of(visit, "Sec-Fetch-Site")) && strcmp(url, "/") != 0) {
        *rc = fly_page_refuse(page, visit, MHD_HTTP_FORBIDDEN, "origin", "pages of another Origin may not ask");
        return;
    }
    if (strlen(url) < sizeof visit->path)
        strcpy(visit->path, url);
    kind = kind_of(visit->path);
    if (kind == PATH_NONE) {
        *rc = fly_page_refuse(page, visit, MHD_HTTP_NOT_FOUND, "no_such_path", "plugin/docs/page-api.md lists what there is");
        return;
    }
    if (kind == PATH_REQUEST ? !is_post : !is_get) {
        *rc = fly_page_refuse(page, visit, MHD_HTTP_METHOD_NOT_ALLOWED, "method", "not by this method");
        return;
    }
    visit->kind = is_post ? FLY_VISIT_CALL : FLY_VISIT_GET;
    if (is_post)
        refuse_post(page, visit, rc);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *bytes, size_t *len, void **state)
{
    struct fly_page *page = cls;
    struct fly_visit *visit = *state;
    int rc = MHD_YES;

    (void)version;
    if (!visit) {
        visit = calloc(1, sizeof *visit);
        if (!visit)
            return MHD_NO;
        visit->page = page;
        visit->connection = connection;
        *state = visit;
        begin(page, visit, url, method, &rc);
        /* Only what is refused is answered by its headers alone: the connection ends with such an answer. */
        return (enum MHD_Result)rc;
    }
    if (visit->kind == FLY_VISIT_CALL)
        return (enum MHD_Result)post(page, visit, bytes, len);
    if (*len == 0)
        return (enum MHD_Result)get(page, visit);
    visit->swallowed += *len; /* the body of a GET means nothing */
    *len = 0;
    return visit->swallowed > SWALLOWED_MAX ? MHD_NO : MHD_YES;
}

static void on_done(void *cls, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode why)
{
    struct fly_page *page = cls;
    struct fly_visit *visit = *state;

    (void)connection;
    (void)why;
    if (!visit)
        return;
    pthread_mutex_lock(&page->lock);
    if (visit->kind == FLY_VISIT_VIEWER)
        for (struct fly_visit **at = &page->viewers; *at; at = &(*at)->next)
            if (*at == visit) {
                *at = visit->next;
                page->n_viewers--;
                break;
            }
    pthread_mutex_unlock(&page->lock);
    atomic_fetch_sub_explicit(&page->under_way, visit->under_way, memory_order_relaxed);
    fly_blob_drop(&visit->frame);
    fly_blob_drop(&visit->answer);
    fly_text_fini(&visit->body);
    free(visit->packed);
    free(visit);
    *state = NULL;
}

/* What clients do wrong is answered; what the library has to say of it is for nobody. */
static void hush(void *cls, const char *format, va_list args)
{
    (void)cls;
    (void)format;
    (void)args;
}

int fly_page_http_open(struct fly_page *page)
{
    page->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, page,
        MHD_OPTION_LISTEN_SOCKET, page->listen_fd, MHD_OPTION_NOTIFY_COMPLETED, on_done, page,
        MHD_OPTION_EXTERNAL_LOGGER, hush, NULL, MHD_OPTION_CONNECTION_LIMIT, (unsigned)FLY_PAGE_CONNECTIONS,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
    if (!page->daemon)
        return fly_fail(FLY_EIO, "%s: the HTTP server does not start", page->url);
    page->listen_fd = -1; /* the daemon's now */
    return FLY_OK;
}

void fly_page_http_close(struct fly_page *page)
{
    if (page->daemon)
        MHD_stop_daemon(page->daemon);
    page->daemon = NULL;
}
