/* A map as a vector picture: the chips of a label are one path, the HAADF image lies under them. */
#include "plugin/export/markup.h"

#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/canvas.h"
#include "plugin/number.h"
#include "plugin/palette.h"
#include "plugin/picture.h"
#include "stream/disk.h"

enum { IMAGE_MOST = 1024, WIDE = 720, MARGIN = 24, LEGEND = 250, LINE = 22, LEGEND_LEAST = 12 };

void fly_markup_text(struct fly_text *out, const char *text)
{
    size_t len = strlen(text);

    while (len > 0) {
        unsigned code;
        size_t n = fly_utf8_next(text, len, &code);

        if (code == '<')
            fly_text_add(out, "&lt;");
        else if (code == '>')
            fly_text_add(out, "&gt;");
        else if (code == '&')
            fly_text_add(out, "&amp;");
        else if (code == '"')
            fly_text_add(out, "&quot;");
        else if (code == 0xFFFD)
            fly_text_add(out, "\xEF\xBF\xBD");
        else if ((code >= 32 && code != 127 && code != 0xFFFE && code != 0xFFFF) || code == '\t' || code == '\n')
            fly_text_addn(out, text, n);
        text += n;
        len -= n;
    }
}

void fly_markup_png(struct fly_text *out, const void *bytes, size_t len)
{
    size_t cap = sodium_base64_ENCODED_LEN(len, sodium_base64_VARIANT_ORIGINAL);
    char *text = malloc(cap);

    if (!text) {
        out->failed = 1;
        return;
    }
    sodium_bin2base64(text, cap, bytes, len, sodium_base64_VARIANT_ORIGINAL);
    fly_text_add(out, "data:image/png;base64,");
    fly_text_add(out, text);
    free(text);
}

const char *fly_markup_map_name(char out[48], int map)
{
    static const char *const methods[] = {[FLY_FEWSHOT] = "few-shot", [FLY_COMMUNITY] = "communities", [FLY_WARD] = "Ward"};
    static const char *const modalities[] = {[FLY_HAADF] = "HAADF", [FLY_EDS] = "EDS", [FLY_ENSEMBLE] = "ensemble"};

    snprintf(out, 48, "%s, %s", methods[fly_map_method(map)], modalities[fly_map_modality(map)]);
    return out;
}

/* ---- the image ---------------------------------------------------------------------------------- */

/* Grey of the mean of a block of step x step pixels; hatched, as everywhere, where nothing was measured. */
static uint32_t block_colour(const struct fly_export *x, int32_t by, int32_t bx, int32_t step, double lo, double hi)
{
    int32_t y1 = (by + 1) * step, x1 = (bx + 1) * step, n = 0;
    double sum = 0.0, grey;

    for (int32_t y = by * step; y < y1 && y < x->grid->height_px; y++)
        for (int32_t c = bx * step; c < x1 && c < x->grid->width_px; c++) {
            float value = x->image[(size_t)y * (size_t)x->grid->width_px + (size_t)c];

            if (isfinite(value)) {
                sum += (double)value;
                n++;
            }
        }
    if (n == 0)
        return (by + bx) % 8 < 2 ? 0xB8BEC8 : 0xE8EAEE;
    grey = hi > lo ? (sum / n - lo) / (hi - lo) : 0.5;
    grey = grey < 0.0 ? 0.0 : grey > 1.0 ? 1.0 : grey;
    return (uint32_t)(255.0 * grey + 0.5) * 0x010101u;
}

static int add_image(const struct fly_export *x, struct fly_text *out)
{
    int32_t h = x->grid->height_px, w = x->grid->width_px, longer = h > w ? h : w;
    int32_t step = (longer + IMAGE_MOST - 1) / IMAGE_MOST;
    struct fly_canvas canvas = {0};
    struct fly_text png;
    double lo = 0.0, hi = 0.0;
    int rc;

    if (!x->image)
        return FLY_OK;
    (void)fly_engine_range(x->engine, &lo, &hi);
    rc = fly_canvas_open(&canvas, (w + step - 1) / step, (h + step - 1) / step, 0);
    fly_text_init(&png);
    for (int32_t y = 0; rc == FLY_OK && y < canvas.height; y++)
        for (int32_t c = 0; c < canvas.width; c++)
            fly_canvas_dot(&canvas, c, y, block_colour(x, y, c, step, lo, hi), 1.0);
    if (rc == FLY_OK)
        rc = fly_canvas_png(&canvas, &png);
    if (rc == FLY_OK) {
        fly_text_addf(out, "<image x=\"0\" y=\"0\" width=\"%d\" height=\"%d\" preserveAspectRatio=\"none\" href=\"",
                      (int)(canvas.width * step), (int)(canvas.height * step));
        fly_markup_png(out, png.bytes, png.len);
        fly_text_add(out, "\"/>\n");
    }
    fly_text_fini(&png);
    fly_canvas_close(&canvas);
    return rc;
}

