#!/usr/bin/env python3
"""The arrows of the house, read off the include lines and the link lines.

    base <- engine rooms <- engine/engine.h <- plugin -> stream -> base;  sim -> stream -> base
    plugin -> page -> stream: the live page is a client, and knows of the plugin its words alone
    plugin -> guard -> stream: so does the supervisor, which has nothing of the engine in it

Every rule is tried twice: on the project, where it must hold, and on a copy with one planted violation, which
it must find. So a rule that has gone blind fails as well.
"""

import os
import re
import shutil
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WORDS = ("plugin/json", "plugin/number", "plugin/text")  # what is said in text, by page and plugin alike
ROOMS = ("chip", "embed", "eds", "label", "graph", "tree", "map", "region", "steer")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)
STRING = re.compile(r'"(?:\\.|[^"\\\n])*"')


class Source:
    """One .c or .h: its path from the root, its includes, and its code without comments and strings."""

    def __init__(self, root, path):
        self.path = path
        with open(os.path.join(root, path), encoding="utf-8") as file:
            text = file.read()
        bare = COMMENT.sub(" ", text)
        self.own = [name for mark, name in INCLUDE.findall(bare) if mark == '"']
        self.system = [name for mark, name in INCLUDE.findall(bare) if mark == "<"]
        self.code = STRING.sub('""', INCLUDE.sub("", bare))
        self.room = self._room()

    def _room(self):
        parts = self.path.split("/")
        if parts[0] == "engine" and len(parts) > 2:
            return "engine/" + parts[1]
        return parts[0]


def sources(root):
    found = []
    for top in ("engine", "stream", "plugin", "sim"):
        for folder, _, names in os.walk(os.path.join(root, top)):
            for name in sorted(names):
                if name.endswith((".c", ".h")):
                    found.append(Source(root, os.path.relpath(os.path.join(folder, name), root)))
    return found


# ---- include lines ----------------------------------------------------------------------------------


def may_include(source, name):
    """Does the arrow from this source to this header of ours exist?"""
    top = name.split("/")[0]
    base = name.startswith("engine/base/")
    if "/" not in name:
        return False  # includes are written from the root
    if source.room == "engine/base":
        return base
    if source.room.startswith("engine/"):
        return base or name.startswith(source.room + "/")
    if source.room == "engine":
        return top == "engine"
    if source.room == "stream":
        return base or top == "stream"
    if source.room == "sim":
        return base or top in ("stream", "sim")
    if source.path == "plugin/main.c" and name in ("sim/commands.h", "tests/bench/bench.h"):
        return True
    if source.path.rsplit(".", 1)[0] in WORDS:
        return base or name.rsplit(".", 1)[0] in WORDS
    if source.path.startswith("plugin/guard/"):
        return base or top == "stream" or name.startswith("plugin/guard/") or name.rsplit(".", 1)[0] in WORDS
    if source.path.startswith("plugin/page/"):
        return base or top == "stream" or name.startswith("plugin/page/") or name.rsplit(".", 1)[0] in WORDS
    if source.room == "plugin":
        # the engine's public face, and what that face itself speaks in: its rooms' headers
        return base or top in ("plugin", "stream", "engine")
    return False


def arrows(root):
    for source in sources(root):
        for name in source.own:
            if not may_include(source, name):
                yield "%s includes %s" % (source.path, name)


# ---- the engine is pure -----------------------------------------------------------------------------

# Headers by which the world comes in. base/err.c may print its last words when an assertion fails.
WORLD = re.compile(
    r"^(zmq|msgpack|pthread|threads|liburing|microhttpd|yaml|jansson|hdf5|png|tiffio|jpeglib|fcntl|poll|signal|time|"
    r"dirent|netdb|dlfcn|semaphore|sched|aio|stdatomic)(\.h|/|_|$)|^(sys|netinet|arpa|net|linux)/|^unistd\.h$"
)
CALLS = re.compile(
    r"\b(f?printf|vf?printf|puts|putchar|fputs|fopen|fread|fwrite|fclose|fflush|open|creat|read|write|close|mmap|"
    r"getenv|secure_getenv|setenv|environ|clock_gettime|gettimeofday|clock|time|nanosleep|usleep|sleep|"
    r"pthread_\w+|thrd_\w+|socket|connect|bind|listen|system|popen|fork|exit|_exit|rand|srand|random)\s*\("
)
STREAMS = re.compile(r"\b(FILE|stdout|stderr|stdin)\b")


def purity(root):
    for source in sources(root):
        if not source.path.startswith("engine/"):
            continue
        if source.path == "engine/base/err.c":
            continue
        for name in source.system:
            if WORLD.search(name):
                yield "%s includes <%s>: the engine is pure" % (source.path, name)
        # A call, not a member of that name (file->read(...), t.clock(...)) nor a function of ours.
        for match in CALLS.finditer(source.code):
            before = source.code[: match.start()].rstrip()
            if before.endswith(("->", ".")) or before.endswith(("*", "(*")):
                continue
            yield "%s calls %s: the engine is pure" % (source.path, match.group(1))
        for match in STREAMS.finditer(source.code):
            yield "%s speaks of %s: the engine is pure" % (source.path, match.group(1))


