"""One session after another, and what must not disturb the one that runs."""

import os
import signal
import subprocess
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from flyback_test import SLOW, Flyback, Raw, run, wait_until  # noqa: E402

IMAGE = np.random.default_rng(1).integers(0, 60000, (64, 64)).astype("<u2")


# A process of its own: it must be faster than what it is to keep busy.
FLOOD = """
import sys, zmq
socket = zmq.Context().socket(zmq.XSUB)
socket.setsockopt(zmq.LINGER, 0)
socket.setsockopt(zmq.SNDHWM, 100000)
socket.connect(sys.argv[1])
sent = 0
while True:
    try:
        for _ in range(200):
            socket.send(b"\\x01map", zmq.DONTWAIT)
            sent += 1
            if sent == 20000:
                print("many", flush=True)
    except zmq.Again:
        pass
    try:
        while True:
            socket.recv_multipart(zmq.DONTWAIT)
    except zmq.Again:
        pass
"""


def start(raw, shape=(64, 64), seq=1, **more):
    raw.send("start", "control", seq=seq, schema=[1, 0], scan_shape_px=list(shape),
             detectors=[{"name": "H", "dtype": "<u2"}], **more)


def lines(raw, y0, y1):
    for y in range(y0, y1):
        raw.lines("H", IMAGE[y:y + 1], y)


def status(fly):
    with fly.controller() as control:
        return control.status()


def a_start_right_after_a_stop_leaves_the_stop_as_it_was():
    """A start that was in the socket already ended the stopped session as an abort."""
    with Flyback({"chip.size_px": 16}) as fly, fly.viewer() as viewer, Raw(fly, "A") as raw:
        stops = []
        start(raw)
        lines(raw, 0, 64)
        raw.send("stop", "control", exit_status="success", reason="done", count={"control": 2, "H": 64})
        raw.session, raw.seq = "B", {}
        start(raw)

        def both():
            stops.extend(h for kind, h in viewer.poll(0.05) if kind == "stop")
            return stops and viewer.start and viewer.start["session"] == "B"

        wait_until(both, 10, "the stop of A and the start of B")
        assert [(s["session"], s["exit_status"], s["reason"], s["count"]["H"], s["complete"]) for s in stops] == [
            ("A", "success", "done", 64, 1.0)], stops


def a_start_that_cannot_be_leaves_the_session_running():
    """It ended the session first and was refused afterwards."""
    with Flyback({"chip.size_px": 16}) as fly, Raw(fly, "A") as a, Raw(fly, "B") as b:
        start(a)
        lines(a, 0, 20)
        wait_until(lambda: status(fly)["last_seq"].get("H") == 20, 10, "20 lines")
        start(b, shape=(8, 8))
        start(b, seq=300000)
        lines(a, 20, 30)
        now = wait_until(lambda: status(fly)["last_seq"].get("H") == 30 and status(fly), 10, "30 lines")
        assert (now["state"], now["session"]) == ("running", "A"), now


def the_number_of_a_refused_start_is_used_up():
    """Otherwise durable_seq never passed it."""
    with Flyback({"chip.size_px": 16}) as fly, Raw(fly, "A") as raw:
        start(raw)
        start(raw, seq=2, sample="another")
        raw.send("heartbeat", "control", seq=3, last_seq={}, backlog=0, dropped={})
        wait_until(lambda: status(fly)["durable_seq"].get("control") == 3, 5, "durable_seq of control to be 3")


def a_start_with_a_number_too_far_off_opens_nothing():
    """It opened a session whose recording had no start, and could never be read back."""
    with Flyback({"chip.size_px": 16}) as fly, fly.viewer() as viewer, Raw(fly, "A") as raw:
        start(raw, seq=300000)
        viewer.wait(lambda: any(e["code"] == "bad_value" for e in viewer.events))
        assert status(fly)["state"] == "idle"
        assert not os.path.exists(fly.recording("A"))


def a_whole_frame_in_one_message_is_recorded():
    """One of more than half of the recorder's room was never on disk, and was asked for again without end."""
    frame = np.zeros((4096, 4096), "<u2")
    with Flyback({"chip.size_px": 64}) as fly, Raw(fly, "A") as raw:
        start(raw, shape=frame.shape)
        raw.lines("H", frame, 0)
        wait_until(lambda: status(fly)["durable_seq"].get("H") == 1, 20, "the frame on disk")
        fly.kill()
        fly.start()
        assert status(fly)["durable_seq"]["H"] == 1


def a_message_too_large_for_the_recording_is_refused_with_words():
    with Flyback({"chip.size_px": 16, "recording.ring_mib": 1}) as fly, fly.viewer() as viewer, Raw(fly, "A") as raw:
        raw.send("start", "control", schema=[1, 0], scan_shape_px=[64, 64], detectors=[],
                 eds=[{"name": "E", "n_channels": 1024, "ev_per_channel": 10.0, "ev_offset": 0.0}])
        raw.send("eds", "E", np.zeros((16, 64, 1024), "<u1").tobytes(), frame=0, y0_px=0, x0_px=0, shape=[16, 64],
                 layout="dense", dtype="<u1")
        viewer.wait(lambda: any(e["code"] == "oversize" and "recording.ring_mib" in e["text"] for e in viewer.events))
        wait_until(lambda: status(fly)["durable_seq"].get("E") == 1, 5, "its number used up")


def status_tells_what_is_in_force():
    """It told what had been in force at the start of the session."""
    with Flyback({"chip.size_px": 16}) as fly, Raw(fly, "A") as raw, fly.controller() as control:
        start(raw)
        wait_until(lambda: status(fly)["state"] == "running", 5, "the session")
        for value in (0.125, 4.0):
            assert control.params_set({"fewshot.temperature": value})["fewshot.temperature"] == value
            assert control.status()["config"]["fewshot.temperature"] == value
        control.params_set({"log.level": "error"})
        raw.parts(b"no header")
        wait_until(lambda: status(fly)["config"]["log.level"] == "error", 5, "log.level")


def a_subscriber_without_end_keeps_nobody_waiting():
    """Subscriptions were served until none was left, and there was always one more: the process could not even be
    ended."""
    fly = Flyback({"chip.size_px": 16})
    try:
        with Raw(fly, "A") as raw:
            start(raw, shape=(512, 512))
            for y in range(512):
                raw.lines("H", np.tile(IMAGE[y % 64], 8)[None], y)
            wait_until(lambda: status(fly)["durable_seq"].get("H") == 512, 10, "the scan")
            flood = subprocess.Popen([sys.executable, "-c", FLOOD, fly.publish], stdout=subprocess.PIPE)
            try:
                flood.stdout.readline()
                for _ in range(20):
                    assert status(fly)["state"] == "running"
                try:
                    assert fly.end(signal.SIGTERM, 5.0) == 0
                except subprocess.TimeoutExpired:
                    raise AssertionError("still there %g s after SIGTERM" % (5 * SLOW))
            finally:
                flood.kill()
                flood.wait()
    finally:
        fly.kill()


run(
    a_start_right_after_a_stop_leaves_the_stop_as_it_was,
    a_start_that_cannot_be_leaves_the_session_running,
    the_number_of_a_refused_start_is_used_up,
    a_start_with_a_number_too_far_off_opens_nothing,
    a_whole_frame_in_one_message_is_recorded,
    a_message_too_large_for_the_recording_is_refused_with_words,
    status_tells_what_is_in_force,
    a_subscriber_without_end_keeps_nobody_waiting,
)
