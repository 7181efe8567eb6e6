#include "plugin/ingest_session.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "plugin/follow.h"
#include "plugin/text.h"
#include "stream/disk.h"

static int64_t mono_ns(const struct fly_ingest_session *s)
{
    return s->config->clock.mono_ns(s->config->clock.ctx);
}

static int64_t unix_ns(const struct fly_ingest_session *s)
{
    return s->config->clock.unix_ns(s->config->clock.ctx);
}

void fly_ingest_session_init(struct fly_ingest_session *session,
                             const struct fly_stage_ingest_config *config, int wake_fd)
{
    memset(session, 0, sizeof *session);
    session->config = config;
    session->wake_fd = wake_fd;
}

static void forget(struct fly_ingest_session *s)
{
    if (s->recorder && fly_recorder_close(&s->recorder) < 0)
        fly_bus_event(s->config->bus, FLY_ERROR, "recording", NULL, 0, "%s", fly_fail_text());
    for (int32_t i = 0; i < FLY_STREAMS_MAX; i++) {
        free(s->sequence_memory[i]);
        s->sequence_memory[i] = NULL;
    }
    s->n_streams = 0;
    fly_session_info_drop(&s->info);
}

void fly_ingest_session_fini(struct fly_ingest_session *session)
{
    forget(session);
}

struct fly_session_view fly_ingest_session_view(const struct fly_ingest_session *session)
{
    if (!session->info)
        return (struct fly_session_view){0};
    return (struct fly_session_view){.session = session->info->id,
                                     .start = &session->info->start,
                                     .stopped = session->phase >= FLY_PHASE_STOPPING,
                                     .last = session->phase == FLY_PHASE_STOPPING ? session->last : NULL};
}

static void recording_path(const struct fly_ingest_session *s, const char *id, char *out, size_t cap)
{
    snprintf(out, cap, "%s/%s.fly", s->config->options->recording.dir, id);
}

int fly_ingest_session_known(const struct fly_ingest_session *session, const char *id)
{
    char path[FLY_OPTION_TEXT_CAP + 80];
    struct stat st;

    if (!session->config->options->recording.enabled)
        return 0;
    recording_path(session, id, path, sizeof path);
    return stat(path, &st) == 0;
}

/* ---- opening ----------------------------------------------------------------------------------- */

static int reserve_numbers(struct fly_ingest_session *s, int32_t n_streams)
{
    size_t bytes = fly_sequence_need(FLY_SEQUENCE_WINDOW);

    for (int32_t i = 0; i < n_streams; i++) {
        s->sequence_memory[i] = aligned_alloc(64, (bytes + 63) / 64 * 64);
        if (!s->sequence_memory[i])
            return fly_fail(FLY_ENOMEM, "no memory for the numbers of %d streams", n_streams);
        fly_sequence_init(&s->sequences[i], s->sequence_memory[i], FLY_SEQUENCE_WINDOW);
    }
    s->n_streams = n_streams;
    return FLY_OK;
}

/* Of the largest image message that a session of this start can send. */
static size_t frame_bytes(const struct fly_start *start)
{
    size_t px = (size_t)start->height_px * (size_t)start->width_px, most = 0;

    for (int32_t i = 0; i < start->n_detectors; i++) {
        size_t bytes = px * fly_dtype_size(start->detectors[i].dtype);

        most = bytes > most ? bytes : most;
    }
    return most < FLY_PAYLOAD_MAX ? most : FLY_PAYLOAD_MAX;
}

/* start: what the session declares; NULL: not known. */
static int open_recorder(struct fly_ingest_session *s, const char *path, int append,
                         const struct fly_start *start, struct fly_recorder **out)
{
    const struct fly_options *o = s->config->options;

    size_t ring = (size_t)o->recording.ring_mib << 20;

    /* A whole frame may come as one message, and a record fills at most half of the ring. Room that is not
     * used is not touched, and so costs nothing. */
    while (start && ring / 2 < frame_bytes(start) + FLY_HEADER_MAX + 1024)
        ring *= 2;
    return fly_recorder_open(out,
                             &(struct fly_recorder_config){
                                 .path = path,
                                 .disk = s->config->disk,
                                 .clock = s->config->clock,
                                 .ring_bytes = ring,
                                 .sync_ms = o->recording.sync_ms,
                                 .wake_fd = s->wake_fd,
                             },
                             append);
}

