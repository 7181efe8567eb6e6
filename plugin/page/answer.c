/* What goes out: answers with their headers, the page's files, and the stream of news. */
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "plugin/page/state.h"

enum {
    EVENT_BLOCK = 4096,
    EVENT_IDLE_S = 30,        /* of a viewer, who hears something each 15 s */
    EVENT_BUFFER = 16 * 1024, /* what the system may hold of a viewer's news that it does not read */
};

static const char POLICY[] = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
                             "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/* ---- answers ------------------------------------------------------------------------------------- */

/* Takes the response. */
static int answer(struct fly_visit *visit, int status, struct MHD_Response *response, const char *type,
                  const char *cache)
{
    int queued;

    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, "Content-Type", type);
    MHD_add_response_header(response, "Cache-Control", cache);
    MHD_add_response_header(response, "Content-Security-Policy", POLICY);
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    MHD_add_response_header(response, "Cross-Origin-Resource-Policy", "same-origin");
    queued = MHD_queue_response(visit->connection, (unsigned)status, response);
    MHD_destroy_response(response);
    return queued;
}

int fly_page_refuse(struct fly_page *page, struct fly_visit *visit, int status, const char *code, const char *text)
{
    struct MHD_Response *response = NULL;
    struct fly_text bytes;
    struct fly_json json;

    pthread_mutex_lock(&page->lock);
    page->count.refused++;
    pthread_mutex_unlock(&page->lock);
    fly_text_init(&bytes);
    fly_json_init(&json, &bytes, 1);
    fly_json_object(&json);
    fly_json_key(&json, "error");
    fly_json_object(&json);
    fly_json_key(&json, "code");
    fly_json_str(&json, code);
    fly_json_key(&json, "message");
    fly_json_str(&json, text);
    fly_json_end(&json);
    fly_json_end(&json);
    if (!bytes.failed)
        response = MHD_create_response_from_buffer(bytes.len, bytes.bytes, MHD_RESPMEM_MUST_COPY);
    fly_text_fini(&bytes);
    if (response && status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, "Allow", strcmp(visit->path, FLY_PAGE_REQUEST) == 0 ? "POST" : "GET, HEAD");
    return answer(visit, status, response, "application/json", "no-store");
}

static void drop_blob(void *blob)
{
    struct fly_blob *held = blob;

    fly_blob_drop(&held);
}

int fly_page_give(struct fly_page *page, struct fly_visit *visit, int status, struct fly_blob *blob, const char *type)
{
    struct MHD_Response *response;

    size_t under_way = atomic_load_explicit(&page->under_way, memory_order_relaxed);

    /* Answers that nobody reads stay in memory until their connection ends. A large one goes alone. */
    if (under_way > 0 && under_way + blob->len > FLY_PAGE_UNDER_WAY_MAX) {
        fly_blob_drop(&blob);
        return fly_page_refuse(page, visit, MHD_HTTP_SERVICE_UNAVAILABLE, "busy", "too much is under way, try again");
    }
    response = MHD_create_response_from_buffer_with_free_callback_cls(blob->len, blob->bytes, drop_blob, blob);
    if (!response) {
        fly_blob_drop(&blob);
        return MHD_NO;
    }
    visit->under_way = blob->len;
    atomic_fetch_add_explicit(&page->under_way, blob->len, memory_order_relaxed);
    return answer(visit, status, response, type, "no-store");
}

int fly_page_give_made(struct fly_page *page, struct fly_visit *visit, struct fly_blob *blob, const char *what)
{
    char text[160];

    if (blob)
        return fly_page_give(page, visit, MHD_HTTP_OK, blob, blob->is_bundle ? "application/octet-stream" : "application/json");
    snprintf(text, sizeof text, "there is no %.64s yet", what);
    return fly_page_refuse(page, visit, MHD_HTTP_NOT_FOUND, "nothing_yet", text);
}

int fly_page_give_file(struct fly_visit *visit, const struct fly_page_file *file)
{
    const char *have = MHD_lookup_connection_value(visit->connection, MHD_HEADER_KIND, "If-None-Match");
    int same = have && strstr(have, file->etag);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(same ? 0 : file->len, (void *)(uintptr_t)file->bytes, MHD_RESPMEM_PERSISTENT);

    if (response)
        MHD_add_response_header(response, "ETag", file->etag);
    return answer(visit, same ? MHD_HTTP_NOT_MODIFIED : MHD_HTTP_OK, response, file->type, "no-cache");
}

/* ---- /events ------------------------------------------------------------------------------------- */

static struct fly_blob *next_frame(struct fly_page *page, struct fly_visit *visit)
{
    static const char hello[] = "retry: 1000\n\n", comment[] = ":\n\n";

    if (!visit->greeted) {
        visit->greeted = 1;
        return fly_blob_make(hello, sizeof hello - 1);
    }
    if (visit->news_no != page->news_no) {
        visit->news_no = page->news_no;
        visit->comment_no = page->comment_no;
        page->count.news++;
        return fly_blob_hold(page->news);
    }
    if (visit->comment_no != page->comment_no) {
        visit->comment_no = page->comment_no;
        return fly_blob_make(comment, sizeof comment - 1);
    }
    return NULL;
}

/* libmicrohttpd asks when the socket takes more: whoever does not read is not asked for, and gets the newest state
 * once it does. */
static ssize_t more_news(void *cls, uint64_t pos, char *out, size_t max)
{
    struct fly_visit *visit = cls;
    struct fly_page *page = visit->page;
    size_t n = 0;

    pthread_mutex_lock(&page->lock);
    if (page->closing) {
        pthread_mutex_unlock(&page->lock);
        return MHD_CONTENT_READER_END_OF_STREAM;
    }
    if (!visit->frame) {
        visit->frame = next_frame(page, visit);
        visit->sent = 0;
    }
    if (visit->frame) {
        n = visit->frame->len - visit->sent < max ? visit->frame->len - visit->sent : max;
        memcpy(out, visit->frame->bytes + visit->sent, n);
        visit->sent += n;
        if (visit->sent == visit->frame->len)
            fly_blob_drop(&visit->frame);
    } else {
        visit->suspended = 1;
        MHD_suspend_connection(visit->connection);
    }
    pthread_mutex_unlock(&page->lock);
    return (ssize_t)n;
}

int fly_page_give_news(struct fly_page *page, struct fly_visit *visit)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(visit->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct MHD_Response *response;
    int full, room = EVENT_BUFFER, status;

    pthread_mutex_lock(&page->lock);
    full = page->n_viewers >= FLY_PAGE_VIEWERS || page->closing;
    pthread_mutex_unlock(&page->lock);
    if (full)
        return fly_page_refuse(page, visit, MHD_HTTP_SERVICE_UNAVAILABLE, "busy", "too many viewers");
    if (info)
        setsockopt(info->connect_fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, EVENT_BLOCK, more_news, visit, NULL);
    status = answer(visit, MHD_HTTP_OK, response, "text/event-stream", "no-store");
    if (status != MHD_YES)
        return status;
    MHD_set_connection_option(visit->connection, MHD_CONNECTION_OPTION_TIMEOUT, (unsigned)EVENT_IDLE_S);
    pthread_mutex_lock(&page->lock);
    visit->kind = FLY_VISIT_VIEWER;
    visit->next = page->viewers;
    page->viewers = visit;
    page->n_viewers++;
    pthread_mutex_unlock(&page->lock);
    fly_page_wake(page);
    return status;
}
