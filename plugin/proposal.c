#include "plugin/proposal.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "stream/disk.h"
#include "stream/recording.h"

/* What is known while a recording is walked. */
struct sum {
    struct fly_proposal_source *source;
    char session[FLY_SESSION_MAX + 1];
    uint64_t *counts; /* (n_channels of the first segment) */
};

static int counts_like_first(const struct fly_start *start, int32_t segment)
{
    const struct fly_segment *one = &start->segments[segment], *first = &start->segments[0];

    return one->n_channels == first->n_channels && one->ev_per_channel == first->ev_per_channel &&
           one->ev_offset == first->ev_offset;
}

/* Counts of every pixel in each channel. */
static void add_dense(struct sum *sum, const struct fly_ingest *message)
{
    size_t channels = (size_t)sum->source->start.segments[0].n_channels;
    size_t items = (size_t)message->h * (size_t)message->w * channels, size = fly_dtype_size(message->dtype);
    const unsigned char *at = message->payload[0].bytes;

    for (size_t i = 0; i < items; i++, at += size) {
        uint32_t n = 0; /* the wire is little-endian, as this machine is */

        memcpy(&n, at, size < sizeof n ? size : sizeof n);
        sum->counts[i % channels] += n;
    }
}

static void add_photons(struct sum *sum, const struct fly_ingest *message)
{
    const unsigned char *at = message->payload[1].bytes;
    int32_t channels = sum->source->start.segments[0].n_channels;

    for (int64_t i = 0; i < message->photons; i++, at += sizeof(uint16_t)) {
        uint16_t channel;

        memcpy(&channel, at, sizeof channel);
        if (channel < channels)
            sum->counts[channel]++;
    }
}

static int begin(struct sum *sum, const struct fly_ingest *message)
{
    const struct fly_start *start = &sum->source->start;

    snprintf(sum->session, sizeof sum->session, "%s", message->session);
    if (start->n_segments == 0)
        return FLY_OK;
    sum->counts = calloc((size_t)start->segments[0].n_channels, sizeof *sum->counts);
    return sum->counts ? FLY_OK : fly_fail(FLY_ENOMEM, "%s: no memory for a spectrum", sum->source->path);
}

/* A message that was recorded was good once; what is not does not count. */
static int add_message(struct sum *sum, struct fly_ingest *message, const struct fly_record *record)
{
    struct fly_start *start = &sum->source->start;
    struct fly_session_view open = {.session = sum->session[0] ? sum->session : NULL, .start = start};
    int32_t segment;

    if (fly_ingest_decode(message, start, record->parts, record->n_parts, &open) != FLY_REFUSE_NONE)
        return FLY_OK;
    if (message->type == FLY_INGEST_START && !sum->session[0])
        return begin(sum, message);
    segment = message->stream_idx - 1 - start->n_detectors;
    if (message->type != FLY_INGEST_EDS || !sum->counts || segment < 0 || !counts_like_first(start, segment))
        return FLY_OK;
    if (message->layout == 0)
        add_dense(sum, message);
    else
        add_photons(sum, message);
    return FLY_OK;
}

static int add_up(struct sum *sum)
{
    struct fly_ingest *message = malloc(sizeof *message);
    struct fly_disk disk = fly_disk_system();
    struct fly_recording *recording = NULL;
    struct fly_record record;
    int rc = message ? fly_recording_open(&recording, sum->source->path, &disk)
                     : fly_fail(FLY_ENOMEM, "%s: no memory to read it", sum->source->path);

    while (rc == FLY_OK && (rc = fly_recording_next(recording, &record)) == FLY_OK)
        if (record.kind == FLY_REC_INGEST)
            rc = add_message(sum, message, &record);
    free(message);
    if (recording)
        fly_recording_close(&recording);
    return rc == FLY_EAGAIN ? FLY_OK : rc;
}

