"""Dose through the sockets: booked from what was sent, once for each exposure, chip by chip and to the last digit."""

import json
import os
import sys
import tempfile

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from flyback_test import Flyback, Raw, flyback, run, wait_until  # noqa: E402

PX, CHIP = 64, 16
SIDE = PX // CHIP
SEGMENTS = [{"name": "E%d" % i, "n_channels": 64, "ev_per_channel": 20.0, "ev_offset": 0.0} for i in (1, 2)]
CALIBRATED = {"beam_current_na": 0.05, "pixel_nm": [0.05, 0.02]}
FACTOR = 0.05 * 1e-9 * 1e-6 / 1.602176634e-19 / (0.05 * 0.02 * 100)  # e-/A^2 in a us
SETTINGS = {"chip.size_px": CHIP, "graph.chips_max": 0, "tree.chips_max": 0}


class Beam:
    """What was done to the specimen: dwell of each pixel of each frame, ns; 0: not exposed, 1: nothing tells it."""

    def __init__(self):
        self.frames = {}
        self.shift = {}

    def see(self, frame, y, x, h, w, dwell_ns):
        seen = self.frames.setdefault(frame, np.zeros((PX, PX), np.int64))[y:y + h, x:x + w]
        np.maximum(seen, dwell_ns, out=seen)

    def total(self):
        """ns of each pixel of the specimen; exposures without a dwell."""
        known, unknown = np.zeros((2, PX, PX), np.int64)
        for frame, seen in self.frames.items():
            dy, dx = self.shift.get(frame, (0, 0))
            to = tuple(slice(max(0, d), PX + min(0, d)) for d in (dy, dx))
            of = tuple(slice(max(0, -d), PX - max(0, d)) for d in (dy, dx))
            known[to] += np.where(seen > 1, seen, 0)[of]
            unknown[to] += (seen == 1)[of]
        return known, unknown

    def chips(self, factor):
        known, unknown = (a.reshape(SIDE, CHIP, SIDE, CHIP) for a in self.total())
        mean = (factor * (known.sum((1, 3)) / (1e3 * CHIP * CHIP)).astype("<f4").astype(float)).astype("<f4")
        most = (factor * (known.max((1, 3)) / 1e3).astype("<f4").astype(float)).astype("<f4")
        none = unknown.sum((1, 3)) > 0
        mean[none] = most[none] = np.nan
        return mean, most


class Instrument:
    """A sender, and the beam that it moves."""

    def __init__(self, sender, seed=1):
        self.sender, self.beam, self.rng = sender, Beam(), np.random.default_rng(seed)

    def start(self, detectors=(("HAADF", "<u2"),), **facts):
        self.sender.start([PX, PX], list(detectors), SEGMENTS, **facts)

    def image(self, frame, y, x, h, w, dwell_us=None, detector="HAADF", **more):
        self.beam.see(frame, y, x, h, w, round(1000 * dwell_us) if dwell_us else 1)
        pixels = self.rng.integers(0, 5000, (h, w)).astype("<u2")
        self.sender.lines(detector, pixels, y, x, frame=frame, dwell_us=dwell_us, **more)
        return pixels

    def photons(self, segment, frame, y, x, h, w, dwell_us=None):
        self.beam.see(frame, y, x, h, w, round(1000 * dwell_us) if dwell_us else 1)
        n = int(self.rng.integers(0, 2 * h * w))
        self.sender.eds_pairs(segment, np.sort(self.rng.integers(0, h * w, n)), self.rng.integers(0, 64, n), y, x, [h, w],
                              frame=frame, dwell_us=dwell_us)

    def check(self, factor=FACTOR, unit="e_per_A2"):
        self.sender.wait_durable()
        told, mean, most = self.sender.control.dose_get()
        right, right_most = self.beam.chips(factor)
        assert told["unit"] == unit and abs(told["factor"] / factor - 1) < 1e-12, told
        np.testing.assert_array_equal(mean, right)
        np.testing.assert_array_equal(most, right_most)
        there = mean[~np.isnan(mean)].astype(float)
        if len(there):
            assert told["max"] == np.nanmax(right_most) and abs(told["mean"] - there.mean()) < 1e-9 * there.mean(), told
            pairs = np.abs(there[:, None] - there).sum()
            assert abs(told["gini"] - pairs / (2 * len(there) * there.sum())) < 1e-9, told
        assert told["unknown"] == sum((seen == 1).sum() for seen in self.beam.frames.values()), told
        return told


