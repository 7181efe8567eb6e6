#!/usr/bin/env python3
"""Let Flyback steer a microscope: the acquisition's side of the loop.

It needs pyzmq, msgpack, numpy and flyback_client.py beside it. A Microscope holds the vendor's calls, and nothing
else does: scan a rectangle at a dwell, and take the beam off the specimen. The Controller does the rest: it opens the
session and scans it once, attaches, receives commands, says what became of each, sends the data under the command's id and
frame, and is in the safe state (the line finished, beam off) 2 s after it last heard of its peer, by itself.

    ask    the peer is the plugin: a person approves each suggestion on the page
    auto   the peer is the guard (flyback guard), which holds the limits and stands between

On the command line, with a specimen that is made up, or with a class of yours:

    python3 flyback_steer.py --microscope stub --mode ask
    python3 flyback_steer.py --microscope my_microscope.py --mode auto
"""

import argparse
import importlib.util
import math
import os
import queue
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import flyback_client as client  # noqa: E402 (found by the line above)
from flyback_client import FlybackError, FlybackTimeout  # noqa: E402

import numpy as np  # noqa: E402 (flyback_client has said what is missing)
import zmq  # noqa: E402

__all__ = ["Microscope", "Stub", "Controller", "main"]

GUARD = "tcp://127.0.0.1:5573"
SILENT_S = 1.5  # of the peer: nothing goes on
LINE_S = 0.5  # what a line may take then, before the beam goes off in the middle of it
ASK_S = 0.5  # how often it is asked for its status: ownership goes after 5 s without a request
KNOWN = 4096  # commands that a repeat is recognised of


class Microscope:
    """What Flyback needs of an instrument: put your vendor's calls into a class like this.

    dwell_us  the shortest and the longest dwell that it does
    signals   what it can measure: `both`, `haadf`, `eds`
    """

    dwell_us = (0.1, 10000.0)
    signals = ("both", "haadf", "eds")

    def facts(self):
        """The session: what `start` of the protocol takes. scan_shape_px, detectors [(name, numpy type)], eds; and,
        without which nothing is steered, pixel_nm and beam_current_na."""
        raise NotImplementedError

    def scan(self, y0, x0, h, w, dwell_us, signal):
        """Scan a rectangle and yield what comes, best line by line: a stop takes effect between two yields.

        Yields y, x, (h, w), {detector: pixels (h, w)}, {eds stream: (pixel within the rectangle, channel)}.
        """
        raise NotImplementedError

    def blank(self, off):
        """True: the beam off the specimen, at once. Also called from another thread, while scan waits."""
        raise NotImplementedError


class Stub(Microscope):
    """A specimen that is made up: two lattices side by side, iron in one of them, titanium in the other."""

    SHAPE, NM, CHANNELS, EV = (96, 96), 0.08, 1024, 10.0

    def __init__(self, seed=1):
        self.rng = np.random.default_rng(seed)
        self.is_off = True

    def facts(self):
        return {
            "scan_shape_px": self.SHAPE, "detectors": [("HAADF", "<u2")], "pixel_nm": [self.NM, self.NM],
            "eds": [{"name": "EDS", "n_channels": self.CHANNELS, "ev_per_channel": self.EV, "ev_offset": 0.0}],
            "beam_current_na": 0.05, "beam_energy_kev": 200.0, "elements": ["O", "Ti", "Fe"], "sample": "made up",
        }

    def scan(self, y0, x0, h, w, dwell_us, signal):
        for y in range(y0, y0 + h):
            time.sleep(w * dwell_us * 1e-6)
            x = np.arange(x0, x0 + w)
            right = x >= self.SHAPE[1] // 2 + 8 * math.sin(y / 9)
            wave = np.where(right, np.cos(2 * np.pi * x / 3.1), np.cos(2 * np.pi * x / 5) * math.cos(2 * np.pi * y / 5))
            noise = self.rng.normal(0, 2000 / math.sqrt(dwell_us), w)
            pixels = np.clip(9000 + 3000 * wave + 3000 * right + noise, 0, 65535).astype("<u2")[None]
            pixel = np.repeat(np.arange(w), self.rng.poisson(0.02 * dwell_us, w))
            ev = np.where(self.rng.random(pixel.size) < 0.5, 525, np.where(right[pixel], 6400, 4510))
            channel = np.rint(self.rng.normal(ev, 45) / self.EV).astype(int)
            yield (y, x0, (1, w), {} if signal == "eds" else {"HAADF": pixels},
                   {} if signal == "haadf" else {"EDS": (pixel, channel)})

    def blank(self, off):
        self.is_off = off


