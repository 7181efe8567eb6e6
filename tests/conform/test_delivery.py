"""Numbers, repeats, gaps, durability, and how sessions begin and end."""

import os
import sys
import time

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from flyback_test import SLOW, Counters, Flyback, Raw, run, same_map, wait_until  # noqa: E402

H, W, E = 30, 40, 64
SETTINGS = {"chip.size_px": 10, "haadf.lo": 0, "haadf.hi": 1000, "ingest.stop_wait_s": 1}
IMAGE = (np.arange(H * W).reshape(H, W) * 7 % 1000).astype("<u2")
START = {
    "schema": [1, 0],
    "scan_shape_px": [H, W],
    "detectors": [{"name": "HAADF", "dtype": "<u2"}, {"name": "F", "dtype": "<f4"}],
    "eds": [{"name": "EDS", "n_channels": E, "ev_per_channel": 10.0, "ev_offset": 0.0}],
}


def photons(raw, y, pixel, channel, **more):
    return raw.send("eds", "EDS", np.array(pixel, "<u4").tobytes(), np.array(channel, "<u2").tobytes(), frame=0,
                    y0_px=y, x0_px=0, shape=[1, W], layout="pairs", live_time_us=None, real_time_us=None, **more)


class Opened:
    """A Flyback with an open session, ready to count."""

    def __init__(self, session, settings=None):
        self.fly = Flyback(dict(SETTINGS, **(settings or {})))
        self.viewer, self.raw, self.control = self.fly.viewer(), Raw(self.fly, session), self.fly.controller()
        self.raw.send("start", "control", **START)
        self.counters = Counters(self.viewer)
        self.counters.wait_messages(1)
        self.viewer.wait(lambda: self.viewer.start)  # counted as it comes, and opened after

    def grew(self, *keys, **want):
        """Exactly these counters have grown since last asked, by so much: those of order and refusals, and keys."""
        want = {k.replace("refused_", "refused."): v for k, v in want.items()}
        self.counters.expect(self.raw.sent, want, set(keys) | set(want))

    def durable(self, **want):
        def there():
            self.viewer.poll(0.01)
            seq = (self.viewer.heartbeat or {}).get("durable_seq", {})
            return all(seq.get(k) == v for k, v in want.items())

        wait_until(there, 5, "durable_seq %s (last: %s)" % (want, (self.viewer.heartbeat or {}).get("durable_seq")))

    def stop(self, **more):
        count = dict(self.raw.seq, control=self.raw.seq["control"] + 1)
        self.raw.send("stop", "control", **dict({"exit_status": "success", "reason": "", "count": count}, **more))
        self.viewer.wait(lambda: self.viewer.stop, 20 * SLOW)
        return self.viewer.stop

    def __enter__(self):
        self.fly.__enter__()
        return self

    def __exit__(self, *wrong):
        self.viewer.close()
        self.raw.socket.close()
        self.control.close()
        self.fly.__exit__(*wrong)


def repeats_conflicts_gaps_and_late_ones_are_counted_one_by_one():
    with Opened("counts") as o:
        raw = o.raw
        first = raw.lines("HAADF", IMAGE[0:1], 0)
        o.grew(lines=1, pixels=W)

        for _ in range(3):
            raw.parts(*first)
        o.grew("lines", "pixels", repeat=3)  # the same bytes three times more

        raw.lines("HAADF", IMAGE[5:6], 5, seq=1)
        o.grew("lines", "pixels", conflict=1)  # other bytes under the same number

        raw.lines("HAADF", IMAGE[3:4], 3, seq=4)
        o.grew(lines=1, gap=2, pixels=W)  # 2 and 3 are missing
        o.durable(HAADF=1)
        raw.lines("HAADF", IMAGE[2:3], 2, seq=3)
        o.grew(lines=1, reorder=1, pixels=W)  # 3 came late
        o.durable(HAADF=1)
        raw.lines("HAADF", IMAGE[1:2], 1, seq=2)
        o.grew(lines=1, reorder=1, pixels=W)  # 2 came last
        o.durable(HAADF=4)

        # pixels that are there already, under a new number
        raw.lines("HAADF", IMAGE[0:4], 0, seq=5)
        o.grew("pixels")  # equal content has no effect
        changed = IMAGE[3:6].copy()
        changed[0, :7] += 1
        raw.lines("HAADF", changed, 3, seq=6)
        o.grew(conflict=1, pixels=2 * W)  # other content: the first stands, new pixels are taken

        # the first stands: the chips equal those of the undisturbed image
        for y in range(6, H):
            raw.lines("HAADF", IMAGE[y : y + 1], y)
        o.control.support_add("a", [[0, 0]])
        o.control.support_add("b", [[2, 3]])
        assert o.stop()["complete"] == 1.0
        disturbed = o.control.map_get("fewshot", "haadf", exact=True)
    with Opened("clean") as o:
        o.raw.lines("HAADF", IMAGE, 0)
        o.control.support_add("a", [[0, 0]])
        o.control.support_add("b", [[2, 3]])
        o.stop()
        same_map(disturbed, o.control.map_get("fewshot", "haadf", exact=True), "disturbed and undisturbed")