/* FLY_REC_SESSION: {session, flyback_version, step_chips, t_ns} and the configuration as YAML. */
static void record_session(struct fly_ingest_session *s, int32_t step_chips)
{
    unsigned char bytes[512];
    struct fly_pack pack;
    struct fly_text yaml;
    uint64_t ticket;

    fly_pack_init(&pack, bytes, sizeof bytes);
    fly_pack_map(&pack, 3);
    fly_pack_str(&pack, "session");
    fly_pack_str(&pack, s->info->id);
    fly_pack_str(&pack, "flyback_version");
    fly_pack_str(&pack, FLY_VERSION);
    fly_pack_str(&pack, "step_chips");
    fly_pack_int(&pack, step_chips);
    FLY_ASSERT(!pack.full);
    fly_text_init(&yaml);
    fly_options_print_yaml(&s->info->options, &yaml);
    struct fly_part parts[2] = {{bytes, pack.len}, {fly_text_str(&yaml), yaml.len}};

    if (fly_recorder_append(s->recorder, FLY_REC_SESSION, unix_ns(s), parts, 2, &ticket) < 0)
        fly_bus_event(s->config->bus, FLY_ERROR, "recording", NULL, 0, "%s", fly_fail_text());
    fly_text_fini(&yaml);
}

static void begin_recording(struct fly_ingest_session *s, int32_t step_chips)
{
    const struct fly_options *o = s->config->options;
    char path[FLY_OPTION_TEXT_CAP + 80];

    if (!o->recording.enabled)
        return;
    if (fly_folder_make(o->recording.dir) < 0)
        fly_bus_event(s->config->bus, FLY_ERROR, "recording", NULL, 0, "%s", fly_fail_text());
    recording_path(s, s->info->id, path, sizeof path);
    if (open_recorder(s, path, 0, &s->info->start, &s->recorder) < 0) {
        fly_bus_event(s->config->bus, FLY_ERROR, "recording", NULL, 0,
                      "session %s runs WITHOUT a recording: %s", s->info->id, fly_fail_text());
        return;
    }
    record_session(s, step_chips);
}

/* Whoever claims less than the scan can do has a unit wrong, most often. */
static void tell_dwell(struct fly_ingest_session *s)
{
    const struct fly_options *o = &s->info->options;
    double dwell_us = s->info->start.pixel_time_us;

    if (isfinite(dwell_us) && dwell_us < o->instrument.dwell_floor_us)
        fly_bus_event(s->config->bus, FLY_WARNING, "dwell_below_floor", NULL, 0,
                      "pixel_time_us %g is below the %g us that %s can do (instrument.dwell_floor_us): is it in us?",
                      dwell_us, o->instrument.dwell_floor_us,
                      o->instrument.name[0] ? o->instrument.name : "this microscope");
}

void fly_ingest_session_announce(struct fly_ingest_session *session)
{
    struct fly_ingest_session *s = session;
    struct fly_bus *bus = s->config->bus;
    struct fly_session_info *before;

    pthread_mutex_lock(&bus->lock);
    before = bus->opened; /* never taken by the publisher: overtaken */
    bus->opened = fly_session_info_hold(s->info);
    memset(&bus->status, 0, sizeof bus->status);
    bus->status.state = FLY_RUNNING;
    memcpy(bus->status.session, s->info->id, sizeof bus->status.session);
    bus->status.n_streams = s->n_streams;
    for (int32_t i = 0; i < s->n_streams; i++)
        snprintf(bus->status.stream[i], sizeof bus->status.stream[i], "%s",
                 fly_start_stream(&s->info->start, i));
    bus->status.grid_rows = s->info->plan.grid.rows;
    bus->status.grid_cols = s->info->plan.grid.cols;
    pthread_mutex_unlock(&bus->lock);
    fly_session_info_drop(&before);
    memset(&s->told, 0, sizeof s->told);
    s->told_ticket = 0;
    fly_bus_wake_publisher(bus);
    if (!s->info->resumed)
        tell_dwell(s); /* once the status has the session: until then a warning looks like a refusal */
}

