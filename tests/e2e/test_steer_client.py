"""The Python controller, against a plugin that is made here from the protocol page alone, and against the real one.

A microscope of the test hands out its lines one at a time when told to, so that nothing hangs on how fast it runs.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import uuid

import msgpack
import numpy as np
import zmq

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from flyback_test import BINARY, ROOT, SLOW, Flyback, flyback, run, wait_until  # noqa: E402

import flyback_client as fc  # noqa: E402 (flyback_test.py put its folder in the path)
import flyback_steer as fs  # noqa: E402

CLIENT = os.path.join(ROOT, "plugin", "clients", "python", "flyback_steer.py")
MINUTE_NS = 60 * 10**9


class Plugin:
    """What a controller meets of Flyback: three sockets, a session, an owner; the test says what is commanded."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="fly.")
        self.names = {name: "ipc://%s/%s" % (self.folder, name) for name in ("ingest", "publish", "control")}
        self.session, self.state, self.last = "", "idle", {}
        self.data, self.acks, self.asked = [], [], []  # headers with payloads; acks; (op, args)
        self.peer = None  # who attached
        self.held = self.deaf = False
        self.refuse = None
        self._commands = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def command(self, kind, targets=(), **more):
        """Send one; its id."""
        made = {"type": "command", "cmd_id": "c-" + uuid.uuid4().hex[:8], "decision_id": "d1", "kind": kind,
                "targets": list(targets), "frame": 1, "frames": 1, "dwell_us": 40.0, "as_of": {},
                "valid_until_ns": time.time_ns() + MINUTE_NS}
        made.update(more)
        self._commands.append(made)
        return made["cmd_id"]

    def words(self, cmd_id):
        """Statuses of its acks so far."""
        return [ack["status"] for ack in list(self.acks) if ack["cmd_id"] == cmd_id]

    def wait_words(self, cmd_id, *statuses):
        try:
            wait_until(lambda: self.words(cmd_id) == list(statuses), 10, cmd_id)
        except AssertionError:
            raise AssertionError("%s of command %s, not %s" % (self.words(cmd_id), cmd_id, list(statuses)))
        return [ack for ack in self.acks if ack["cmd_id"] == cmd_id][-1]

    def measured(self, cmd_id, kind="lines"):
        """{frame: set of pixels} that data of the command cover, none of them twice."""
        frames = {}
        for header, _ in list(self.data):
            if header["type"] == kind and header.get("cmd_id") == cmd_id:
                (h, w), y0, x0 = header["shape"], header["y0_px"], header["x0_px"]
                pixels = {(y, x) for y in range(y0, y0 + h) for x in range(x0, x0 + w)}
                have = frames.setdefault(header["frame"], set())
                assert not have & pixels, "pixels of %s twice" % cmd_id
                have |= pixels
        return frames

    def _run(self):
        context = zmq.Context.instance()
        ingest, publish, control = (context.socket(kind) for kind in (zmq.PULL, zmq.PUB, zmq.ROUTER))
        for socket, name in ((ingest, "ingest"), (publish, "publish"), (control, "control")):
            socket.setsockopt(zmq.LINGER, 0)
            socket.bind(self.names[name])
        poller = zmq.Poller()
        poller.register(ingest, zmq.POLLIN)
        poller.register(control, zmq.POLLIN)
        while not self._over.is_set():
            ready = dict(poller.poll(5))
            if ingest in ready:
                self._take(ingest.recv_multipart())
            if control in ready:
                self._answer(control, control.recv_multipart())
            while self._commands and self.peer and not self.deaf:
                control.send_multipart([self.peer, b"", msgpack.packb(self._commands.pop(0))])
            topics = ("heartbeat", "stop") if self.state == "drained" else ("heartbeat",)
            for topic in topics:
                head = {"type": topic, "session": self.session, "stream": topic, "seq": 1, "t_ns": time.time_ns(),
                        "durable_seq": dict(self.last), "drained": True}
                publish.send_multipart([topic.encode(), msgpack.packb(head)])
        for socket in (ingest, publish, control):
            socket.close()

    def _take(self, parts):
        header = msgpack.unpackb(parts[0])
        self.last[header["stream"]] = header["seq"]
        if header["type"] == "start":
            self.session, self.state, self.start = header["session"], "running", header
        elif header["type"] == "stop":
            self.state = "drained"
        elif header["type"] != "heartbeat":
            self.data.append((header, parts[1:]))

    def _answer(self, control, parts):
        who, empty, raw = parts
        header = msgpack.unpackb(raw)
        assert empty == b""
        if self.deaf:
            return
        if header["type"] == "ack":
            self.acks.append(header)
            return
        self.asked.append((header["op"], header["args"]))
        reply = {"type": "reply", "id": header["id"], "ok": True, "result": {}}
        if header["op"] == "status":
            reply["result"] = {"state": self.state, "session": self.session, "owner": {"mode": "ask"} if self.peer else None,
                               "steer": {"held": self.held, "stop": None}}
        elif header["op"] == "steer.attach" and self.refuse:
            reply.update(ok=False, result=None, error={"code": self.refuse[0], "message": self.refuse[1]})
        elif header["op"] == "steer.attach":
            self.peer = who
        elif header["op"] == "steer.detach":
            self.peer = None
        control.send_multipart([who, b"", msgpack.packb(reply)])


