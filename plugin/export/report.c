/* The report: one page that needs no other file: the map, the paper's figures, tables with errors, where it is from. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "plugin/analyze.h"
#include "plugin/export/markup.h"
#include "plugin/figures.h"
#include "stream/disk.h"

static const char style[] =
    ":root{color-scheme:light}body{font:15px/1.5 system-ui,sans-serif;color:#1b1f24;background:#fff;max-width:1160px;"
    "margin:2rem auto;padding:0 1.5rem}h1{font-size:1.7rem;margin:0}h2{font-size:1.2rem;margin:2.2rem 0 .6rem;"
    "border-bottom:1px solid #c9ced6;padding-bottom:.25rem}p.lead{color:#5d6470;margin:.2rem 0 1.4rem}"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:13.5px}th,td{padding:.25rem .7rem;"
    "text-align:right;border-bottom:1px solid #e8eaee;white-space:nowrap}th{font-weight:600;color:#5d6470}"
    "th:first-child,td:first-child{text-align:left}td.name{font-weight:600}.wide{overflow-x:auto}img,svg{max-width:100%;height:auto}"
    "figure{margin:1.2rem 0}figcaption{color:#5d6470;font-size:13px}i.swatch{display:inline-block;width:.8em;"
    "height:.8em;margin-right:.5em;vertical-align:-1px;border:1px solid #5d6470}details summary{cursor:pointer;"
    "color:#5d6470}td.hash{font:12px/1.5 ui-monospace,monospace;white-space:normal;word-break:break-all;text-align:left}"
    "@media print{body{margin:0;max-width:none}details{display:block}h2{break-after:avoid}figure{break-inside:avoid}}";

/* "51.2 &#177; 0.4", digits by sigma; a dash where there is none. */
static void add_measured(struct fly_text *out, double value, double sigma)
{
    int decimals = 1;

    if (!isfinite(value)) {
        fly_text_add(out, "&ndash;");
        return;
    }
    if (isfinite(sigma) && sigma > 0.0) {
        decimals = (int)ceil(-log10(sigma)) + 1;
        decimals = decimals < 0 ? 0 : decimals > 6 ? 6 : decimals;
        fly_text_addf(out, "%.*f &#177; %.*f", decimals, value, decimals, sigma);
    } else {
        fly_text_addf(out, "%.4g", value);
    }
}

/* One fact of each region, a cell each. */
typedef void cell(const struct fly_export *x, const struct fly_export_cluster *c, int32_t element, struct fly_text *out);

static void cell_role(const struct fly_export *x, const struct fly_export_cluster *c, int32_t element, struct fly_text *out)
{
    const char *role = fly_role_word(c->role);

    fly_text_add(out, role ? role : "&ndash;");
}

static void cell_chips(const struct fly_export *x, const struct fly_export_cluster *c, int32_t element, struct fly_text *out)
{
    fly_text_addf(out, "%d", (int)c->chips);
}

static void cell_area(const struct fly_export *x, const struct fly_export_cluster *c, int32_t element, struct fly_text *out)
{
    fly_text_addf(out, "%.4g", fly_export_chips(x, 0).scale * fly_export_chips(x, 1).scale * c->chips);
}

static void cell_percent(const struct fly_export *x, const struct fly_export_cluster *c, int32_t element,
                         struct fly_text *out)
{
    int made = c->made.n_elements > 0 && c->made.status != FLY_QUANTIFY_TOO_FEW;

    if (made && isfinite(c->made.limit[element]))
        fly_text_addf(out, "&lt; %.2g", c->made.limit[element]);
    else
        add_measured(out, made ? c->made.percent[element] : NAN, made ? c->made.sigma[element] : NAN);
}

static void cell_spacing(const struct fly_export *x, const struct fly_export_cluster *c, int32_t element,
                         struct fly_text *out)
{
    if (c->spacing.state == FLY_SPACING_MEASURED)
        add_measured(out, c->spacing.d, c->spacing.d_sd);
    else
        fly_text_add(out, c->spacing.state == FLY_SPACING_DISORDERED ? "not crystalline" : "not measurable");
}

static void cell_crystallinity(const struct fly_export *x, const struct fly_export_cluster *c, int32_t element,
                               struct fly_text *out)
{
    if (c->spacing.state >= FLY_SPACING_DISORDERED && isfinite(c->spacing.crystallinity))
        fly_text_addf(out, "%.2f", c->spacing.crystallinity);
    else
        fly_text_add(out, "&ndash;");
}

