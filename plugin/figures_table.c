/* Table I: how far the labels of the modalities agree. */
#include "plugin/figures_draw.h"

#include <math.h>
#include <stdio.h>

enum { NAME = 130, CELL = 190, LEADS = 150, ROW = 34, TABLE = NAME + FLY_FIGURE_PAIRS * CELL + LEADS };

static void rule(struct fly_fig_page *page, int32_t y, int32_t thick)
{
    fly_canvas_fill(&page->canvas, FLY_FIG_MARGIN, y, TABLE, thick, fig_ink, 1);
    fly_fig_reach(page, FLY_FIG_MARGIN + TABLE, y + thick);
}

static double of(const double (*values)[FLY_FIGURE_PAIRS], int method, int pair)
{
    return values ? values[method][pair] : NAN;
}

/* Whose labels the ensemble's are nearer to; to three digits, as they are told. */
static const char *leader(const struct fly_figures *in, int method)
{
    double haadf = of(in->ami, method, FLY_HAADF_WITH_ENSEMBLE), eds = of(in->ami, method, FLY_EDS_WITH_ENSEMBLE);

    if (!isfinite(haadf) || !isfinite(eds))
        return "-";
    if (fabs(haadf - eds) < 0.0005)
        return "both alike";
    return haadf > eds ? "HAADF" : "EDS";
}

int fly_fig_table(struct fly_fig_page *page)
{
    static const char *const heads[FLY_FIGURE_PAIRS] = {"HAADF - EDS", "HAADF - ensemble", "EDS - ensemble"};
    const struct fly_figures *in = page->in;
    int32_t x = FLY_FIG_MARGIN, y;

    fly_fig_title(page, "Agreement between modalities");
    y = page->y;
    rule(page, y, 2);
    for (int p = 0; p < FLY_FIGURE_PAIRS; p++) {
        int32_t left = x + NAME + p * CELL;

        fly_fig_words(page, left, y + 12 + CAP_TEXT, CELL - 20, FLY_FIG_MIDDLE, &fly_fig_strong, heads[p]);
        fly_fig_words(page, left, y + 12 + CAP_TEXT + LEADING, CELL / 2.0 - 10, FLY_FIG_MIDDLE, &fly_fig_text, "AMI");
        fly_fig_words(page, left + CELL / 2.0 - 10, y + 12 + CAP_TEXT + LEADING, CELL / 2.0 - 10, FLY_FIG_MIDDLE,
                      &fly_fig_note, "ARI");
    }
    fly_fig_words(page, x + TABLE - LEADS, y + 12 + CAP_TEXT, LEADS, FLY_FIG_MIDDLE, &fly_fig_strong, "nearer to");
    fly_fig_words(page, x + TABLE - LEADS, y + 12 + CAP_TEXT + LEADING, LEADS, FLY_FIG_MIDDLE, &fly_fig_strong,
                  "the ensemble");
    y += 12 + CAP_TEXT + LEADING + 12;
    rule(page, y, 1);
    for (int m = 0; m < FLY_FIGURE_METHODS; m++) {
        int32_t base = y + m * ROW + (ROW + CAP_TEXT) / 2 + 2;
        char number[FLY_FIG_NUMBER];

        fly_fig_words(page, x, base, NAME, FLY_FIG_LEFT, &fly_fig_text, fly_fig_method_name((enum fly_figure_method)m));
        for (int p = 0; p < FLY_FIGURE_PAIRS; p++) {
            int32_t left = x + NAME + p * CELL;

            fly_fig_words(page, left, base, CELL / 2.0 - 10, FLY_FIG_MIDDLE, &fly_fig_strong,
                          fly_fig_number(number, of(in->ami, m, p), 3));
            fly_fig_words(page, left + CELL / 2.0 - 10, base, CELL / 2.0 - 10, FLY_FIG_MIDDLE, &fly_fig_note,
                          fly_fig_number(number, of(in->ari, m, p), 3));
        }
        fly_fig_words(page, x + TABLE - LEADS, base, LEADS, FLY_FIG_MIDDLE, &fly_fig_text, leader(in, m));
    }
    y += FLY_FIGURE_METHODS * ROW + 8;
    rule(page, y, 2);
    y += 2 + 14 + CAP_SMALL;
    fly_fig_words(page, x, y, TABLE, FLY_FIG_LEFT, &fly_fig_small,
                  "AMI: adjusted mutual information. ARI: adjusted Rand index. 1: the same partition; 0: as alike as "
                  "by chance; -: not both made.");
    fly_fig_reach(page, page->right, y + 4);
    return FLY_OK;
}