class Stepped(fs.Stub):
    """The made-up specimen, whose lines wait for steps when it is told to."""

    def __init__(self):
        super().__init__()
        self.steps = None  # a semaphore: a line waits for it
        self.line = threading.Event()  # a line waits
        self.beam = []  # (when, off)

    def scan(self, *args):
        for block in super().scan(*args):
            self.line.set()
            if self.steps and not self.steps.acquire(timeout=20 * SLOW):
                raise RuntimeError("no step came")
            yield block

    def blank(self, off):
        super().blank(off)
        self.beam.append((time.monotonic(), off))


class Sitting:
    """A plugin, a microscope that has scanned its survey, and a controller that runs."""

    def __init__(self, mode="ask"):
        self.plugin, self.microscope, self.words = Plugin(), Stepped(), []
        facts = dict(self.microscope.facts())
        self.sender = fc.Sender(*(self.plugin.names[n] for n in ("ingest", "control", "publish")), timeout_s=20 * SLOW)
        self.sender.start(facts.pop("scan_shape_px"), facts.pop("detectors"), facts.pop("eds"), **facts)
        self.control = fs.Controller(self.microscope, self.sender, self.plugin.names["control"], mode, self.words.append)
        self.control.__enter__()
        self.control.survey(1.0)
        self.failed = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        wait_until(lambda: self.plugin.peer, 10, "the controller to attach")

    def _run(self):
        try:
            while not self._end.is_set():
                self.control.run(0.1)
        except Exception as wrong:
            self.failed = wrong

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._end.set()
        if self.microscope.steps:
            for _ in range(1000):
                self.microscope.steps.release()
        self._thread.join()
        self.control.__exit__()
        self.sender.close()
        self.plugin.__exit__()


def box(y0, x0, h, w, dwell_us=40.0, signal="both"):
    return {"kind": "box", "px": [y0, x0, h, w], "dwell_us": dwell_us, "signal": signal, "reason": "margin"}


def pixels(y0, x0, h, w):
    return {(y, x) for y in range(y0, y0 + h) for x in range(x0, x0 + w)}


def the_session_is_surveyed_once_before_anything_is_commanded():
    with Sitting() as s:
        wait_until(lambda: sum(len(px) for px in s.plugin.measured(None).values()) >= 96 * 96, 10, "the whole survey")
        survey = s.plugin.measured(None)
        assert list(survey) == [0] and len(survey[0]) == 96 * 96, {k: len(v) for k, v in survey.items()}
        assert s.plugin.start["beam_current_na"] > 0 and s.plugin.start["pixel_nm"]
        assert ("steer.attach", {"mode": "ask", "by": "Stepped"}) in s.plugin.asked
        wait_until(lambda: s.microscope.is_off, 5, "the beam off when nothing is measured")