class _Peer(client.Control):
    """A control socket that does not wait for its replies: commands come on it as well."""

    def say(self, header):
        try:
            self._socket.send_multipart([b"", client.pack_header(header)], zmq.NOBLOCK)
        except zmq.Again:  # nobody is there who could read it
            pass

    def ask(self, op, **args):
        self.say({"type": "request", "id": op, "op": op, "args": args})

    def check(self):
        """FlybackError when it does not let our key in."""
        self._door.check(self.address)

    def hear(self, wait_ms):
        """The next header, or None."""
        if not self._socket.poll(wait_ms):
            return None
        parts = self._socket.recv_multipart()
        try:
            return client.unpack_header(parts[1]) if len(parts) > 1 and parts[0] == b"" else {}
        except ValueError:  # nothing that we know, but a sign of life
            return {}


def rectangles(target, shape):
    """[(y0, x0, h, w), ...] of whole pixels that a target covers. A line becomes one run of pixels a row."""
    px = [float(v) for v in target["px"]]
    if not all(math.isfinite(v) for v in px) or len(px) != {"point": 2, "box": 4, "line": 4}[target["kind"]]:
        raise ValueError("px %s is no %s" % (px, target["kind"]))
    outside = ValueError("%s %s lies outside the scan of %d x %d px" % (target["kind"], px, shape[0], shape[1]))
    if target["kind"] == "box":
        found = [tuple(int(round(v)) for v in px)]
    else:
        (ya, xa), (yb, xb) = px[:2], px[-2:]
        if min(px) < 0 or max(ya, yb) >= shape[0] or max(xa, xb) >= shape[1]:
            raise outside
        steps = max(1, int(math.ceil(max(abs(yb - ya), abs(xb - xa)))))
        rows = {}
        for k in range(steps + 1):
            y, x = (int(math.floor(a + (b - a) * k / steps)) for a, b in ((ya, yb), (xa, xb)))
            lo, hi = rows.get(y, (x, x))
            rows[y] = min(lo, x), max(hi, x)
        found = [(y, lo, 1, hi - lo + 1) for y, (lo, hi) in rows.items()]
    for y0, x0, h, w in found:
        if y0 < 0 or x0 < 0 or h < 1 or w < 1 or y0 + h > shape[0] or x0 + w > shape[1]:
            raise outside
    return found


def _nothing_yet():
    return {"frames": 0, "pixels": 0, "dwell_us": None}  # the `achieved` of an ack


