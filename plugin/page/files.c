/* The page's files, in the program itself: an instrument's PC has no network to fetch them from. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "plugin/page/state.h"
#include "stream/sequence.h"

/* FLY_PAGE_DIR is where the files lie when this is compiled, made smaller (CMakeLists.txt, embed.cmake). */
#define EMBED(name, parts)                                                                                             \
    __asm__(".section .rodata\n"                                                                                       \
            ".balign 8\n"                                                                                              \
            ".globl fly_page_" name "\n"                                                                               \
            "fly_page_" name ":\n"                                                                                     \
            parts                                                                                                      \
            ".globl fly_page_" name "_end\n"                                                                           \
            "fly_page_" name "_end:\n"                                                                                 \
            ".byte 0\n"                                                                                                \
            ".previous\n")

#define WHOLE(file) ".incbin \"" FLY_PAGE_DIR "/" file "\"\n"
#define PART(file) ".incbin \"" FLY_PAGE_DIR "/js/" file ".js\"\n"

EMBED("html", WHOLE("page.html"));
EMBED("css", WHOLE("page.css"));
/* One script, its parts in the order in which they stand on each other; the first makes all of it strict. */
EMBED("js", PART("base") PART("link") PART("model") PART("actions") PART("picture") PART("stage") PART("plots")
                PART("spectrum") PART("panes") PART("legend") PART("panels") PART("steer") PART("export") PART("page"));

extern const unsigned char fly_page_html[], fly_page_html_end[];
extern const unsigned char fly_page_js[], fly_page_js_end[];
extern const unsigned char fly_page_css[], fly_page_css_end[];

static struct fly_page_file files[] = {
    {"/", "text/html; charset=utf-8", fly_page_html, 0, ""},
    {"/page.js", "text/javascript; charset=utf-8", fly_page_js, 0, ""},
    {"/page.css", "text/css; charset=utf-8", fly_page_css, 0, ""},
};
static pthread_once_t measured = PTHREAD_ONCE_INIT;

static void measure(void)
{
    const unsigned char *const ends[] = {fly_page_html_end, fly_page_js_end, fly_page_css_end};

    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        files[i].len = (size_t)(ends[i] - files[i].bytes);
        snprintf(files[i].etag, sizeof files[i].etag, "\"%016" PRIx64 "\"",
                 fly_hash_parts(&(struct fly_part){files[i].bytes, files[i].len}, 1));
    }
}

const struct fly_page_file *fly_page_file(const char *path)
{
    pthread_once(&measured, measure);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (strcmp(files[i].path, path) == 0)
            return &files[i];
    return NULL;
}
