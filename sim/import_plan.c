/* Files of one session brought together, and the session's name. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "sim/import.h"

/* When no file tells how fast the scan went, a pixel takes this long in the time stamps (only
 * there). */
static const double NOMINAL_PIXEL_US = 1.0;

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static int name_taken(const struct fly_import_plan *plan, const char *name)
{
    for (int32_t i = 0; i < plan->start.n_detectors; i++)
        if (strcmp(plan->start.detectors[i].name, name) == 0)
            return 1;
    for (int32_t i = 0; i < plan->start.n_segments; i++)
        if (strcmp(plan->start.segments[i].name, name) == 0)
            return 1;
    return 0;
}

/* Names are unique in a session: the second HAADF becomes HAADF_2. */
static void make_unique(const struct fly_import_plan *plan, char name[FLY_NAME_MAX + 1])
{
    char wanted[FLY_NAME_MAX + 1];

    strcpy(wanted, name);
    for (unsigned n = 2; name_taken(plan, name); n++)
        snprintf(name, FLY_NAME_MAX + 1, "%.*s_%u", FLY_NAME_MAX - 4, wanted, n % 100);
}

/* One scan shape for all. first: the file that told it. */
static int check_shape(struct fly_import_plan *plan, const char *first, const char *path,
                       const char *name, int32_t height_px, int32_t width_px, int64_t frames)
{
    if (plan->start.height_px == 0) {
        plan->start.height_px = height_px;
        plan->start.width_px = width_px;
    }
    if (plan->start.height_px != height_px || plan->start.width_px != width_px)
        return fly_fail(
            FLY_ERANGE,
            "%s: %s has %d x %d px, %s has %d x %d; files given together are one scan and must "
            "have one shape",
            path, name, height_px, width_px, first, plan->start.height_px, plan->start.width_px);
    plan->frames = frames > plan->frames ? frames : plan->frames;
    return FLY_OK;
}

static int add_file(struct fly_import_plan *plan, struct fly_import *file,
                    const struct fly_import_options *options)
{
    struct fly_start *start = &plan->start;
    const char *first = base_name(plan->files[0]->path);

    if (start->n_detectors + file->n_images > FLY_DETECTORS_MAX ||
        start->n_segments + file->n_eds > FLY_SEGMENTS_MAX)
        return fly_fail(FLY_ERANGE, "%s: more than %d image or %d EDS detectors in one session",
                        file->path, FLY_DETECTORS_MAX, FLY_SEGMENTS_MAX);
    for (int32_t i = 0; i < file->n_images; i++) {
        struct fly_import_image *image = &file->images[i];
        struct fly_detector *detector = &start->detectors[start->n_detectors];
        int rc = check_shape(plan, first, file->path, image->name, image->height_px,
                             image->width_px, image->frames);

        if (rc < 0)
            return rc;
        make_unique(plan, image->name);
        strcpy(detector->name, image->name);
        detector->dtype = image->dtype;
        start->n_detectors++;
    }
    for (int32_t i = 0; i < file->n_eds; i++) {
        struct fly_import_eds *eds = &file->eds[i];
        int rc = check_shape(plan, first, file->path, eds->segment.name, eds->height_px,
                             eds->width_px, eds->frames);

        if (rc < 0)
            return rc;
        make_unique(plan, eds->segment.name);
        if (isfinite(options->ev_per_channel))
            eds->segment.ev_per_channel = options->ev_per_channel;
        if (isfinite(options->ev_offset))
            eds->segment.ev_offset = options->ev_offset;
        start->segments[start->n_segments++] = eds->segment;
    }
    return FLY_OK;
}

static void take_number(double *to, double from)
{
    if (!isfinite(*to))
        *to = from;
}

