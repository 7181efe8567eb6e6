#include "plugin/page/page.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "plugin/page/state.h"

int64_t fly_page_now(const struct fly_page *page)
{
    return page->config.clock.mono_ns(page->config.clock.ctx);
}

void fly_page_wake(struct fly_page *page)
{
    uint64_t one = 1;

    /* A counter that is full has woken it already. */
    if (write(page->wake_fd, &one, sizeof one) < 0)
        return;
}

static int start(struct fly_page *page)
{
    /* Microseconds: revisions of a process before this one are below, as it made fewer than one of them a microsecond. */
    uint64_t first = (uint64_t)page->config.clock.unix_ns(page->config.clock.ctx) / 1000;
    int rc = fly_listen_parse(&page->listen, page->config.listen), err;

    if (rc == FLY_OK)
        rc = fly_listen_open(&page->listen_fd, &page->listen);
    if (rc < 0)
        return rc;
    fly_listen_url(&page->listen, page->url);
    page->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (page->wake_fd < 0)
        return fly_fail(FLY_EIO, "%s: %s", page->url, strerror(errno));
    rc = fly_page_cache_init(&page->cache, first);
    if (rc == FLY_OK)
        rc = fly_page_http_open(page);
    if (rc < 0)
        return rc;
    err = pthread_create(&page->thread, NULL, fly_page_client, page);
    if (err)
        return fly_fail(FLY_EIO, "%s: %s", page->url, strerror(err));
    page->has_thread = 1;
    /* Its sockets belong to that thread. */
    pthread_mutex_lock(&page->lock);
    while (!page->opened)
        pthread_cond_wait(&page->moved, &page->lock);
    rc = page->opened;
    pthread_mutex_unlock(&page->lock);
    return rc < 0 ? fly_fail(rc, "%s: %s", page->url, page->why) : FLY_OK;
}

int fly_page_open(struct fly_page **out, const struct fly_page_config *config)
{
    struct fly_page *page = calloc(1, sizeof *page);
    int rc;

    if (!page)
        return fly_fail(FLY_ENOMEM, "no memory for the page");
    page->config = *config;
    page->listen_fd = page->wake_fd = -1;
    pthread_mutex_init(&page->lock, NULL);
    pthread_cond_init(&page->moved, NULL);
    rc = start(page);
    if (rc < 0) {
        fly_page_close(&page);
        return rc;
    }
    *out = page;
    return FLY_OK;
}

void fly_page_close(struct fly_page **page)
{
    struct fly_page *p = *page;

    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->closing = 1; /* nobody is suspended from here on, and the client thread resumes who is */
    pthread_mutex_unlock(&p->lock);
    if (p->has_thread) {
        atomic_store_explicit(&p->stop, 1, memory_order_release);
        fly_page_wake(p);
        pthread_join(p->thread, NULL);
    }
    fly_page_http_close(p);
    if (p->listen_fd >= 0)
        close(p->listen_fd);
    if (p->wake_fd >= 0)
        close(p->wake_fd);
    fly_blob_drop(&p->news);
    fly_page_cache_fini(&p->cache);
    pthread_cond_destroy(&p->moved);
    pthread_mutex_destroy(&p->lock);
    free(p);
    *page = NULL;
}

const char *fly_page_url(const struct fly_page *page)
{
    return page->url;
}
