/* Frame shifts that the engine stage adopts by itself: written down like a person's, then acted upon. */
#include "plugin/engine_state.h"

#include <string.h>

#define REFUSAL_TOLD_NS INT64_C(60000000000)

static void pack_shift(struct fly_pack *pack, const struct fly_adoption *adoption)
{
    fly_pack_map(pack, 4);
    fly_pack_str(pack, "frame");
    fly_pack_int(pack, adoption->frame);
    fly_pack_str(pack, "dy_px");
    fly_pack_int(pack, adoption->dy_px);
    fly_pack_str(pack, "dx_px");
    fly_pack_int(pack, adoption->dx_px);
    fly_pack_str(pack, "by");
    fly_pack_str(pack, FLY_SHIFT_BY_DRIFT);
}

static int keep(struct fly_stage_engine *stage, const struct fly_pack *args)
{
    uint64_t ticket;

    if (!fly_stage_recorder(stage))
        return FLY_OK;
    /* What was thought before it comes before it. */
    if (stage->trace.len || stage->trace.lost)
        fly_stage_mark_journal(stage, FLY_MARK_REQUEST, 0);
    return fly_journal_keep_request(fly_stage_recorder(stage), fly_stage_unix_ns(stage), "frame.shift", args->bytes,
                                    args->len, stage->last_ticket, &ticket);
}

static int act(struct fly_stage_engine *stage, const struct fly_adoption *adoption)
{
    unsigned char bytes[128], result_bytes[128];
    struct fly_pack args, result;
    const char *code;
    int rc;

    fly_pack_init(&args, bytes, sizeof bytes);
    fly_pack_init(&result, result_bytes, sizeof result_bytes);
    pack_shift(&args, adoption);
    FLY_ASSERT(!args.full && fly_wire_scan(args.bytes, args.len) == FLY_REFUSE_NONE);
    rc = keep(stage, &args);
    if (rc == FLY_OK)
        rc = fly_session_control(stage->session, "frame.shift", fly_value_root(args.bytes, args.len), &result, &code);
    return rc;
}

static void pack_measured(struct fly_pack *pack, const struct fly_adoption *adoption)
{
    static const char *const keys[2][2] = {{"dy_px", "sigma_dy_px"}, {"dx_px", "sigma_dx_px"}};

    fly_pack_str(pack, "frame");
    fly_pack_int(pack, adoption->frame);
    for (int i = 0; i < 2; i++) {
        fly_pack_str(pack, keys[i][0]);
        fly_pack_f64(pack, adoption->drift_px[i]);
        fly_pack_str(pack, keys[i][1]);
        fly_pack_f64(pack, adoption->sigma_px[i]);
    }
}

static void tell_adopted(struct fly_stage_engine *stage, const struct fly_adoption *adoption)
{
    unsigned char bytes[256];
    struct fly_pack pack;

    if (adoption->dy_px == stage->shift_told[0] && adoption->dx_px == stage->shift_told[1])
        return;
    stage->shift_told[0] = adoption->dy_px;
    stage->shift_told[1] = adoption->dx_px;
    fly_pack_init(&pack, bytes, sizeof bytes);
    fly_pack_map(&pack, 6);
    pack_measured(&pack, adoption);
    fly_pack_str(&pack, "shift_px");
    fly_pack_array(&pack, 2);
    fly_pack_int(&pack, adoption->dy_px);
    fly_pack_int(&pack, adoption->dx_px);
    fly_bus_event(stage->config.bus, FLY_INFO, "drift_adopted", bytes, pack.len,
                  "from frame %lld on the specimen is taken to lie (%+d, %+d) px (y, x) from the first frame: measured were "
                  "(%+.2f, %+.2f) +- (%.2f, %.2f)", (long long)adoption->frame, (int)adoption->dy_px, (int)adoption->dx_px,
                  adoption->drift_px[0], adoption->drift_px[1], adoption->sigma_px[0], adoption->sigma_px[1]);
}