/* ---- chips -------------------------------------------------------------------------------------- */

static const char *fill_of(char out[FLY_COLOUR_TEXT], int32_t label)
{
    switch (label) {
    case -1:
        return "url(#pending)";
    case -2:
        return "url(#unknown)";
    case -3:
    case -4:
        return "url(#little)";
    default:
        return fly_colour_text(out, fly_palette_colour(label));
    }
}

/* Runs of chips of this label, row by row. Overlapping chips are drawn as wide as their pitch. */
static void add_chips(const struct fly_export *x, const int32_t *labels, int32_t label, struct fly_text *out)
{
    const struct fly_grid *g = x->grid;
    char colour[FLY_COLOUR_TEXT];

    fly_text_addf(out, "<path data-label=\"%d\" fill=\"%s\" fill-opacity=\"%s\" d=\"", (int)label,
                  fill_of(colour, label), label >= 0 ? "0.55" : "0.85");
    for (int32_t r = 0; r < g->rows; r++)
        for (int32_t c = 0, end; c < g->cols; c = end) {
            end = c + 1;
            if (labels[r * g->cols + c] != label)
                continue;
            while (end < g->cols && labels[r * g->cols + end] == label)
                end++;
            fly_text_addf(out, "M%d %dh%dv%dh%dz", (int)(c * g->pitch_px), (int)(r * g->pitch_px),
                          (int)((end - c) * g->pitch_px), (int)g->pitch_px, (int)((c - end) * g->pitch_px));
        }
    fly_text_add(out, "\"/>\n");
}

static void add_scale_bar(const struct fly_export *x, double scale, double bottom, struct fly_text *out)
{
    struct fly_export_axis axis = fly_export_pixels(x, 1);
    double length = fly_number_round(0.25 * x->grid->width_px * axis.scale), wide = length / axis.scale * scale;

    fly_text_addf(out,
                  "<g id=\"scale-bar\" data-length=\"%.9g\" data-units=\"%s\"><rect x=\"%d\" y=\"%.1f\" width=\"%.3f\" "
                  "height=\"5\"/><text x=\"%.1f\" y=\"%.1f\" font-size=\"13\">%.9g %s</text></g>\n",
                  length, axis.units, MARGIN, bottom + 14.0, wide, MARGIN + wide + 8.0, bottom + 22.0, length,
                  axis.units);
}

static void legend_row(int32_t label, const char *name, int32_t chips, double y, struct fly_text *out)
{
    char colour[FLY_COLOUR_TEXT];
    double x = MARGIN + WIDE + 20.0;

    fly_text_addf(out,
                  "<rect x=\"%.0f\" y=\"%.1f\" width=\"14\" height=\"14\" fill=\"%s\" stroke=\"#5d6470\" "
                  "stroke-width=\"0.5\"/><text x=\"%.0f\" y=\"%.1f\" font-size=\"13\">",
                  x, y - 12.0, fill_of(colour, label), x + 21.0, y);
    fly_markup_text(out, name);
    fly_text_addf(out, " <tspan fill=\"#5d6470\">%d</tspan></text>\n", (int)chips);
}

static int32_t count_label(const struct fly_export *x, const int32_t *labels, int32_t label)
{
    int32_t n = 0;

    for (int32_t k = 0; k < x->chips; k++)
        n += labels[k] == label;
    return n;
}

static void add_legend(const struct fly_export *x, const struct fly_export_map *map, double top, double bottom,
                       struct fly_text *out)
{
    int32_t room = (int32_t)((bottom - top) / LINE) - 5, shown = map->n < room ? map->n : room > 1 ? room : 1;
    double y = top + 13.0;

