#include "plugin/canvas.h"

#include <math.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>

int fly_canvas_open(struct fly_canvas *canvas, int32_t width, int32_t height, uint32_t colour)
{
    memset(canvas, 0, sizeof *canvas);
    if (width < 1 || width > 32768 || height < 1 || height > 32768)
        return fly_fail(FLY_ERANGE, "picture of %d x %d px, sides are 1 .. 32768", (int)height, (int)width);
    canvas->rgb = malloc((size_t)width * (size_t)height * 3);
    if (!canvas->rgb)
        return fly_fail(FLY_ENOMEM, "picture: no memory for %d x %d px", (int)height, (int)width);
    canvas->width = width;
    canvas->height = height;
    fly_canvas_fill(canvas, 0, 0, width, height, colour, 1.0);
    return FLY_OK;
}

void fly_canvas_close(struct fly_canvas *canvas)
{
    free(canvas->rgb);
    memset(canvas, 0, sizeof *canvas);
}

static void blend(unsigned char *at, uint32_t colour, double alpha)
{
    for (int i = 0; i < 3; i++) {
        double to = (double)(colour >> (16 - 8 * i) & 0xFF);

        at[i] = (unsigned char)(at[i] + (to - at[i]) * alpha + 0.5);
    }
}

void fly_canvas_dot(struct fly_canvas *canvas, int32_t x, int32_t y, uint32_t colour, double alpha)
{
    if (x < 0 || y < 0 || x >= canvas->width || y >= canvas->height)
        return;
    blend(canvas->rgb + ((size_t)y * (size_t)canvas->width + (size_t)x) * 3, colour, alpha);
}

void fly_canvas_fill(struct fly_canvas *canvas, int32_t x, int32_t y, int32_t w, int32_t h,
                     uint32_t colour, double alpha)
{
    for (int32_t j = y; j < y + h; j++) {
        for (int32_t i = x; i < x + w; i++)
            fly_canvas_dot(canvas, i, j, colour, alpha);
    }
}

void fly_canvas_frame(struct fly_canvas *canvas, int32_t x, int32_t y, int32_t w, int32_t h,
                      int32_t thick, uint32_t colour, double alpha)
{
    fly_canvas_fill(canvas, x, y, w, thick, colour, alpha);
    fly_canvas_fill(canvas, x, y + h - thick, w, thick, colour, alpha);
    fly_canvas_fill(canvas, x, y + thick, thick, h - 2 * thick, colour, alpha);
    fly_canvas_fill(canvas, x + w - thick, y + thick, thick, h - 2 * thick, colour, alpha);
}

/* ---- letters ------------------------------------------------------------------------------------ */

enum { SEGMENTS_MAX = 256, POINTS_MAX = 24, CURVE_STEPS = 8 };

struct point {
    double x, y;
};

/* A letter as straight pieces, in font units. */
struct outline {
    struct point a[SEGMENTS_MAX], b[SEGMENTS_MAX];
    int count;
    double width; /* of the ink, without the stroke's own */
};

static void add_piece(struct outline *outline, struct point a, struct point b)
{
    FLY_ASSERT(outline->count < SEGMENTS_MAX);
    outline->a[outline->count] = a;
    outline->b[outline->count++] = b;
}

static struct point middle(struct point a, struct point b)
{
    return (struct point){(a.x + b.x) / 2, (a.y + b.y) / 2};
}

/* A quadratic Bezier from `from` over `over` to `to`. */
static void add_arc(struct outline *outline, struct point from, struct point over, struct point to)
{
    struct point last = from;

    for (int i = 1; i <= CURVE_STEPS; i++) {
        double t = (double)i / CURVE_STEPS, s = 1 - t;
        struct point at = {s * s * from.x + 2 * s * t * over.x + t * t * to.x,
                           s * s * from.y + 2 * s * t * over.y + t * t * to.y};

        add_piece(outline, last, at);
        last = at;
    }
}

/* One stroke; a curve is the quadratic B-spline of its points. */
static void add_stroke(struct outline *outline, char kind, const struct point *p, int n)
{
    if (kind == '-') {
        for (int i = 0; i + 1 < n; i++)
            add_piece(outline, p[i], p[i + 1]);
        return;
    }
    if (kind == 'o') {
        for (int i = 0; i < n; i++)
            add_arc(outline, middle(p[(i + n - 1) % n], p[i]), p[i], middle(p[i], p[(i + 1) % n]));
        return;
    }
    for (int i = 1; i + 1 < n; i++)
        add_arc(outline, i == 1 ? p[0] : middle(p[i - 1], p[i]), p[i],
                i + 2 == n ? p[n - 1] : middle(p[i], p[i + 1]));
}

static void trace(struct outline *outline, unsigned code)
{
    const char *at = fly_font_strokes(code);

    outline->count = 0;
    outline->width = code == ' ' ? 2.5 : 0;
    while (*at) {
        struct point points[POINTS_MAX];
        char kind = *at++;
        int n = 0;

        for (; *at && *at != ' '; at += 2) {
            FLY_ASSERT(n < POINTS_MAX && at[1]);
            points[n] = (struct point){at[0] - '0', at[1] - 'a'};
            if (points[n].x > outline->width)
                outline->width = points[n].x;
            n++;
        }
        add_stroke(outline, kind, points, n);
        while (*at == ' ')
            at++;
    }
    if (code >= '0' && code <= '9') /* figures stand in columns */
        outline->width = 6;
}

static const double letter_gap = 3.6; /* between the ink of neighbours, font units of 1/12 capital */