class Controller:
    """Does what its peer commands on a Microscope, and says so.

        with Controller(microscope, sender, "tcp://127.0.0.1:5573", "auto") as controller:
            controller.survey(dwell_us=2.0)
            controller.run()

    A thread of its own speaks to the peer, so that a stop, a hold and silence are heard while the microscope scans: the line
    is finished, and what was commanded before is not begun any more.

    sender  a started flyback_client.Sender, whose session is steered
    told    called with words about what happens
    keys    what flyback_client.read_keys() gave for the peer, of the role `controller`
    """

    def __init__(self, microscope, sender, peer, mode, told=print, keys=None):
        self.microscope, self.sender, self.address, self.mode, self.told, self.keys = microscope, sender, peer, mode, told, keys
        self.shape = tuple(microscope.facts()["scan_shape_px"])
        self.attached = self.silent = self.held = False
        self.refused = None  # why the peer does not let us attach, once that is final
        self.done = 0
        self._work = queue.Queue()  # (command, era)
        self._acks = queue.SimpleQueue()
        self._said = {}  # cmd_id: the newest ack of it
        self._word = threading.Lock()  # of _said
        self._era = 0  # commands of an earlier one are not begun, and end with their line
        self._scanning = False
        self._dark_at = None  # when the beam goes off whatever the scan does
        self._beam = threading.Lock()  # of these three, and of blank()
        self._last_frame = -1
        self._survey_us = microscope.dwell_us[0]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._talk, name="peer", daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        while not self._work.empty():
            self._ack(self._work.get()[0], "rejected", "this controller ends")
        self._over.set()
        self._thread.join()
        self.microscope.blank(True)

    # -- the microscope: the caller's thread

    def survey(self, dwell_us):
        """One whole frame, of ours: what the first decision is made from."""
        self._survey_us = dwell_us
        plan = range(1), [(0, 0) + self.shape], [dwell_us], "both"
        if not self._scan(None, plan, self._era, _nothing_yet()):
            raise FlybackError(self.refused or "the survey was broken off: %s was silent, or is held" % self.address)

    def run(self, seconds=None):
        """Do what is commanded until the time is over, or the plugin says that nothing more is worth measuring."""
        end = None if seconds is None else time.monotonic() + seconds
        look = time.monotonic() + 1
        while end is None or time.monotonic() < end:
            if self.refused:
                raise FlybackError(self.refused)
            try:
                command, era = self._work.get(timeout=0.05)
            except queue.Empty:
                try:
                    self.sender.poll()
                    if time.monotonic() < look or not self.attached:
                        continue
                    look = time.monotonic() + 1
                    why = (self.sender.control.status(timeout_s=1.0).get("steer") or {}).get("stop")
                except FlybackTimeout:  # the plugin is away: the beam is off, and its return is waited for
                    continue
                if why:
                    return self.told("nothing more to measure: %s" % why)
                continue
            self._do(command, era)

    def _do(self, command, era):
        if era != self._era:
            return self._ack(command, "rejected", "withdrawn before it began")
        if command["kind"] in ("stop", "blank"):
            return self._ack(command, "done")  # in order: what ran has ended
        try:
            plan = self._plan(command)
        except (KeyError, TypeError, ValueError) as wrong:  # what cannot be
            return self._ack(command, "rejected", "%s: %s" % (type(wrong).__name__, wrong))
        if time.time_ns() > command["valid_until_ns"]:
            return self._ack(command, "rejected", "expired")
        self._ack(command, "started")
        achieved = _nothing_yet()
        try:
            whole = self._scan(command["cmd_id"], plan, era, achieved)
        except Exception as wrong:
            self._ack(command, "rejected", str(wrong), achieved)
            raise
        self.done += 1
        return self._ack(command, "done", None if whole else "stopped", achieved)

    def _plan(self, command):
        """Frames, rectangles, the dwell of each, and the signal. ValueError: what it does not do."""
        first = command.get("frame")
        first = self._last_frame + 1 if first is None else int(first)
        frames = range(first, first + int(command.get("frames") or 1))
        if first < 0 or not frames:
            raise ValueError("frames %s from %s" % (command.get("frames"), first))
        if command["kind"] == "raster":
            return frames, [(0, 0) + self.shape], [self._dwell(command.get("dwell_us") or self._survey_us)], "both"
        boxes, dwells, signals = [], [], set()
        for target in command["targets"]:
            of_target = rectangles(target, self.shape)
            boxes += of_target
            dwells += [self._dwell(target["dwell_us"])] * len(of_target)
            signals.add(target["signal"])
        if len(signals) != 1 or not signals <= set(self.microscope.signals):
            raise ValueError("signals %s: one of %s is needed" % (sorted(signals), ", ".join(self.microscope.signals)))
        return frames, boxes, dwells, signals.pop()

    def _dwell(self, dwell_us):
        least, most = self.microscope.dwell_us
        if not least <= float(dwell_us) <= most:
            raise ValueError("dwell %g us: this microscope does %g .. %g" % (dwell_us, least, most))
        return float(dwell_us)

    def _scan(self, cmd_id, plan, era, achieved):
        """Measure and send; beam off at the end. False: broken off after a line, by a stop, a hold or silence."""
        (frames, boxes, dwells, signal), time_us = plan, 0.0
        self._last_frame = max(self._last_frame, frames[-1])
        with self._beam:
            if era != self._era:
                return False
            self._scanning, self._dark_at = True, None
            self.microscope.blank(False)
        try:
            for frame, box, dwell_us in ((f, *what) for f in frames for what in zip(boxes, dwells)):
                about = {"frame": frame, "dwell_us": dwell_us, "cmd_id": cmd_id}
                for y, x, shape, images, photons in self.microscope.scan(*box, dwell_us, signal):
                    if not self._scanning:
                        return False  # the beam went off in the middle of it
                    for name, pixels in images.items():
                        self.sender.lines(name, pixels, y, x, **about)
                    for name, (pixel, channel) in photons.items():
                        self.sender.eds_pairs(name, pixel, channel, y, x, shape, **about)
                    time_us += shape[0] * shape[1] * dwell_us
                    achieved["frames"] = frame - frames[0] + 1
                    achieved["pixels"] += shape[0] * shape[1]
                    achieved["dwell_us"] = time_us / achieved["pixels"]
                    if era != self._era:
                        return False
            return True
        finally:
            with self._beam:
                self._scanning = False
                self.microscope.blank(True)

    # -- the peer: a thread of its own

    def _talk(self):
        try:
            with _Peer(self.address, keys=self.keys) as peer:
                self._serve(peer)
                self._say_acks(peer)
                peer.ask("steer.detach")
                peer.hear(200)
        except Exception as wrong:  # nobody listens any more: as if the peer were silent
            self._halt(0)
            self.refused = str(wrong)

    def _serve(self, peer):
        heard, asked = time.monotonic(), 0.0
        while not self._over.is_set():
            self._say_acks(peer)
            now = time.monotonic()
            if now - asked >= ASK_S:
                asked = now
                if self.attached:
                    peer.ask("status")
                else:
                    peer.ask("steer.attach", mode=self.mode, by=type(self.microscope).__name__[:63])
            header = peer.hear(10)
            now = time.monotonic()
            if header is not None:
                heard, self.silent = now, False
                self._take(header)
            elif not self.silent and now - heard > SILENT_S:
                self.silent, self.attached = True, False
                self._halt(LINE_S)
                self.told("%s is silent: the beam goes off" % self.address)
                peer.check()
            self._darken()

    def _say_acks(self, peer):
        while not self._acks.empty():
            peer.say(self._acks.get())

    def _halt(self, line_s):
        """What was commanded so far ends with its line, which has so long."""
        with self._beam:
            self._era += 1
            self._dark_at = time.monotonic() + line_s
        self._darken()

    def _darken(self):
        with self._beam:
            if self._dark_at is None or (self._scanning and time.monotonic() < self._dark_at):
                return
            self._dark_at = None
            self._scanning = False
            self.microscope.blank(True)

    def _take(self, header):
        if header.get("type") == "command" and isinstance(header.get("cmd_id"), (int, str)):
            self._take_command(header)
        elif header.get("type") == "reply":
            self._take_reply(header.get("id"), header)
        elif header.get("type") == "heartbeat":  # the guard's
            self._hold(bool(header.get("held")))

    def _take_reply(self, op, reply):
        if op == "steer.attach" and reply.get("ok"):
            self.attached = True
            self.told("attached to %s, mode %s" % (self.address, self.mode))
        elif op == "steer.attach":
            error = reply.get("error") or {}
            # Another owner goes, a session comes, a restart ends; what else is wrong stays wrong.
            if error.get("code") not in ("busy", "no_session", "resuming"):
                self.refused = "%s does not let us attach: %s" % (self.address, error.get("message", error))
        elif op == "status" and reply.get("ok"):
            result = reply.get("result") or {}
            if not result.get("owner", result.get("acquisition")):
                self.attached = False  # it was restarted, or we were too late: attach again
            self._hold(bool((result.get("steer") or result).get("held")))

    def _hold(self, held):
        if held and not self.held:
            self._halt(LINE_S)
        if held != self.held:
            self.told("held: nothing is measured" if held else "no longer held")
        self.held = held

    def _take_command(self, command):
        kind, until_ns = command.get("kind"), command.get("valid_until_ns")
        halts = kind in ("stop", "blank")
        if halts:  # as often as it comes
            self._halt(LINE_S if kind == "stop" else 0)
        with self._word:
            before = self._said.get(command["cmd_id"])
        if before:  # never measured twice, whatever the reason that it comes again
            return self._acks.put(before)
        if not halts:
            if kind not in ("box", "point_list", "line", "raster") or not isinstance(until_ns, int):
                return self._ack(command, "rejected", "not understood: kind %r, valid_until_ns %r" % (kind, until_ns))
            if self.held or time.time_ns() > until_ns:
                return self._ack(command, "rejected", "held" if self.held else "expired")
        self._ack(command, "received")
        self._work.put((command, self._era))

    def _ack(self, command, status, reason=None, achieved=None):
        said = {"type": "ack", "cmd_id": command.get("cmd_id"), "status": status, "reason": reason, "achieved": achieved}
        with self._word:
            self._said[said["cmd_id"]] = said
            while len(self._said) > KNOWN:
                self._said.pop(next(iter(self._said)))
        self._acks.put(said)
        if status != "received":
            self.told("%s %s %s%s" % (command.get("kind"), said["cmd_id"], status, ": " + reason if reason else ""))


