/* plugin/page/state.h: the page's insides, shared by the files that make it up.
 *
 * A visit is one HTTP request. Those that wait are suspended: a viewer for news, a call for the plugin's
 * reply, a look for fresh pictures. Suspended visits stay where they are until the client thread resumes
 * them, so it alone takes them off the lists of waiting ones.
 */
#ifndef FLY_PLUGIN_PAGE_STATE_H
#define FLY_PLUGIN_PAGE_STATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "plugin/page/cache.h"
#include "plugin/page/listen.h"
#include "plugin/page/page.h"

struct MHD_Connection;
struct MHD_Daemon;

enum {
    FLY_PAGE_BODY_MAX = 64 * 1024,
    /* libmicrohttpd takes up to 128 events of epoll at once, and having got as many waits for more of them before it
     * looks at these (0.9.75): with its two own sockets there must never be so many. */
    FLY_PAGE_CONNECTIONS = 120,
    FLY_PAGE_VIEWERS = 64,
};
#define FLY_PAGE_UNDER_WAY_MAX ((size_t)64 * 1024 * 1024) /* bytes of answers that are being sent */
#define FLY_PAGE_NEWS_NS (INT64_C(100) * 1000000)         /* ten a second */
#define FLY_PAGE_WANTED_NS (INT64_C(5) * 1000000000)      /* how long after a question the engine is asked on */

enum fly_visit_kind { FLY_VISIT_GET, FLY_VISIT_VIEWER, FLY_VISIT_CALL };

struct fly_visit {
    enum fly_visit_kind kind;
    struct fly_page *page;
    char path[96];          /* a longer one is none of ours */
    struct MHD_Connection *connection;
    struct fly_visit *next; /* of the list that it is on */
    struct fly_visit *wake; /* of those to be resumed */
    int suspended;          /* a viewer: waits for news */
    int asked, answered;    /* handed to the client thread, which is done with it */
    size_t under_way;       /* bytes of its answer */
    /* a viewer */
    struct fly_blob *frame; /* being sent */
    size_t sent;
    uint64_t news_no, comment_no;
    int greeted;
    /* a call */
    struct fly_text body;
    size_t swallowed;       /* bytes beyond what a body may have */
    char op[FLY_STRING_MAX + 1];
    unsigned char *packed;
    size_t packed_len;
    uint64_t id;            /* a call's; a look's: the one that answers it */
    int64_t until_ns;
    int status;             /* of HTTP, when answered without a reply */
    struct fly_blob *answer;
};

struct fly_page {
    struct fly_page_config config;
    struct fly_listen listen;
    char url[96];
    int listen_fd, wake_fd;
    struct MHD_Daemon *daemon;
    pthread_t thread;
    int has_thread;
    atomic_int stop;
    atomic_size_t under_way;

    pthread_mutex_t lock; /* of all below */
    pthread_cond_t moved; /* opened changed */
    int opened;           /* 1: the client thread has its sockets; < 0: why not is in `why` */
    char why[256];
    struct fly_page_cache cache;
    struct fly_visit *viewers, *waiting; /* every viewer; looks that wait */
    struct fly_visit *fresh, *calls;     /* calls not sent yet; sent */
    int32_t n_viewers;
    struct fly_blob *news; /* a frame of /events */
    uint64_t news_no, comment_no;
    int64_t wanted_ns;     /* when somebody last asked for what the engine has to tell */
    int64_t looked_ns;     /* when it had last told all; 0: never, or something changed since */
    uint64_t looks;        /* begun */
    uint64_t next_id;      /* of requests to the plugin */
    int64_t heard_ns;      /* when the newest heartbeat came; 0: never */
    int closing;
    struct {
        uint64_t requests, refused, calls, timeouts, news;
    } count;
};

int64_t fly_page_now(const struct fly_page *page);
void fly_page_wake(struct fly_page *page); /* the client thread */

#define FLY_PAGE_REQUEST "/api/v1/request"

/* answer.c: each queues the answer of a visit and returns what libmicrohttpd said to it. give takes the blob. */
int fly_page_refuse(struct fly_page *page, struct fly_visit *visit, int status, const char *code, const char *text);
int fly_page_give(struct fly_page *page, struct fly_visit *visit, int status, struct fly_blob *blob, const char *type);
int fly_page_give_made(struct fly_page *page, struct fly_visit *visit, struct fly_blob *blob, const char *what);
struct fly_page_file;
int fly_page_give_file(struct fly_visit *visit, const struct fly_page_file *file);
int fly_page_give_news(struct fly_page *page, struct fly_visit *visit);

/* http.c */
FLY_MUST_USE int fly_page_http_open(struct fly_page *page);
void fly_page_http_close(struct fly_page *page); /* nothing is suspended any more */
void fly_page_resume(struct fly_visit *visit);

/* client.c: the thread */
void *fly_page_client(void *page);

/* report.c: /metrics and /healthz; under the lock. status: of HTTP */
struct fly_blob *fly_page_metrics(struct fly_page *page);
struct fly_blob *fly_page_health(struct fly_page *page, int *status);

/* files.c: the page's files */
struct fly_page_file {
    const char *path, *type;
    const unsigned char *bytes;
    size_t len;
    char etag[24];
};
const struct fly_page_file *fly_page_file(const char *path); /* NULL: none of that name */

#endif
