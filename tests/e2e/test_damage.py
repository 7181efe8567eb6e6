"""A specimen that changes under the beam: told where it does, left alone where it does not, spared by steering; and all of it
the same from the recording, and across a restart."""

import json
import os
import subprocess
import sys
import tempfile
import threading

import msgpack
import zmq

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from flyback_test import BINARY, SLOW, Flyback, flyback, run, wait_until  # noqa: E402

import flyback_client as fc  # noqa: E402 (flyback_test.py put its folder in the path)

SIDE, CHIP, FRAMES = 160, 10, 16
CHIPS = SIDE // CHIP
MIDDLE = range(CHIPS // 3 - 1, CHIPS - CHIPS // 3 + 2)  # damaged chips, and one more: it is tested with its neighbours
SETTINGS = {"chip.size_px": CHIP, "graph.chips_max": 0, "tree.chips_max": 0}


def command(fly, *more):
    return [BINARY, "sim", "--size", "%dx%d" % (SIDE, SIDE), "--chip", str(CHIP), "--ingest", fly.ingest, "--publish", fly.publish,
            "--control", fly.control, "--pace", "0", "--quiet", "--session", "s", "--seed", "3"] + [str(a) for a in more]


def simulate(fly, *more):
    flyback(*command(fly, *more)[1:])


def analyzed_of(fly):
    with tempfile.TemporaryDirectory() as out:
        flyback("analyze", fly.recording("s"), "--out", out)
        with open(os.path.join(out, "result.json")) as file:
            return json.load(file)["quality"]["damage"]


def scanned(*more):
    """Of a scan: events of damage, the last metrics' part of it, what an analysis of the recording says."""
    with Flyback(SETTINGS) as fly, fly.viewer() as viewer:
        simulate(fly, "--frames", FRAMES, *more)
        viewer.wait(lambda: viewer.stop)
        return [e for e in viewer.events if e["code"] == "damage"], viewer.metrics["quality"]["damage"], analyzed_of(fly)


def a_specimen_that_stays_is_left_alone():
    events, told, analyzed = scanned("--eds-counts", 2, "--drift-px", 0.3)
    assert events == [] and told["chips"] == told["barred"] == 0, (events, told)
    assert told["sign"] is told["chip"] is told["element"] is told["change"] is None, told
    assert analyzed == told, (analyzed, told)


def lost_oxygen_and_thickness_are_told_where_they_are_lost():
    said = []
    for kind, counts, signs, element in (("oxygen", 6, ("share",), "O"), ("thickness", 1, ("image", "rate"), None)):
        events, told, analyzed = scanned("--eds-counts", counts, "--damage", "%s=0.6" % kind)
        assert events and events[0]["level"] == "warning", events
        data = events[0]["data"]
        assert data["sign"] in signs and data["element"] == element and data["change"] < -0.1 and data["p"] < 1e-4, data
        assert all(place in MIDDLE for e in events for place in e["data"]["chip"]), events
        assert told["barred"] >= told["chips"] >= data["chips"] > 0, (told, data)
        assert analyzed == told, (analyzed, told)
        said.append("%s: %d chips" % (kind, told["chips"]))
    return ", ".join(said)


def a_restart_finds_what_would_have_been_found():
    """By the whole recording: of data in another order, as another run would have them, a look may fall between others."""
    more = ("--frames", FRAMES, "--eds-counts", 1, "--damage", "thickness=0.6")
    with Flyback(SETTINGS) as fly:
        sim = subprocess.Popen(command(fly, *more), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            with fly.viewer() as viewer:
                viewer.wait(lambda: any(e["code"] == "damage" for e in viewer.events))
                fly.kill()
            fly.start()
            with fly.viewer() as viewer:
                viewer.wait(lambda: viewer.stop)
                told = viewer.metrics["quality"]["damage"]
            out, err = sim.communicate(timeout=30 * SLOW)
            assert sim.returncode == 0, (out, err)
        finally:
            sim.kill()
            sim.communicate()
        whole = analyzed_of(fly)
        assert whole == told and told["chips"] > 0, (whole, told)


class Approver(threading.Thread):
    """A person who says yes to every suggestion, and remembers which chips each names."""

    def __init__(self, fly):
        super().__init__(daemon=True)
        self.fly, self.over, self.suggested, self.damage = fly, threading.Event(), [], []

    def chips(self, suggest):
        return {(int(t["px"][0]) // CHIP, col) for t in suggest["targets"]
                for col in range(int(t["px"][1]) // CHIP, int(t["px"][1] + t["px"][3]) // CHIP)}

    def run(self):
        with self.fly.controller() as control:
            socket = zmq.Context.instance().socket(zmq.SUB)
            for topic in (b"suggest", b"event"):
                socket.setsockopt(zmq.SUBSCRIBE, topic)
            socket.connect(self.fly.publish)
            while not self.over.is_set():
                if not socket.poll(20):
                    continue
                message = msgpack.unpackb(socket.recv_multipart()[1])
                if message["type"] == "event":
                    if message["code"] == "damage":
                        self.damage.append((len(self.suggested), message["data"]))
                    continue
                if message["mode"] != "ask" or not message["targets"]:
                    continue
                self.suggested.append(self.chips(message))
                try:
                    control.request("steer.decide", decision_id=message["decision_id"], verdict="approve", reason="looks well")
                except fc.RequestError:
                    pass  # decided, expired: the next one comes
            socket.close()


def steered(heed, *more):
    """Chips suggested after the first damage that was told, without the suggestion under way then, and that damage."""
    settings = dict(SETTINGS, **{"tree.chips_max": 4096, "steer.policy": "interlaced", "steer.cycle_ms": 20, "steer.dose_cap": 32,
                                 "steer.tiles": 32, "steer.damage": heed})
    with Flyback(settings) as fly:
        person = Approver(fly)
        person.start()
        simulate(fly, "--obey", "ask", "--eds-counts", 1, "--dose-budget", 16, *more)
        person.over.set()
        person.join()
        done = flyback("replay", fly.recording("s"), "--decisions")
        return person, done.stdout


def steering_spares_it_and_every_decision_is_made_again():
    person, _ = steered("true", "--damage", "thickness=0.6")
    assert person.damage, "no damage was told"
    at, data = person.damage[0]
    spared = {(data["chip"][0] + r, data["chip"][1] + c) for r in (-1, 0, 1) for c in (-1, 0, 1)}
    after = person.suggested[at + 2:]
    assert after, "nothing was suggested after it"
    assert not any(chips & spared for chips in after), (data, after)
    person, _ = steered("false", "--damage", "thickness=0.6")
    at, data = person.damage[0]
    assert any(tuple(data["chip"]) in chips for chips in person.suggested[at + 2:]), "steer.damage false spares it all the same"


def steering_of_a_specimen_that_stays_goes_on():
    person, _ = steered("true")
    assert person.damage == [], person.damage
    return "%d suggestions" % len(person.suggested)


def wrong_use_is_named():
    for args, words in ((["--damage", "iron=0.1"], "oxygen=LOSS or thickness=LOSS"), (["--damage", "oxygen=2"], "0 .. 1"),
                        (["--obey", "ask", "--from", "x.fly", "--damage", "oxygen=0.1"], "no --damage")):
        done = flyback("sim", *args, status=2)
        assert words in done.stderr, (args, done.stderr)


if __name__ == "__main__":
    run(
        a_specimen_that_stays_is_left_alone,
        lost_oxygen_and_thickness_are_told_where_they_are_lost,
        a_restart_finds_what_would_have_been_found,
        steering_spares_it_and_every_decision_is_made_again,
        steering_of_a_specimen_that_stays_goes_on,
        wrong_use_is_named,
    )