def a_command_is_received_started_measured_and_done():
    with Sitting() as s:
        cmd_id = s.plugin.command("box", [box(8, 16, 8, 16), box(24, 0, 4.2, 7.9, 20.0)], frame=7, frames=2)
        done = s.plugin.wait_words(cmd_id, "received", "started", "done")
        wait_until(lambda: len(s.plugin.measured(cmd_id, "eds")) == 2, 5, "the data")
        want = pixels(8, 16, 8, 16) | pixels(24, 0, 4, 8)
        for kind in ("lines", "eds"):
            assert s.plugin.measured(cmd_id, kind) == {7: want, 8: want}, kind
        dwells = {(h["y0_px"] >= 24, h["dwell_us"]) for h, _ in s.plugin.data if h.get("cmd_id") == cmd_id}
        assert dwells == {(False, 40.0), (True, 20.0)}, dwells
        mean = (128 * 40 + 32 * 20) / 160
        assert done["achieved"] == {"frames": 2, "pixels": 320, "dwell_us": mean} and done["reason"] is None, done
        wait_until(lambda: s.microscope.is_off, 5, "the beam off again")


def only_the_signal_that_is_asked_for_is_measured():
    with Sitting() as s:
        for signal, kind, other in (("eds", "eds", "lines"), ("haadf", "lines", "eds")):
            cmd_id = s.plugin.command("box", [box(0, 0, 3, 5, signal=signal)])
            s.plugin.wait_words(cmd_id, "received", "started", "done")
            wait_until(lambda: s.plugin.measured(cmd_id, kind) == {1: pixels(0, 0, 3, 5)}, 5, kind)
            assert not s.plugin.measured(cmd_id, other), other


def points_and_lines_become_their_pixels():
    with Sitting() as s:
        points = [{"kind": "point", "px": [3, 4], "dwell_us": 50.0, "signal": "both"},
                  {"kind": "point", "px": [90, 95], "dwell_us": 50.0, "signal": "both"}]
        line = [{"kind": "line", "px": [10, 10, 13, 16], "dwell_us": 50.0, "signal": "both"}]
        for kind, targets, want in (("point_list", points, {(3, 4), (90, 95)}), ("line", line, None)):
            cmd_id = s.plugin.command(kind, targets)
            s.plugin.wait_words(cmd_id, "received", "started", "done")
            wait_until(lambda: s.plugin.measured(cmd_id), 5, "the data")
            got = s.plugin.measured(cmd_id)[1]
            if want:
                assert got == want, got
        assert {(10, 10), (13, 16)} <= got and {x for _, x in got} == set(range(10, 17)) and len(got) <= 10, got
        cmd_id = s.plugin.command("raster", frame=None, frames=None, dwell_us=None, decision_id=None)
        s.plugin.wait_words(cmd_id, "received", "started", "done")
        wait_until(lambda: s.plugin.measured(cmd_id) == {2: pixels(0, 0, 96, 96)}, 5, "a whole frame under a new number")


def what_it_cannot_do_it_says_and_does_not_begin():
    with Sitting() as s:
        def at(kind, *px):
            return {"kind": kind, "px": list(px), "dwell_us": 9.0, "signal": "both"}

        for words, kind, targets, more in (
                ("outside", "box", [box(90, 0, 8, 8)], {}), ("outside", "point_list", [at("point", -1, 0)], {}),
                ("dwell", "box", [box(0, 0, 2, 2, dwell_us=1e9)], {}), ("signals", "box", [box(0, 0, 2, 2, signal="ebsd")], {}),
                ("signals", "box", [box(0, 0, 2, 2, signal="eds"), box(4, 0, 2, 2, signal="haadf")], {}),
                ("spiral", "spiral", [], {}), ("frames", "box", [box(0, 0, 2, 2)], {"frames": -1}),
                ("outside", "line", [at("line", 0, 0, 1e12, 5)], {}), ("no box", "box", [at("box", 1, 2)], {}),
                ("expired", "box", [box(0, 0, 2, 2)], {"valid_until_ns": time.time_ns() - 1}),
                ("soon", "box", [box(0, 0, 2, 2)], {"valid_until_ns": "soon"})):
            cmd_id = s.plugin.command(kind, targets, **more)
            wait_until(lambda: s.plugin.words(cmd_id)[-1:] == ["rejected"], 5, "no to %s" % words)
            told = [ack["reason"] for ack in s.plugin.acks if ack["cmd_id"] == cmd_id][-1]
            assert words in told and "started" not in s.plugin.words(cmd_id), (words, told)
            assert not s.plugin.measured(cmd_id)


