/* plugin/page/cache.h: what the page knows of the plugin: the newest message of every kind, and how old it is.
 *
 * Published messages and replies to looks go in, JSON and bundles come out; deltas of maps are written into
 * the map of their base, as in any client. Everything has a version, told in `news`; what is served is made
 * once a version and shared by all viewers. No socket and no clock here.
 *
 * Memory   bounded: one message a kind and map, the newest FLY_PAGE_EVENTS events and FLY_PAGE_AGREEMENTS
 *          agreements. Blobs that are given out are held for the caller, NULL: there is nothing of it.
 * Threads  one at a time: its owner has a lock.
 */
#ifndef FLY_PLUGIN_PAGE_CACHE_H
#define FLY_PLUGIN_PAGE_CACHE_H

#include <stdint.h>

#include "plugin/page/convert.h"
#include "plugin/page/picture.h"
#include "stream/publish.h"

enum {
    FLY_PAGE_EVENTS = 200,
    FLY_PAGE_AGREEMENTS = 600, /* ten minutes of a metrics message a second */
    FLY_PAGE_COURSE = 600,     /* points of a plot that is not wider in px; even */
    FLY_PAGE_MAPS = FLY_PUB_METHODS_MAX * FLY_PUB_MODALITIES_MAX,
    FLY_PAGE_KEY = 72,         /* "method/modality" */
};

/* A message kept: its packed header, and what was made of it. */
struct fly_page_kept {
    char key[FLY_PAGE_KEY]; /* of maps and clusters */
    uint64_t seq;           /* 0: none */
    unsigned char *packed;
    size_t len, cap;
    struct fly_blob *made;  /* on demand */
};

enum fly_page_topic { FLY_PAGE_START, FLY_PAGE_HEARTBEAT, FLY_PAGE_METRICS, FLY_PAGE_STOP, FLY_PAGE_SUGGEST,
                      FLY_PAGE_TOPICS };
const char *fly_page_topic_name(enum fly_page_topic topic);

struct fly_page_map {
    struct fly_page_kept head; /* of the newest message: its bbox is that of a delta */
    int32_t rows, cols;
    int32_t *labels, *shown;   /* (R, C); shown NULL: the plugin sends none */
    float *confidence;
    uint32_t *age;
    int lacks;                 /* a delta came whose base we lack */
};

struct fly_page_dose {
    struct fly_page_kept head;
    int32_t rows, cols;
    float *chips; /* (R, C) */
};

/* Expected error of the map, as suggestions told it: of the whole session, every `every`th once they are too many. */
struct fly_page_course {
    int64_t t_ns[FLY_PAGE_COURSE];
    double error[FLY_PAGE_COURSE];
    int32_t n;
    uint64_t came, every;
};

struct fly_page_agreement {
    int64_t t_ns;
    double ami[FLY_PUB_METHODS_MAX][3]; /* haadf_eds, haadf_ens, eds_ens; NaN: none */
};

struct fly_page_cache {
    char session[FLY_SESSION_MAX + 1]; /* of the newest start; "" before */
    struct fly_page_kept topic[FLY_PAGE_TOPICS];
    struct fly_page_map map[FLY_PAGE_MAPS];
    struct fly_page_kept clusters[FLY_PAGE_MAPS];
    struct fly_page_kept event[FLY_PAGE_EVENTS]; /* event n stands at n % FLY_PAGE_EVENTS */
    uint64_t events;                             /* so many came */
    struct fly_page_agreement *agreement;        /* (FLY_PAGE_AGREEMENTS), n at n % of them */
    char method[FLY_PUB_METHODS_MAX][32];        /* whose agreements those are; "": no more */
    uint64_t agreements;
    struct fly_page_dose dose;
    struct fly_page_course course;
    struct fly_picture picture;
    struct fly_blob *image;                      /* as last given out, for those who ask the same */
    uint64_t image_since, image_newest;
    struct fly_page_kept support;                /* the result of support.get */
    struct fly_blob *elements;
    uint64_t elements_revision;                  /* 0: none */
    uint64_t revision_base;
    uint64_t changes;                            /* anything that `news` tells of; only grows */
};

/* revisions count from the number given: one of an earlier process is below. FLY_ENOMEM. */
FLY_MUST_USE int fly_page_cache_init(struct fly_page_cache *cache, uint64_t first_revision);
void fly_page_cache_fini(struct fly_page_cache *cache);

/* One published message. What is none, or older than what is there, changes nothing. */
void fly_page_cache_take(struct fly_page_cache *cache, const struct fly_part *parts, int32_t n_parts);

/* The answer to map.get, taken as a keyframe. */
void fly_page_cache_take_map(struct fly_page_cache *cache, struct fly_value result, const struct fly_part *payloads,
                             int32_t n_payloads);
/* Method and modality of a map that lacks its base; 0: none does. */
int fly_page_cache_lacks(const struct fly_page_cache *cache, char method[32], char modality[32]);

/* Results of looks (stream/PROTOCOL.md, 7). Of the image: rows y0_px of step times step px each. */
void fly_page_cache_take_image(struct fly_page_cache *cache, struct fly_value result, const struct fly_part *payload);
void fly_page_cache_take_elements(struct fly_page_cache *cache, struct fly_value result,
                                  const struct fly_part *payloads, int32_t n_payloads);
void fly_page_cache_take_support(struct fly_page_cache *cache, struct fly_value result);

/* What is served. */
struct fly_blob *fly_page_cache_news(const struct fly_page_cache *cache); /* the JSON of /events */
struct fly_blob *fly_page_cache_topic(struct fly_page_cache *cache, enum fly_page_topic topic);
struct fly_blob *fly_page_cache_map(struct fly_page_cache *cache, const char *key);
struct fly_blob *fly_page_cache_clusters(struct fly_page_cache *cache, const char *key);
struct fly_blob *fly_page_cache_image(struct fly_page_cache *cache, uint64_t since);
struct fly_blob *fly_page_cache_elements(struct fly_page_cache *cache, uint64_t since);
struct fly_blob *fly_page_cache_events(struct fly_page_cache *cache, uint64_t since);
struct fly_blob *fly_page_cache_agreement(struct fly_page_cache *cache);
struct fly_blob *fly_page_cache_support(struct fly_page_cache *cache);
struct fly_blob *fly_page_cache_dose(struct fly_page_cache *cache);
struct fly_blob *fly_page_cache_course(struct fly_page_cache *cache);

/* header[key] of the newest message of a topic: 1 when it is there. */
int fly_page_cache_get(const struct fly_page_cache *cache, enum fly_page_topic topic, const char *key,
                       struct fly_value *out);

#endif
