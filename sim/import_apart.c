#include "sim/import_apart.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t child_pid, signals_seen;

static void pass_on(int signal)
{
    int error = errno;

    if (child_pid > 0)
        kill((pid_t)child_pid, signals_seen++ ? SIGKILL : signal);
    errno = error;
}

static _Noreturn void be_child(int (*work)(void *ctx), void *ctx, pid_t parent)
{
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGPROF};
    const struct rlimit no_core = {0, 0};

    /* The caller's handlers speak for the caller; of us it learns by how we end. */
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++)
        signal(fatal[i], SIG_DFL);
    setrlimit(RLIMIT_CORE, &no_core);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1); /* it went before we could ask to go with it */
    exit(work(ctx));
}

int fly_import_apart(struct fly_apart *apart, int (*work)(void *ctx), void *ctx)
{
    struct sigaction act = {.sa_handler = pass_on}, old_int, old_term;
    pid_t parent = getpid(), pid, done;
    sigset_t both, old_mask;
    int status = 0, rc = FLY_OK;

    memset(apart, 0, sizeof *apart);
    fflush(NULL); /* or the child would write our buffers once more */
    sigemptyset(&both);
    sigaddset(&both, SIGINT);
    sigaddset(&both, SIGTERM);
    /* Held back until child_pid is known. */
    sigprocmask(SIG_BLOCK, &both, &old_mask);
    signals_seen = 0;
    sigaction(SIGINT, &act, &old_int);
    sigaction(SIGTERM, &act, &old_term);
    pid = fork();
    if (pid == 0) {
        /* A signal held back meanwhile ends the child at once, before it has begun anything. */
        signal(SIGINT, SIG_DFL);
        signal(SIGTERM, SIG_DFL);
        sigprocmask(SIG_SETMASK, &old_mask, NULL);
        be_child(work, ctx, parent);
    }
    child_pid = pid;
    sigprocmask(SIG_SETMASK, &old_mask, NULL);
    if (pid < 0) {
        rc = fly_fail(FLY_EIO, "no process to read the files in: %s", strerror(errno));
    } else {
        do
            done = waitpid(pid, &status, 0);
        while (done < 0 && errno == EINTR);
        apart->pid = pid;
        apart->interrupted = signals_seen > 0;
        apart->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        apart->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    }
    child_pid = 0;
    sigaction(SIGINT, &old_int, NULL);
    sigaction(SIGTERM, &old_term, NULL);
    return rc;
}

void fly_import_alive(int32_t cpu_s)
{
    const struct itimerval once = {.it_value = {.tv_sec = cpu_s}};

    setitimer(ITIMER_PROF, &once, NULL);
}
