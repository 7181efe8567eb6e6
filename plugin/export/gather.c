/* A finished session as plain arrays. */
#include "plugin/export/export.h"

#include <errno.h>
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "engine/base/agreement.h"

static int no_memory(void)
{
    return fly_fail(FLY_ENOMEM, "export: no memory for the results");
}

int fly_sha256_file(char out[FLY_SHA256_TEXT], const char *path)
{
    enum { BLOCK = 1 << 16 };
    unsigned char digest[crypto_hash_sha256_BYTES], *block = malloc(BLOCK);
    crypto_hash_sha256_state state;
    FILE *file = fopen(path, "rb");
    int rc = block && file ? FLY_OK : FLY_EIO;
    size_t n;

    if (rc == FLY_OK) {
        crypto_hash_sha256_init(&state);
        while ((n = fread(block, 1, BLOCK, file)) > 0)
            crypto_hash_sha256_update(&state, block, n);
        if (ferror(file))
            rc = FLY_EIO;
    }
    if (rc < 0)
        rc = fly_fail(FLY_EIO, "%s: %s", path, strerror(errno));
    else
        crypto_hash_sha256_final(&state, digest);
    for (size_t i = 0; rc == FLY_OK && i < sizeof digest; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
    if (file)
        fclose(file);
    free(block);
    return rc;
}

static int hash_files(struct fly_export *x)
{
    const char *weights = x->recorded->options.embed.weights;
    struct stat facts;
    int rc = fly_sha256_file(x->sha256, x->recorded->path);

    if (rc == FLY_OK && stat(x->recorded->path, &facts) == 0)
        x->bytes = facts.st_size;
    if (rc == FLY_OK && *weights && stat(weights, &facts) == 0 && S_ISREG(facts.st_mode))
        rc = fly_sha256_file(x->weights_sha256, weights);
    return rc;
}

static int gather_image(struct fly_export *x)
{
    if (x->info->plan.image < 0)
        return FLY_OK;
    x->image = malloc((size_t)x->grid->height_px * (size_t)x->grid->width_px * sizeof *x->image);
    if (!x->image)
        return no_memory();
    fly_engine_peek(x->engine, (struct fly_rect){0, 0, x->grid->height_px, x->grid->width_px}, x->image);
    return FLY_OK;
}

static int gather_percents(struct fly_export *x)
{
    const struct fly_quantifier *quantifier = fly_engine_quantifier(x->engine);
    size_t k = (size_t)x->chips;
    int32_t n;

    x->spectra = fly_engine_spectra(x->engine, &x->channels, NULL);
    if (!quantifier)
        return FLY_OK;
    (void)fly_engine_percent(x->engine, &n, NULL);
    x->percent = malloc((size_t)n * k * sizeof *x->percent);
    x->sigma = malloc((size_t)n * k * sizeof *x->sigma);
    if (!x->percent || !x->sigma)
        return no_memory();
    x->n_elements = n;
    for (int32_t i = 0; i < n; i++)
        x->elements[i] = fly_quantifier_line(quantifier, i).symbol;
    for (int32_t chip = 0; chip < x->chips; chip++) {
        struct fly_composition made;
        int there = fly_engine_composition(x->engine, chip, &made) == FLY_OK && made.status != FLY_QUANTIFY_TOO_FEW;

        for (int32_t i = 0; i < n; i++) {
            x->percent[(size_t)i * k + (size_t)chip] = there ? (float)made.percent[i] : NAN;
            x->sigma[(size_t)i * k + (size_t)chip] = there ? (float)made.sigma[i] : NAN;
        }
    }
    return FLY_OK;
}

static void name_cluster(const struct fly_export *x, int map, struct fly_export_cluster *to)
{
    const struct fly_support *support = fly_engine_support(x->engine);
    const struct fly_names *names = fly_engine_names(x->engine, map);
    const struct fly_name *name = names ? fly_names_find(names, to->id) : NULL;

    if (fly_map_method(map) == FLY_FEWSHOT && to->id < support->n_classes)
        snprintf(to->name, sizeof to->name, "%s", support->classes[to->id].name);
    else if (name && name->name[0])
        snprintf(to->name, sizeof to->name, "%s", name->name);
    else
        fly_cluster_call(to->name, sizeof to->name, fly_map_method(map), to->id);
    to->role = name ? name->role : FLY_ROLE_NONE;
}

static int compare_size(const void *a, const void *b)
{
    const struct fly_export_cluster *x = a, *y = b;

    return x->chips != y->chips ? (x->chips < y->chips) - (x->chips > y->chips) : (x->id > y->id) - (x->id < y->id);
}

static int gather_map(struct fly_export *x, int m)
{
    struct fly_export_map *map = &x->map[m];
    int32_t ids[FLY_EXPORT_CLUSTERS], chips[FLY_EXPORT_CLUSTERS];
    struct fly_square squares[FLY_EXPORT_CLUSTERS];

    if (!fly_maps_has_map(x->info, m))
        return FLY_OK;
    map->there = 1;
    fly_engine_map(x->engine, fly_map_method(m), fly_map_modality(m), &map->view);
    map->n = fly_label_ids(map->view.labels, x->chips, ids, chips, FLY_EXPORT_CLUSTERS, &map->more);
    map->cluster = calloc((size_t)map->n + 1, sizeof *map->cluster);
    if (!map->cluster)
        return no_memory();
    fly_engine_squares(x->engine, map->view.labels, ids, map->n, squares);
    for (int32_t i = 0; i < map->n; i++) {
        struct fly_export_cluster *to = &map->cluster[i];

        to->id = ids[i];
        to->chips = chips[i];
        to->square = squares[i];
        name_cluster(x, m, to);
        if (fly_engine_region(x->engine, map->view.labels, ids[i], &to->made) == 0)
            to->made.n_elements = 0;
        if (squares[i].n && fly_engine_lattice(x->engine, squares[i], &to->spacing, NULL) < 0)
            to->spacing = (struct fly_spacing){.state = FLY_SPACING_NONE};
    }
    qsort(map->cluster, (size_t)map->n, sizeof *map->cluster, compare_size);
    return FLY_OK;
}

static int gather_agreement(struct fly_export *x)
{
    static const int pairs[3][2] = {{FLY_HAADF, FLY_EDS}, {FLY_HAADF, FLY_ENSEMBLE}, {FLY_EDS, FLY_ENSEMBLE}};
    int32_t *both = malloc(2 * (size_t)x->chips * sizeof *both);

    if (!both)
        return no_memory();
    for (int method = 0; method < FLY_METHODS; method++)
        for (int p = 0; p < 3; p++) {
            const struct fly_export_map *a = &x->map[fly_map_index((enum fly_method)method, (enum fly_modality)pairs[p][0])];
            const struct fly_export_map *b = &x->map[fly_map_index((enum fly_method)method, (enum fly_modality)pairs[p][1])];
            int32_t n = 0;

            for (int32_t k = 0; a->there && b->there && k < x->chips; k++)
                if (a->view.labels[k] >= 0 && b->view.labels[k] >= 0) {
                    both[n] = a->view.labels[k];
                    both[x->chips + n++] = b->view.labels[k];
                }
            x->ami[method][p] = n ? fly_ami(both, both + x->chips, n) : NAN;
            x->ari[method][p] = n ? fly_ari(both, both + x->chips, n) : NAN;
        }
    free(both);
    return FLY_OK;
}

static int gather_dose(struct fly_export *x)
{
    static const uint64_t nothing[FLY_STREAMS_MAX];

    return fly_dose_take(&x->dose, x->recorded->session, nothing);
}

int fly_export_gather(struct fly_export *out, const struct fly_recorded *recorded)
{
    int rc;

    *out = (struct fly_export){.recorded = recorded,
                               .info = fly_session_facts(recorded->session),
                               .engine = fly_session_engine(recorded->session)};
    out->grid = fly_engine_grid(out->engine);
    out->chips = fly_grid_chips(out->grid);
    rc = hash_files(out);
    if (rc == FLY_OK)
        rc = gather_image(out);
    if (rc == FLY_OK)
        rc = gather_percents(out);
    if (rc == FLY_OK)
        rc = gather_dose(out);
    for (int m = 0; rc == FLY_OK && m < FLY_MAPS; m++)
        rc = gather_map(out, m);
    if (rc == FLY_OK)
        rc = gather_agreement(out);
    return rc;
}

void fly_export_free(struct fly_export *export)
{
    for (int m = 0; m < FLY_MAPS; m++)
        free(export->map[m].cluster);
    free(export->image);
    free(export->percent);
    free(export->sigma);
    fly_dose_fini(&export->dose);
    *export = (struct fly_export){0};
}

const char *fly_export_dose_name(const struct fly_export *export)
{
    return export->dose.told.calibrated ? "dose_e_per_A2" : "dose_us";
}

int fly_export_main_map(const struct fly_export *export)
{
    const struct fly_plan *plan = &export->info->plan;
    enum fly_modality modality = plan->image < 0 ? FLY_EDS : plan->n_segments == 0 ? FLY_HAADF : FLY_ENSEMBLE;
    enum fly_method method = fly_engine_support(export->engine)->n_classes > 0 ? FLY_FEWSHOT
                             : plan->communities                               ? FLY_COMMUNITY
                             : plan->ward                                      ? FLY_WARD
                                                                               : FLY_FEWSHOT;

    return fly_map_index(method, modality);
}

struct fly_export_axis fly_export_pixels(const struct fly_export *export, int axis)
{
    double nm = export->info->plan.pixel_nm[axis];
    int known = isfinite(nm) && nm > 0.0;

    return (struct fly_export_axis){known ? nm : 1.0, 0.0, known ? "nm" : "px"};
}

struct fly_export_axis fly_export_chips(const struct fly_export *export, int axis)
{
    struct fly_export_axis a = fly_export_pixels(export, axis);
    double px = a.scale;

    a.scale = px * export->grid->pitch_px;
    a.offset = px * 0.5 * (export->grid->side_px - 1);
    return a;
}

void fly_export_sum(const struct fly_export *export, const int32_t *labels, int32_t label, uint64_t *sum)
{
    size_t e = (size_t)export->channels;

    memset(sum, 0, e * sizeof *sum);
    for (int32_t k = 0; k < export->chips; k++)
        for (size_t c = 0; labels[k] == label && c < e; c++)
            sum[c] += export->spectra[(size_t)k * e + c];
}

/* ---- provenance --------------------------------------------------------------------------------- */

static void tell_settings(const struct fly_options *options, struct fly_json *json)
{
    char value[FLY_OPTION_TEXT_CAP];
    int32_t count;
    const struct fly_option *table = fly_option_table(&count);

    fly_json_key(json, "settings");
    fly_json_object(json);
    for (int32_t i = 0; i < count; i++) {
        fly_json_key(json, table[i].key);
        fly_json_str(json, fly_options_get_text(options, table[i].key, value, sizeof value));
    }
    fly_json_end(json);
}

static void tell_text(struct fly_json *json, const char *key, const char *value)
{
    fly_json_key(json, key);
    if (*value)
        fly_json_str(json, value);
    else
        fly_json_null(json);
}

static void tell_started(const struct fly_session_info *info, struct fly_json *json)
{
    struct fly_value value;
    int64_t t_ns = 0;
    int known = fly_value_get(fly_value_root(info->header, info->header_len), "t_ns", &value) &&
                fly_value_int(value, &t_ns);
    char text[32];
    time_t seconds = (time_t)(t_ns / 1000000000);
    struct tm utc;

    fly_json_key(json, "started");
    if (known && gmtime_r(&seconds, &utc) && strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc))
        fly_json_str(json, text);
    else
        fly_json_null(json);
}