# ---- who may know whom ------------------------------------------------------------------------------

# (library header, what may include it, why)
OWNERS = (
    (re.compile(r"^zmq"), re.compile(r"^stream/net(_\w+)?\.c$"), "a zmq socket never leaves stream/net.c"),
    (re.compile(r"^msgpack"), re.compile(r"^stream/"), "a msgpack object never leaves stream/"),
    (re.compile(r"^liburing"), re.compile(r"^stream/recorder\w*\.[ch]$"), "an io_uring never leaves the recorder"),
    (re.compile(r"^(oneapi/)?dnnl"), re.compile(r"^engine/embed/dnn\.c$"), "oneDNN is known to one file"),
    (re.compile(r"^fftw"), re.compile(r"^engine/(chip|embed|region)/"), "Fourier transforms are for drift, embedder and regions"),
    (re.compile(r"^microhttpd"), re.compile(r"^plugin/page/"), "HTTP is the page's"),
    (re.compile(r"^yaml"), re.compile(r"^plugin/"), "settings are the plugin's"),
    (re.compile(r"^(hdf5|tiffio|jpeglib)"), re.compile(r"^sim/|^plugin/export/hspy\.c$"),
     "vendor files are the simulator's side, HyperSpy's that of the one who writes it"),
    (re.compile(r"^plugin/export/"), re.compile(r"^plugin/export/"), "files on the way out are known to their writers"),
)


def owners(root):
    for source in sources(root):
        for name in source.system + source.own:
            for library, allowed, why in OWNERS:
                if library.search(name) and not allowed.search(source.path):
                    yield "%s includes %s: %s" % (source.path, name, why)


# ---- link lines -------------------------------------------------------------------------------------

LINKS = {
    "fly_base": set(),
    "fly_chip": {"fly_base"},
    "fly_eds": {"fly_base"},
    "fly_embed": {"fly_base"},
    "fly_label": {"fly_base"},
    "fly_graph": {"fly_base"},
    "fly_tree": {"fly_base"},
    "fly_map": {"fly_base"},
    "fly_region": {"fly_base"},
    "fly_steer": {"fly_base"},
    "fly_engine": {"fly_base"} | {"fly_" + room for room in ROOMS},
    "fly_stream": {"fly_base"},
    "fly_words": {"fly_base"},
    "fly_page": {"fly_base", "fly_stream", "fly_words"},
    "fly_guard": {"fly_base", "fly_stream", "fly_words"},
    "fly_plugin": {"fly_base", "fly_engine", "fly_stream", "fly_page", "fly_guard", "fly_words"},
    "fly_export": {"fly_plugin"},
    "fly_sim": {"fly_base", "fly_stream"},
    # what `flyback bench` measures lies with the tests and looks into every room
    "fly_bench": {"fly_plugin", "fly_sim"},
    "flyback": {"fly_bench", "fly_export", "fly_plugin", "fly_sim"},
}


def links(root):
    with open(os.path.join(root, "CMakeLists.txt"), encoding="utf-8") as file:
        text = re.sub(r"#[^\n]*", "", file.read())
    seen = set()
    lines = [(m.group(1), m.group(2)) for m in re.finditer(r"\bfly_room\(\s*(\w+)\s+[^\s)]+([^)]*)\)", text)]
    lines += [
        (m.group(1), m.group(2)) for m in re.finditer(r"\btarget_link_libraries\(\s*(\w+)\s+\w+([^)]*)\)", text)
    ]
    for target, rest in lines:
        ours = {word for word in re.findall(r"\bfly_\w+\b", rest) if word != "fly_flags"}
        if target not in LINKS:
            if ours and target != "fly_flags":
                yield "CMakeLists.txt: %s is no room of the house" % target
            continue
        seen.add(target)
        for extra in sorted(ours - LINKS[target]):
            yield "CMakeLists.txt: %s links %s" % (target, extra)
    for target in ("fly_base", "fly_engine", "fly_stream", "fly_plugin", "fly_sim", "flyback"):
        if target not in seen:
            yield "CMakeLists.txt: no link line of %s was found" % target


# ---- trying the rules -------------------------------------------------------------------------------

RULES = (arrows, purity, owners, links)

