"""What is for the eye: the fourth payload of maps, and how crystalline the image is around each chip."""

import os
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from flyback_test import MAPS, TESTS, SLOW, Case, Flyback, run, wait_until  # noqa: E402
from flyback_client import RequestError  # noqa: E402

CASE = Case(os.path.join(TESTS, "golden", "a_tiny"))
SIDE, CHIP = 120, 12  # of the scene of crystallinity: 10 x 10 chips; 8 px of 0.05 nm are a period


def robust():
    return dict(CASE.settings(), profile="robust")


def label_all(control):
    for name, chips in CASE.support():
        control.support_add(name, chips)


def a_picture_comes_to_rest_when_the_scan_does():
    height, step = CASE.shape[0], CASE.params["chip"]
    waited = 0
    settings = dict(robust(), **{"tree.k": 8})
    with Flyback(settings) as fly, fly.sender() as sender, fly.viewer() as viewer, fly.controller() as control:
        CASE.start(sender)
        label_all(control)
        for y0 in range(0, height, step):
            calm = False

            def rests():
                """Nothing comes: what is shown catches up with the labels, by itself, in deltas as in keyframes."""
                nonlocal calm
                viewer.poll(0.01)
                calm = calm or any((m.shown != m.labels).any() for m in viewer.maps.values())
                last = {key: control.map_get(*key) for key in viewer.maps}
                return control.status()["backlog_chips"] == 0 and all(
                    m.seq == last[key].seq and (m.shown == m.labels).all() and (m.shown == last[key].shown).all()
                    for key, m in viewer.maps.items())

            CASE.send_raster(sender, y0, min(height, y0 + step))
            sender.wait_durable()
            wait_until(rests, 10, "a picture of the labels, line %d" % y0)
            waited += calm
        sender.stop()
        viewer.wait(lambda: viewer.stop, 20 * SLOW)
        for method, modality in MAPS:
            final = viewer.maps[method, modality]
            asked = control.map_get(method, modality)
            exact = control.map_get(method, modality, exact=True)
            for one in (final, asked, exact):
                assert (one.shown == one.labels).all(), (method, modality, one.seq)
            assert (asked.shown == final.shown).all() and asked.seq == final.seq
    assert viewer.deltas > 5, viewer.deltas
    assert waited, "no picture was calmer than its labels: nothing was tried"
    return "%d of %d pauses began with a picture calmer than its labels" % (waited, len(range(0, height, step)))


def a_request_is_shown_as_it_is_answered():
    with Flyback(robust()) as fly, fly.sender() as sender, fly.controller() as control:
        CASE.start(sender)
        label_all(control)
        CASE.send_raster(sender)
        sender.wait_durable()
        control.map_get("ward", "haadf", exact=True)  # all of it is thought about
        for k in (2, 6, 3):
            control.params_set({"tree.k": k})
            got = control.map_get("ward", "haadf")
            assert (got.shown == got.labels).all() and len(np.unique(got.labels[got.labels >= 0])) == k
        sender.stop()


def the_paper_has_three_payloads():
    with Flyback(CASE.settings()) as fly, fly.sender() as sender, fly.viewer() as viewer, fly.controller() as control:
        CASE.start(sender)
        label_all(control)
        CASE.send_raster(sender)
        sender.stop()
        viewer.wait(lambda: viewer.stop, 20 * SLOW)
        for key in MAPS:
            assert viewer.maps[key].shown is None and control.map_get(*key, exact=True).shown is None


def lattice_and_noise(rng):
    """To the left a square lattice of 8 px, to the right nothing but noise."""
    y, x = np.mgrid[:SIDE, :SIDE]
    wave = 300 * (np.cos(2 * np.pi * x / 8) + np.cos(2 * np.pi * y / 8))
    return np.rint(1000 + np.where(x < SIDE // 2, wave, 0) + 60 * rng.standard_normal((SIDE, SIDE))).astype("<u2")


def crystallinity_is_told_chip_by_chip():
    image = lattice_and_noise(np.random.default_rng(5))
    rows = SIDE // CHIP
    settings = {"chip.size_px": CHIP, "embed.model": "spectral"}
    with Flyback(settings) as fly, fly.sender() as sender, fly.controller() as control:
        try:
            control.crystallinity_get()
            raise AssertionError("crystallinity without a session")
        except RequestError as error:
            assert error.code == "no_session", error
        sender.start([SIDE, SIDE], [("haadf", "<u2")], pixel_nm=[0.05, 0.05])
        half = rows // 2 * CHIP

        def send(y0, y1):
            for y in range(y0, y1):
                sender.lines("haadf", image[y], y)

        def measured(chips):
            sender.poll()
            now = control.crystallinity_get()
            return [now] if np.isfinite(now).sum() == chips else []

        send(0, half)
        top = wait_until(lambda: measured(rows // 2 * rows), 20, "the crystallinity of half a scan")[0]
        assert top.shape == (rows, rows) and np.isnan(top[rows // 2:]).all()
        send(half, SIDE)
        whole = wait_until(lambda: measured(rows * rows), 20, "the crystallinity of the scan")[0]
        # those whose neighbours have come are measured anew, the others stand
        assert (whole[:rows // 2 - 1] == top[:rows // 2 - 1]).all()
        left, right = whole[:, :rows // 2 - 1], whole[:, rows // 2 + 1:]
        assert left.min() > 0.8 and left.max() <= 1.0, left
        assert right.min() >= 0.0 and np.median(right) < 0.05, right
        for r, c in ((0, 0), (3, 8), (9, 9)):
            assert abs(control.chip_get(r, c)["crystallinity"] - whole[r, c]) < 1e-6
        control.params_set({"region.d_range_nm": [0.12, 0.18]})
        other = control.crystallinity_get()  # no such spots are in it
        assert other[:, :rows // 2 - 1].max() < 0.05, other
        sender.stop()
        assert (control.crystallinity_get() == other).all()  # also after the stop
    return "lattice %.3f .. %.3f, noise at most %.3f" % (left.min(), left.max(), right.max())


run(
    a_picture_comes_to_rest_when_the_scan_does,
    a_request_is_shown_as_it_is_answered,
    the_paper_has_three_payloads,
    crystallinity_is_told_chip_by_chip,
)