static int make_facts(struct fly_session_info **info, const struct fly_ingest *msg,
                      const struct fly_start *start, const struct fly_part *header,
                      const struct fly_options *options)
{
    int rc;

    if (msg->seq > FLY_SEQUENCE_WINDOW)
        return fly_fail(FLY_ERANGE, "a start with seq %" PRIu64 ": numbers begin at 1, and a jump of at most %d "
                                    "is followed", msg->seq, FLY_SEQUENCE_WINDOW);
    rc = fly_session_info_make(info, msg->session, start, header, options);
    if (rc == FLY_OK && (*info)->plan.image < 0 && (*info)->plan.n_segments == 0) {
        fly_session_info_drop(info);
        return fly_fail(FLY_ERANGE, "no stream of this session can be looked at");
    }
    return rc;
}

int fly_ingest_session_may_begin(const struct fly_ingest_session *session, const struct fly_ingest *msg,
                                 const struct fly_start *start, const struct fly_part *header)
{
    struct fly_session_info *info;
    int rc = make_facts(&info, msg, start, header, session->config->options);

    if (rc == FLY_OK)
        fly_session_info_drop(&info);
    return rc;
}

static int open_facts(struct fly_ingest_session *s, const struct fly_ingest *msg,
                      const struct fly_start *start, const struct fly_part *header,
                      const struct fly_options *options)
{
    struct fly_session_info *info;
    int rc = make_facts(&info, msg, start, header, options);

    if (rc < 0)
        return rc;
    forget(s);
    s->info = info;
    rc = reserve_numbers(s, fly_start_streams(start));
    if (rc < 0) {
        forget(s);
        s->phase = FLY_PHASE_NONE;
        return rc;
    }
    info->serial = ++s->serial;
    s->phase = FLY_PHASE_RUNNING;
    s->heartbeat_ns = mono_ns(s);
    s->behind_told = 0;
    s->gap_messages = 0;
    memset(&s->end, 0, sizeof s->end);
    s->end.serial = s->serial;
    return FLY_OK;
}

static void tell_ignored(struct fly_ingest_session *s)
{
    if (s->info->plan.n_ignored > 0)
        fly_bus_event(s->config->bus, FLY_INFO, "streams_ignored", NULL, 0,
                      "%d of the declared streams are recorded but not analysed (one image detector, and "
                      "EDS segments with the axes of the first)",
                      s->info->plan.n_ignored);
}

int fly_ingest_session_begin(struct fly_ingest_session *session, const struct fly_ingest *msg,
                             const struct fly_start *start, const struct fly_msg *raw, int32_t step_chips)
{
    struct fly_ingest_session *s = session;
    int rc = open_facts(s, msg, start, &raw->parts[0], s->config->options);

    if (rc < 0)
        return rc;
    begin_recording(s, step_chips);
    atomic_store_explicit(&s->info->recorder, s->recorder, memory_order_release);
    fly_ingest_session_accept(s, msg, raw, &s->start_ticket);
    tell_ignored(s);
    return FLY_OK;
}

int fly_ingest_session_restore(struct fly_ingest_session *session, const struct fly_ingest *msg,
                               const struct fly_start *start, const struct fly_part *header,
                               const struct fly_options *options, uint64_t ticket, int32_t step_chips)
{
    struct fly_embedder *embedder = NULL;
    int rc = FLY_OK;

    /* The process may have been started with other settings than the session: it goes on as it began. */
    if (start->n_detectors > 0 && !fly_options_same_embedder(options, session->config->options))
        rc = fly_embedder_from_options(&embedder, options, session->config->exec_width);
    if (rc == FLY_OK)
        rc = open_facts(session, msg, start, header, options);
    if (rc < 0) {
        fly_session_embedder_close(&embedder);
        return rc;
    }
    session->info->embedder = embedder;
    session->info->resumed = 1;
    atomic_store(&session->info->resuming, 1);
    session->info->step_chips = step_chips;
    session->start_ticket = ticket;
    fly_ingest_session_note(session, msg->stream_idx, msg->seq, fly_hash_parts(header, 1), ticket);
    return FLY_OK;
}