    for (int32_t i = 0; i < map->n && i < shown; i++, y += LINE)
        legend_row(map->cluster[i].id, map->cluster[i].name, map->cluster[i].chips, y, out);
    if (map->n + map->more > shown) {
        fly_text_addf(out, "<text x=\"%d\" y=\"%.1f\" font-size=\"13\" fill=\"#5d6470\">and %d more</text>\n",
                      MARGIN + WIDE + 20, y, (int)(map->n + map->more - shown));
        y += LINE;
    }
    for (int32_t label = -1; label >= -4; label--) {
        int32_t n = count_label(x, map->view.labels, label);

        if (n == 0)
            continue;
        legend_row(label, fly_picture_outside_name(label), n, y, out);
        y += LINE;
    }
}

int fly_markup_map(const struct fly_export *export, int map, struct fly_text *out)
{
    static const char patterns[] =
        "<defs><pattern id=\"pending\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\"><rect width=\"6\" "
        "height=\"6\" fill=\"#e8eaee\"/><path d=\"M0 6L6 0\" stroke=\"#b8bec8\"/></pattern>"
        "<pattern id=\"unknown\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\"><rect width=\"6\" height=\"6\" "
        "fill=\"#ffffff\"/><path d=\"M0 0L6 6M0 6L6 0\" stroke=\"#1b1f24\" stroke-width=\"0.8\"/></pattern>"
        "<pattern id=\"little\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\"><rect width=\"5\" height=\"5\" "
        "fill=\"#f3f4f6\"/><circle cx=\"2.5\" cy=\"2.5\" r=\"0.9\" fill=\"#5d6470\"/></pattern></defs>\n";
    const struct fly_export_map *m = &export->map[map];
    double scale = (double)WIDE / export->grid->width_px, top = 66.0, bottom = top + scale * export->grid->height_px;
    double least = top + LEGEND_LEAST * LINE; /* of a flat strip the legend is higher than the picture */
    char name[48];
    int rc;

    FLY_ASSERT(m->there);
    fly_text_addf(out,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %.0f\" width=\"%d\" font-family=\"system-ui, "
                  "sans-serif\" fill=\"#1b1f24\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n%s",
                  WIDE + LEGEND + 2 * MARGIN, (bottom > least ? bottom : least) + 40.0, WIDE + LEGEND + 2 * MARGIN, patterns);
    fly_text_addf(out, "<text x=\"%d\" y=\"34\" font-size=\"18\" font-weight=\"600\">", MARGIN);
    fly_markup_text(out, export->info->id);
    fly_text_addf(out, ": %s</text><text x=\"%d\" y=\"54\" font-size=\"12\" fill=\"#5d6470\">",
                  fly_markup_map_name(name, map), MARGIN);
    fly_markup_text(out, fly_session_embedder_name(export->recorded->session));
    fly_text_addf(out, ", profile %s, %d x %d chips of %d px</text>\n<g transform=\"translate(%d %.0f) scale(%.9g)\">\n",
                  fly_options_word(fly_session_options(export->recorded->session), "profile"), (int)export->grid->rows,
                  (int)export->grid->cols, (int)export->grid->side_px, MARGIN, top, scale);
    rc = add_image(export, out);
    if (rc < 0)
        return rc;
    for (int32_t i = 0; i < m->n; i++)
        add_chips(export, m->view.labels, m->cluster[i].id, out);
    for (int32_t label = -1; label >= -4; label--)
        if (count_label(export, m->view.labels, label))
            add_chips(export, m->view.labels, label, out);
    fly_text_add(out, "</g>\n");
    add_scale_bar(export, scale, bottom, out);
    add_legend(export, m, top, bottom > least ? bottom : least, out);
    fly_text_add(out, "</svg>\n");
    return fly_text_done(out, "the vector picture");
}

int fly_export_svg(const struct fly_export *export, int map, const char *path)
{
    struct fly_text text;
    int rc;

    fly_text_init(&text);
    rc = fly_markup_map(export, map, &text);
    if (rc == FLY_OK)
        rc = fly_file_write(path, text.bytes, text.len);
    fly_text_fini(&text);
    return rc;
}