def a_command_that_comes_again_is_not_measured_again():
    with Sitting() as s:
        cmd_id = s.plugin.command("box", [box(0, 0, 3, 3)])
        s.plugin.wait_words(cmd_id, "received", "started", "done")
        s.plugin.command("box", [box(0, 0, 3, 3)], cmd_id=cmd_id)
        s.plugin.wait_words(cmd_id, "received", "started", "done", "done")
        after = s.plugin.command("box", [box(6, 0, 3, 3)], frame=2)
        s.plugin.wait_words(after, "received", "started", "done")
        assert s.plugin.measured(cmd_id) == {1: pixels(0, 0, 3, 3)}


def a_stop_ends_what_runs_with_its_line_and_withdraws_what_waits():
    with Sitting() as s:
        s.microscope.steps = threading.Semaphore(0)
        runs, waits = (s.plugin.command("box", [box(8 * k, 0, 8, 8)], frame=1 + k) for k in range(2))
        s.plugin.wait_words(runs, "received", "started")
        s.microscope.line.clear()
        s.microscope.steps.release()
        wait_until(s.microscope.line.is_set, 5, "the second line")
        stop = s.plugin.command("stop")
        s.plugin.wait_words(stop, "received")
        s.microscope.steps.release()  # the line that was under way
        done = s.plugin.wait_words(runs, "received", "started", "done")
        assert done["reason"] == "stopped" and done["achieved"]["pixels"] == 16, done
        assert s.plugin.wait_words(waits, "received", "rejected")["reason"].startswith("withdrawn")
        s.plugin.wait_words(stop, "received", "done")
        wait_until(lambda: len(s.plugin.measured(runs).get(1, ())) == 16, 5, "two whole lines")
        wait_until(lambda: s.microscope.is_off, 5, "the beam off")
        s.microscope.steps = None
        after = s.plugin.command("box", [box(6, 0, 3, 3)], frame=9)
        s.plugin.wait_words(after, "received", "started", "done")


def a_stop_that_comes_again_stops_again():
    with Sitting() as s:
        stop = s.plugin.command("stop", cmd_id="guard-1")
        s.plugin.wait_words(stop, "received", "done")
        s.microscope.steps = threading.Semaphore(0)
        runs = s.plugin.command("box", [box(0, 0, 8, 8)])
        s.plugin.wait_words(runs, "received", "started")
        s.plugin.command("stop", cmd_id="guard-1")  # of a guard that was started anew
        s.plugin.wait_words(stop, "received", "done", "done")
        s.microscope.steps.release()
        assert s.plugin.wait_words(runs, "received", "started", "done")["reason"] == "stopped"


def blank_takes_the_beam_off_in_the_middle_of_a_line():
    with Sitting() as s:
        s.microscope.steps = threading.Semaphore(0)
        runs = s.plugin.command("box", [box(0, 0, 8, 8)])
        s.plugin.wait_words(runs, "received", "started")
        wait_until(lambda: not s.microscope.is_off, 5, "the beam")
        blank = s.plugin.command("blank")
        wait_until(lambda: s.microscope.is_off, 5, "the beam off while the line waits")
        s.microscope.steps.release()
        assert s.plugin.wait_words(runs, "received", "started", "done")["achieved"]["pixels"] == 0
        s.plugin.wait_words(blank, "received", "done")
        assert not s.plugin.measured(runs), "a line without beam was sent as measured"