int fly_ingest_session_append(struct fly_ingest_session *session, const char *path,
                              struct fly_recorder **recorder)
{
    struct fly_start *start = calloc(1, sizeof *start);
    int known = start && fly_follow_start(path, start) == FLY_OK;
    int rc = open_recorder(session, path, 1, known ? start : NULL, recorder);

    free(start);
    return rc;
}

int fly_ingest_session_takes(const struct fly_ingest_session *session, const struct fly_msg *raw)
{
    size_t most = session->recorder ? fly_recorder_bytes_max(session->recorder) : SIZE_MAX;

    if (raw->bytes <= most)
        return FLY_OK;
    return fly_fail(FLY_ERANGE,
                    "a message of %zu bytes: the recording takes at most %zu, half of recording.ring_mib: send "
                    "it in parts, or set that higher", raw->bytes, most);
}

void fly_ingest_session_reopen(struct fly_ingest_session *session, struct fly_recorder **recorder)
{
    struct fly_ingest_session *s = session;
    unsigned char bytes[64];
    struct fly_pack pack;
    uint64_t ticket;

    FLY_ASSERT(s->info && !s->recorder);
    s->recorder = *recorder;
    *recorder = NULL;
    /* release: the engine stage journals only once it sees the recorder, and thinks only after that. */
    atomic_store_explicit(&s->info->recorder, s->recorder, memory_order_release);
    fly_pack_init(&pack, bytes, sizeof bytes);
    fly_pack_map(&pack, 1);
    fly_pack_str(&pack, "t_ns");
    fly_pack_int(&pack, unix_ns(s));
    if (fly_recorder_append(s->recorder, FLY_REC_RESUME, unix_ns(s), &(struct fly_part){bytes, pack.len}, 1,
                            &ticket) < 0)
        fly_bus_event(s->config->bus, FLY_WARNING, "recording", NULL, 0, "%s", fly_fail_text());
}

/* ---- messages ---------------------------------------------------------------------------------- */

/* A recorder that is behind, or failed, leaves a hole that the file itself tells of. */
static void write_gap(struct fly_ingest_session *s)
{
    unsigned char bytes[4096];
    struct fly_pack pack;
    uint64_t ticket;
    uint32_t n = 0;

    for (int32_t i = 0; i < s->n_streams; i++)
        n += s->gap_last[i] != 0;
    fly_pack_init(&pack, bytes, sizeof bytes);
    fly_pack_map(&pack, 2);
    fly_pack_str(&pack, "messages");
    fly_pack_uint(&pack, s->gap_messages);
    fly_pack_str(&pack, "seq");
    fly_pack_map(&pack, n);
    for (int32_t i = 0; i < s->n_streams; i++) {
        if (!s->gap_last[i])
            continue;
        fly_pack_str(&pack, fly_start_stream(&s->info->start, i));
        fly_pack_array(&pack, 2);
        fly_pack_uint(&pack, s->gap_first[i]);
        fly_pack_uint(&pack, s->gap_last[i]);
    }
    if (fly_recorder_append(s->recorder, FLY_REC_GAP, unix_ns(s), &(struct fly_part){bytes, pack.len}, 1,
                            &ticket) < 0)
        return;
    fly_bus_event(s->config->bus, FLY_WARNING, "recording_gap", NULL, 0,
                  "%" PRIu64 " messages went by the recording; they can be sent again: durable_seq does not "
                  "pass them", s->gap_messages);
    s->gap_messages = 0;
    s->behind_told = 0;
    memset(s->gap_first, 0, sizeof s->gap_first);
    memset(s->gap_last, 0, sizeof s->gap_last);
}