/* Facts of a later file fill what earlier ones left open. */
static int merge_facts(struct fly_import_plan *plan, const struct fly_import *file)
{
    struct fly_start *to = &plan->start;
    const struct fly_start *from = &file->meta;

    for (int i = 0; i < 2; i++) {
        double a = to->pixel_nm[i], b = from->pixel_nm[i];

        if (isfinite(a) && isfinite(b) && fabs(a - b) > 1e-3 * a)
            return fly_fail(
                FLY_ERANGE,
                "%s: a pixel is %g nm %s, in the files before it %g nm; one scan has one pixel "
                "size, --pixel-nm tells which",
                file->path, b, i ? "wide" : "high", a);
        take_number(&to->pixel_nm[i], b);
        take_number(&to->collection_mrad[i], from->collection_mrad[i]);
    }
    take_number(&to->pixel_time_us, from->pixel_time_us);
    take_number(&to->flyback_time_us, from->flyback_time_us);
    take_number(&to->beam_energy_kev, from->beam_energy_kev);
    take_number(&to->beam_current_na, from->beam_current_na);
    take_number(&to->convergence_mrad, from->convergence_mrad);
    take_number(&to->magnification, from->magnification);
    take_number(&plan->line_time_us, file->line_time_us);
    take_number(&plan->frame_time_us, file->frame_time_us);
    if (!to->sample[0])
        strcpy(to->sample, from->sample);
    for (int32_t i = 0; i < from->n_elements && to->n_elements < FLY_START_ELEMENTS_MAX; i++) {
        int known = 0;

        for (int32_t k = 0; k < to->n_elements; k++)
            known |= strcmp(to->elements[k], from->elements[i]) == 0;
        if (!known)
            strcpy(to->elements[to->n_elements++], from->elements[i]);
    }
    return FLY_OK;
}

/* Line and frame times that make sense together: stamps must not run backwards. */
static void settle_times(struct fly_import_plan *plan)
{
    double pixel_us =
        isfinite(plan->start.pixel_time_us) ? plan->start.pixel_time_us : NOMINAL_PIXEL_US;
    double line_us = pixel_us * plan->start.width_px;

    if (!(plan->line_time_us >= line_us) && isfinite(plan->start.pixel_time_us))
        plan->line_time_us = line_us;
    if (!(plan->line_time_us > 0.0 && plan->line_time_us < 1e12))
        plan->line_time_us = line_us;
    if (!(plan->frame_time_us >= plan->line_time_us * plan->start.height_px &&
          plan->frame_time_us < 1e14))
        plan->frame_time_us = plan->line_time_us * plan->start.height_px;
}

/* The wire lets every segment have its own axis; what analyses a session adds up those that count like
 * the first. */
static void note_axes(const struct fly_import_plan *plan)
{
    const struct fly_segment *first = &plan->start.segments[0];

    for (int32_t i = 1; i < plan->start.n_segments; i++) {
        const struct fly_segment *segment = &plan->start.segments[i];

        if (segment->n_channels != first->n_channels || segment->ev_per_channel != first->ev_per_channel ||
            segment->ev_offset != first->ev_offset)
            fly_import_note(plan->files[plan->n_files - 1],
                            "%s (%d channels of %g eV from %g eV) counts otherwise than %s (%d of %g eV from "
                            "%g eV): it is recorded, and Flyback adds up only those that count like %s",
                            segment->name, segment->n_channels, segment->ev_per_channel, segment->ev_offset,
                            first->name, first->n_channels, first->ev_per_channel, first->ev_offset, first->name);
    }
}

