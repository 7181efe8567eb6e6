/* Tables: clusters with what they are made of, and chips. */
#include "plugin/export/export.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "stream/disk.h"

/* A field as RFC 4180 wants it: quoted where it holds what parts fields. What a spreadsheet would take for a formula
 * gets an apostrophe before it: names come from whoever wrote them. */
static void add_text(struct fly_text *text, const char *value)
{
    int risky = strchr("=+-@\t\r", value[0]) != NULL && value[0];

    if (!risky && !strpbrk(value, ",\"\n\r")) {
        fly_text_add(text, value);
        return;
    }
    fly_text_add(text, risky ? "\"'" : "\"");
    for (; *value; value++) {
        if (*value == '"')
            fly_text_add(text, "\"");
        fly_text_addn(text, value, 1);
    }
    fly_text_add(text, "\"");
}

/* ",number", empty where there is none. */
static void add_number(struct fly_text *text, double value)
{
    if (isfinite(value))
        fly_text_addf(text, ",%.9g", value);
    else
        fly_text_add(text, ",");
}

static void cluster_head(const struct fly_export *x, struct fly_text *text)
{
    const char *units = fly_export_pixels(x, 0).units;

    fly_text_addf(text, "method,modality,id,name,role,chips,area_%s2", units);
    for (int32_t i = 0; i < x->n_elements; i++)
        fly_text_addf(text, ",%s_at_percent,%s_sigma,%s_limit95", x->elements[i], x->elements[i], x->elements[i]);
    fly_text_addf(text, ",crystalline,d_%s,d_sigma_%s,snr,crystallinity,square_row,square_col,square_chips\n", units,
                  units);
}

static const char *crystalline(const struct fly_export_cluster *cluster)
{
    switch (cluster->spacing.state) {
    case FLY_SPACING_MEASURED:
        return "yes";
    case FLY_SPACING_DISORDERED:
        return "no";
    default:
        return "not measurable";
    }
}

static void cluster_row(const struct fly_export *x, int m, const struct fly_export_cluster *cluster,
                        struct fly_text *text)
{
    const struct fly_spacing *s = &cluster->spacing;
    int measured = s->state == FLY_SPACING_MEASURED, made = cluster->made.n_elements > 0;
    double area = fly_export_chips(x, 0).scale * fly_export_chips(x, 1).scale * cluster->chips;
    const char *role = fly_role_word(cluster->role);

    fly_text_addf(text, "%s,%s,%d,", fly_method_name(fly_map_method(m)), fly_modality_name(fly_map_modality(m)),
                  cluster->id);
    add_text(text, cluster->name);
    fly_text_addf(text, ",%s,%d", role ? role : "", cluster->chips);
    add_number(text, area);
    for (int32_t i = 0; i < x->n_elements; i++) {
        add_number(text, made ? cluster->made.percent[i] : NAN);
        add_number(text, made ? cluster->made.sigma[i] : NAN);
        add_number(text, made ? cluster->made.limit[i] : NAN);
    }
    fly_text_addf(text, ",%s", crystalline(cluster));
    add_number(text, measured ? s->d : NAN);
    add_number(text, measured ? s->d_sd : NAN);
    add_number(text, measured ? s->snr : NAN);
    add_number(text, s->state == FLY_SPACING_MEASURED || s->state == FLY_SPACING_DISORDERED ? s->crystallinity : NAN);
    if (cluster->square.n)
        fly_text_addf(text, ",%d,%d,%d\n", cluster->square.row, cluster->square.col, cluster->square.n);
    else
        fly_text_add(text, ",,,\n");
}

static int write_text(struct fly_text *text, const char *path)
{
    int rc = fly_text_done(text, path);

    if (rc == FLY_OK)
        rc = fly_file_write(path, text->bytes, text->len);
    fly_text_fini(text);
    return rc;
}

static int write_chips(const struct fly_export *x, const char *path)
{
    struct fly_export_axis y = fly_export_chips(x, 0), col = fly_export_chips(x, 1);
    struct fly_text text;

    fly_text_init(&text);
    fly_text_addf(&text, "row,col,y_%s,x_%s", y.units, y.units);
    for (int m = 0; m < FLY_MAPS; m++)
        if (x->map[m].there)
            fly_text_addf(&text, ",%s_%s,%s_%s_confidence", fly_method_name(fly_map_method(m)),
                          fly_modality_name(fly_map_modality(m)), fly_method_name(fly_map_method(m)),
                          fly_modality_name(fly_map_modality(m)));
    for (int32_t i = 0; i < x->n_elements; i++)
        fly_text_addf(&text, ",%s_at_percent,%s_sigma", x->elements[i], x->elements[i]);
    fly_text_add(&text, "\n");
    for (int32_t k = 0; k < x->chips; k++) {
        int32_t r = k / x->grid->cols, c = k % x->grid->cols;

        fly_text_addf(&text, "%d,%d", r, c);
        add_number(&text, y.offset + r * y.scale);
        add_number(&text, col.offset + c * col.scale);
        for (int m = 0; m < FLY_MAPS; m++) {
            if (!x->map[m].there)
                continue;
            fly_text_addf(&text, ",%d", x->map[m].view.labels[k]);
            add_number(&text, (double)x->map[m].view.confidence[k]);
        }
        for (int32_t i = 0; i < x->n_elements; i++) {
            add_number(&text, (double)x->percent[(size_t)i * (size_t)x->chips + (size_t)k]);
            add_number(&text, (double)x->sigma[(size_t)i * (size_t)x->chips + (size_t)k]);
        }
        fly_text_add(&text, "\n");
    }
    return write_text(&text, path);
}

int fly_export_csv(const struct fly_export *export, const char *path)
{
    const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
    int stem = (int)(dot && (!slash || dot > slash + 1) ? dot - path : (long)strlen(path));
    char chips[2048];
    struct fly_text text;
    int rc;

    if (snprintf(chips, sizeof chips, "%.*s_chips%s", stem, path, path + stem) >= (int)sizeof chips)
        return fly_fail(FLY_ERANGE, "%.64s...: the path is too long", path);
    fly_text_init(&text);
    cluster_head(export, &text);
    for (int m = 0; m < FLY_MAPS; m++)
        for (int32_t i = 0; export->map[m].there && i < export->map[m].n; i++)
            cluster_row(export, m, &export->map[m].cluster[i], &text);
    rc = write_text(&text, path);
    return rc == FLY_OK ? write_chips(export, chips) : rc;
}