static void note_gap(struct fly_ingest_session *s, int32_t stream, uint64_t seq)
{
    fly_count(s->config->bus, FLY_COUNT_UNRECORDED, 1);
    s->gap_messages++;
    if (!s->gap_first[stream] || seq < s->gap_first[stream])
        s->gap_first[stream] = seq;
    if (seq > s->gap_last[stream])
        s->gap_last[stream] = seq;
    if (s->behind_told)
        return;
    s->behind_told = 1;
    fly_bus_event(s->config->bus, FLY_ERROR, "recording_behind", NULL, 0,
                  "the disk does not keep up: analysis goes on, messages go by the recording: %s",
                  fly_fail_text());
}

static uint64_t record(struct fly_ingest_session *s, enum fly_record_kind kind, int32_t stream, uint64_t seq,
                       const struct fly_part *parts, int32_t n_parts)
{
    uint64_t ticket = 0;

    if (!s->recorder) {
        /* Without a recording durable_seq is what was assembled, and says nothing of a crash. */
        fly_sequence_mark(&s->sequences[stream], seq, 1);
        return 0;
    }
    if (s->gap_messages)
        write_gap(s);
    if (fly_recorder_append(s->recorder, kind, unix_ns(s), parts, n_parts, &ticket) < 0) {
        note_gap(s, stream, seq);
        return 0;
    }
    fly_sequence_mark(&s->sequences[stream], seq, ticket);
    return ticket;
}

int fly_ingest_session_accept(struct fly_ingest_session *session, const struct fly_ingest *msg,
                              const struct fly_msg *raw, uint64_t *ticket)
{
    struct fly_ingest_session *s = session;
    struct fly_bus *bus = s->config->bus;
    struct fly_noted noted;

    *ticket = 0;
    if (fly_sequence_note(&s->sequences[msg->stream_idx], msg->seq, fly_hash_parts(raw->parts, raw->n_parts),
                          &noted) < 0) {
        fly_bus_refuse(bus, FLY_REFUSE_BAD_VALUE, fly_fail_text());
        return 0;
    }
    fly_count(bus, FLY_COUNT_GAP, noted.gap);
    switch (noted.seen) {
    case FLY_SEEN_REPEAT:
        fly_count(bus, FLY_COUNT_REPEAT, 1);
        if (noted.unrecorded)
            record(s, FLY_REC_INGEST, msg->stream_idx, msg->seq, raw->parts, raw->n_parts);
        return 0;
    case FLY_SEEN_CONFLICT:
        fly_count(bus, FLY_COUNT_CONFLICT, 1);
        return 0;
    case FLY_SEEN_NEW_LATE:
        fly_count(bus, FLY_COUNT_REORDER, 1);
        break;
    case FLY_SEEN_NEW:
        break;
    }
    *ticket = record(s, FLY_REC_INGEST, msg->stream_idx, msg->seq, raw->parts, raw->n_parts);
    return 1;
}

void fly_ingest_session_note(struct fly_ingest_session *session, int32_t stream_idx, uint64_t seq,
                             uint64_t hash, uint64_t ticket)
{
    struct fly_noted noted;

    if (fly_sequence_note(&session->sequences[stream_idx], seq, hash, &noted) == FLY_OK)
        fly_sequence_mark(&session->sequences[stream_idx], seq, ticket);
}

void fly_ingest_session_repeat(struct fly_ingest_session *session, const struct fly_ingest *msg,
                               const struct fly_msg *raw)
{
    struct fly_noted noted;

    /* Its stamp may be newer: the number is noted with the first one's content, so count it here. */
    fly_count(session->config->bus, FLY_COUNT_REPEAT, 1);
    if (fly_sequence_note(&session->sequences[0], msg->seq, fly_hash_parts(raw->parts, raw->n_parts),
                          &noted) == FLY_OK &&
        noted.seen <= FLY_SEEN_NEW_LATE)
        record(session, FLY_REC_INGEST, 0, msg->seq, raw->parts, raw->n_parts);
}