def survey(instrument, frame=0, dwell_us=2.0):
    for y in range(0, PX, 8):
        instrument.image(frame, y, 0, 8, PX, dwell_us)
        for segment in ("E1", "E2"):
            instrument.photons(segment, frame, y, 0, 8, PX, dwell_us)


def an_exposure_counts_once_whoever_saw_it():
    with Flyback(SETTINGS) as fly, fly.sender() as sender:
        it = Instrument(sender)
        it.start([("HAADF", "<u2"), ("BF", "<u2")], **CALIBRATED)
        survey(it)
        told = it.check()
        assert abs(told["mean"] - 2 * FACTOR) < 1e-3 and told["gini"] < 1e-6 and abs(told["survey"] - 2 * FACTOR) < 1e-3, told
        it.image(1, 10, 20, 20, 30, 7.25)           # a box that the image alone saw
        it.photons("E1", 1, 10, 20, 20, 30, 8.5)    # longer, say its own electronics
        it.photons("E2", 1, 10, 20, 20, 30, 7.25)
        it.photons("E1", 2, 0, 0, 16, 16, 3.0)      # X-rays alone
        it.image(3, 40, 40, 5, 5, 11.0, detector="BF")  # no map is made of it
        told = it.check()
        assert told["late"] == 0, told
        sender.stop()
        it.sender.wait_durable = lambda: None
        it.check()                                  # until the next start


def what_is_sent_again_changes_nothing():
    with Flyback(SETTINGS) as fly, fly.sender(auto_resend=False) as sender:
        it = Instrument(sender)
        it.start(**CALIBRATED)
        survey(it)
        pixels = it.image(1, 0, 0, 16, 16, 5.0)
        before = it.check()
        with Raw(fly, sender.session) as raw:
            raw.seq["HAADF"] = sender.last_seq["HAADF"] - 1
            for _ in range(2):  # the same bytes under the same number, and under the next one
                raw.lines("HAADF", pixels, 0, 0, frame=1, dwell_us=5.0)
            wait_until(lambda: sender.control.status()["last_seq"]["HAADF"] == sender.last_seq["HAADF"] + 1)
            wait_until(lambda: sender.control.dose_get()[0]["as_of"]["HAADF"] == sender.last_seq["HAADF"] + 1)
        after = it.check()
        before.pop("as_of"), after.pop("as_of")
        assert before == after, (before, after)


def a_dwell_that_nothing_tells_is_not_guessed():
    with Flyback(SETTINGS) as fly, fly.sender() as sender:
        it = Instrument(sender)
        it.start(**CALIBRATED)
        survey(it)
        it.image(1, 0, 0, 16, 20)
        told = it.check()
        assert told["unknown"] == 320, told
        it.photons("E2", 1, 0, 0, 16, 20, 4.0)  # another stream knows
        assert it.check()["unknown"] == 0
    with Flyback(SETTINGS) as fly, fly.sender() as sender:
        it = Instrument(sender)
        it.start(pixel_time_us=1.5, **CALIBRATED)
        sender.lines("HAADF", np.zeros((PX, PX), "<u2"), 0)
        it.beam.see(0, 0, 0, PX, PX, 1500)
        it.check()


def without_beam_current_dose_is_in_us():
    with Flyback(SETTINGS) as fly, fly.sender() as sender:
        it = Instrument(sender)
        it.start(pixel_nm=[0.05, 0.02])
        survey(it, dwell_us=2.5)
        told = it.check(1.0, "us")
        assert told["survey"] == 2.5 and told["mean"] == 2.5 and told["cap"] == 8 * 2.5, told


def a_frame_that_was_shifted_has_its_dose_where_the_beam_was():
    with Flyback(SETTINGS) as fly, fly.sender() as sender:
        it = Instrument(sender)
        it.start(**CALIBRATED)
        survey(it)
        it.image(1, 0, 0, 30, PX, 5.0)
        sender.wait_durable()
        it.sender.control.request("frame.shift", frame=1, dy_px=6, dx_px=-9)
        it.beam.shift[1] = 6, -9
        it.check()
        it.image(1, 30, 0, 34, PX, 5.0)
        it.photons("E1", 1, 0, 0, PX, PX, 6.0)
        it.check()