# ---- command line -----------------------------------------------------------------------------------


def microscope_of(word):
    """`stub`, or the Microscope that a Python file defines last."""
    if word == "stub":
        return Stub()
    spec = importlib.util.spec_from_file_location("microscope", word)
    if spec is None or not os.path.exists(word):
        raise FlybackError("--microscope %s: `stub`, or a Python file with a class made from Microscope" % word)
    sys.modules.setdefault("flyback_steer", sys.modules[__name__])  # so that its Microscope is this one
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = [made for made in vars(module).values()
             if isinstance(made, type) and issubclass(made, Microscope) and made.__module__ == "microscope"]
    if not found:
        raise FlybackError("--microscope %s: it has no class made from flyback_steer.Microscope" % word)
    return found[-1]()


def steer(args, microscope):
    facts = dict(microscope.facts(), pixel_time_us=args.survey_dwell_us)
    peer = args.peer or (GUARD if args.mode == "auto" else args.control)

    def told(words):
        print(words, flush=True)

    keys = client.read_keys(args.keys, args.server_key)
    peer_keys = client.read_keys(args.keys, args.peer_key or args.server_key)
    with client.Sender(args.ingest, args.control, args.publish, session=args.session, keys=keys) as sender:
        sender.start(facts.pop("scan_shape_px"), facts.pop("detectors"), facts.pop("eds", ()), **facts)
        with Controller(microscope, sender, peer, args.mode, told, peer_keys) as controller:
            controller.survey(args.survey_dwell_us)
            controller.run(args.seconds)
        sender.stop()
        told("session %s: %d commands done" % (sender.session, controller.done))


