/* tests/bench/bench_page.c: what viewers of the live page cost a plugin that labels a scan of 51 x 51 chips.
 *
 *   page.viewers  processor time of the page's two threads, percent of a core, with 20 viewers that each get, at
 *                 every news (ten a second), the map shown and the rows of the image that changed, and each second
 *                 the metrics; `updates`: news that a viewer got a second; `mib_s`: all answers together
 *   page.p99      p99 of the latency from a chip's last line to its published label, ms: with one viewer and four
 *                 that hang (two in /events, two in the image), reference with one viewer alone; `none` without any,
 *                 `viewers` with 20. p50: the same of the median latency, [none, one, hung, viewers]
 *
 * Each round runs the four after each other on simulated frames in real time; medians of rounds. The viewers run
 * in this process on the same cores.
 */
#include "tests/bench/bench.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plugin/page/listen.h"
#include "tests/bench/measure.h"

enum { VIEWERS = 20, HUNG = 4, ROUNDS = 5, FRAMES = 4, QUICK_FRAMES = 2, BODY = 1 << 22, LINE = 1 << 16 };
/* A frame in three seconds: what two cores do with time to spare, for beyond that p99 is how long revisions wait. */
static const char DWELL_US[] = "12";

struct run {
    char dir[200];
    struct fly_listen listen;
    pid_t plugin, sim;
    atomic_int stop;
    atomic_ullong news, bytes;
};

/* ---- HTTP ---------------------------------------------------------------------------------------- */

static int dial(const struct run *run, int receive_bytes)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons((uint16_t)run->listen.port)};
    struct timeval patience = {2, 0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (receive_bytes)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&name, sizeof name) < 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static void ask(const struct run *run, int fd, const char *path)
{
    char text[400];
    int len = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n", path, run->listen.port);

    if (send(fd, text, (size_t)len, MSG_NOSIGNAL) != len)
        return; /* what does not come back is not counted */
}

/* The answer to a question: its length, headers and all, -1 when it did not come whole. body: within `room`. */
static long take_answer(int fd, char *room, char **body)
{
    size_t len = 0, want = 0, head = 0;

    *body = NULL;
    while (!want || len < want) {
        ssize_t n = recv(fd, room + len, (size_t)BODY - 1 - len, 0);
        char *end, *length;

        if (n <= 0)
            return -1;
        len += (size_t)n;
        room[len] = '\0';
        if (want)
            continue;
        end = strstr(room, "\r\n\r\n");
        length = end ? strcasestr(room, "Content-Length:") : NULL;
        if (!length)
            continue;
        head = (size_t)(end + 4 - room);
        want = head + strtoul(length + 15, NULL, 10);
        if (want >= BODY)
            return -1;
    }
    *body = room + head;
    return (long)len;
}

static unsigned long long number_after(const char *text, const char *key)
{
    const char *at = text ? strstr(text, key) : NULL;

    return at ? strtoull(at + strlen(key), NULL, 10) : 0;
}

/* ---- viewers ------------------------------------------------------------------------------------- */

struct viewer {
    struct run *run;
    char line[LINE], *room;
    int events, gets;
    unsigned long long image;
};

static void get(struct viewer *v, const char *path, char **body)
{
    long len;

    ask(v->run, v->gets, path);
    len = take_answer(v->gets, v->room, body);
    if (len > 0)
        atomic_fetch_add(&v->run->bytes, (unsigned long long)len);
}

static void look(struct viewer *v, int each_second)
{
    char path[80], *body;

    get(v, "/api/v1/map/fewshot/ensemble", &body);
    snprintf(path, sizeof path, "/api/v1/image?since=%llu", v->image);
    get(v, path, &body);
    if (body && body + 4 < v->room + BODY) /* behind the length of the header */
        v->image = number_after(body + 4, "\"revision\": ");
    if (each_second)
        get(v, "/api/v1/metrics", &body);
}