def photons_are_counted_and_those_of_a_pixel_taken_once():
    with Opened("photons") as o:
        photons(o.raw, 0, [0, 0, 5, W - 1], [1, 2, 3, E - 1])
        o.grew(photons=4)
        photons(o.raw, 1, [0, 1, 2], [0, E, E + 7])
        o.grew(photons=1, photon_outside=2)
        photons(o.raw, 0, [0, 0, 5, W - 1], [1, 2, 3, E - 1])
        o.grew("photons")  # the same photons under another number
        photons(o.raw, 0, [0, 0, 5, W - 1], [1, 2, 4, E - 1])
        o.grew("photons", conflict=1)  # other photons of pixels that have theirs
        for y in range(2, 10):
            photons(o.raw, y, [], [])
        o.grew(eds=8)
        chip = o.control.chip_get(0, 0)
        want = np.zeros(E, int)
        for ch in (1, 2, 3, 0):
            want[ch] += 1
        assert np.array_equal(chip["spectrum"], want), np.nonzero(chip["spectrum"])


def pixels_that_are_no_numbers_count_as_missing():
    with Opened("nan", {"haadf.detector": "F"}) as o:
        image = IMAGE.astype("<f4")
        torn = image.copy()
        torn[3, 4], torn[15, 20], torn[15, 21] = np.nan, np.inf, -np.inf
        o.raw.lines("F", torn, 0)
        o.grew(nonfinite=3)
        o.control.support_add("a", [[0, 1]])
        stop = o.stop()
        labels = o.control.map_get("fewshot", "haadf", exact=True).labels
        want = np.zeros((3, 4), int)
        want[0, 0] = want[1, 2] = -1
        assert np.array_equal(labels, want), labels
        assert abs(stop["complete"] - (1 - 3 / (H * W))) < 1e-9, stop["complete"]


def a_skip_fills_a_number_that_never_was():
    with Opened("skip") as o:
        o.raw.lines("HAADF", IMAGE[0:1], 0)
        o.raw.lines("HAADF", IMAGE[1:2], 1, seq=3)
        o.grew(lines=2, gap=1)
        o.durable(HAADF=1)
        o.raw.send("skip", "HAADF", seq=2)
        o.durable(HAADF=3)


def durable_seq_comes_within_the_promised_time():
    with Opened("durable") as o:
        o.durable(control=1)
        worst = 0.0
        for y in range(H):
            o.raw.lines("HAADF", IMAGE[y : y + 1], y)
            sent = time.monotonic()
            o.durable(HAADF=y + 1)
            worst = max(worst, time.monotonic() - sent)
        # sync_ms is 50; the rest is room for a busy machine
        assert worst < 1.0 * SLOW, "%.3f s" % worst
        assert os.path.getsize(o.fly.recording("durable")) > H * W * 2
        return "at most %.0f ms" % (1000 * worst)


def without_a_recording_durable_seq_is_what_was_assembled():
    with Opened("memory", {"recording.enabled": "false"}) as o:
        o.raw.lines("HAADF", IMAGE[0:1], 0)
        o.raw.lines("HAADF", IMAGE[1:2], 1, seq=3)
        o.durable(HAADF=1)
        assert not os.path.exists(o.fly.recording("memory")), "a recording was made all the same"


def a_start_said_twice_is_a_repeat():
    with Opened("twice") as o:
        o.raw.send("start", "control", seq=1, **START)  # t_ns is another
        o.grew(repeat=1)
        o.raw.send("start", "control", seq=1, **dict(START, sample="other"))
        o.grew(refused_session_reused=1)
        assert o.control.status()["session"] == "twice"