static void table_row(const struct fly_export *x, const struct fly_export_map *m, const char *words, const char *units,
                      cell *fill, int32_t element, struct fly_text *out)
{
    fly_text_addf(out, "<tr><th>%s%s</th>", words, units);
    for (int32_t i = 0; i < m->n; i++) {
        fly_text_add(out, "<td>");
        fill(x, &m->cluster[i], element, out);
        fly_text_add(out, "</td>");
    }
    fly_text_add(out, "</tr>\n");
}

/* A column for each region: there are more elements than regions, mostly. */
static void add_regions(const struct fly_export *x, int map, struct fly_text *out)
{
    const struct fly_export_map *m = &x->map[map];
    const char *units = fly_export_pixels(x, 0).units;
    char colour[FLY_COLOUR_TEXT];

    fly_text_add(out, "<div class=\"wide\"><table><tr><th></th>");
    for (int32_t i = 0; i < m->n; i++) {
        fly_text_addf(out, "<td class=\"name\"><i class=\"swatch\" style=\"background:%s\"></i>",
                      fly_colour_text(colour, fly_palette_colour(m->cluster[i].id)));
        fly_markup_text(out, m->cluster[i].name);
        fly_text_add(out, "</td>");
    }
    fly_text_add(out, "</tr>\n");
    table_row(x, m, "role", "", cell_role, 0, out);
    table_row(x, m, "chips", "", cell_chips, 0, out);
    table_row(x, m, "area, ", strcmp(units, "nm") == 0 ? "nm&#178;" : "px&#178;", cell_area, 0, out);
    for (int32_t e = 0; e < x->n_elements; e++)
        table_row(x, m, x->elements[e], ", at.%", cell_percent, e, out);
    table_row(x, m, "lattice spacing, ", units, cell_spacing, 0, out);
    table_row(x, m, "crystallinity", "", cell_crystallinity, 0, out);
    fly_text_add(out, "</table></div>\n");
    if (m->more)
        fly_text_addf(out, "<p class=\"lead\">and %d smaller ones</p>\n", (int)m->more);
}

static void add_agreement(const struct fly_export *x, struct fly_text *out)
{
    static const char *const methods[] = {[FLY_FEWSHOT] = "few-shot", [FLY_COMMUNITY] = "communities", [FLY_WARD] = "Ward"};

    fly_text_add(out, "<table><tr><th>method</th><th>AMI HAADF&#8211;EDS</th><th>HAADF&#8211;ensemble</th>"
                      "<th>EDS&#8211;ensemble</th><th>ARI HAADF&#8211;EDS</th><th>HAADF&#8211;ensemble</th>"
                      "<th>EDS&#8211;ensemble</th></tr>\n");
    for (int method = 0; method < FLY_METHODS; method++) {
        fly_text_addf(out, "<tr><td>%s</td>", methods[method]);
        for (int i = 0; i < 6; i++) {
            double value = i < 3 ? x->ami[method][i] : x->ari[method][i - 3];

            if (isfinite(value))
                fly_text_addf(out, "<td>%.3f</td>", value);
            else
                fly_text_add(out, "<td>&ndash;</td>");
        }
        fly_text_add(out, "</tr>\n");
    }
    fly_text_add(out, "</table>\n");
}

static int add_figures(void *ctx, const struct fly_figures *figures)
{
    static const char *const captions[FLY_FIGURES] = {
        [FLY_FIGURE_2] = "What was measured: HAADF, and atomic percent of each element.",
        [FLY_FIGURE_3] = "What it was taken for: three methods by three modalities.",
        [FLY_FIGURE_4] = "What regions are made of.",
        [FLY_FIGURE_5] = "Lattices of regions, with their Fourier transforms; crystallinity.",
        [FLY_TABLE_1] = "Agreement of the modalities.",
    };
    struct fly_text *out = ctx;
    int rc = FLY_OK;

    for (int f = 0; rc == FLY_OK && f < FLY_FIGURES; f++) {
        struct fly_text png;

        fly_text_init(&png);
        rc = fly_figure_png((enum fly_figure)f, figures, &png);
        if (rc == FLY_OK) {
            fly_text_addf(out, "<figure><img alt=\"%s\" src=\"", captions[f]);
            fly_markup_png(out, png.bytes, png.len);
            fly_text_addf(out, "\"><figcaption>%s</figcaption></figure>\n", captions[f]);
        }
        fly_text_fini(&png);
    }
    return rc;
}

