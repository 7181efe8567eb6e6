#include "sim/played.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stream/wire.h"

struct sent {
    char session[FLY_SESSION_MAX + 1];
    struct fly_folder_file file;
};

struct fly_played {
    char path[1200];
    FILE *stream; /* for appending */
    struct sent *sent;
    int32_t n_sent, cap;
};

static int keep(struct fly_played *p, const struct sent *one)
{
    if (p->n_sent == p->cap) {
        int32_t cap = p->cap ? 2 * p->cap : 64;
        struct sent *more = realloc(p->sent, (size_t)cap * sizeof *more);

        if (!more)
            return fly_fail(FLY_ENOMEM, "%s: no memory for its %d lines", p->path, (int)p->n_sent);
        p->sent = more;
        p->cap = cap;
    }
    p->sent[p->n_sent++] = *one;
    return FLY_OK;
}

static int read_line(struct fly_played *p, const char *line, int number)
{
    struct sent one = {0};
    int at = -1;
    size_t len;

    /* Up to the third tab alone: a name may begin with blanks. */
    if (sscanf(line, "%64[^\t]\t%" SCNd64 "\t%" SCNd64 "%n", one.session, &one.file.size, &one.file.mtime_ns, &at) !=
            3 ||
        at < 0 || line[at++] != '\t')
        return fly_fail(FLY_EWIRE, "%s:%d: not session, size, time and name with tabs between; mend or remove it",
                        p->path, number);
    len = strcspn(line + at, "\n");
    snprintf(one.file.name, sizeof one.file.name, "%.*s", (int)len, line + at);
    return keep(p, &one);
}

static int read_lines(struct fly_played *p)
{
    char line[FLY_SESSION_MAX + FLY_FOLDER_NAME_MAX + 64];
    FILE *stream = fopen(p->path, "r+e");
    int rc = FLY_OK, number = 0;
    long whole = 0;

    if (!stream)
        return errno == ENOENT ? FLY_OK : fly_fail(FLY_EIO, "%s: %s", p->path, strerror(errno));
    while (rc == FLY_OK && fgets(line, sizeof line, stream)) {
        if (!strchr(line, '\n'))
            break;
        rc = read_line(p, line, ++number);
        whole = ftell(stream);
    }
    /* A line that a crash cut off counts as not sent, and the next must not run into it. */
    if (rc == FLY_OK && ftruncate(fileno(stream), whole) != 0)
        rc = fly_fail(FLY_EIO, "%s: %s", p->path, strerror(errno));
    fclose(stream);
    return rc;
}

int fly_played_open(struct fly_played **out, const char *dir)
{
    struct fly_played *p = calloc(1, sizeof *p);
    int rc;

    if (!p)
        return fly_fail(FLY_ENOMEM, "%s: no memory for what was sent", dir);
    snprintf(p->path, sizeof p->path, "%.1100s/sent.tsv", dir);
    rc = read_lines(p);
    if (rc == FLY_OK) {
        p->stream = fopen(p->path, "ae");
        if (!p->stream)
            rc = fly_fail(FLY_EIO, "%s: %s", p->path, strerror(errno));
    }
    if (rc < 0) {
        fly_played_close(&p);
        return rc;
    }
    *out = p;
    return FLY_OK;
}

void fly_played_close(struct fly_played **played)
{
    if (!*played)
        return;
    if ((*played)->stream)
        fclose((*played)->stream);
    free((*played)->sent);
    free(*played);
    *played = NULL;
}

int fly_played_file(const struct fly_played *played, const struct fly_folder_file *file)
{
    for (int32_t i = 0; i < played->n_sent; i++) {
        const struct fly_folder_file *was = &played->sent[i].file;

        if (was->size == file->size && was->mtime_ns == file->mtime_ns && strcmp(was->name, file->name) == 0)
            return 1;
    }
    return 0;
}

int fly_played_session(const struct fly_played *played, const char *session)
{
    for (int32_t i = 0; i < played->n_sent; i++)
        if (strcmp(played->sent[i].session, session) == 0)
            return 1;
    return 0;
}

int fly_played_add(struct fly_played *played, const char *session, const struct fly_folder_file *file)
{
    struct sent one = {.file = *file};

    snprintf(one.session, sizeof one.session, "%s", session);
    if (fprintf(played->stream, "%s\t%" PRId64 "\t%" PRId64 "\t%s\n", session, file->size, file->mtime_ns,
                file->name) < 0 ||
        fflush(played->stream) != 0 || fsync(fileno(played->stream)) != 0)
        return fly_fail(FLY_EIO, "%s: %s", played->path, strerror(errno));
    return keep(played, &one);
}