# (file, line added at its end, the rule that must find it, words of what it says)
PLANTED = (
    ("engine/base/arena.h", '#include "engine/chip/grid.h"', arrows, "engine/chip/grid.h"),
    ("engine/chip/grid.h", '#include "engine/eds/spectra.h"', arrows, "engine/eds/spectra.h"),
    ("engine/label/support.h", '#include "engine/engine.h"', arrows, "engine/engine.h"),
    ("engine/engine.c", '#include "stream/wire.h"', arrows, "stream/wire.h"),
    ("engine/engine.c", '#include "grid.h"', arrows, '"grid.h"'.strip('"')),
    ("stream/wire.h", '#include "engine/engine.h"', arrows, "engine/engine.h"),
    ("stream/wire.h", '#include "plugin/options.h"', arrows, "plugin/options.h"),
    ("sim/import.h", '#include "engine/engine.h"', arrows, "engine/engine.h"),
    ("sim/import.h", '#include "plugin/json.h"', arrows, "plugin/json.h"),
    ("plugin/session.c", '#include "sim/commands.h"', arrows, "sim/commands.h"),
    ("plugin/main.c", '#include "sim/import.h"', arrows, "sim/import.h"),
    ("engine/engine.c", "#include <pthread.h>", purity, "pthread.h"),
    ("engine/engine.c", "#  include <time.h>", purity, "time.h"),
    ("engine/engine.c", "#include <unistd.h>", purity, "unistd.h"),
    ("engine/chip/grid.c", 'void f(void) { printf ("x"); }', purity, "printf"),
    ("engine/chip/grid.c", "static FILE *f;", purity, "FILE"),
    ("engine/chip/grid.c", 'const char *f(void) { return getenv("A"); }', purity, "getenv"),
    ("engine/base/rng.c", "int f(void) { return clock_gettime(0, 0); }", purity, "clock_gettime"),
    ("plugin/page/cache.c", '#include "engine/engine.h"', arrows, "engine/engine.h"),
    ("plugin/page/client.c", '#include "plugin/bus.h"', arrows, "plugin/bus.h"),
    ("plugin/guard/rules.c", '#include "engine/engine.h"', arrows, "engine/engine.h"),
    ("plugin/guard/guard.h", '#include "plugin/options.h"', arrows, "plugin/options.h"),
    ("plugin/json.c", '#include "plugin/page/page.h"', arrows, "plugin/page/page.h"),
    ("plugin/desk.c", "#include <microhttpd.h>", owners, "microhttpd.h"),
    ("plugin/session.c", "#include <zmq.h>", owners, "zmq.h"),
    ("stream/wire.c", "#include <zmq.h>", owners, "zmq.h"),
    ("plugin/session.c", "#include <msgpack.h>", owners, "msgpack.h"),
    ("plugin/session.c", "#include <liburing.h>", owners, "liburing.h"),
    ("engine/embed/embed.c", "#include <oneapi/dnnl/dnnl.h>", owners, "dnnl.h"),
    ("plugin/session.c", "#include <hdf5.h>", owners, "hdf5.h"),
    ("plugin/session.c", '#include "plugin/export/export.h"', owners, "plugin/export/export.h"),
    ("CMakeLists.txt", "target_link_libraries(fly_sim PUBLIC fly_engine)", links, "fly_sim links fly_engine"),
    ("CMakeLists.txt", "target_link_libraries(fly_guard PUBLIC fly_engine)", links, "fly_guard links fly_engine"),
    ("CMakeLists.txt", "target_link_libraries(fly_chip PUBLIC fly_eds)", links, "fly_chip links fly_eds"),
    ("CMakeLists.txt", "fly_room(fly_cellar engine/cellar fly_base)", links, "fly_cellar"),
)
# What must not be taken for a violation.
HARMLESS = (
    ("engine/chip/grid.c", "/* printf(1); FILE; #include <time.h> */"),
    ("engine/chip/grid.c", '// #include "stream/wire.h"'),
    ("engine/chip/grid.c", 'static const char *f = "open(1) FILE stdout";'),
    ("engine/chip/grid.c", "int snprint_f(void); int my_open(int x);"),
)


def copy_of(root, folder):
    for top in ("engine", "stream", "plugin", "sim"):
        shutil.copytree(os.path.join(root, top), os.path.join(folder, top))
    shutil.copy(os.path.join(root, "CMakeLists.txt"), folder)


def main():
    broken = [text for rule in RULES for text in rule(ROOT)]
    for text in broken:
        print("broken  %s" % text)
    blind = 0
    with tempfile.TemporaryDirectory() as folder:
        copy_of(ROOT, folder)
        for path, line, rule, words in PLANTED:
            full = os.path.join(folder, path)
            if not os.path.exists(full):
                print("blind   %s is gone: plant the violation elsewhere" % path)
                blind += 1
                continue
            before = open(full, encoding="utf-8").read()
            with open(full, "a", encoding="utf-8") as file:
                file.write("\n%s\n" % line)
            found = [text for text in rule(folder) if path in text and words in text]
            if not found:
                print("blind   %s did not find '%s' in %s" % (rule.__name__, line, path))
                blind += 1
            with open(full, "w", encoding="utf-8") as file:
                file.write(before)
        quiet = {text for rule in RULES for text in rule(folder)}
        for path, line in HARMLESS:
            full = os.path.join(folder, path)
            before = open(full, encoding="utf-8").read()
            with open(full, "a", encoding="utf-8") as file:
                file.write("\n%s\n" % line)
            for text in sorted({text for rule in RULES for text in rule(folder)} - quiet):
                print("blind   took '%s' for a violation: %s" % (line, text))
                blind += 1
            with open(full, "w", encoding="utf-8") as file:
                file.write(before)
    print("%d files, %d rules, %d planted violations: %d arrows broken, %d times blind" % (
        len(sources(ROOT)), len(RULES), len(PLANTED), len(broken), blind))
    return 1 if broken or blind else 0


if __name__ == "__main__":
    sys.exit(main())