int fly_proposal_of_recording(struct fly_proposals *out, struct fly_proposal_source *source, const char *path)
{
    struct fly_propose_config config = fly_propose_config_default();
    struct fly_alloc alloc = fly_alloc_system();
    struct sum sum = {.source = source};
    struct fly_arena arena;
    int rc;

    memset(out, 0, sizeof *out);
    memset(source, 0, sizeof *source);
    snprintf(source->path, sizeof source->path, "%s", path);
    rc = add_up(&sum);
    if (rc == FLY_OK && sum.counts) {
        config.n_channels = source->start.segments[0].n_channels;
        config.ev_offset = source->start.segments[0].ev_offset;
        config.ev_per_channel = source->start.segments[0].ev_per_channel;
        if (isfinite(source->start.beam_energy_kev))
            config.beam_kev = source->start.beam_energy_kev;
        rc = fly_arena_init(&arena, fly_propose_need(&config), &alloc, "proposal of elements");
        if (rc == FLY_OK) {
            rc = fly_propose(out, &config, sum.counts, &arena);
            fly_arena_fini(&arena);
        }
    }
    free(sum.counts);
    return rc;
}

/* ---- words ----------------------------------------------------------------------------------- */

static void print_competing(FILE *to, const struct fly_proposal *of)
{
    for (int32_t i = 0; i < of->n_competing; i++)
        fprintf(to, "%s%s", i == 0 ? "; much like " : i + 1 < of->n_competing ? ", " : " or ", of->competing[i]);
    fputc('\n', to);
}

static void print_one(FILE *to, const struct fly_proposal *of)
{
    static const char *const remarks[] = {
        [FLY_PROPOSED_ELEMENT] = "",
        [FLY_PROPOSED_GRID] = ", of the grid or the holder perhaps",
        [FLY_PROPOSED_OTHER] = ", not in Flyback's line table: it cannot be quantified",
        [FLY_PROPOSED_SUM] = ", two photons at once and no element",
        [FLY_PROPOSED_ESCAPE] = ", less what silicon took away, and no element",
        [FLY_PROPOSED_UNKNOWN] = ", which nothing explains",
    };

    fprintf(to, "  %-2s%s%s  %.3f keV: %.0f counts over %.0f, %.1f sigma%s", of->what, of->line[0] ? " " : "", of->line,
            of->kev, of->counts, of->background, of->sigma, remarks[of->kind]);
    print_competing(to, of);
}

void fly_proposal_print(FILE *to, const struct fly_proposals *proposals, const struct fly_proposal_source *source)
{
    const struct fly_start *start = &source->start;
    int named = 0;

    if (start->height_px == 0)
        return; /* no session ever began in it: others tell that */
    if (start->n_segments == 0) {
        fprintf(to, "%s: no spectra, so no elements to propose\n", source->path);
        return;
    }
    fprintf(to, "%s: %.0f photons speak of", source->path, proposals->photons);
    if (proposals->n == 0) {
        fprintf(to, " no element%s\n", proposals->photons < FLY_PROPOSE_COUNTS_MIN ? ": too few of them" : "");
        return;
    }
    fprintf(to, " (FWHM %.0f eV at Mn Ka, shift %+.0f eV):\n", proposals->fwhm_mn_ev, proposals->shift_ev);
    for (int32_t i = 0; i < proposals->n; i++)
        print_one(to, &proposals->of[i]);
    if (start->n_elements > 0) {
        fprintf(to, "The session itself names");
        for (int32_t i = 0; i < start->n_elements; i++)
            fprintf(to, "%s%s", i ? "," : " ", start->elements[i]);
        fprintf(to, ".\n");
        return;
    }
    for (int32_t i = 0; i < proposals->n; i++)
        if (proposals->of[i].kind <= FLY_PROPOSED_GRID)
            fprintf(to, "%s%s", named++ ? "," : "To name them: --set eds.elements=", proposals->of[i].what);
    if (named)
        fputc('\n', to);
}

int fly_proposal_tell(const char *recording, FILE *to)
{
    struct fly_proposals *proposals = malloc(sizeof *proposals);
    struct fly_proposal_source *source = malloc(sizeof *source);
    int rc = proposals && source ? fly_proposal_of_recording(proposals, source, recording)
                                 : fly_fail(FLY_ENOMEM, "%s: no memory to propose elements", recording);

    if (rc == FLY_OK)
        fly_proposal_print(to, proposals, source);
    free(proposals);
    free(source);
    return rc;
}