int fly_import_plan(struct fly_import_plan *plan, struct fly_import *const *files, int32_t n_files,
                    const struct fly_import_options *options)
{
    FLY_ASSERT(n_files >= 1);
    memset(plan, 0, sizeof *plan);
    plan->files = files;
    plan->n_files = n_files;
    plan->start = files[0]->meta;
    plan->start.height_px = plan->start.width_px = 0;
    plan->start.n_detectors = plan->start.n_segments = 0;
    plan->line_time_us = plan->frame_time_us = NAN;
    plan->t0_ns = files[0]->t0_ns;
    for (int32_t i = 0; i < n_files; i++) {
        int rc = add_file(plan, files[i], options);

        if (rc == FLY_OK)
            rc = merge_facts(plan, files[i]);
        if (rc < 0)
            return rc;
    }
    if (isfinite(options->pixel_nm[0])) {
        plan->start.pixel_nm[0] = options->pixel_nm[0];
        plan->start.pixel_nm[1] = options->pixel_nm[1];
    }
    if (options->n_elements >= 0) {
        plan->start.n_elements = options->n_elements;
        memcpy(plan->start.elements, options->elements, sizeof plan->start.elements);
    }
    plan->start.frames_planned = plan->frames;
    plan->start.scan_path = FLY_SCAN_RASTER;
    settle_times(plan);
    note_axes(plan);
    return FLY_OK;
}

/* ---- identity ------------------------------------------------------------------------------- */

/* A hash for names, not against adversaries: words mixed one after another, the length at the end.
 */
static uint64_t hash_bytes(uint64_t hash, const unsigned char *bytes, size_t len)
{
    uint64_t word;

    for (size_t i = 0; i + sizeof word <= len; i += sizeof word) {
        memcpy(&word, bytes + i, sizeof word);
        hash = fly_mix64(hash ^ word) + 0x9E3779B97F4A7C15u;
    }
    word = 0;
    if (len % sizeof word)
        memcpy(&word, bytes + len - len % sizeof word, len % sizeof word);
    return fly_mix64(hash ^ word) + len;
}

static int hash_file(uint64_t *hash, const char *path, const struct fly_import_options *options)
{
    const size_t chunk = 1 << 20;
    unsigned char *bytes = malloc(chunk);
    FILE *file = fopen(path, "rbe");
    size_t got;
    int rc = FLY_OK;

    if (!bytes)
        rc = fly_fail(FLY_ENOMEM, "%s: no memory to read it", path);
    else if (!file)
        rc = fly_fail(FLY_EIO, "%s: %s", path, strerror(errno));
    while (rc == FLY_OK && (got = fread(bytes, 1, chunk, file)) > 0) {
        *hash = hash_bytes(*hash, bytes, got);
        rc = fly_import_tick(options, "reading", 0.0);
    }
    if (rc == FLY_OK && ferror(file))
        rc = fly_fail(FLY_EIO, "%s: %s", path, strerror(errno));
    if (file)
        fclose(file);
    free(bytes);
    return rc;
}

int fly_import_identify(struct fly_import_plan *plan, const char *const *paths, int32_t n_paths,
                        const struct fly_import_options *options)
{
    unsigned char *header = malloc(FLY_HEADER_MAX);
    int64_t t0_ns = plan->t0_ns;
    uint64_t hash = 0;
    struct fly_pack pack;
    char stem[FLY_NAME_MAX + 1];
    char *dot;
    int rc = FLY_OK;

    if (!header)
        return fly_fail(FLY_ENOMEM, "no memory for a header");
    for (int32_t i = 0; i < n_paths && rc == FLY_OK; i++)
        rc = hash_file(&hash, paths[i], options);

    /* The start without its name and time: a file's date may change, what is in it does not. */
    plan->session[0] = '\0';
    plan->t0_ns = 0;
    fly_pack_init(&pack, header, FLY_HEADER_MAX);
    fly_import_pack_start(&pack, plan);
    plan->t0_ns = t0_ns;
    hash = hash_bytes(hash, header, pack.len);
    free(header);
    if (rc < 0)
        return rc;

    fly_import_name(stem, base_name(paths[0]), "import");
    dot = strrchr(stem, '.');
    if (dot && dot != stem)
        *dot = '\0';
    snprintf(plan->session, sizeof plan->session, "%.47s-%016" PRIx64, stem, hash);
    return FLY_OK;
}