/* reason: what fly_adoption_name calls it, or why it could not be done; words say more. */
static void tell_refused(struct fly_stage_engine *stage, const struct fly_adoption *adoption, const char *reason,
                         const char *words)
{
    int64_t now = stage->config.clock.mono_ns(stage->config.clock.ctx), *told = &stage->refusal_ns[adoption->verdict];
    unsigned char bytes[256];
    struct fly_pack pack;

    if (*told && now - *told < REFUSAL_TOLD_NS)
        return;
    *told = now;
    fly_pack_init(&pack, bytes, sizeof bytes);
    fly_pack_map(&pack, 6);
    pack_measured(&pack, adoption);
    fly_pack_str(&pack, "reason");
    fly_pack_str(&pack, reason);
    fly_bus_event(stage->config.bus, FLY_WARNING, "drift_refused", bytes, pack.len,
                  "the drift of frame %lld is not adopted: %s", (long long)adoption->frame, words);
}

static const char *why(enum fly_adoption_verdict verdict)
{
    static const char *const words[FLY_ADOPT_VERDICTS] = {
        [FLY_ADOPT_UNMEASURED] = "it shows nothing in common with the first frame that the noise does not",
        [FLY_ADOPT_UNCERTAIN] = "it is not known to half a pixel",
        [FLY_ADOPT_AMBIGUOUS] = "the lattice looks the same a cell farther",
        [FLY_ADOPT_FAR] = "less than half of the scan still lies on the first frame's",
    };

    return words[verdict];
}

static void adopt(struct fly_stage_engine *stage, const struct fly_adoption *adoption)
{
    if (adoption->verdict != FLY_ADOPT)
        tell_refused(stage, adoption, fly_adoption_name(adoption->verdict), why(adoption->verdict));
    else if (act(stage, adoption) < 0)
        tell_refused(stage, adoption, "failed", fly_fail_text());
    else
        tell_adopted(stage, adoption);
}

/* Once no more data come maps are on their way to be final, and while a restart reads back the journal has the shifts. */
static int may_adopt(const struct fly_stage_engine *stage)
{
    return stage->session && !stage->draining && !atomic_load(&stage->info->resuming);
}

static void adopt_ahead(struct fly_stage_engine *stage, int64_t frame)
{
    struct fly_adoption adoption;

    if (fly_engine_adoption_ahead(fly_session_engine(stage->session), frame, &adoption))
        adopt(stage, &adoption);
}

void fly_stage_adopt_shifts(struct fly_stage_engine *stage)
{
    struct fly_adoption adoption;

    for (int32_t i = 0; may_adopt(stage) && i < stage->n_shifts_owed; i++)
        adopt_ahead(stage, stage->shift_owed[i]);
    if (may_adopt(stage))
        stage->n_shifts_owed = 0;
    while (may_adopt(stage) && fly_engine_adoption(fly_session_engine(stage->session), &adoption))
        adopt(stage, &adoption);
}

/* Its first pixels are on disk, the shift that it was given ahead of them was not when the plugin was killed. */
static void owe_shift(struct fly_stage_engine *stage, int64_t frame)
{
    struct fly_adoption adoption;

    if (!fly_engine_adoption_ahead(fly_session_engine(stage->session), frame, &adoption))
        return;
    if (stage->n_shifts_owed == FLY_STAGE_SHIFTS_OWED)
        memmove(stage->shift_owed, stage->shift_owed + 1, (size_t)--stage->n_shifts_owed * sizeof *stage->shift_owed);
    stage->shift_owed[stage->n_shifts_owed++] = frame;
}

void fly_stage_adopt_ahead(struct fly_stage_engine *stage, int64_t frame)
{
    uint64_t bit = UINT64_C(1) << (frame & 63);

    if (frame < 0 || frame >= FLY_STAGE_FRAMES_MAX || stage->begun[frame >> 6] & bit)
        return;
    stage->begun[frame >> 6] |= bit;
    if (atomic_load(&stage->info->resuming)) {
        owe_shift(stage, frame);
        return;
    }
    if (may_adopt(stage))
        fly_engine_frame_begins(fly_session_engine(stage->session), frame);
    fly_stage_adopt_shifts(stage);
    if (may_adopt(stage))
        adopt_ahead(stage, frame);
}