static double distance_to(struct point p, struct point a, struct point b)
{
    double dx = b.x - a.x, dy = b.y - a.y, len2 = dx * dx + dy * dy;
    double t = len2 > 0 ? ((p.x - a.x) * dx + (p.y - a.y) * dy) / len2 : 0;

    t = t < 0 ? 0 : t > 1 ? 1 : t;
    return hypot(p.x - a.x - t * dx, p.y - a.y - t * dy);
}

static void draw_letter(struct fly_canvas *canvas, const struct outline *outline, double x, double top,
                        double unit, double radius, uint32_t colour)
{
    int32_t x0 = (int32_t)floor(x - radius - 1), x1 = (int32_t)ceil(x + outline->width * unit + radius + 1);
    int32_t y0 = (int32_t)floor(top - radius - 1), y1 = (int32_t)ceil(top + 16 * unit + radius + 1);

    for (int32_t j = y0; j <= y1; j++) {
        for (int32_t i = x0; i <= x1; i++) {
            struct point p = {(i + 0.5 - x) / unit, (j + 0.5 - top) / unit};
            double least = 1e9, cover;

            for (int s = 0; s < outline->count; s++)
                least = fmin(least, distance_to(p, outline->a[s], outline->b[s]));
            cover = radius + 0.5 - least * unit;
            if (cover > 0)
                fly_canvas_dot(canvas, i, j, colour, cover > 1 ? 1 : cover);
        }
    }
}

void fly_canvas_line(struct fly_canvas *canvas, double x0, double y0, double x1, double y1, double thick,
                     uint32_t colour, double alpha)
{
    struct point a = {x0, y0}, b = {x1, y1};
    double reach = thick / 2 + 1;

    for (int32_t j = (int32_t)floor(fmin(y0, y1) - reach); j <= (int32_t)ceil(fmax(y0, y1) + reach); j++) {
        for (int32_t i = (int32_t)floor(fmin(x0, x1) - reach); i <= (int32_t)ceil(fmax(x0, x1) + reach); i++) {
            double cover = thick / 2 + 0.5 - distance_to((struct point){i + 0.5, j + 0.5}, a, b);

            if (cover > 0)
                fly_canvas_dot(canvas, i, j, colour, (cover > 1 ? 1 : cover) * alpha);
        }
    }
}

void fly_canvas_ring(struct fly_canvas *canvas, double x, double y, double radius, double thick, uint32_t colour,
                     double alpha)
{
    double reach = radius + thick / 2 + 1;

    for (int32_t j = (int32_t)floor(y - reach); j <= (int32_t)ceil(y + reach); j++) {
        for (int32_t i = (int32_t)floor(x - reach); i <= (int32_t)ceil(x + reach); i++) {
            double cover = thick / 2 + 0.5 - fabs(hypot(i + 0.5 - x, j + 0.5 - y) - radius);

            if (cover > 0)
                fly_canvas_dot(canvas, i, j, colour, (cover > 1 ? 1 : cover) * alpha);
        }
    }
}

void fly_canvas_text(struct fly_canvas *canvas, double x, double baseline, double cap_px, double weight,
                     uint32_t colour, const char *text)
{
    double unit = cap_px / 12, radius = cap_px * weight / 2;
    size_t len = strlen(text);

    x += radius; /* the ink begins at x */
    for (size_t i = 0; i < len;) {
        struct outline outline;
        unsigned code;

        i += fly_utf8_next(text + i, len - i, &code);
        trace(&outline, code);
        draw_letter(canvas, &outline, x, baseline - cap_px, unit, radius, colour);
        x += (outline.width + letter_gap) * unit;
    }
}

double fly_canvas_text_width(double cap_px, const char *text)
{
    size_t len = strlen(text);
    double units = 0;

    for (size_t i = 0; i < len;) {
        struct outline outline;
        unsigned code;

        i += fly_utf8_next(text + i, len - i, &code);
        trace(&outline, code);
        units += outline.width + letter_gap;
    }
    return (units > 0 ? units - letter_gap : 0) * cap_px / 12;
}

/* ---- PNG ---------------------------------------------------------------------------------------- */

static void png_put(png_structp png, png_bytep bytes, png_size_t len)
{
    fly_text_addn(png_get_io_ptr(png), bytes, len);
}

static void png_flush_nothing(png_structp png)
{
    (void)png;
}

/* libpng's own handler prints; ours jumps back and lets the caller say it. */
static void png_failed(png_structp png, png_const_charp words)
{
    (void)words;
    longjmp(png_jmpbuf(png), 1);
}

static void png_warned(png_structp png, png_const_charp words)
{
    (void)png;
    (void)words;
}

int fly_canvas_png(const struct fly_canvas *canvas, struct fly_text *out)
{
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, png_failed, png_warned);
    png_infop info = png ? png_create_info_struct(png) : NULL;

    if (!info || setjmp(png_jmpbuf(png))) {
        png_destroy_write_struct(&png, &info);
        return fly_fail(FLY_ENOMEM, "picture: libpng could not write %d x %d px", (int)canvas->height,
                        (int)canvas->width);
    }
    png_set_write_fn(png, out, png_put, png_flush_nothing);
    png_set_IHDR(png, info, (png_uint_32)canvas->width, (png_uint_32)canvas->height, 8, PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (int32_t y = 0; y < canvas->height; y++)
        png_write_row(png, canvas->rgb + (size_t)y * (size_t)canvas->width * 3);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    return fly_text_done(out, "picture");
}
