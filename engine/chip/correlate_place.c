#include <math.h>

#include "engine/chip/correlate_own.h"

/* Weak waves help to tell the right cell, but their noise blurs the place: it is taken from the strong ones where
 * those alone stand out. */
static void multiply_strong(struct fly_correlator *c, const fftwf_complex *a, const fftwf_complex *b)
{
    for (int32_t y = 0; y < c->ny; y++) {
        c->end[y] = 0;
        for (int32_t x = 0; x < c->columns; x++) {
            size_t i = (size_t)y * (size_t)c->columns + (size_t)x;
            float weight, s = fly_structure(c, i, &weight);

            if (s > fly_strong || c->all_strong)
                c->end[y] = x + 1;
            else
                weight = 0.0f;
            fly_multiply(weight, &a[i], &b[i], &c->product[i]);
        }
    }
}

/* L at a movement, its slope and bend, and the scatter of the slope that the phases left over show. */
struct slope {
    double value, y, x, yy, yx, xx;
    double vyy, vyx, vxx;
};

static double radians(int32_t i, int32_t n)
{
    return 2.0 * fly_pi * (i <= n / 2 ? i : i - n) / n;
}

static void slope_at(const struct fly_correlator *c, double y_px, double x_px, struct slope *s)
{
    double *turn_y = c->turn, *turn_x = c->turn + 2 * c->ny;
    int32_t last = c->columns - 1;

    *s = (struct slope){0};
    for (int32_t y = 0; y < c->ny; y++) {
        turn_y[2 * y] = cos(radians(y, c->ny) * y_px);
        turn_y[2 * y + 1] = sin(radians(y, c->ny) * y_px);
    }
    for (int32_t x = 0; x < c->columns; x++) {
        turn_x[2 * x] = cos(radians(x, c->nx) * x_px);
        turn_x[2 * x + 1] = sin(radians(x, c->nx) * x_px);
    }
    for (int32_t y = 0; y < c->ny; y++) {
        const fftwf_complex *row = c->product + (size_t)y * (size_t)c->columns;
        double ky = radians(y, c->ny), u = 0.0, v = 0.0, xu = 0.0, xv = 0.0, xxu = 0.0, vv = 0.0, xvv = 0.0, xxvv = 0.0;

        /* The highest frequency is its own mirror image and tells no direction. */
        if (2 * y == c->ny)
            continue;
        for (int32_t x = 0; x < (c->end[y] < last ? c->end[y] : last); x++) {
            double cos_k = turn_y[2 * y] * turn_x[2 * x] - turn_y[2 * y + 1] * turn_x[2 * x + 1];
            double sin_k = turn_y[2 * y] * turn_x[2 * x + 1] + turn_y[2 * y + 1] * turn_x[2 * x];
            double re = (double)row[x][0], im = (double)row[x][1], kx = 2.0 * fly_pi * x / c->nx;
            double twice = x ? 2.0 : 1.0;
            double along = twice * (re * cos_k - im * sin_k), aside = twice * (re * sin_k + im * cos_k);
            /* A wave and its mirror image are one observation: twice the slope, four times its square. */
            double square = x ? aside * aside : 2.0 * aside * aside;

            u += along;
            v += aside;
            xu += kx * along;
            xv += kx * aside;
            xxu += kx * kx * along;
            vv += square;
            xvv += kx * square;
            xxvv += kx * kx * square;
        }
        s->value += u;
        s->y -= ky * v;
        s->x -= xv;
        s->yy -= ky * ky * u;
        s->yx -= ky * xu;
        s->xx -= xxu;
        s->vyy += ky * ky * vv;
        s->vyx += ky * xvv;
        s->vxx += xxvv;
    }
}

/* sigma of y from bend H and scatter V of the slope: (H^-1 V H^-1)_yy. Along which the picture does not vary,
 * H has no inverse to speak of: a millionth of the other direction. */