def a_start_while_another_session_is_open_aborts_that_one():
    with Opened("old") as o, Raw(o.fly, "new") as raw:
        for y in range(15):
            o.raw.lines("HAADF", IMAGE[y : y + 1], y)
        o.grew(lines=15)
        stops = []

        def seen():
            stops.extend(h for kind, h in o.viewer.poll(0.02) if kind == "stop")
            return stops and o.viewer.start["session"] == "new"

        raw.send("start", "control", **START)
        wait_until(seen, 10, "the old session's stop and the new one's start")
        assert stops[0]["session"] == "old" and stops[0]["exit_status"] == "abort", stops
        assert stops[0]["complete"] == 0.5, stops[0]["complete"]
        assert o.control.status()["session"] == "new"
        raw.sent += o.raw.sent
        raw.lines("HAADF", IMAGE[0:1], 0)
        assert Counters(o.viewer).wait_messages(raw.sent)["lines"] == 16
        # and its name is spent
        o.raw.sent = raw.sent
        o.raw.send("start", "control", seq=1, **START)
        o.counters.wait_messages(o.raw.sent)
        assert o.counters.now().get("refused.session_reused") == 1


def stop_waits_for_what_is_missing_and_then_drains():
    with Opened("waits", {"ingest.stop_wait_s": 5}) as o:
        for y in range(H - 1):
            o.raw.lines("HAADF", IMAGE[y : y + 1], y)
        count = dict(o.raw.seq, control=2, HAADF=H)
        o.raw.send("stop", "control", exit_status="success", reason="done", count=count)
        wait_until(lambda: o.control.status()["state"] == "draining", 5, "draining")
        o.raw.lines("HAADF", IMAGE[H - 1 :], H - 1)  # the straggler
        began = time.monotonic()
        o.viewer.wait(lambda: o.viewer.stop, 20 * SLOW)
        assert time.monotonic() - began < 4, "it waited although all was there"
        assert o.viewer.stop["complete"] == 1.0 and o.viewer.stop["reason"] == "done", o.viewer.stop
        assert o.viewer.stop["count"]["HAADF"] == H, o.viewer.stop["count"]
    with Opened("waits_not", {"ingest.stop_wait_s": 0.3}) as o:
        o.raw.lines("HAADF", IMAGE[:15], 0)
        began = time.monotonic()
        stop = o.stop(count={"HAADF": 2, "control": 2}, exit_status="fail", reason="beam lost")
        assert 0.25 < time.monotonic() - began < 5 * SLOW, time.monotonic() - began
        assert stop["complete"] == 0.5 and stop["exit_status"] == "fail" and stop["reason"] == "beam lost", stop
        labels = o.control.map_get("fewshot", "haadf", exact=True).labels
        assert (labels[0] == -3).all() and (labels[1:] == -1).all(), "no class to compare with, and not measured: %s" % labels


def a_chip_never_wholly_measured_stays_unmeasured():
    with Opened("holes") as o:
        o.raw.lines("HAADF", IMAGE[:, :35], 0)
        o.control.support_add("a", [[0, 0]])
        o.stop()
        labels = o.control.map_get("fewshot", "haadf", exact=True).labels
        assert (labels[:, :3] == 0).all() and (labels[:, 3] == -1).all(), labels
        ensemble = o.control.map_get("fewshot", "ensemble", exact=True).labels
        assert (ensemble == -1).all(), "an ensemble of one modality: %s" % ensemble


def a_silent_instrument_is_told():
    with Opened("silent") as o:
        o.raw.send("heartbeat", "control", last_seq={}, backlog=0, dropped={"HAADF": 3})
        began = time.monotonic()
        o.viewer.wait(lambda: any(e["level"] == "warning" for e in o.viewer.events), 12 * SLOW)
        waited = time.monotonic() - began
        assert 3.5 < waited, "after %.1f s" % waited
        assert o.control.status()["state"] == "running", "silence must not touch the data"
        return "%s after %.1f s" % (o.viewer.events[-1]["code"], waited)


run(
    repeats_conflicts_gaps_and_late_ones_are_counted_one_by_one,
    photons_are_counted_and_those_of_a_pixel_taken_once,
    pixels_that_are_no_numbers_count_as_missing,
    a_skip_fills_a_number_that_never_was,
    durable_seq_comes_within_the_promised_time,
    without_a_recording_durable_seq_is_what_was_assembled,
    a_start_said_twice_is_a_repeat,
    a_start_while_another_session_is_open_aborts_that_one,
    stop_waits_for_what_is_missing_and_then_drains,
    a_chip_never_wholly_measured_stays_unmeasured,
    a_silent_instrument_is_told,
)
