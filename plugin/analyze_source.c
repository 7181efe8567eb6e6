/* The messages an instrument would have sent for the arrays of an analysis. */
#include "plugin/analyze.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"

#define SESSION "analysis"

static int has_eds(const struct fly_analysis *a)
{
    return a->cube.bytes || a->ev_ch.bytes;
}

static int check_arrays(const struct fly_analysis *a)
{
    const struct fly_npy *image = &a->haadf.npy, *cube = &a->cube.npy;

    if (image->dims != 2)
        return fly_fail(FLY_ERANGE, "the HAADF image has %d dimensions, (H, W) is needed", image->dims);
    if ((int)image->type >= FLY_DTYPES)
        return fly_fail(FLY_ERANGE, "the HAADF image holds 64-bit integers, booleans or int8: convert it to "
                                    "one of u1 u2 u4 i2 i4 f4 f8");
    if (image->shape[0] < 1 || image->shape[1] < 1 || image->shape[0] > FLY_SCAN_MAX_PX ||
        image->shape[1] > FLY_SCAN_MAX_PX)
        return fly_fail(FLY_ERANGE, "the HAADF image is %lld x %lld px, 1 .. %d each are allowed",
                        (long long)image->shape[0], (long long)image->shape[1], FLY_SCAN_MAX_PX);
    if (a->cube.bytes &&
        (cube->dims != 3 || cube->shape[0] != image->shape[0] || cube->shape[1] != image->shape[1] ||
         cube->type > FLY_NPY_U32))
        return fly_fail(FLY_ERANGE, "the EDS cube must be (H, W, E) of u1, u2 or u4, H and W those of the "
                                    "image");
    if (a->ev_ch.bytes &&
        (!a->ev_y.bytes || !a->ev_x.bytes || a->ev_y.npy.items != a->ev_ch.npy.items ||
         a->ev_x.npy.items != a->ev_ch.npy.items || !fly_array_is_int(&a->ev_y) ||
         !fly_array_is_int(&a->ev_x) || !fly_array_is_int(&a->ev_ch)))
        return fly_fail(FLY_ERANGE, "EDS events: ev_y, ev_x and ev_ch must be integer arrays of one length");
    return FLY_OK;
}

static void pack_common(struct fly_pack *pack, const char *type, const char *stream, uint64_t seq)
{
    fly_pack_str(pack, "type");
    fly_pack_str(pack, type);
    fly_pack_str(pack, "session");
    fly_pack_str(pack, SESSION);
    fly_pack_str(pack, "stream");
    fly_pack_str(pack, stream);
    fly_pack_str(pack, "seq");
    fly_pack_uint(pack, seq);
    fly_pack_str(pack, "t_ns");
    fly_pack_int(pack, 0);
}

int fly_source_start(const struct fly_analysis *a, const struct fly_options *options, unsigned char *bytes,
                     struct fly_part *header, struct fly_start *start)
{
    struct fly_ingest msg;
    struct fly_pack pack;
    int64_t channels = a->cube.bytes ? a->cube.npy.shape[2] : options->eds.n_channels;
    int rc = check_arrays(a);

    if (rc < 0)
        return rc;
    fly_pack_init(&pack, bytes, FLY_HEADER_MAX);
    fly_pack_map(&pack, 10);
    pack_common(&pack, "start", "control", 1);
    fly_pack_str(&pack, "schema");
    fly_pack_array(&pack, 2);
    fly_pack_int(&pack, 1);
    fly_pack_int(&pack, 0);
    fly_pack_str(&pack, "scan_shape_px");
    fly_pack_array(&pack, 2);
    fly_pack_int(&pack, a->haadf.npy.shape[0]);
    fly_pack_int(&pack, a->haadf.npy.shape[1]);
    fly_pack_str(&pack, "detectors");
    fly_pack_array(&pack, 1);
    fly_pack_map(&pack, 2);
    fly_pack_str(&pack, "name");
    fly_pack_str(&pack, options->haadf.detector[0] ? options->haadf.detector : "HAADF");
    fly_pack_str(&pack, "dtype");
    fly_pack_str(&pack, fly_dtype_name((enum fly_dtype)a->haadf.npy.type));
    fly_pack_str(&pack, "frames_planned");
    fly_pack_int(&pack, 1);
    fly_pack_str(&pack, "eds");
    if (has_eds(a)) {
        fly_pack_array(&pack, 1);
        fly_pack_map(&pack, 4);
        fly_pack_str(&pack, "name");
        fly_pack_str(&pack, "EDS");
        fly_pack_str(&pack, "n_channels");
        fly_pack_int(&pack, channels);
        fly_pack_str(&pack, "ev_per_channel");
        fly_pack_f64(&pack, options->eds.ev_per_channel);
        fly_pack_str(&pack, "ev_offset");
        fly_pack_f64(&pack, options->eds.ev_offset);
    } else {
        fly_pack_nil(&pack);
    }
    *header = (struct fly_part){bytes, pack.len};
    if (fly_ingest_decode(&msg, start, header, 1, &(struct fly_session_view){0}) != FLY_REFUSE_NONE)
        return fly_fail(FLY_ERANGE, "these arrays make no session: %s", fly_fail_text());
    return FLY_OK;
}