static void row_text(struct fly_text *out, const char *key, const char *value)
{
    fly_text_addf(out, "<tr><td>%s</td><td class=\"hash\">", key);
    fly_markup_text(out, *value ? value : "not told");
    fly_text_add(out, "</td></tr>\n");
}

static void row_number(struct fly_text *out, const char *key, double value, const char *unit)
{
    char text[64] = "";

    if (isfinite(value))
        snprintf(text, sizeof text, "%.6g %s", value, unit);
    row_text(out, key, text);
}

static void add_provenance(const struct fly_export *x, struct fly_text *out)
{
    const struct fly_options *options = fly_session_options(x->recorded->session);
    const struct fly_start *start = &x->info->start;
    char text[FLY_OPTION_TEXT_CAP];
    int32_t count;
    const struct fly_option *table = fly_option_table(&count);

    fly_text_add(out, "<table>\n");
    row_text(out, "Flyback", FLY_VERSION);
    row_text(out, "recording, SHA-256", x->sha256);
    row_text(out, "sample", start->sample);
    row_text(out, "operator", start->operator_name);
    row_number(out, "beam energy", start->beam_energy_kev, "keV");
    row_number(out, "beam current", start->beam_current_na, "nA");
    row_number(out, "pixel size, y", x->info->plan.pixel_nm[0], "nm");
    row_number(out, "pixel size, x", x->info->plan.pixel_nm[1], "nm");
    snprintf(text, sizeof text, "%d x %d of %d px", (int)x->grid->rows, (int)x->grid->cols, (int)x->grid->side_px);
    row_text(out, "chips", text);
    row_text(out, "profile", fly_options_word(options, "profile"));
    row_text(out, "network", fly_session_embedder_name(x->recorded->session));
    row_text(out, "its weights, SHA-256", x->weights_sha256[0] ? x->weights_sha256 : "no file");
    if (fly_session_quantify_note(x->recorded->session)[0])
        row_text(out, "quantification", fly_session_quantify_note(x->recorded->session));
    fly_text_add(out, "</table>\n<details><summary>All settings</summary><table>\n");
    for (int32_t i = 0; i < count; i++)
        row_text(out, table[i].key, fly_options_get_text(options, table[i].key, text, sizeof text));
    fly_text_add(out, "</table></details>\n");
}

static void add_lead(const struct fly_export *x, struct fly_text *out)
{
    fly_text_add(out, "<h1>");
    fly_markup_text(out, x->info->start.sample[0] ? x->info->start.sample : x->info->id);
    fly_text_add(out, "</h1>\n<p class=\"lead\">session ");
    fly_markup_text(out, x->info->id);
    fly_text_addf(out, ", %d x %d px, %d chips; errors are one standard deviation, of counting alone</p>\n",
                  (int)x->grid->height_px, (int)x->grid->width_px, (int)x->chips);
}

static int add_page(const struct fly_export *x, struct fly_text *out)
{
    int map = fly_export_main_map(x), rc;
    char name[48];

    fly_text_add(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
                      "content=\"width=device-width\"><title>");
    fly_markup_text(out, x->info->id);
    fly_text_addf(out, "</title><style>%s</style></head><body>\n", style);
    add_lead(x, out);
    rc = fly_markup_map(x, map, out);
    if (rc < 0)
        return rc;
    fly_text_addf(out, "<h2>Regions by %s</h2>\n", fly_markup_map_name(name, map));
    add_regions(x, map, out);
    for (int m = 0; m < FLY_MAPS; m++) {
        if (!x->map[m].there || m == map || x->map[m].n == 0)
            continue;
        fly_text_addf(out, "<details><summary>by %s</summary>\n", fly_markup_map_name(name, m));
        add_regions(x, m, out);
        fly_text_add(out, "</details>\n");
    }
    fly_text_add(out, "<h2>Agreement</h2>\n");
    add_agreement(x, out);
    fly_text_add(out, "<h2>Figures</h2>\n");
    rc = fly_results_draw(x->recorded->session, add_figures, out);
    if (rc < 0)
        return rc;
    fly_text_add(out, "<h2>Where it is from</h2>\n");
    add_provenance(x, out);
    fly_text_add(out, "</body></html>\n");
    return fly_text_done(out, "the report");
}

int fly_export_report(const struct fly_export *export, const char *path)
{
    struct fly_text text;
    int rc;

    fly_text_init(&text);
    rc = add_page(export, &text);
    if (rc == FLY_OK)
        rc = fly_file_write(path, text.bytes, text.len);
    fly_text_fini(&text);
    return rc;
}
