"""Data quality through the sockets: what is wrong with made-up data is told, with about the right numbers, and nothing
is said of good ones."""

import json
import os
import sys
import tempfile

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from flyback_test import Flyback, flyback, run  # noqa: E402

PX, CHIP, CELL = 128, 16, 9.0
PIXEL_NM = 0.0434  # a cell of 0.39 nm
CODES = ("counts_low", "saturation", "drift", "chip_below_cell", "chip_size", "uncalibrated_pixel",
         "uncalibrated_k_factors")
SEGMENT = {"name": "EDS", "n_channels": 1024, "ev_per_channel": 10.0, "ev_offset": 0.0}
LINES = ((525, 0.5), (4510, 0.3), (6404, 0.2))  # O, Ti, Fe: eV, share
SETTINGS = {"chip.size_px": CHIP, "eds.elements": "O,Ti,Fe"}
MINE = {"eds.k_factors": "O_Ka=1.9,Ti_Ka=1.1,Fe_Ka=1.35"}


def image(cell=CELL, dy=0.0, dx=0.0, seed=1):
    """A lattice with particles, seen (dy, dx) px away."""
    y, x = np.mgrid[:PX, :PX] + np.array([dy, dx])[:, None, None]
    mean = 60 + 100 * (2 + np.cos(2 * np.pi * y / cell) + np.cos(2 * np.pi * x / cell))
    for py, px in np.random.default_rng(77).uniform(0, PX, (25, 2)):
        mean += 400 * np.exp(-((y - py) ** 2 + (x - px) ** 2) / 18)
    return np.random.default_rng(seed).poisson(mean).astype("<u2")


def send_photons(sender, per_px, frame, seed):
    rng = np.random.default_rng(seed)
    for y in range(0, PX, CHIP):
        n = rng.poisson(per_px * CHIP * PX)
        pixel = np.sort(rng.integers(0, CHIP * PX, n))
        ev = rng.choice([e for e, _ in LINES], n, p=[p for _, p in LINES]) + rng.normal(0, 45, n)
        sender.eds_pairs("EDS", pixel, np.clip(ev / 10, 0, 1023).astype(int), y, 0, [CHIP, PX], frame=frame)


def told(images, per_px=1.0, settings=None, pixel_nm=PIXEL_NM, between=None, keep=None):
    """Stream frames; {code: event} of data quality, the last metrics' quality."""
    events, order = {}, []
    with Flyback(dict(SETTINGS, **(settings or {}))) as fly, fly.viewer() as viewer, fly.sender() as sender:

        def hear(wait_s=0.0):
            for kind, header in viewer.poll(wait_s):
                order.append(kind)
                if kind == "event" and header["code"] in CODES and header["session"] == sender.session:
                    assert header["code"] not in events, "told twice: %s" % header
                    events[header["code"]] = header
                    assert "stop" not in order, "%s after the stop" % header["code"]

        facts = {"pixel_nm": [pixel_nm, pixel_nm]} if pixel_nm else {}
        sender.start([PX, PX], [("HAADF", "<u2")], [SEGMENT] if per_px else [], frames_planned=len(images), **facts)
        assert not events
        for frame, pixels in enumerate(images):
            if between:
                between(frame, sender.control)
            for y in range(0, PX, CHIP):
                sender.lines("HAADF", pixels[y:y + CHIP], y, frame=frame)
            if per_px:
                send_photons(sender, per_px, frame, 50 + frame)
            hear()
        sender.stop()
        while "stop" not in order:
            hear(0.1)
        quality = viewer.metrics["quality"]
        if keep:
            keep(fly, sender.session, quality)
    for header in events.values():
        assert header["data"] is not None and len(header["text"]) > 20, header
    return events, quality


def warnings_of(events):
    return {code for code, header in events.items() if header["level"] != "info"}


def nothing_is_said_of_good_data():
    events, q = told([image(seed=1), image(seed=2)], settings=MINE)
    assert warnings_of(events) == set(), events
    assert set(events) == {"chip_size"}, events
    assert events["chip_size"]["data"]["chip_px"] == CHIP and "that fits" in events["chip_size"]["text"]
    assert q["calibration"] == {"pixel": True, "k_factors": "user"}, q
    assert q["saturation"]["top"] == 0 and q["saturation"]["bottom"] == 0, q
    assert q["counts"]["too_few"] == 0 and q["counts"]["pooled"] == 0 and q["counts"]["chips"] == 64, q
    assert 450 < q["counts"]["median"] < 570, q
    assert q["drift"]["frames"] == 2 and q["drift"]["largest_px"] < 0.3, q
    assert q["chip_size"]["reason"] == "fits" and abs(q["chip_size"]["cell_px"] - CELL) < 0.2, q