def while_it_is_held_nothing_is_measured():
    with Sitting() as s:
        s.microscope.steps = threading.Semaphore(0)
        runs = s.plugin.command("box", [box(0, 0, 8, 8)])
        s.plugin.wait_words(runs, "received", "started")
        s.plugin.held = True
        wait_until(lambda: s.control.held, 5, "the hold")
        s.microscope.steps.release()
        assert s.plugin.wait_words(runs, "received", "started", "done")["reason"] == "stopped"
        no = s.plugin.command("box", [box(0, 0, 3, 3)])
        assert s.plugin.wait_words(no, "rejected")["reason"] == "held"
        s.plugin.held, s.microscope.steps = False, None
        wait_until(lambda: not s.control.held, 5, "the end of the hold")
        after = s.plugin.command("box", [box(6, 0, 3, 3)], frame=2)
        s.plugin.wait_words(after, "received", "started", "done")


def a_silent_peer_means_the_safe_state_and_its_return_a_new_start():
    with Sitting() as s:
        s.microscope.steps = threading.Semaphore(0)
        runs = s.plugin.command("box", [box(0, 0, 8, 8)])
        s.plugin.wait_words(runs, "received", "started")
        asked = len(s.plugin.asked)
        wait_until(lambda: len(s.plugin.asked) > asked, 5, "a sign of life")
        quiet = time.monotonic()
        s.plugin.deaf = True
        wait_until(lambda: s.microscope.is_off, 5, "the beam off, though the line has not ended")
        took = s.microscope.beam[-1][0] - quiet
        assert took <= 2.0 + 0.2 * SLOW, "the beam went off after %.2f s" % took
        s.microscope.steps.release()
        wait_until(lambda: not s.control.attached, 5, "it to know that nobody owns it")
        s.plugin.deaf, s.microscope.steps = False, None
        attached = len(s.plugin.asked)
        wait_until(lambda: s.control.attached and "steer.attach" in [op for op, _ in s.plugin.asked[attached:]], 5,
                   "it to attach again")
        assert len(s.plugin.measured(runs).get(1, ())) == 0, "the line that was cut was sent"
        after = s.plugin.command("box", [box(6, 0, 3, 3)], frame=2)
        s.plugin.wait_words(after, "received", "started", "done")
    return "beam off after %.2f s" % took


def who_is_no_longer_the_owner_attaches_again():
    with Sitting() as s:
        s.plugin.peer = None
        wait_until(lambda: s.plugin.peer, 5, "it to attach again")
        after = s.plugin.command("box", [box(6, 0, 3, 3)])
        s.plugin.wait_words(after, "received", "started", "done")


def an_attach_that_is_refused_ends_it_with_the_peers_words():
    with Sitting() as s:
        s.plugin.peer, s.plugin.refuse = None, ("bad_value", "beam_current_na is needed")
        wait_until(lambda: s.failed, 5, "the end")
        assert "beam_current_na is needed" in str(s.failed), s.failed
        s.plugin.refuse = None


def a_microscope_that_fails_is_told_and_blanked():
    with Sitting() as s:
        def broken(*_):
            raise OSError("the scan generator does not answer")
            yield
        s.microscope.scan = broken
        cmd_id = s.plugin.command("box", [box(0, 0, 3, 3)])
        assert "scan generator" in s.plugin.wait_words(cmd_id, "received", "started", "rejected")["reason"]
        wait_until(lambda: isinstance(s.failed, OSError) and s.microscope.is_off, 5, "the end, beam off")


