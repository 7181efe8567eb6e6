#include "sim/play.h"

#include <math.h>
#include <string.h>

#include "sim/replay.h"
#include "sim/tool.h"

enum { LINGER_MS = 5000 };

struct play {
    const struct fly_play_config *config;
    struct fly_play_report *report;
    struct fly_replay *replay;
    struct fly_sender *sender;
};

static int64_t now_ns(const struct play *p)
{
    return p->config->sender.clock.mono_ns(p->config->sender.clock.ctx);
}

static int listen(struct play *p, int32_t timeout_ms)
{
    int rc = fly_sender_step(p->sender, timeout_ms);

    fly_sender_report(p->sender, &p->report->sender);
    if (rc < 0)
        return rc;
    if (p->report->sender.silent_s > p->config->patience_s)
        return fly_fail(FLY_EIO, "Flyback at %s has been silent for %.0f s", p->config->sender.control,
                        p->report->sender.silent_s);
    return p->config->tick ? p->config->tick(p->config->tick_ctx, p->report) : FLY_OK;
}

static int hand_over(struct play *p, const struct fly_replay_message *m)
{
    for (;;) {
        int rc = fly_sender_put(p->sender, m->stream, m->seq, m->parts, m->n_parts);

        if (rc != FLY_EAGAIN)
            return rc;
        if (*fly_tool_stop())
            return FLY_EAGAIN;
        rc = listen(p, 10);
        if (rc < 0)
            return rc;
    }
}

static int open_play(struct play *p)
{
    const struct fly_play_config *c = p->config;
    struct fly_sender_config sender = c->sender;
    int rc = fly_replay_open(&p->replay, c->path, c->from, c->session);

    if (rc < 0)
        return rc;
    memcpy(p->report->session, fly_replay_session(p->replay), strlen(fly_replay_session(p->replay)) + 1);
    p->report->messages = fly_replay_messages(p->replay);
    sender.session = p->report->session;
    sender.n_streams = fly_replay_streams(p->replay);
    for (int32_t i = 0; i < sender.n_streams; i++)
        sender.streams[i] = fly_replay_stream(p->replay, i);
    rc = fly_sender_open(&p->sender, &sender);
    if (rc == FLY_OK)
        rc = fly_sender_connect(p->sender, (int32_t)(c->connect_timeout_s * 1000.0), fly_tool_stop());
    return rc;
}

/* Each message when its time has come. The start sets the clock; with `from` the next message does so
 * again, or the part left out would be waited for. FLY_EAGAIN: interrupted. */
static int send_all(struct play *p)
{
    const struct fly_play_config *c = p->config;
    struct fly_replay_message m;
    int64_t base_ns = 0, first_ns = 0;
    int rc, clocked = 0;

    while ((rc = fly_replay_next(p->replay, &m)) == FLY_OK) {
        if (!clocked || (c->from > 1 && clocked == 1 && !m.start)) {
            clocked += !m.start + 1;
            base_ns = now_ns(p);
            first_ns = m.t_ns;
        }
        for (;;) {
            int64_t left = c->speed > 0.0 ? base_ns - now_ns(p) + llround((double)(m.t_ns - first_ns) / c->speed)
                                          : 0;

            if (*fly_tool_stop())
                return FLY_EAGAIN;
            rc = listen(p, left <= 0 ? 0 : left > 20000000 ? 20 : (int32_t)(left / 1000000) + 1);
            if (rc < 0)
                return rc;
            if (left <= 0)
                break;
        }
        rc = hand_over(p, &m);
        if (rc < 0)
            return rc;
        if (m.stop)
            fly_sender_finish(p->sender, m.seq);
        p->report->sent++;
        p->report->made += (uint64_t)m.made;
    }
    return rc == FLY_EAGAIN ? FLY_OK : rc;
}

/* FLY_EAGAIN: interrupted. */
static int wait_for_stop(struct play *p)
{
    int64_t until = now_ns(p) + llround(p->config->stop_timeout_s * 1e9);

    for (;;) {
        fly_sender_report(p->sender, &p->report->sender);
        if (p->report->sender.stopped)
            return FLY_OK;
        if (*fly_tool_stop())
            return FLY_EAGAIN;
        if (now_ns(p) > until)
            return fly_fail(FLY_EIO, "Flyback did not confirm the stop within %g s; %d messages are not "
                            "acknowledged", p->config->stop_timeout_s, p->report->sender.kept);
        int rc = listen(p, 20);

        if (rc < 0)
            return rc;
    }
}

/* What Flyback has not taken yet gets a moment; it closes the session itself when the next begins. */
static void linger(struct play *p)
{
    int64_t until = now_ns(p) + (int64_t)LINGER_MS * 1000000;

    do {
        if (fly_sender_step(p->sender, 20) < 0)
            return;
        fly_sender_report(p->sender, &p->report->sender);
    } while (p->report->sender.alive && p->report->sender.kept && now_ns(p) < until);
}

int fly_play(const struct fly_play_config *config, struct fly_play_report *report)
{
    struct play p = {.config = config, .report = report};
    int64_t begun_ns = now_ns(&p);
    int rc;

    *report = (struct fly_play_report){.sender.complete = NAN};
    rc = open_play(&p);
    if (rc == FLY_OK) {
        begun_ns = now_ns(&p);
        report->begun = 1;
        rc = send_all(&p);
        if (rc == FLY_OK)
            rc = wait_for_stop(&p);
        else if (rc == FLY_EAGAIN)
            linger(&p);
    }
    report->wall_s = (double)(now_ns(&p) - begun_ns) * 1e-9;
    fly_sender_close(&p.sender);
    fly_replay_close(&p.replay);
    return rc;
}