static void sandwich(const struct slope *s, double widening, struct fly_moved *moved)
{
    double det = s->yy * s->xx - s->yx * s->yx, trace = s->yy + s->xx;
    double iyy, iyx, ixx;

    if (!(trace < 0.0) || !(det > 1e-6 * trace * trace)) {
        /* Only one direction is known, if any. */
        moved->sigma_y_px = s->yy < 1e-6 * trace ? sqrt(widening * s->vyy) / -s->yy : INFINITY;
        moved->sigma_x_px = s->xx < 1e-6 * trace ? sqrt(widening * s->vxx) / -s->xx : INFINITY;
        if (s->yx * s->yx > 0.25 * s->yy * s->xx) /* and that one lies oblique */
            moved->sigma_y_px = moved->sigma_x_px = INFINITY;
        return;
    }
    iyy = s->xx / det;
    ixx = s->yy / det;
    iyx = -s->yx / det;
    moved->sigma_y_px =
        sqrt(widening * fmax(0.0, iyy * iyy * s->vyy + 2.0 * iyy * iyx * s->vyx + iyx * iyx * s->vxx));
    moved->sigma_x_px =
        sqrt(widening * fmax(0.0, iyx * iyx * s->vyy + 2.0 * iyx * ixx * s->vyx + ixx * ixx * s->vxx));
}

/* Newton's method from a place, which is right to a pixel. */
static void climb(const struct fly_correlator *c, double *y_px, double *x_px, struct slope *s)
{
    enum { STEPS = 4 };
    double y0 = *y_px, x0 = *x_px, dy = 1.0, dx = 1.0;

    slope_at(c, *y_px, *x_px, s);
    for (int step = 0; step < STEPS && (fabs(dy) > 1e-3 || fabs(dx) > 1e-3); step++) {
        /* A hair of the trace on the diagonal keeps a direction without structure where it is. */
        double hair = 1e-9 * (s->yy + s->xx), yy = s->yy + hair, xx = s->xx + hair, det = yy * xx - s->yx * s->yx;

        if (!(yy < 0.0 && det > 0.0))
            return;
        dy = -(xx * s->y - s->yx * s->x) / det;
        dx = -(yy * s->x - s->yx * s->y) / det;
        *y_px = fmax(y0 - 1.0, fmin(y0 + 1.0, *y_px + fmax(-0.5, fmin(0.5, dy))));
        *x_px = fmax(x0 - 1.0, fmin(x0 + 1.0, *x_px + fmax(-0.5, fmin(0.5, dx))));
        slope_at(c, *y_px, *x_px, s);
    }
}

/* Each window goes half the way, so that both pictures show the same under it. */
static void move_windows(struct fly_correlator *c, double y_px, double x_px)
{
    fly_window_lay(c->h, -0.5 * y_px, c->window_y);
    fly_window_lay(c->w, -0.5 * x_px, c->window_x);
    fly_correlator_transform(c, c->reference.pixels, c->moved[0]);
    fly_window_lay(c->h, 0.5 * y_px, c->window_y);
    fly_window_lay(c->w, 0.5 * x_px, c->window_x);
    fly_correlator_transform(c, c->now.pixels, c->moved[1]);
    multiply_strong(c, c->moved[0], c->moved[1]);
}

void fly_correlator_refine(struct fly_correlator *correlator, const struct fly_peak *peak, struct fly_moved *moved)
{
    enum { MOVES = 3 };
    struct fly_correlator *c = correlator;
    double y = peak->y_px, x = peak->x_px, window_y = 0.0, window_x = 0.0;
    struct slope s;

    multiply_strong(c, c->reference.waves, c->now.waves);
    climb(c, &y, &x, &s);
    /* Windows that stay behind by d draw the place back by up to d (10 / side)^2 or so, of particles of 5 px. */
    for (int i = 0; i < MOVES && (fabs(y - window_y) > c->h / 256.0 || fabs(x - window_x) > c->w / 256.0); i++) {
        window_y = y;
        window_x = x;
        move_windows(c, y, x);
        climb(c, &y, &x, &s);
    }
    moved->y_px = y;
    moved->x_px = x;
    moved->correlation = fmax(0.0, fmin(1.0, peak->value / c->expected));
    sandwich(&s, c->widening, moved);
}