def from_the_shell(plugin, *args, status=0, timeout_s=30):
    names = plugin.names if isinstance(plugin, Plugin) else {n: getattr(plugin, n) for n in ("ingest", "publish", "control")}
    where = [word for name, address in names.items() for word in ("--" + name, address)]
    done = subprocess.run([sys.executable, "-B", CLIENT] + where + list(args), timeout=timeout_s * SLOW, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == status and "Traceback" not in done.stderr, (done.returncode, done.stdout, done.stderr)
    return done


def it_runs_from_the_shell_on_the_stub():
    with Plugin() as plugin:
        cmd_id = plugin.command("box", [box(0, 0, 8, 8)])
        told = from_the_shell(plugin, "--microscope", "stub", "--seconds", "%g" % (2 * SLOW), "--survey-dwell-us", "1").stdout
        assert "attached" in told and "%s done" % cmd_id in told and "1 commands done" in told, told
        assert plugin.measured(cmd_id) == {1: pixels(0, 0, 8, 8)} and plugin.peer is None
        told = from_the_shell(plugin, "--microscope", "/nowhere.py", status=1).stderr
        assert "/nowhere.py" in told and "stub" in told, told


VENDOR = '''
import numpy as np
class Scope:
    def __init__(self): self.blanked = True
    def set_blanker(self, on): self.blanked = on
    def set_subscan(self, y, x, h, w): self.area = y, x, h, w
    def set_dwell(self, seconds): self.dwell = seconds
    def acquire_line(self, row, image=True, spectra=True):
        y, x, h, w = self.area
        assert 0 <= row < h and not self.blanked
        return np.full(w, 100 * (y + row), np.uint16), np.array([0, w - 1]), np.array([52, 640])
def connect(): return Scope()
'''


def the_example_of_the_readme_steers():
    with open(os.path.join(os.path.dirname(CLIENT), "README.md"), encoding="utf-8") as file:
        example = [e for e in re.findall(r"```python\n(.*?)```", file.read(), re.S) if "flyback_steer" in e][0]
    lines = [line for line in example.strip().splitlines() if line.strip()]
    assert len(lines) <= 42, "the 40-line example has %d" % len(lines)
    with Plugin() as plugin, tempfile.TemporaryDirectory() as folder:
        for name, text in (("my_vendor.py", VENDOR), ("my_microscope.py", example)):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(text)
        env = dict(os.environ, PYTHONPATH=os.pathsep.join([folder, os.path.dirname(CLIENT)]))
        cmd_id = plugin.command("box", [box(8, 16, 4, 8)])
        args = ["--ingest", plugin.names["ingest"], "--publish", plugin.names["publish"], "--control", plugin.names["control"],
                "--mode", "ask", "--seconds", "%g" % (3 * SLOW), "--survey-dwell-us", "1"]
        done = subprocess.run([sys.executable, "-B", os.path.join(folder, "my_microscope.py")] + args, env=env, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60 * SLOW)
        assert done.returncode == 0, done.stdout
        assert plugin.words(cmd_id) == ["received", "started", "done"], (plugin.acks, done.stdout)
        assert plugin.measured(cmd_id) == {1: pixels(8, 16, 4, 8)} == plugin.measured(cmd_id, "eds")
        lines = [raw[0] for h, raw in plugin.data if h.get("cmd_id") == cmd_id and h["type"] == "lines"]
        values = [np.frombuffer(raw, "<u2")[0] for raw in lines]
        assert values == [800, 900, 1000, 1100], values


def approving(fly, **keys):
    """A person who says yes to every step, until let go; [steps said yes to]."""
    said, over = [], threading.Event()

    def watch():
        with fc.Control(fly.control, timeout_s=20 * SLOW, **keys) as control:
            while not over.wait(0.05):
                step = control.status()["steer"]["undecided"]
                if step and step not in said:
                    try:
                        control.request("steer.decide", decision_id=step, verdict="approve", reason="a test")
                        said.append(step)
                    except fc.RequestError:  # it expired meanwhile
                        pass

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return said, lambda: (over.set(), thread.join())


SETTINGS = {"chip.size_px": 8, "engine.threads": 1}
SURVEY = ("--microscope", "stub", "--survey-dwell-us", "20")
RUN_S = "%g" % (4 * SLOW)


def the_real_plugin_gets_what_was_approved_measured():
    with Flyback(SETTINGS) as fly:
        said, let_go = approving(fly)
        told = from_the_shell(fly, *SURVEY, "--seconds", RUN_S, "--session", "asked").stdout
        let_go()
        done = int(re.search(r"(\d+) commands done", told).group(1))
        assert 1 <= done <= len(said), (told, said)
        with fly.controller() as control:
            about, mean, most = control.dose_get()
            assert control.status()["owner"] is None, "it did not let go"
        assert about["unit"] == "e_per_A2" and most.max() > 1.2 * about["survey"], (about, most.max())
        assert np.all(mean >= 0.999 * about["survey"]), mean.min()
    return "%d commands, dose %.2f surveys at most" % (done, most.max() / about["survey"])


def guarded(fly, folder, *more):
    """`flyback guard` before that plugin, and where it listens."""
    listen = "ipc://%s/guard" % folder
    with open(os.path.join(ROOT, "configs", "guard-limits.yaml")) as file:
        text = file.read()
    with open(os.path.join(folder, "limits.yaml"), "w") as file:
        file.write(text.replace("chip_dose_e_per_A2: 100000", "chip_dose_e_per_A2: 200000"))
    command = [BINARY, "guard", "--guard.limits", os.path.join(folder, "limits.yaml"), "--guard.journal",
               os.path.join(folder, "journal"), "--guard.plugin", fly.control, "--guard.listen", listen] + list(more)
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL), listen


