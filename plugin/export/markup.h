/* plugin/export/markup.h: pieces of SVG and HTML that both the picture and the report are made of. */
#ifndef FLY_PLUGIN_MARKUP_H
#define FLY_PLUGIN_MARKUP_H

#include "plugin/export/export.h"
#include "plugin/palette.h"

/* Text between tags or in a quoted attribute: what would be markup is escaped, and what XML forbids left out. */
void fly_markup_text(struct fly_text *out, const char *text);

/* "data:image/png;base64,..." */
void fly_markup_png(struct fly_text *out, const void *bytes, size_t len);

/* A map over the HAADF image, with title, scale bar and legend, as an <svg> element that needs nothing else.
 * FLY_ENOMEM. */
FLY_MUST_USE int fly_markup_map(const struct fly_export *export, int map, struct fly_text *out);

/* "few-shot, ensemble" */
const char *fly_markup_map_name(char out[48], int map);

#endif