/* FLY_REC_USED: {stream, seq, hash, reason}. */
void fly_ingest_session_use_up(struct fly_ingest_session *session, enum fly_refusal why,
                               const struct fly_ingest *msg, const struct fly_msg *raw)
{
    struct fly_ingest_session *s = session;
    unsigned char bytes[256];
    struct fly_noted noted;
    struct fly_pack pack;
    uint64_t hash;

    if (strcmp(msg->session, s->info->id) != 0 || msg->stream_idx < 0 || msg->stream_idx >= s->n_streams ||
        msg->seq == 0)
        return;
    hash = fly_hash_parts(raw->parts, raw->n_parts);
    if (fly_sequence_note(&s->sequences[msg->stream_idx], msg->seq, hash, &noted) < 0 ||
        noted.seen > FLY_SEEN_NEW_LATE)
        return;
    fly_count(s->config->bus, FLY_COUNT_GAP, noted.gap);
    fly_pack_init(&pack, bytes, sizeof bytes);
    fly_pack_map(&pack, 4);
    fly_pack_str(&pack, "stream");
    fly_pack_int(&pack, msg->stream_idx);
    fly_pack_str(&pack, "seq");
    fly_pack_uint(&pack, msg->seq);
    fly_pack_str(&pack, "hash");
    fly_pack_uint(&pack, hash);
    fly_pack_str(&pack, "reason");
    fly_pack_str(&pack, fly_refusal_name(why));
    FLY_ASSERT(!pack.full);
    record(s, FLY_REC_USED, msg->stream_idx, msg->seq, &(struct fly_part){bytes, pack.len}, 1);
}

/* ---- the end ----------------------------------------------------------------------------------- */

void fly_ingest_session_stop(struct fly_ingest_session *session, const struct fly_ingest *msg)
{
    struct fly_ingest_session *s = session;

    s->phase = FLY_PHASE_STOPPING;
    s->stop_deadline_ns = mono_ns(s) + (int64_t)llround(s->config->options->ingest.stop_wait_s * 1e9);
    memcpy(s->end.exit_status, msg->exit_status, sizeof s->end.exit_status);
    memcpy(s->end.reason, msg->reason, sizeof s->end.reason);
    memcpy(s->end.count, msg->count, sizeof s->end.count);
    /* What the stop counted may still come, of streams that it does not count anything. */
    for (int32_t i = 0; i < FLY_STREAMS_MAX; i++)
        s->last[i] = i == 0 ? msg->seq : msg->count[i] >= 0 ? (uint64_t)msg->count[i] : UINT64_MAX;
}

void fly_ingest_session_abort(struct fly_ingest_session *session, const char *reason)
{
    struct fly_ingest_session *s = session;

    s->phase = FLY_PHASE_ABORTING;
    snprintf(s->end.exit_status, sizeof s->end.exit_status, "abort");
    snprintf(s->end.reason, sizeof s->end.reason, "%s", reason);
    for (int32_t i = 0; i < FLY_STREAMS_MAX; i++)
        s->end.count[i] = -1;
}

int fly_ingest_session_all_here(const struct fly_ingest_session *session, int64_t now_ns)
{
    int here = 1;

    for (int32_t i = 0; i < session->n_streams; i++)
        if (session->end.count[i] > 0 &&
            fly_sequence_as_of(&session->sequences[i]) < (uint64_t)session->end.count[i])
            here = 0;
    return here || now_ns >= session->stop_deadline_ns;
}

