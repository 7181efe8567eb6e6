"""What the Python tests share: a Flyback of their own to talk to, golden scenes, and a small runner.

Each test file ends in run(...) with its claims in order. A claim that cannot be tried here raises NotRun and
is told loudly; when nothing could be tried, the exit status is 77.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

import msgpack
import numpy as np
import zmq

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT = os.path.dirname(TESTS)
SHARED = os.path.join(os.path.dirname(ROOT), "shared")
sys.path.insert(0, os.path.join(ROOT, "plugin", "clients", "python"))

import flyback_client as fc  # noqa: E402 (found by the line above)

BINARY = os.environ.get("FLYBACK", os.path.join(ROOT, "build", "default", "flyback"))
# Sanitizers make everything slower: CMake says by how much the waiting is stretched.
SLOW = float(os.environ.get("FLY_TEST_SLOW", "1"))


class NotRun(Exception):
    """Something that this test needs is not on this machine."""


def wait_until(done, timeout_s=10.0, what="a condition"):
    """Wait for done() to be true and return what it gave."""
    end = time.monotonic() + timeout_s * SLOW
    while True:
        got = done()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError("%s did not come true within %g s" % (what, timeout_s * SLOW))
        time.sleep(0.005)


def shared(*path):
    """A path below ../shared. NotRun when it is not there."""
    full = os.path.join(SHARED, *path)
    if not os.path.exists(full):
        raise NotRun("%s is absent" % full)
    return full


# ---- the program ------------------------------------------------------------------------------------


class Flyback:
    """`flyback run` on sockets and a recording folder of its own, ready when made.

    settings  {key: value}
    folder    where sockets and recordings lie; an own one, removed at the end, when not given
    keys      fc.read_keys() of an operator who is in the allow-list, where the settings name keys
    """

    def __init__(self, settings=None, folder=None, crash_at=None, wait=True, keys=None):
        self.own = folder is None
        # short: the path of an ipc socket has room for about a hundred letters
        self.folder = folder or tempfile.mkdtemp(prefix="fly.")
        self.ingest, self.publish, self.control = (
            "ipc://%s/%s" % (self.folder, name) for name in ("ingest", "publish", "control")
        )
        self.settings = {
            "sockets.ingest": self.ingest,
            "sockets.publish": self.publish,
            "sockets.control": self.control,
            "recording.dir": os.path.join(self.folder, "recordings"),
            "page.listen": "",  # plugins of several tests at once would want the same port
        }
        self.settings.update(settings or {})
        self.log = os.path.join(self.folder, "log")
        self.keys = keys
        self.process = None
        self.start(crash_at, wait)

    def start(self, crash_at=None, wait=True):
        command = [BINARY, "run"]
        for key, value in self.settings.items():
            command += ["--set", "%s=%s" % (key, value)]
        if crash_at:
            command += ["--crash-at", crash_at]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        if wait:
            self.wait_ready()

    def wait_ready(self):
        with fc.Control(self.control, timeout_s=0.2, keys=self.keys) as control:

            def answers():
                if self.process.poll() is not None:
                    raise AssertionError("flyback run ended with %s:\n%s" % (self.process.returncode, self.log_text()))
                try:
                    return control.status()
                except fc.FlybackTimeout:
                    return None

            return wait_until(answers, 20, "flyback run to be ready")

    def log_text(self):
        try:
            with open(self.log, errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    def sender(self, **more):
        more.setdefault("timeout_s", 20.0 * SLOW)
        more.setdefault("keys", self.keys)
        return fc.Sender(self.ingest, self.control, self.publish, **more)

    def viewer(self, ask=True, keys=None):
        """ask False: a viewer that has no control socket to ask for maps."""
        return fc.Viewer(self.publish, self.control if ask else None, keys=keys or self.keys)

    def controller(self, keys=None):
        return fc.Control(self.control, timeout_s=20.0 * SLOW, keys=keys or self.keys)

    def recording(self, session):
        return os.path.join(self.settings["recording.dir"], session + ".fly")

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        if self.process:
            self.process.wait()

    def end(self, how=signal.SIGTERM, timeout_s=5.0):
        """Ask it to end; its exit status."""
        self.process.send_signal(how)
        return self.process.wait(timeout_s * SLOW)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        status = None
        if self.process.poll() is None:
            try:
                status = self.end()
            except subprocess.TimeoutExpired:
                self.kill()
                status = "none within 5 s of SIGTERM"
        if kind is not None or status not in (None, 0):
            if status is None:
                print("---- flyback run was gone already: exit status %s" % self.process.returncode)
            print("---- the log of flyback run\n%s----" % self.log_text()[-12000:])
        if self.own:
            shutil.rmtree(self.folder, ignore_errors=True)
        if kind is None and status not in (None, 0):
            raise AssertionError("flyback run ended with %s, not 0, after SIGTERM" % status)


def flyback(*args, status=0, timeout_s=120.0, **more):
    """Run a subcommand to its end; what it wrote to stdout and stderr."""
    done = subprocess.run(
        [BINARY] + [str(a) for a in args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=timeout_s * SLOW,
        text=True,
        **more,
    )
    if status is not None and done.returncode != status:
        raise AssertionError(
            "flyback %s ended with %s, not %s:\n%s%s"
            % (" ".join(str(a) for a in args), done.returncode, status, done.stdout[-2000:], done.stderr[-4000:])
        )
    return done


class Raw:
    """An ingest socket for messages that a good client never sends."""

    def __init__(self, fly, session=""):
        self.session = session
        self.socket = zmq.Context.instance().socket(zmq.PUSH)
        self.socket.setsockopt(zmq.LINGER, 5000)
        self.socket.connect(fly.ingest)
        self.seq = {}
        self.sent = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def parts(self, *parts):
        self.socket.send_multipart([bytes(p) for p in parts])
        self.sent += 1

    def head(self, kind, stream, seq=None, **more):
        """A header as a good client writes it; seq None takes the next number of the stream."""
        if seq is None:
            seq = self.seq.get(stream, 0) + 1
        if seq is not DROP:
            self.seq[stream] = max(self.seq.get(stream, 0), seq)
        made = {"type": kind, "session": self.session, "stream": stream, "seq": seq, "t_ns": time.time_ns()}
        made.update(more)
        return {k: v for k, v in made.items() if v is not DROP}

    def send(self, kind, stream, *payloads, **more):
        """Pack, send, and return the parts, for sending them again."""
        parts = [msgpack.packb(self.head(kind, stream, **more))] + [bytes(p) for p in payloads]
        self.parts(*parts)
        return parts

    def lines(self, stream, pixels, y0, x0=0, frame=0, **more):
        pixels = np.ascontiguousarray(pixels)
        more.setdefault("dtype", "<%s%d" % (pixels.dtype.kind, pixels.dtype.itemsize))
        more.setdefault("shape", list(pixels.shape))
        return self.send("lines", stream, pixels.tobytes(), frame=frame, y0_px=y0, x0_px=x0, **more)


DROP = object()  # as a value in Raw.head: leave this key out


class Counters:
    """The counters of the newest heartbeat, and what they grew by since they were last looked at."""

    def __init__(self, viewer):
        self.viewer = viewer
        self.before = {}

    def now(self):
        beat = self.viewer.heartbeat
        if not beat:
            return {}
        flat = {k: v for k, v in beat["counters"].items() if not isinstance(v, dict)}
        flat.update({"refused." + k: v for k, v in (beat["counters"].get("refused") or {}).items()})
        return flat

    def expect(self, messages, want, keys=()):
        """Wait until so many messages were seen and what grew since the last call is `want`, of the
        counters of order, of refusals, and `keys`."""
        seen = {}

        def as_wanted():
            self.viewer.poll(0.02)
            now = self.now()
            if now.get("messages", 0) < messages:
                return False
            seen.clear()
            for key, value in now.items():
                if value != self.before.get(key, 0) and (key in self.ORDER or key in keys or key.startswith("refused.")):
                    seen[key] = value - self.before.get(key, 0)
            return seen == want

        try:
            wait_until(as_wanted, 5, "counters")
        except AssertionError:
            raise AssertionError("after %d messages: grew by %s, not %s (last heartbeat: %s)" % (messages, seen, want, self.now()))
        self.before = self.now()

    ORDER = ("repeat", "conflict", "reorder", "gap")

    def wait_messages(self, messages):
        """Wait for a heartbeat that has seen so many messages; what grew since the last call."""
        try:
            self.viewer.wait(lambda: self.now().get("messages", 0) >= messages, 10 * SLOW)
        except fc.FlybackTimeout:
            raise AssertionError("no heartbeat with %d messages; the last has %s" % (messages, self.now()))
        now = self.now()
        grown = {k: v - self.before.get(k, 0) for k, v in now.items() if v != self.before.get(k, 0)}
        self.before = now
        return grown


# ---- scenes -----------------------------------------------------------------------------------------


class Case:
    """A folder as in golden/: an image, events, parameters."""

    def __init__(self, folder):
        import json

        self.folder = folder
        with open(os.path.join(folder, "params.json")) as file:
            self.params = json.load(file)
        self.haadf = np.load(os.path.join(folder, "haadf.npy"))
        y, x, ch = (np.load(os.path.join(folder, "ev_%s.npy" % k)).astype(np.int64) for k in ("y", "x", "ch"))
        keep = ch < self.params["n_ch"]  # beyond is dropped by definition 6; here no start declares more
        order = np.argsort(y[keep], kind="stable")
        self.y, self.x, self.ch = (a[keep][order] for a in (y, x, ch))
        self.classes = self.params["classes"]
        self.shape = self.haadf.shape

    def expected(self, name):
        return np.load(os.path.join(self.folder, "expected", name + ".npy"))

    def settings(self, model="spectral"):
        p = self.params
        made = {
            "profile": "paper",
            "chip.size_px": p["chip"],
            "chip.rows": p["rows"],
            "chip.cols": p["cols"],
            "haadf.lo": p["lo"],
            "haadf.hi": p["hi"],
            "embed.model": model,
            "embed.weights": "",
            "embed.input_px": 0,
            "fewshot.weights": "1,1",
            "eds.line_table": "golden",
            "eds.method": p["eds_method"],
        }
        if model == "vgg16":
            made.update(
                {"embed.weights": p["weights"], "embed.tap": p["tap"], "embed.input_px": p["size"],
                 "embed.preproc": p["preproc"]}
            )
        return made

    def support(self):
        """[(class, [[row, col], ...])] in the order of their ids."""
        cols = self.params["cols"]
        return [(name, [[k // cols, k % cols] for k in chips]) for name, chips in zip(self.classes, self.params["support"])]

    def segment(self):
        p = self.params
        return {"name": "EDS", "n_channels": p["n_ch"], "ev_per_channel": 1000 * p["de"], "ev_offset": 1000 * p["e0"]}

    def start(self, sender, **more):
        px = self.params["px_nm"]
        sender.start(self.shape, [("HAADF", self.haadf.dtype)], [self.segment()], pixel_nm=[px, px],
                     frames_planned=1, **more)

    def photons(self, y0, x0, h, w):
        """pixel and channel of the photons of a rectangle, pixels row-major in it."""
        lo, hi = np.searchsorted(self.y, [y0, y0 + h])
        y, x, ch = self.y[lo:hi], self.x[lo:hi], self.ch[lo:hi]
        keep = (x >= x0) & (x < x0 + w)
        return (y[keep] - y0) * w + (x[keep] - x0), ch[keep]

    def send_eds(self, sender, y0, x0, h, w, layout="pairs"):
        pixel, ch = self.photons(y0, x0, h, w)
        if layout == "pairs":
            sender.eds_pairs("EDS", pixel, ch, y0, x0, [h, w], frame=0)
        elif layout == "csr":
            order = np.argsort(pixel, kind="stable")
            pointers = np.searchsorted(pixel[order], np.arange(h * w + 1))
            sender.eds_csr("EDS", pointers, ch[order], y0, x0, [h, w], frame=0)
        else:
            counts = np.zeros((h * w, self.params["n_ch"]), dtype="<u1")
            np.add.at(counts, (pixel, ch), 1)
            sender.eds_dense("EDS", counts.reshape(h, w, -1), y0, x0, frame=0)

    def send_raster(self, sender, y0=0, y1=None):
        for y in range(y0, self.shape[0] if y1 is None else y1):
            sender.lines("HAADF", self.haadf[y], y)
            self.send_eds(sender, y, 0, 1, self.shape[1])

    def analyze(self, settings, out):
        """What `flyback analyze` makes of the same case: {suffix: labels as (R, C)}."""
        args = ["analyze", "--case", self.folder, "--no-pictures", "--out", out]
        for key, value in settings.items():
            args += ["--set", "%s=%s" % (key, value)]
        flyback(*args)
        return labels_of(out, (self.params["rows"], self.params["cols"]))


def labels_of(out, shape):
    """Few-shot labels that analyze wrote: haadf, eds, ensemble (of the configured weights, 1 and 1)."""
    named = {}
    for modality, names in (("haadf", ["fs_label_emb"]), ("eds", ["fs_label_at"]),
                            ("ensemble", ["fs_label_ens_1_1"])):
        for name in names:
            path = os.path.join(out, name + ".npy")
            if modality not in named and os.path.exists(path):
                named[modality] = np.load(path).reshape(shape)
    return named


def rectangles(rng, h, w, least=4):
    """A random partition of (h, w) into rectangles [(y0, x0, h, w)], in random order."""
    done, todo = [], [(0, 0, h, w)]
    while todo:
        y0, x0, hh, ww = todo.pop()
        split_y = hh >= 2 * least and (hh >= ww or rng.random() < 0.5)
        if hh * ww < 64 or (not split_y and ww < 2 * least) or (hh * ww < 900 and rng.random() < 0.4):
            done.append((y0, x0, hh, ww))
        elif split_y:
            cut = int(rng.integers(least, hh - least + 1))
            todo += [(y0, x0, cut, ww), (y0 + cut, x0, hh - cut, ww)]
        else:
            cut = int(rng.integers(least, ww - least + 1))
            todo += [(y0, x0, hh, cut), (y0, x0 + cut, hh, ww - cut)]
    rng.shuffle(done)
    return [tuple(int(v) for v in r) for r in done]


METHODS = ("fewshot", "community", "ward")
MODALITIES = ("haadf", "eds", "ensemble")
# of a session that has an image and spectra, and no more chips than graph.chips_max and tree.chips_max
MAPS = [(method, modality) for method in METHODS for modality in MODALITIES]


def all_there(viewer, maps=MAPS):
    """The viewer has these maps, and no other one."""
    assert set(viewer.maps) <= set(maps), "maps that should not be: %s" % sorted(set(viewer.maps) - set(maps))
    return set(viewer.maps) == set(maps)


def all_final(viewer, maps=MAPS):
    return all_there(viewer, maps) and all(m.final for m in viewer.maps.values())


def same_map(a, b, what):
    """Two maps (or their arrays) are equal to the bit: labels, and confidence where both have one."""
    la, lb = getattr(a, "labels", a), getattr(b, "labels", b)
    assert np.array_equal(la, lb), "%s: labels differ at %s" % (what, np.argwhere(np.asarray(la) != lb)[:6].tolist())
    if hasattr(a, "confidence") and hasattr(b, "confidence"):
        assert a.confidence.tobytes() == b.confidence.tobytes(), "%s: confidences differ" % what


def canon(labels):
    """Ids anew, by first appearance; what is below 0 stays."""
    labels = np.asarray(labels)
    known = {}
    for label in labels.ravel().tolist():
        if label >= 0:
            known.setdefault(label, len(known))
    return np.array([known.get(label, label) for label in labels.ravel().tolist()], labels.dtype).reshape(labels.shape)


def same_partition(a, b, what):
    """Two maps (or their arrays) divide the chips alike, whatever the numbers; confidences to the bit."""
    la, lb = canon(getattr(a, "labels", a)), canon(getattr(b, "labels", b))
    assert np.array_equal(la, lb), "%s: partitions differ at %s" % (what, np.argwhere(la != lb)[:6].tolist())
    if hasattr(a, "confidence") and hasattr(b, "confidence"):
        assert a.confidence.tobytes() == b.confidence.tobytes(), "%s: confidences differ" % what


# ---- the runner -------------------------------------------------------------------------------------


def run(*claims, timeout_s=60.0):
    """Try each claim; exit 0, 1, or 77 when none could be tried. Arguments choose claims by name."""
    chosen = [c for c in claims if not sys.argv[1:] or c.__name__ in sys.argv[1:]]
    failed = not_run = 0

    def late(*_):
        raise AssertionError("not done within %g s" % (timeout_s * SLOW))

    signal.signal(signal.SIGALRM, late)
    for claim in chosen:
        name = claim.__name__.replace("_", " ")
        began = time.monotonic()
        signal.alarm(int(timeout_s * SLOW))
        try:
            told = claim()
            print("ok      %s (%.1f s)%s" % (name, time.monotonic() - began, ": %s" % told if told else ""))
        except NotRun as why:
            not_run += 1
            print("NOT RUN: %s: %s" % (name, why))
        except Exception:  # whatever went wrong, the other claims are still tried
            failed += 1
            print("FAILED  %s (%.1f s)" % (name, time.monotonic() - began))
            traceback.print_exc(file=sys.stdout)
        finally:
            signal.alarm(0)
        sys.stdout.flush()
    print("%d passed, %d failed, %d not run" % (len(chosen) - failed - not_run, failed, not_run))
    sys.exit(1 if failed or not chosen else 77 if not_run == len(chosen) else 0)