/* Every news, whether it came in one piece or in several. */
static void *view(void *arg)
{
    struct viewer *v = arg;
    size_t len = 0;
    int seen = 0;

    v->room = bench_need(BODY, 1);
    v->events = dial(v->run, 0);
    v->gets = dial(v->run, 0);
    ask(v->run, v->events, "/events");
    while (!atomic_load(&v->run->stop)) {
        ssize_t n = recv(v->events, v->line + len, sizeof v->line - 1 - len, 0);
        char *news, *end = NULL;

        if (n <= 0)
            continue;
        len += (size_t)n;
        v->line[len] = '\0';
        news = strstr(v->line, "event: news");
        if (news)
            end = strstr(news, "\n\n");
        if (len > sizeof v->line / 2 && !end)
            len = 0;
        if (!end)
            continue;
        len = 0;
        seen++;
        atomic_fetch_add(&v->run->news, 1);
        look(v, seen % 10 == 0);
    }
    close(v->events);
    close(v->gets);
    free(v->room);
    return NULL;
}

/* ---- the plugin ---------------------------------------------------------------------------------- */

static pid_t spawn(const struct run *run, char *const *argv)
{
    char log[300];
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    snprintf(log, sizeof log, "%s/%s.log", run->dir, argv[1]);
    if (!freopen(log, "w", stdout) || !freopen(log, "w", stderr))
        _exit(1);
    execv("/proc/self/exe", argv);
    _exit(127);
}

static void start(struct run *run, int frames)
{
    char set[6][320], at[3][260], support[260], count[16];
    static const char *const names[3] = {"ingest", "publish", "control"};

    for (int i = 0; i < 3; i++) {
        snprintf(at[i], sizeof at[i], "ipc://%s/%s", run->dir, names[i]);
        snprintf(set[i], sizeof set[i], "sockets.%s=ipc://%s/%s", names[i], run->dir, names[i]);
    }
    snprintf(set[3], sizeof set[3], "recording.dir=%s", run->dir);
    snprintf(set[4], sizeof set[4], "page.listen=127.0.0.1:%d", run->listen.port);
    snprintf(support, sizeof support, "%s/support.json", run->dir);
    snprintf(set[5], sizeof set[5], "fewshot.support=%s", support);
    snprintf(count, sizeof count, "%d", frames);
    char *const plugin[] = {"flyback", "run",   "--set", set[0],  "--set", set[1],  "--set", set[2],  "--set", set[3],
                            "--set",   set[4],  "--set", set[5],  "--set", "chip.size_px=10", "--set", "chip.rows=51",
                            "--set",   "chip.cols=51", NULL};
    char *const sim[] = {"flyback",   "sim",     "--ingest", at[0],     "--publish", at[1],      "--control", at[2],
                         "--geometry", "table2_defective_0.1", "--frames", count, "--dwell-us", (char *)DWELL_US,
                         "--pace",    "1",       "--support", support, "--quiet",  NULL};

    run->sim = spawn(run, sim); /* it writes the support set, which the plugin waits for below, then waits for it */
    for (int i = 0; i < 2000 && access(support, R_OK) < 0; i++)
        usleep(5000);
    run->plugin = spawn(run, plugin);
}

/* Nanoseconds that the page's threads ran so far. */
static double page_ns(pid_t pid)
{
    char path[80], word[64];
    unsigned long long ns, sum = 0;
    struct dirent *entry;
    DIR *tasks;

    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    tasks = opendir(path);
    while (tasks && (entry = readdir(tasks))) {
        FILE *file;

        snprintf(path, sizeof path, "/proc/%d/task/%.20s/comm", (int)pid, entry->d_name);
        file = fopen(path, "r");
        if (!file)
            continue;
        if (!fgets(word, sizeof word, file))
            word[0] = '\0';
        fclose(file);
        if (strcmp(word, "page\n") != 0 && strncmp(word, "MHD-single", 10) != 0)
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%.20s/schedstat", (int)pid, entry->d_name);
        file = fopen(path, "r");
        if (file && fscanf(file, "%llu", &ns) == 1)
            sum += ns;
        if (file)
            fclose(file);
    }
    if (tasks)
        closedir(tasks);
    return (double)sum;
}