void fly_ingest_session_end(struct fly_ingest_session *session)
{
    struct fly_ingest_session *s = session;
    unsigned char bytes[512];
    struct fly_pack pack;
    uint64_t ticket = 0;

    if (s->recorder) {
        fly_pack_init(&pack, bytes, sizeof bytes);
        fly_pack_map(&pack, 2);
        fly_pack_str(&pack, "exit_status");
        fly_pack_str(&pack, s->end.exit_status);
        fly_pack_str(&pack, "reason");
        fly_pack_str(&pack, s->end.reason);
        if (s->gap_messages)
            write_gap(s);
        /* The engine stage has ended with this session: nobody else appends any more. */
        atomic_store_explicit(&s->info->recorder, NULL, memory_order_release);
        if (fly_recorder_append(s->recorder, FLY_REC_END, unix_ns(s), &(struct fly_part){bytes, pack.len}, 1,
                                &ticket) == FLY_OK)
            /* Closing waits as well; this lets the last numbers be told as durable first. */
            if (fly_recorder_wait(s->recorder, ticket, 2000) < 0)
                fly_bus_event(s->config->bus, FLY_WARNING, "recording", NULL, 0, "%s", fly_fail_text());
        fly_ingest_session_tell(s);
        s->end_durable = fly_recorder_durable(s->recorder);
        if (fly_recorder_close(&s->recorder) == FLY_OK)
            s->end_durable = UINT64_MAX; /* closing wrote out everything */
        else
            fly_bus_event(s->config->bus, FLY_ERROR, "recording", NULL, 0, "%s", fly_fail_text());
    }
    s->phase = FLY_PHASE_ENDED;
    fly_ingest_session_tell(s);
}

/* ---- telling ----------------------------------------------------------------------------------- */

static enum fly_state state_of(enum fly_phase phase)
{
    switch (phase) {
    case FLY_PHASE_RUNNING:
        return FLY_RUNNING;
    case FLY_PHASE_STOPPING:
    case FLY_PHASE_ABORTING:
    case FLY_PHASE_DRAINING:
        return FLY_DRAINING;
    default:
        return FLY_IDLE;
    }
}

static const char *recording_word(const struct fly_ingest_session *s)
{
    struct fly_recorder_status status;

    if (!s->recorder)
        return s->phase == FLY_PHASE_ENDED && s->told.recording[0] ? s->told.recording : "off";
    fly_recorder_status(s->recorder, &status);
    return status.state == FLY_RECORDER_FAILED   ? "failed"
           : status.state == FLY_RECORDER_BEHIND ? "behind"
                                                 : "ok";
}

void fly_ingest_session_tell(struct fly_ingest_session *session)
{
    struct fly_ingest_session *s = session;
    struct fly_bus *bus = s->config->bus;
    struct fly_status *told = &s->told;
    uint64_t durable = s->recorder ? fly_recorder_durable(s->recorder) : 1;
    enum fly_state state = state_of(s->phase);
    const char *word;
    int moved = 0;

    if (!s->info)
        return;
    for (int32_t i = 0; i < s->n_streams; i++) {
        uint64_t last = fly_sequence_last(&s->sequences[i]);
        /* Ended, and all of it written out at last: however long the disk took. */
        uint64_t on_disk = s->phase == FLY_PHASE_ENDED && s->end_durable != UINT64_MAX
                               ? told->durable_seq[i]
                               : fly_sequence_advance(&s->sequences[i], s->phase == FLY_PHASE_ENDED ? UINT64_MAX : durable);

        moved |= last != told->last_seq[i] || on_disk != told->durable_seq[i];
        told->last_seq[i] = last;
        told->durable_seq[i] = on_disk;
    }
    word = recording_word(s);
    moved |= durable != s->told_ticket || state != told->state || strcmp(word, told->recording) != 0;
    if (!moved)
        return;
    told->state = state;
    s->told_ticket = durable;
    if (word != told->recording)
        snprintf(told->recording, sizeof told->recording, "%s", word);
    pthread_mutex_lock(&bus->lock);
    bus->status.state = state;
    memcpy(bus->status.last_seq, told->last_seq, sizeof told->last_seq);
    memcpy(bus->status.durable_seq, told->durable_seq, sizeof told->durable_seq);
    memcpy(bus->status.recording, told->recording, sizeof told->recording);
    bus->durable_serial = s->serial;
    bus->durable_ticket = s->recorder ? durable : s->phase == FLY_PHASE_ENDED ? s->end_durable : 0;
    pthread_mutex_unlock(&bus->lock);
    fly_bus_wake_publisher(bus);
}
