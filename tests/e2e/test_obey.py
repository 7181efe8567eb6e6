"""`flyback sim --obey`: an acquisition that is steered, on a simulated specimen and on a recorded one.

Its data go to a real Flyback. It is steered by a guard made here from the protocol page alone, so that the test says
what is commanded and when; at the end by the real plugin, and by the real guard between the two.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid

import msgpack
import numpy as np
import zmq

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from flyback_test import BINARY, SLOW, Flyback, flyback, run, wait_until  # noqa: E402

import flyback_client as fc  # noqa: E402 (flyback_test.py put its folder in the path)

SIDE, CHIP = 96, 16
SURVEY_US = 2.0
MINUTE_NS = 60 * 10**9


class Guard:
    """What an acquisition meets of a guard: attach, status, commands, acks."""

    def __init__(self, folder):
        self.address = "ipc://%s/guard" % folder
        self.acks, self.asked = [], []
        self.peer = None
        self.deaf = False
        self.stop = None
        self._commands = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def _run(self):
        socket = zmq.Context.instance().socket(zmq.ROUTER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.bind(self.address)
        while not self._over.is_set():
            while self._commands and self.peer:
                socket.send_multipart([self.peer, b"", msgpack.packb(self._commands.pop(0))])
            if not socket.poll(5):
                continue
            peer, _, raw = socket.recv_multipart()[:3]
            message = msgpack.unpackb(raw)
            if message["type"] == "ack":
                self.acks.append(message)
            elif not self.deaf:
                self.asked.append((message["op"], message["args"]))
                if message["op"] == "steer.attach":
                    self.peer = peer
                result = {"acquisition": {"name": "sim"} if self.peer else None, "steer": {"stop": self.stop}}
                socket.send_multipart([peer, b"", msgpack.packb({"type": "reply", "id": message["id"], "ok": True, "result": result})])
        socket.close()

    def command(self, kind, *targets, **more):
        made = {"type": "command", "cmd_id": "c-" + uuid.uuid4().hex[:8], "decision_id": "d1", "kind": kind,
                "targets": list(targets), "frame": 1, "frames": 1, "dwell_us": max([t["dwell_us"] for t in targets] or [1.0]),
                "as_of": {}, "valid_until_ns": time.time_ns() + MINUTE_NS}
        made.update(more)
        self._commands.append(made)
        return made["cmd_id"]

    def statuses(self, cmd_id):
        return [ack["status"] for ack in list(self.acks) if ack["cmd_id"] == cmd_id]

    def last(self, cmd_id, status):
        wait_until(lambda: status in self.statuses(cmd_id), 20, "%s of %s among %s" % (status, cmd_id, self.acks))
        return [ack for ack in self.acks if ack["cmd_id"] == cmd_id][-1]


def box(y0, x0, h, w, dwell_us=SURVEY_US, signal="both"):
    return {"kind": "box", "px": [y0, x0, h, w], "dwell_us": dwell_us, "signal": signal}


class Sim:
    """`flyback sim --obey` in the background."""

    def __init__(self, fly, *args, size=(SIDE, SIDE)):
        command = [BINARY, "sim", "--ingest", fly.ingest, "--publish", fly.publish, "--control", fly.control, "--quiet"]
        if "--from" not in args:
            command += ["--size", "%dx%d" % size, "--chip", str(CHIP)]
        self.log = os.path.join(fly.folder, "sim-" + uuid.uuid4().hex[:8])
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(command + [str(a) for a in args], stdout=subprocess.PIPE, stderr=log,
                                            stdin=subprocess.DEVNULL, text=True)

    def said(self):
        with open(self.log) as log:
            return log.read()

    def end(self, how=None, status=0):
        """Its report and what it said, once it ended."""
        if how:
            self.process.send_signal(how)
        out, _ = self.process.communicate(timeout=60 * SLOW)
        assert self.process.returncode == status, (self.process.returncode, out, self.said())
        return json.loads(out) if out else None, self.said()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


SETTINGS = {"chip.size_px": CHIP, "steer.mode": "off"}


def chips_of(control):
    """Mean dose of each chip, in us; zeros before there is a session."""
    shape = SIDE // CHIP
    try:
        result, payloads = control.request_parts("dose.get")
    except fc.RequestError as error:
        assert error.code == "no_session", error
        return np.zeros((shape, shape))
    return np.frombuffer(payloads[0], "<f4").reshape(shape, shape) / (result["factor"] or 1.0)


def dose_is(control, want):
    return np.allclose(chips_of(control), want, rtol=1e-3)


def what_is_commanded_is_measured_and_nothing_else():
    with Flyback(SETTINGS) as fly, Guard(fly.folder) as guard, fly.controller() as control:
        with Sim(fly, "--obey", "auto", "--steered-by", guard.address, "--pace", 0, "--eds-counts", 0.5) as sim:
            done = guard.last(guard.command("box", box(16, 32, 16, 32, 8.0), frames=2), "done")
            assert done["achieved"] == {"frames": 2, "pixels": 2 * 16 * 32, "dwell_us": 8.0}, done
            assert guard.statuses(done["cmd_id"]) == ["received", "started", "done"]
            want = np.full((6, 6), SURVEY_US)
            want[1, 2:4] += 2 * 8.0
            wait_until(lambda: dose_is(control, want), 20, "the dose of a survey and a command")
            # one modality alone
            guard.last(guard.command("box", box(80, 0, 16, 16, 4.0, "eds"), frame=3), "done")
            want[5, 0] += 4.0
            wait_until(lambda: dose_is(control, want), 20, "the dose of X-rays alone")
            report, _ = sim.end(signal.SIGINT, 130)
        assert guard.asked[0] == ("steer.attach", {"mode": "auto"})
        wait_until(lambda: guard.asked[-1][0] == "steer.detach", 10, "a detach")
    steering = report["steering"]
    assert (steering["commands"], steering["done"], steering["rejected"]) == (2, 2, 0), steering
    assert steering["pixels"] == SIDE * SIDE + 2 * 16 * 32 + 16 * 16
    assert abs(steering["dose_survey_dwells"] - want.mean() / SURVEY_US) < 1e-6
    # 0.1 nA over 1.602e-19 C, a pixel of 0.5 A
    assert abs(steering["dose_e_per_A2"] - want.mean() * 0.1e-15 / 1.602176634e-19 / 0.25) < 0.1
    assert steering["move_s"] > 0 and report["exit_status"] == "abort"
    # a frame of the image less: nobody asked for it
    assert report["messages"]["eds"] > report["messages"]["haadf"], report["messages"]


def what_cannot_be_done_is_refused_and_told():
    with Flyback(SETTINGS) as fly, Guard(fly.folder) as guard:
        with Sim(fly, "--obey", "auto", "--steered-by", guard.address, "--pace", 0) as sim:
            for words, cmd_id in (
                ("expired", guard.command("box", box(0, 0, 16, 16), valid_until_ns=time.time_ns() - 10**9)),
                ("outside", guard.command("box", box(90, 0, 16, 16))),
                ("at most 64", guard.command("box", box(0, 0, 16, 16, 65.0))),
                ("bad_value", guard.command("box", box(0, 0, 16, 16, float("nan")))),
                ("line needs 1", guard.command("line")),
            ):
                refused = guard.last(cmd_id, "rejected")
                assert words in refused["reason"], refused
                assert "started" not in guard.statuses(cmd_id)
            good = guard.last(guard.command("box", box(0, 0, 16, 16)), "done")
            guard.command("box", box(0, 0, 16, 16), cmd_id=good["cmd_id"])
            wait_until(lambda: guard.statuses(good["cmd_id"]) == ["received", "started", "done", "done"], 20, "done again")
            report, _ = sim.end(signal.SIGINT, 130)
    assert report["steering"]["pixels"] == SIDE * SIDE + 16 * 16


def a_refusal_may_come_without_a_fault():
    with Flyback(SETTINGS) as fly, Guard(fly.folder) as guard:
        with Sim(fly, "--obey", "auto", "--steered-by", guard.address, "--pace", 0, "--refuse", 1) as sim:
            refused = guard.last(guard.command("box", box(0, 0, 16, 16)), "rejected")
            assert refused["reason"] and refused["achieved"] is None
            sim.end(signal.SIGINT, 130)


def a_stop_ends_what_runs_with_its_line():
    with Flyback(SETTINGS) as fly, Guard(fly.folder) as guard:
        # 20 frames of 96 lines of 96 * 60 us: eleven seconds
        with Sim(fly, "--obey", "auto", "--steered-by", guard.address, "--eds-counts", 0) as sim:
            cmd_id = guard.command("box", box(0, 0, SIDE, SIDE, 60.0), frames=20)
            guard.last(cmd_id, "started")
            guard.last(guard.command("stop"), "done")
            done = guard.last(cmd_id, "done")
            assert done["reason"] == "stopped" and done["achieved"]["pixels"] % SIDE == 0
            assert done["achieved"]["pixels"] < 20 * SIDE * SIDE
            report, _ = sim.end(signal.SIGINT, 130)
    assert report["steering"]["pixels"] == SIDE * SIDE + done["achieved"]["pixels"]
    assert report["steering"]["cut_short"] == 1


def a_raster_is_the_way_back_to_full_frames():
    with Flyback(SETTINGS) as fly, Guard(fly.folder) as guard, fly.controller() as control:
        with Sim(fly, "--obey", "auto", "--steered-by", guard.address, "--pace", 0, "--eds-counts", 0) as sim:
            cmd_id = guard.command("raster", frame=None, frames=None, dwell_us=None, decision_id=None)
            guard.last(cmd_id, "started")
            wait_until(lambda: chips_of(control).min() >= 3 * SURVEY_US, 20, "three frames of everything")
            guard.last(guard.command("blank"), "done")
            assert guard.last(cmd_id, "done")["reason"] == "stopped"
            sim.end(signal.SIGINT, 130)


def silence_means_the_safe_state():
    with Flyback(SETTINGS) as fly, Guard(fly.folder) as guard:
        with Sim(fly, "--obey", "auto", "--steered-by", guard.address, "--eds-counts", 0) as sim:
            # 96 lines of 96 * 60 us, 20 times: eleven seconds
            cmd_id = guard.command("box", box(0, 0, SIDE, SIDE, 60.0), frames=20)
            guard.last(cmd_id, "started")
            guard.deaf, gone = True, time.monotonic()
            done = guard.last(cmd_id, "done")
            assert time.monotonic() - gone < 2.0 * SLOW
            assert "silent" in done["reason"], done
            guard.deaf, guard.peer = False, None
            wait_until(lambda: guard.peer, 10, "that it attaches anew")
            guard.last(guard.command("box", box(0, 0, 16, 16)), "done")
            report, err = sim.end(signal.SIGINT, 130)
    assert "is silent" in err and "blanked" in err, err
    assert report["steering"]["losses"] == 1


def it_ends_when_the_dose_is_spent_or_nothing_is_needed():
    with Flyback(SETTINGS) as fly, Guard(fly.folder) as guard:
        with Sim(fly, "--obey", "auto", "--steered-by", guard.address, "--pace", 0, "--dose-budget", 1.5) as sim:
            guard.command("box", box(0, 0, SIDE, SIDE, 4 * SURVEY_US))
            report, _ = sim.end()
        # to the line
        assert 1.5 <= report["steering"]["dose_survey_dwells"] < 1.5 + 4.0 / SIDE + 1e-6, report
        assert "budget" in report["steering"]["ended"] and report["exit_status"] == "success"
        guard.peer = None
        with Sim(fly, "--obey", "auto", "--steered-by", guard.address, "--pace", 0) as sim:
            guard.last(guard.command("box", box(0, 0, 16, 16)), "done")
            guard.stop = "error"
            report, _ = sim.end()
        assert report["steering"]["ended"] == "nothing more is needed: error", report
        guard.peer = guard.stop = None
        with Sim(fly, "--obey", "auto", "--steered-by", guard.address, "--pace", 0, "--seconds", 0.3) as sim:
            report, _ = sim.end()
        assert report["steering"]["ended"] == "0.3 s are over", report


def a_recorded_session_is_bought_frame_by_frame():
    with Flyback(SETTINGS) as fly, Guard(fly.folder) as guard, fly.controller() as control:
        flyback("sim", "--ingest", fly.ingest, "--publish", fly.publish, "--control", fly.control, "--quiet", "--size",
                "%dx%d" % (SIDE, SIDE), "--chip", CHIP, "--frames", 3, "--pace", 0, "--session", "recorded", "--order", "shuffled",
                "--eds-counts", 0.5)
        recorded = fly.recording("recorded")
        with Sim(fly, "--obey", "auto", "--steered-by", guard.address, "--pace", 0, "--from", recorded) as sim:
            done = guard.last(guard.command("box", box(0, 0, 16, 32, 2 * SURVEY_US)), "done")
            assert done["achieved"]["dwell_us"] == 2 * SURVEY_US, done
            # of three frames one was the survey's, and two of these chips are bought
            refused = guard.last(guard.command("box", box(8, 8, 16, 32), frame=5), "rejected")
            assert "no frames left" in refused["reason"], refused
            guard.last(guard.command("box", box(32, 32, 16, 16), frame=6), "done")
            want = np.full((6, 6), SURVEY_US)
            want[0, :2] += 2 * SURVEY_US
            want[2, 2] += SURVEY_US
            wait_until(lambda: dose_is(control, want), 20, "the dose of what was bought")
            guard.stop = "error"
            report, _ = sim.end()
        assert report["session"] != "recorded" and report["exit_status"] == "success"


def a_recording_too_large_for_the_memory_is_refused():
    with Flyback(SETTINGS) as fly:
        flyback("sim", "--ingest", fly.ingest, "--publish", fly.publish, "--control", fly.control, "--quiet", "--size", "512x512",
                "--frames", 3, "--pace", 0, "--session", "large", "--lines-per-message", 64, "--eds-counts", 0)
        with Sim(fly, "--obey", "auto", "--from", fly.recording("large"), "--from-mib", 2) as sim:
            _, err = sim.end(status=1)
        assert "more than 2 MiB" in err and "--from-mib" in err, err


def wrong_use_is_named():
    for args, words in (
        (["--obey", "off"], "ask or auto"),
        (["--refuse", "0.5"], "only with --obey"),
        (["--from", "x.fly"], "only with --obey"),
        (["--obey", "ask", "--signal", "eels"], "both, haadf or eds"),
        (["--obey", "ask", "--signal", "haadf", "--no-haadf"], "off"),
        (["--obey", "ask", "--hysteresis", "0.5"], "0 .. 0.1"),
        (["--obey", "ask", "--from", "x.fly", "--judge", "j.json"], "no --truth"),
        (["--obey", "ask", "--dwell-max-us", "1"], "--dwell-us 2"),
    ):
        done = flyback("sim", *args, status=2)
        assert words in done.stderr, (args, done.stderr)


class Approver(threading.Thread):
    """A person who says yes to every suggestion."""

    def __init__(self, fly):
        super().__init__(daemon=True)
        self.fly, self.over, self.said = fly, threading.Event(), 0

    def run(self):
        with self.fly.controller() as control:
            socket = zmq.Context.instance().socket(zmq.SUB)
            socket.setsockopt(zmq.SUBSCRIBE, b"suggest")
            socket.connect(self.fly.publish)
            while not self.over.is_set():
                if not socket.poll(20):
                    continue
                suggest = msgpack.unpackb(socket.recv_multipart()[1])
                if suggest["mode"] == "ask" and suggest["targets"]:
                    try:
                        control.request("steer.decide", decision_id=suggest["decision_id"], verdict="approve", reason="looks well")
                        self.said += 1
                    except fc.RequestError:
                        pass  # decided, expired: the next one comes
            socket.close()


def the_plugin_steers_it_once_a_person_approves():
    settings = {"chip.size_px": CHIP, "steer.policy": "interlaced", "steer.cycle_ms": 100, "steer.dose_cap": 16}
    with Flyback(settings) as fly:
        person = Approver(fly)
        person.start()
        with Sim(fly, "--obey", "ask", "--pace", 0, "--eds-counts", 0.5, "--dose-budget", 1.6) as sim:
            report, err = sim.end()
        person.over.set()
        person.join()
    steering = report["steering"]
    assert steering["commands"] > 0 and steering["rejected"] == 0, (steering, err)
    assert "budget" in steering["ended"] and person.said > 0, steering


def a_hold_reaches_the_beam():
    settings = {"chip.size_px": CHIP, "steer.policy": "interlaced", "steer.cycle_ms": 100, "steer.dose_cap": 16}
    with Flyback(settings) as fly, fly.controller() as control:
        person = Approver(fly)
        person.start()
        # a survey of half a second, and as much for each command
        with Sim(fly, "--obey", "ask", "--dwell-us", 50, "--eds-counts", 0) as sim:

            def commands(*states):
                return [c for c in control.status()["steer"]["commands"] or [] if c["state"] in states]

            wait_until(lambda: commands("started"), 20, "a command that runs")
            control.request("steer.hold")
            wait_until(lambda: not commands("sent", "received", "started"), 20, "that nothing runs")
            report, err = sim.end(signal.SIGINT, 130)
        person.over.set()
        person.join()
    steering = report["steering"]
    assert steering["cut_short"] == 1 and steering["pixels"] < 2 * SIDE * SIDE, (steering, err)


LIMITS = {
    "guard_limits": 1,
    "chip_dose_e_per_A2": 40000,  # the survey takes 4993 of them
    "total_dose_e_per_A2": 20000,
    "dwell_min_us": 0.5,
    "dwell_max_us": 100,
    "step_px": 1500,
    "slew_px_per_us": 10,
    "commands_per_s": 50,
    "open_commands": 2,
    "targets_per_command": 256,
    "box_px": 1024,
    "frames_per_command": 4,
    "revisit_ms": 0,
    "valid_ahead_s": 10,
    "safe_state": "blank",
}


def the_guard_stands_between_and_its_death_is_the_safe_state():
    settings = {"chip.size_px": CHIP, "steer.policy": "random", "steer.tiles": 4, "steer.cycle_ms": 100, "steer.dose_cap": 16}
    with Flyback(settings) as fly:
        limits, journal = (os.path.join(fly.folder, name) for name in ("limits.yaml", "journal.jsonl"))
        listen = "ipc://%s/guard" % fly.folder
        with open(limits, "w") as file:
            file.writelines("%s: %s\n" % item for item in LIMITS.items())
        guard = subprocess.Popen(
            [BINARY, "guard", "--guard.limits", limits, "--guard.listen", listen, "--guard.plugin", fly.control, "--guard.journal",
             journal], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            with Sim(fly, "--obey", "auto", "--steered-by", listen, "--pace", 0, "--eds-counts", 0.5) as sim:

                def measured():
                    if guard.poll() is not None:
                        raise AssertionError("the guard ended: %s" % guard.stderr.read())
                    with open(journal) as file:
                        return '"status":"done"' in file.read().replace(" ", "")

                wait_until(lambda: os.path.exists(journal) and measured(), 20, "a command that passed the guard")
                guard.kill()
                wait_until(lambda: "blanked" in sim.said(), 5, "the safe state")
                report, _ = sim.end(signal.SIGINT, 130)
        finally:
            guard.kill()
            guard.communicate()
    assert report["steering"]["commands"] > 0 and report["steering"]["losses"] == 1, report
    assert report["steering"]["pixels"] > SIDE * SIDE


if __name__ == "__main__":
    run(
        what_is_commanded_is_measured_and_nothing_else,
        what_cannot_be_done_is_refused_and_told,
        a_refusal_may_come_without_a_fault,
        a_stop_ends_what_runs_with_its_line,
        a_raster_is_the_way_back_to_full_frames,
        silence_means_the_safe_state,
        it_ends_when_the_dose_is_spent_or_nothing_is_needed,
        a_recorded_session_is_bought_frame_by_frame,
        a_recording_too_large_for_the_memory_is_refused,
        wrong_use_is_named,
        the_plugin_steers_it_once_a_person_approves,
        a_hold_reaches_the_beam,
        the_guard_stands_between_and_its_death_is_the_safe_state,
    )