static int reap(pid_t pid)
{
    int status = 0;

    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static double ms_after(const char *text, const char *key)
{
    const char *at = text ? strstr(text, key) : NULL;

    return at ? strtod(at + strlen(key), NULL) : NAN;
}

struct told {
    double p50_ms, p99_ms, core_percent, updates_s, mib_s;
};

/* What the session's stop says; NaN when it never came. */
static void take_latency(const struct run *run, struct told *told)
{
    char *room = bench_need(BODY, 1), *body = NULL;
    int fd = dial(run, 0);

    ask(run, fd, "/api/v1/stop");
    take_answer(fd, room, &body);
    told->p50_ms = ms_after(body, "\"p50\": ");
    told->p99_ms = ms_after(body, "\"p99\": ");
    close(fd);
    free(room);
}

static int play(struct told *told, const struct bench_options *options, int viewers, int hung)
{
    static struct viewer v[VIEWERS];
    pthread_t threads[VIEWERS];
    struct run run = {.plugin = 0};
    int hangs[HUNG], fd, rc;
    double began, ns, passed;

    snprintf(run.dir, sizeof run.dir, "%.150s/page.XXXXXX", options->dir);
    if (!mkdtemp(run.dir))
        return fly_fail(FLY_EIO, "bench page: %s: no folder can be made there", run.dir);
    rc = fly_listen_parse(&run.listen, "127.0.0.1:0");
    if (rc == FLY_OK)
        rc = fly_listen_open(&fd, &run.listen);
    if (rc < 0)
        return rc;
    close(fd);
    start(&run, options->quick ? QUICK_FRAMES : FRAMES);
    for (int i = 0; i < 1000 && (fd = dial(&run, 0)) < 0; i++)
        usleep(10000);
    close(fd);
    for (int i = 0; i < viewers; i++) {
        memset(&v[i], 0, sizeof v[i]);
        v[i].run = &run;
        pthread_create(&threads[i], NULL, view, &v[i]);
    }
    for (int i = 0; i < hung; i++) {
        hangs[i] = dial(&run, 4096);
        ask(&run, hangs[i], i % 2 ? "/events" : "/api/v1/image");
    }
    began = bench_wall_s();
    ns = page_ns(run.plugin);
    rc = reap(run.sim) == 0 ? FLY_OK : fly_fail(FLY_EIO, "bench page: the simulated microscope failed, see %s", run.dir);
    passed = bench_wall_s() - began;
    told->core_percent = 100.0 * (page_ns(run.plugin) - ns) / (passed * 1e9);
    told->updates_s = viewers ? (double)run.news / viewers / passed : NAN;
    told->mib_s = (double)run.bytes / passed / (1 << 20);
    take_latency(&run, told);
    atomic_store(&run.stop, 1);
    kill(run.plugin, SIGTERM);
    reap(run.plugin);
    for (int i = 0; i < viewers; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < hung; i++)
        close(hangs[i]);
    return rc;
}

int bench_page(FILE *out, const struct bench_options *options)
{
    static const int kinds[4][2] = {{0, 0}, {1, 0}, {1, HUNG}, {VIEWERS, 0}};
    double p50[4][ROUNDS], p99[4][ROUNDS], core[ROUNDS], updates[ROUNDS], mib[ROUNDS], m[4], n[4], core_median;
    int rounds = options->quick ? 1 : ROUNDS, rc = FLY_OK;
    struct told told = {0};

    for (int round = 0; round < rounds; round++)
        for (int k = 0; k < 4 && rc == FLY_OK; k++) {
            rc = play(&told, options, kinds[k][0], kinds[k][1]);
            p50[k][round] = told.p50_ms;
            p99[k][round] = told.p99_ms;
            core[round] = told.core_percent;
            updates[round] = told.updates_s;
            mib[round] = told.mib_s;
        }
    if (rc < 0)
        return rc;
    for (int k = 0; k < 4; k++) {
        m[k] = bench_median(p99[k], rounds);
        n[k] = bench_median(p50[k], rounds);
    }
    core_median = bench_median(core, rounds);
    fprintf(out,
            "{\"name\": \"page.viewers\", \"size\": %d, \"threads\": 2, \"median\": %.3g, \"unit\": \"%% of a core\", "
            "\"max\": %.3g, \"updates\": %.3g, \"mib_s\": %.3g}\n",
            VIEWERS, core_median, core[rounds - 1], bench_median(updates, rounds), bench_median(mib, rounds));
    fprintf(out,
            "{\"name\": \"page.p99\", \"size\": 2601, \"threads\": 2, \"median\": %.4g, \"unit\": \"ms\", \"reference\": "
            "%.4g, \"ratio\": %.3f, \"none\": %.4g, \"viewers\": %.4g, \"p50\": [%.4g, %.4g, %.4g, %.4g], \"rounds\": %d}\n",
            m[2], m[1], m[1] / m[2], m[0], m[3], n[0], n[1], n[2], n[3], rounds);
    fflush(out);
    return FLY_OK;
}