def a_clipped_image_is_saturated():
    pixels = image()
    clipped = np.minimum(pixels, 500)
    events, q = told([clipped], settings=MINE)
    share = float((clipped == 500).mean())
    assert warnings_of(events) == {"saturation"}, events
    for got in (events["saturation"]["data"], q["saturation"]):
        assert got["top_value"] == 500 and got["bottom"] == 0, got
    assert abs(q["saturation"]["top"] - share) < 1e-12, (q["saturation"], share)
    assert "500" in events["saturation"]["text"]
    return "%.1f %% of the pixels" % (100 * share)


def a_frame_that_moved_has_drifted():
    events, q = told([image(seed=1), image(dy=3, dx=-2, seed=2)], settings=MINE)
    assert warnings_of(events) == {"drift"}, events
    for got in (events["drift"]["data"], q["drift"]):
        assert got["frame"] == 1, got
        assert abs(got["dy_px"] - 3) < 0.1 and abs(got["dx_px"] + 2) < 0.1, got
        assert 0 < got["sigma_dy_px"] < 0.2, got
    assert abs(q["drift"]["largest_px"] - 13 ** 0.5) < 0.1 and q["drift"]["largest_frame"] == 1, q
    return "(%.2f, %.2f) px" % (q["drift"]["dy_px"], q["drift"]["dx_px"])


def a_drift_that_was_made_good_is_none():
    def shift(frame, control):
        if frame == 1:
            control.request("frame.shift", frame=1, dy_px=3, dx_px=-2)

    events, q = told([image(seed=1), image(dy=3, dx=-2, seed=2)], settings=MINE, between=shift)
    assert warnings_of(events) == set(), events
    assert q["drift"]["applied_dy_px"] == 3 and q["drift"]["applied_dx_px"] == -2, q
    assert abs(q["drift"]["dy_px"] - 3) < 0.1, q


def chips_smaller_than_a_cell_are_advised_against():
    events, q = told([image(cell=12.5)], settings=dict(MINE, **{"chip.size_px": 8}), pixel_nm=0.03, per_px=4)
    assert warnings_of(events) == {"chip_below_cell"}, events
    data = events["chip_below_cell"]["data"]
    assert data["chip_px"] == 8 and abs(data["cell_px"] - 12.5) < 0.3 and abs(data["cells"] - 0.64) < 0.03, data
    assert 25 <= data["advised_px"] <= 26 and "chip_size" not in events, data
    assert q["chip_size"]["reason"] == "below_cell" and q["chip_size"]["final"], q
    return events["chip_below_cell"]["text"]


def few_photons_are_told():
    events, q = told([image()], per_px=0.2, settings=MINE)
    assert warnings_of(events) == {"counts_low"}, events
    assert events["counts_low"]["data"]["needed"] == 100, events
    assert q["counts"]["pooled"] + q["counts"]["too_few"] > 0.9 and 30 < q["counts"]["median"] < 70, q


def what_is_not_calibrated_is_told():
    events, q = told([image()], pixel_nm=None)
    assert warnings_of(events) == {"uncalibrated_pixel"}, events
    assert events["uncalibrated_k_factors"]["level"] == "info"
    assert q["calibration"] == {"pixel": False, "k_factors": "table"}, q
    events, q = told([image()], settings={"eds.k_factors": "O_Ka=1.9"})
    assert warnings_of(events) == {"uncalibrated_k_factors"}, events
    assert q["calibration"] == {"pixel": True, "k_factors": "mixed"}, q


def a_session_without_photons_tells_none():
    events, q = told([image()], per_px=0)
    assert warnings_of(events) == set() and "uncalibrated_k_factors" not in events, events
    assert q["counts"] is None and q["calibration"]["k_factors"] is None, q


def analyze_tells_the_same_of_the_recording():
    got = {}

    def analyze(fly, session, quality):
        with tempfile.TemporaryDirectory() as out:
            flyback("analyze", fly.recording(session), "--no-pictures", "--out", out)
            with open(os.path.join(out, "result.json")) as file:
                got["analyze"], got["metrics"] = json.load(file)["quality"], quality

    told([np.minimum(image(seed=1), 600), image(dy=-2.5, dx=4, seed=2), image(dy=1, seed=3)], per_px=0.2, keep=analyze)
    a, m = got["analyze"], got["metrics"]
    assert set(a) == set(m) and m["drift"]["frames"] == 3, got
    for part in a:
        assert set(a[part]) == set(m[part]), part
    for part in ("counts", "saturation", "drift", "calibration"):
        for key in a[part]:
            same = a[part][key] == m[part][key] or abs(a[part][key] - m[part][key]) < 1e-12
            assert same, (part, key, a[part][key], m[part][key])


run(
    nothing_is_said_of_good_data,
    a_clipped_image_is_saturated,
    a_frame_that_moved_has_drifted,
    a_drift_that_was_made_good_is_none,
    chips_smaller_than_a_cell_are_advised_against,
    few_photons_are_told,
    what_is_not_calibrated_is_told,
    a_session_without_photons_tells_none,
    analyze_tells_the_same_of_the_recording,
)
