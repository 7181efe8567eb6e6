/* plugin/page/convert.h: between the wire's msgpack and the page's JSON, and bundles of JSON with arrays.
 *
 * A bundle is <u4 n, n bytes of JSON, zeros up to a multiple of 8, then payloads, each filled up to a
 * multiple of 8 (plugin/docs/page-api.md). What is served is a blob: bytes that never change once made,
 * shared by all who send them.
 *
 * Threads  pure but for fly_fail's text; a blob may be held and dropped by any thread.
 */
#ifndef FLY_PLUGIN_PAGE_CONVERT_H
#define FLY_PLUGIN_PAGE_CONVERT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "plugin/json.h"
#include "stream/wire.h"

struct fly_blob {
    atomic_int holders;
    int is_bundle; /* 0: JSON */
    size_t len;
    unsigned char bytes[];
};
struct fly_blob *fly_blob_make(const void *bytes, size_t len); /* held once; NULL: no memory */
struct fly_blob *fly_blob_hold(struct fly_blob *blob);
void fly_blob_drop(struct fly_blob **blob); /* NULL in it is fine */

/* A text's bytes as a blob; NULL: no memory, also when the text had none. The text is emptied. */
struct fly_blob *fly_blob_of_text(struct fly_text *text);

enum { FLY_BUNDLE_PAYLOADS = 8 };
struct fly_bundle_part {
    const void *bytes;
    const char *dtype; /* "<i4"; what is not of the wire's types is "|u1" */
    int32_t n_dims;
    int64_t shape[3];
};
/* json writes the header: it stands in its outermost object, which this ends after adding `payloads`. NULL: no
 * memory. json's text is emptied. */
struct fly_blob *fly_bundle_make(struct fly_json *json, const struct fly_bundle_part *parts, int32_t n_parts);

/* A scanned value as JSON: what is next in json. */
void fly_json_value(struct fly_json *json, struct fly_value value);
/* The entries of a scanned map, into an object that is open, but those named in `without` (NULL: none left out;
 * ends with NULL). */
void fly_json_entries(struct fly_json *json, struct fly_value map, const char *const *without);

/* A request of the page: {"op": "...", "args": {...}}, as the control socket takes it under this id.
 * FLY_ERANGE  not JSON, or not of that shape: words say where
 * FLY_ENOMEM  the pack is too small: FLY_HEADER_MAX bytes hold any text of a fourth of that, and most others */
FLY_MUST_USE int fly_request_of_json(struct fly_pack *pack, uint64_t id, const char *text, size_t len);

/* The same from a packed value in place of JSON; args NULL: none. */
void fly_request_pack(struct fly_pack *pack, uint64_t id, const char *op, const struct fly_part *args);

/* The reply to a request, without the empty part: {"ok", "result" | "error"}, a bundle where it has payloads. Their
 * shapes follow from op and result; what fits none goes out as bytes. FLY_EWIRE: not a reply. FLY_ENOMEM. */
FLY_MUST_USE int fly_reply_to_json(struct fly_blob **out, const char *op, struct fly_value header,
                                   const struct fly_part *payloads, int32_t n_payloads);

#endif