def the_cap_is_what_steering_gives_at_most():
    for settings, cap in (({}, 8 * 2 * FACTOR), ({"steer.dose_cap": 3}, 3 * 2 * FACTOR), ({"steer.mode": "off"}, None),
                          ({"steer.dose_cap_e_per_A2": 1000}, 1000), ({"steer.dose_cap_e_per_A2": 1e9}, 8 * 2 * FACTOR)):
        with Flyback(dict(SETTINGS, **settings)) as fly, fly.sender() as sender:
            it = Instrument(sender)
            it.start(**CALIBRATED)
            assert sender.control.dose_get()[0]["cap"] == settings.get("steer.dose_cap_e_per_A2"), "no survey yet"
            survey(it)
            told = it.check()["cap"]
            assert told == cap or abs(told - cap) < 1e-9 * cap, (settings, told, cap)


def it_is_published_and_late_joiners_have_it_at_once():
    with Flyback(SETTINGS) as fly, fly.sender() as sender, fly.viewer() as viewer:
        it = Instrument(sender)
        it.start(**CALIBRATED)
        survey(it)
        it.check()
        right = it.beam.chips(FACTOR)[0]
        viewer.wait(lambda: viewer.dose and np.array_equal(viewer.dose_map, right))
        seq = viewer.dose["seq"]
        with fly.viewer() as late:
            late.wait(lambda: late.dose)
            assert late.dose["seq"] == seq and np.array_equal(late.dose_map, right), late.dose
        it.image(1, 16, 16, 16, 16, 9.0)
        sender.stop()
        viewer.wait(lambda: viewer.stop)
        assert viewer.dose["seq"] > seq and np.array_equal(viewer.dose_map, it.beam.chips(FACTOR)[0]), viewer.dose
        assert viewer.dose["session"] == sender.session and viewer.dose["full_shape"] == [SIDE, SIDE], viewer.dose


def a_plugin_that_was_killed_knows_the_dose_again():
    with Flyback(SETTINGS) as fly, fly.sender(auto_resend=False) as sender:
        it = Instrument(sender)
        it.start(**CALIBRATED)
        survey(it)
        it.image(1, 8, 8, 30, 40, 5.0)
        sender.wait_durable()
        sender.control.request("frame.shift", frame=1, dy_px=-3, dx_px=2)
        it.beam.shift[1] = -3, 2
        it.image(2, 0, 0, 30, 40, 5.0)  # maybe on disk, maybe not
        it.photons("E1", 2, 0, 0, 30, 40, 5.0)
        fly.kill()
        fly.start()
        sender.resend()
        it.check()
        it.photons("E2", 2, 0, 0, 30, 40, 5.5)
        it.check()


def analyze_and_export_leave_the_same():
    with Flyback(SETTINGS) as fly, fly.sender() as sender, tempfile.TemporaryDirectory() as out:
        it = Instrument(sender)
        it.start(**CALIBRATED)
        survey(it)
        it.image(1, 10, 20, 20, 30, 7.25)
        told = it.check()
        sender.stop()
        flyback("analyze", fly.recording(sender.session), "--out", out)
        with open(os.path.join(out, "result.json")) as file:
            result = json.load(file)["dose"]
        assert result == {key: told[key] for key in result} and len(result) == 8, (result, told)
        mean, most = it.beam.chips(FACTOR)
        np.testing.assert_array_equal(np.load(os.path.join(out, "dose.npy")), mean)
        np.testing.assert_array_equal(np.load(os.path.join(out, "dose_max.npy")), most)
        px = (FACTOR * (it.beam.total()[0] / 1e3).astype("<f4").astype(float)).astype("<f4")
        np.testing.assert_array_equal(np.load(os.path.join(out, "dose_px.npy")), px)
        with open(os.path.join(out, "dose.png"), "rb") as file:
            assert file.read(8) == b"\x89PNG\r\n\x1a\n"
        flyback("export", fly.recording(sender.session), "--npy", os.path.join(out, "npy"))
        np.testing.assert_array_equal(np.load(os.path.join(out, "npy", "dose_e_per_A2.npy")), mean)


run(
    an_exposure_counts_once_whoever_saw_it,
    what_is_sent_again_changes_nothing,
    a_dwell_that_nothing_tells_is_not_guessed,
    without_beam_current_dose_is_in_us,
    a_frame_that_was_shifted_has_its_dose_where_the_beam_was,
    the_cap_is_what_steering_gives_at_most,
    it_is_published_and_late_joiners_have_it_at_once,
    a_plugin_that_was_killed_knows_the_dose_again,
    analyze_and_export_leave_the_same,
)