void fly_export_provenance(const struct fly_export *export, struct fly_json *json)
{
    const struct fly_start *start = &export->info->start;
    const struct fly_options *options = fly_session_options(export->recorded->session);

    fly_json_object(json);
    tell_text(json, "flyback_version", FLY_VERSION);
    tell_text(json, "session", export->info->id);
    tell_started(export->info, json);
    tell_text(json, "sample", start->sample);
    tell_text(json, "operator", start->operator_name);
    tell_text(json, "recording_sha256", export->sha256);
    fly_json_key(json, "recording_bytes");
    fly_json_int(json, export->bytes);
    tell_text(json, "profile", fly_options_word(options, "profile"));
    tell_text(json, "embedder", fly_session_embedder_name(export->recorded->session));
    tell_text(json, "weights_sha256", export->weights_sha256);
    fly_json_key(json, "beam_energy_kev");
    fly_json_f64(json, start->beam_energy_kev);
    fly_json_key(json, "beam_current_na");
    fly_json_f64(json, start->beam_current_na);
    fly_json_key(json, "pixel_nm");
    fly_json_row(json);
    fly_json_f64(json, export->info->plan.pixel_nm[0]);
    fly_json_f64(json, export->info->plan.pixel_nm[1]);
    fly_json_end(json);
    fly_json_key(json, "chip_px");
    fly_json_int(json, export->grid->side_px);
    tell_text(json, "quantification_note", fly_session_quantify_note(export->recorded->session));
    tell_settings(options, json);
    fly_json_end(json);
}
