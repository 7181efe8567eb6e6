/* Posteriors smoothed by those of the neighbours. */
#include <string.h>

#include "engine/base/clones.h"
#include "engine/steer/policy_own.h"

/* One row: q = p exp(beta * neighbours), n numbers; then each chip's share of its sum. p of chips not measured is 0, and
 * so is q. All chips at once: in and out are two frames. */
FLY_CLONES static void smooth_row(const double *p, const double *up, const double *mid, const double *down, double *q,
                                  int32_t cols, int32_t c_n, double beta)
{
    int32_t n = cols * c_n;

    for (int32_t i = 0; i < n; i++)
        q[i] = p[i] * fly_steer_exp(beta * (up[i] + mid[i - c_n] + mid[i + c_n] + down[i]));
}

static void normalise(double *q, int32_t cols, int32_t c_n)
{
    for (int32_t col = 0; col < cols; col++, q += c_n) {
        double sum = 0.0, share;

        for (int32_t c = 0; c < c_n; c++)
            sum += q[c];
        share = sum > 0.0 ? 1.0 / sum : 0.0;
        for (int32_t c = 0; c < c_n; c++)
            q[c] *= share;
    }
}

/* Row r of a frame of posteriors; -1 and rows are border. */
static double *row_of(const struct fly_steer *s, double *frame, int32_t c_n, int32_t r)
{
    return frame + ((size_t)(r + 1) * (size_t)(s->cols + 2) + 1) * (size_t)c_n;
}

static void clear_border(const struct fly_steer *s, double *frame, int32_t c_n)
{
    size_t chip = (size_t)c_n * sizeof *frame, row = (size_t)(s->cols + 2) * chip;

    memset(row_of(s, frame, c_n, -1) - c_n, 0, row);
    memset(row_of(s, frame, c_n, s->rows) - c_n, 0, row);
    for (int32_t r = 0; r < s->rows; r++) {
        memset(row_of(s, frame, c_n, r) - c_n, 0, chip);
        memset(row_of(s, frame, c_n, r) + s->cols * c_n, 0, chip);
    }
}

static void fill(struct fly_steer *s, const struct fly_steer_view *v)
{
    int32_t c_n = v->classes;
    size_t row = (size_t)s->cols * (size_t)c_n;

    clear_border(s, s->frame[0], c_n);
    clear_border(s, s->frame[1], c_n);
    memcpy(s->smooth, v->posterior, (size_t)s->rows * row * sizeof *s->smooth);
    for (int32_t k = 0; k < s->n; k++)
        if (!v->measured[k])
            memset(s->smooth + (size_t)k * (size_t)c_n, 0, (size_t)c_n * sizeof *s->smooth);
    for (int32_t r = 0; r < s->rows; r++)
        memcpy(row_of(s, s->frame[0], c_n, r), s->smooth + (size_t)r * row, row * sizeof *s->smooth);
}

void fly_steer_smooth(struct fly_steer *state, const struct fly_steer_config *config, const struct fly_steer_view *view)
{
    struct fly_steer *s = state;
    int32_t c_n = view->classes, n = config->potts_iterations;
    size_t row = (size_t)s->cols * (size_t)c_n;

    fill(s, view);
    for (int32_t i = 0; i < n; i++) {
        double *in = s->frame[i % 2], *out = s->frame[(i + 1) % 2];

        for (int32_t r = 0; r < s->rows; r++) {
            smooth_row(s->smooth + (size_t)r * row, row_of(s, in, c_n, r - 1), row_of(s, in, c_n, r),
                       row_of(s, in, c_n, r + 1), row_of(s, out, c_n, r), s->cols, c_n, config->potts_beta);
            normalise(row_of(s, out, c_n, r), s->cols, c_n);
        }
    }
    for (int32_t r = 0; r < s->rows; r++)
        memcpy(s->smooth + (size_t)r * row, row_of(s, s->frame[n % 2], c_n, r), row * sizeof *s->smooth);
    for (int32_t k = 0; k < s->n; k++)
        for (int32_t c = 0; !view->measured[k] && c < c_n; c++)
            s->smooth[(size_t)k * (size_t)c_n + (size_t)c] = 1.0 / c_n;
}