def _parser(needs_microscope):
    parser = argparse.ArgumentParser(
        prog="flyback_steer.py",
        description="Let Flyback steer a microscope: scan once, then measure what it commands. Ctrl-C ends it, beam off.")
    if needs_microscope:
        parser.add_argument("--microscope", required=True, metavar="stub|FILE.py",
                            help="a made-up specimen, or a file with your class made from flyback_steer.Microscope")
    parser.add_argument("--mode", choices=("ask", "auto"), default="ask",
                        help="ask (default): a person approves each step on the page; auto: through the guard")
    parser.add_argument("--peer", metavar="ADDRESS", help="who commands; default: --control in ask, %s in auto" % GUARD)
    parser.add_argument("--survey-dwell-us", type=float, default=10.0, metavar="US",
                        help="of the first frame; default %(default)s")
    parser.add_argument("--session", metavar="ID", help="default: a new uuid")
    parser.add_argument("--seconds", type=float, metavar="S", help="end after so long; default: when nothing more is worth it")
    parser.add_argument("--ingest", default=client.INGEST, metavar="ADDRESS", help="default %(default)s")
    parser.add_argument("--publish", default=client.PUBLISH, metavar="ADDRESS", help="default %(default)s")
    parser.add_argument("--control", default=client.CONTROL, metavar="ADDRESS", help="default %(default)s")
    parser.add_argument("--keys", metavar="DIR", help="your pair (flyback keygen --role instrument,controller)")
    parser.add_argument("--server-key", metavar="FILE", help="Flyback's public.key, or the 40 characters themselves")
    parser.add_argument("--peer-key", metavar="FILE", help="the guard's, in auto; default: --server-key")
    return parser


def main(argv=None, microscope=None):
    """The command line; with a microscope, of that one."""
    args = _parser(microscope is None).parse_args(argv)
    try:
        steer(args, microscope or microscope_of(args.microscope))
    except FlybackError as wrong:
        print("flyback_steer: %s" % wrong, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