/* One rectangle of one stream. */
struct piece {
    int32_t y, x0, w;
    int eds;
};

struct source {
    const struct fly_analysis *a;
    const struct fly_start *start;
    fly_source_apply *apply;
    void *ctx;
    int32_t height, width;
    uint64_t seq[2]; /* of the image and of the EDS stream */
    /* events sorted by line, then column: line y has photons first[y] .. first[y+1]-1 */
    int64_t *first;    /* (H + 1) */
    uint32_t *column;  /* (N) */
    uint16_t *channel; /* (N) */
    uint32_t *pixel;   /* (N) scratch: relative to the piece */
};

static int compare_columns(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Events of a line in order of column: pieces then are slices. */
static int sort_events(struct source *s)
{
    const struct fly_analysis *a = s->a;
    int64_t n = a->ev_ch.npy.items, kept = 0, at = 0;
    uint64_t *key = malloc((size_t)(n ? n : 1) * sizeof *key);

    s->first = calloc((size_t)s->height + 1, sizeof *s->first);
    s->column = malloc((size_t)(n ? n : 1) * sizeof *s->column);
    s->channel = malloc((size_t)(n ? n : 1) * sizeof *s->channel);
    s->pixel = malloc((size_t)(n ? n : 1) * sizeof *s->pixel);
    if (!key || !s->first || !s->column || !s->channel || !s->pixel) {
        free(key);
        return fly_fail(FLY_ENOMEM, "%lld events: no memory to sort them", (long long)n);
    }
    for (int64_t i = 0; i < n; i++) {
        int64_t y = fly_array_int(&a->ev_y, i), x = fly_array_int(&a->ev_x, i);
        int64_t ch = fly_array_int(&a->ev_ch, i);

        /* Outside the scan or beyond 16 bits: dropped, as events outside the grid are. */
        if (y >= 0 && y < s->height && x >= 0 && x < s->width && ch >= 0 && ch <= UINT16_MAX)
            key[kept++] = (uint64_t)y << 40 | (uint64_t)x << 16 | (uint64_t)ch;
    }
    qsort(key, (size_t)kept, sizeof *key, compare_columns);
    for (int32_t y = 0; y <= s->height; y++) {
        while (at < kept && (int64_t)(key[at] >> 40) < y) {
            s->column[at] = (uint32_t)(key[at] >> 16 & 0xFFFFFF);
            s->channel[at] = (uint16_t)key[at];
            at++;
        }
        s->first[y] = at;
    }
    free(key);
    return FLY_OK;
}

/* layout: NULL for lines; dtype: -1 where a layout has none. */
static int send(struct source *s, const struct piece *piece, struct fly_part *payloads, int32_t n_payloads,
                const char *layout, int dtype)
{
    unsigned char bytes[1024];
    struct fly_part parts[3];
    struct fly_ingest msg;
    struct fly_pack pack;
    struct fly_session_view open = {.session = SESSION, .start = s->start};

    fly_pack_init(&pack, bytes, sizeof bytes);
    fly_pack_map(&pack, 9 + (layout != NULL) + (dtype >= 0));
    pack_common(&pack, piece->eds ? "eds" : "lines",
                piece->eds ? s->start->segments[0].name : s->start->detectors[0].name,
                ++s->seq[piece->eds]);
    fly_pack_str(&pack, "frame");
    fly_pack_int(&pack, 0);
    fly_pack_str(&pack, "y0_px");
    fly_pack_int(&pack, piece->y);
    fly_pack_str(&pack, "x0_px");
    fly_pack_int(&pack, piece->x0);
    fly_pack_str(&pack, "shape");
    fly_pack_array(&pack, 2);
    fly_pack_int(&pack, 1);
    fly_pack_int(&pack, piece->w);
    if (layout) {
        fly_pack_str(&pack, "layout");
        fly_pack_str(&pack, layout);
    }
    if (dtype >= 0) {
        fly_pack_str(&pack, "dtype");
        fly_pack_str(&pack, fly_dtype_name((enum fly_dtype)dtype));
    }
    FLY_ASSERT(!pack.full);
    parts[0] = (struct fly_part){bytes, pack.len};
    for (int32_t i = 0; i < n_payloads; i++)
        parts[1 + i] = payloads[i];
    if (fly_ingest_decode(&msg, NULL, parts, 1 + n_payloads, &open) != FLY_REFUSE_NONE)
        return fly_fail(FLY_ERANGE, "line %d: %s", piece->y, fly_fail_text());
    return s->apply(s->ctx, &msg);
}

static int send_image(struct source *s, const struct piece *piece)
{
    size_t size = fly_dtype_size(s->start->detectors[0].dtype);
    struct fly_part pixels = {(const unsigned char *)s->a->haadf.npy.data +
                                  ((size_t)piece->y * (size_t)s->width + (size_t)piece->x0) * size,
                              (size_t)piece->w * size};

    return send(s, piece, &pixels, 1, NULL, (int)s->start->detectors[0].dtype);
}

static int send_eds(struct source *s, const struct piece *piece)
{
    if (s->a->cube.bytes) {
        size_t size = fly_npy_type_size(s->a->cube.npy.type) * (size_t)s->a->cube.npy.shape[2];
        struct fly_part counts = {(const unsigned char *)s->a->cube.npy.data +
                                      ((size_t)piece->y * (size_t)s->width + (size_t)piece->x0) * size,
                                  (size_t)piece->w * size};

        return send(s, piece, &counts, 1, "dense", (int)s->a->cube.npy.type);
    }
    int64_t from = s->first[piece->y], to = s->first[piece->y + 1];

    while (from < to && s->column[from] < (uint32_t)piece->x0)
        from++;
    while (to > from && s->column[to - 1] >= (uint32_t)(piece->x0 + piece->w))
        to--;
    for (int64_t i = from; i < to; i++)
        s->pixel[i - from] = s->column[i] - (uint32_t)piece->x0;
    struct fly_part parts[2] = {{s->pixel, (size_t)(to - from) * sizeof *s->pixel},
                                {s->channel + from, (size_t)(to - from) * sizeof *s->channel}};

    return send(s, piece, parts, 2, "pairs", -1);
}

/* Raster: line by line, image then EDS. Random: every line cut at random places, all pieces shuffled. */
static struct piece *make_pieces(const struct source *s, int64_t *count)
{
    int streams = 1 + has_eds(s->a), cuts = s->a->random ? 3 : 1;
    struct piece *pieces = malloc((size_t)s->height * (size_t)(streams * cuts) * sizeof *pieces);
    struct fly_rng rng = {s->a->order_seed};
    int64_t n = 0;

    if (!pieces)
        return NULL;
    for (int32_t y = 0; y < s->height; y++)
        for (int eds = 0; eds < streams; eds++) {
            int32_t x = 0;

            for (int c = 0; c < cuts && x < s->width; c++) {
                int32_t left = s->width - x;
                int32_t w = c == cuts - 1 ? left : 1 + (int32_t)fly_rng_below(&rng, (uint64_t)left);

                pieces[n++] = (struct piece){y, x, w, eds};
                x += w;
            }
        }
    for (int64_t i = n - 1; s->a->random && i > 0; i--) {
        int64_t j = (int64_t)fly_rng_below(&rng, (uint64_t)i + 1);
        struct piece held = pieces[i];

        pieces[i] = pieces[j];
        pieces[j] = held;
    }
    *count = n;
    return pieces;
}

int fly_source_run(const struct fly_analysis *analysis, const struct fly_start *start,
                   fly_source_apply *apply, void *ctx)
{
    struct source s = {.a = analysis, .start = start, .apply = apply, .ctx = ctx,
                       .height = start->height_px, .width = start->width_px};
    struct piece *pieces = NULL;
    int64_t n = 0;
    int rc = analysis->ev_ch.bytes ? sort_events(&s) : FLY_OK;

    if (rc == FLY_OK) {
        pieces = make_pieces(&s, &n);
        if (!pieces)
            rc = fly_fail(FLY_ENOMEM, "no memory for the order of the lines");
    }
    for (int64_t i = 0; rc == FLY_OK && i < n; i++)
        rc = pieces[i].eds ? send_eds(&s, &pieces[i]) : send_image(&s, &pieces[i]);
    free(pieces);
    free(s.first);
    free(s.column);
    free(s.channel);
    free(s.pixel);
    return rc;
}