def journal_of(folder):
    with open(os.path.join(folder, "journal"), encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def in_auto_it_obeys_the_guard_and_nobody_else():
    with Flyback(SETTINGS) as fly, tempfile.TemporaryDirectory(prefix="fly.") as folder:
        told = from_the_shell(fly, *SURVEY, "--mode", "auto", "--peer", fly.control, "--seconds", RUN_S, "--session", "past-it",
                              status=1).stderr
        assert "guard" in told, told
        guard, listen = guarded(fly, folder)
        try:
            told = from_the_shell(fly, *SURVEY, "--mode", "auto", "--peer", listen, "--seconds", RUN_S).stdout
        finally:
            guard.terminate()
            guard.wait()
        done = int(re.search(r"(\d+) commands done", told).group(1))
        acks = [line for line in journal_of(folder) if line["what"] == "ack" and line["status"] == "done"]
        assert done >= 1 and len(acks) == done, (told, acks)
    return "%d commands" % done


def with_keys_it_needs_the_roles_of_both_sides():
    with tempfile.TemporaryDirectory(prefix="fly.") as folder:
        def at(*names):
            return os.path.join(folder, *names)

        flyback("keygen", "--role", "server", "--out", at("server"))
        lines = [flyback("keygen", "--name", name, "--role", role, "--out", at(name)).stdout
                 for name, role in (("scope", "instrument,controller"), ("sender", "instrument"), ("desk", "operator"))]
        with open(at("allow"), "w") as file:
            file.writelines(lines)
        desk = fc.read_keys(at("desk"), at("server", "public.key"))
        settings = dict(SETTINGS, **{"security.keys": at("server"), "security.allow": at("allow")})
        with Flyback(settings, keys=desk) as fly:
            said, let_go = approving(fly, keys=desk)
            server = ("--server-key", at("server", "public.key"))
            told = from_the_shell(fly, *SURVEY, "--seconds", RUN_S, "--keys", at("scope"), *server).stdout
            let_go()
            assert int(re.search(r"(\d+) commands done", told).group(1)) >= 1 and said, told
            told = from_the_shell(fly, *SURVEY, "--seconds", RUN_S, "--keys", at("sender"), *server, status=1).stderr
            assert "controller" in told, told


if __name__ == "__main__":
    run(
        the_session_is_surveyed_once_before_anything_is_commanded,
        a_command_is_received_started_measured_and_done,
        only_the_signal_that_is_asked_for_is_measured,
        points_and_lines_become_their_pixels,
        what_it_cannot_do_it_says_and_does_not_begin,
        a_command_that_comes_again_is_not_measured_again,
        a_stop_ends_what_runs_with_its_line_and_withdraws_what_waits,
        a_stop_that_comes_again_stops_again,
        blank_takes_the_beam_off_in_the_middle_of_a_line,
        while_it_is_held_nothing_is_measured,
        a_silent_peer_means_the_safe_state_and_its_return_a_new_start,
        who_is_no_longer_the_owner_attaches_again,
        an_attach_that_is_refused_ends_it_with_the_peers_words,
        a_microscope_that_fails_is_told_and_blanked,
        it_runs_from_the_shell_on_the_stub,
        the_example_of_the_readme_steers,
        the_real_plugin_gets_what_was_approved_measured,
        in_auto_it_obeys_the_guard_and_nobody_else,
        with_keys_it_needs_the_roles_of_both_sides,
    )
