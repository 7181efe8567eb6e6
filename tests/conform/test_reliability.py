"""How well image and X-rays repeat themselves, through the sockets: weights follow the noise put in, are used where
somebody asked for them or nobody taught others, and say why where there are none."""

import glob
import json
import os
import sys
import tempfile

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from flyback_test import Flyback, flyback, run, wait_until  # noqa: E402

PX, CHIP, PIXEL_NM = 128, 16, 0.0434
SEGMENT = {"name": "EDS", "n_channels": 1024, "ev_per_channel": 10.0, "ev_offset": 0.0}
LINES = ((525, 0.5), (4510, 0.3), (6404, 0.2))  # O, Ti, Fe: eV, share
SETTINGS = {"chip.size_px": CHIP, "eds.elements": "O,Ti,Fe", "eds.k_factors": "O_Ka=1.9,Ti_Ka=1.1,Fe_Ka=1.35"}
SUPPORT = {"left": [[1, 1]], "right": [[5, 6]]}  # one chip each: none can be left out
FRAMES = 4


def image(noise, seed):
    """Two lattices side by side."""
    y, x = np.mgrid[:PX, :PX]
    cell = np.where(x < PX // 2, 9.0, 6.5)
    mean = 1000 + 100 * (2 + np.cos(2 * np.pi * y / cell) + np.cos(2 * np.pi * x / cell))
    return np.clip(np.random.default_rng(seed).normal(mean, noise), 0, 65535).astype("<u2")


def send_photons(sender, per_px, frame):
    """Ti to the left, Fe to the right, each with a little of the other."""
    rng = np.random.default_rng(50 + frame)
    for y in range(0, PX, CHIP):
        n = rng.poisson(per_px * CHIP * PX)
        pixel = np.sort(rng.integers(0, CHIP * PX, n))
        metal = np.where((pixel % PX < PX // 2) ^ (rng.random(n) < 0.2), 4510, 6404)
        ev = np.where(rng.random(n) < 0.5, 525, metal) + rng.normal(0, 45, n)
        sender.eds_pairs("EDS", pixel, np.clip(ev / 10, 0, 1023).astype(int), y, 0, [CHIP, PX], frame=frame)


def send_frame(sender, frame, noise, per_px):
    pixels = image(noise, frame)
    for y in range(0, PX, CHIP):
        sender.lines("HAADF", pixels[y:y + CHIP], y, frame=frame)
    if per_px:
        send_photons(sender, per_px, frame)


def session(noise=20.0, per_px=1.0, frames=FRAMES, settings=None, between=None, then=None):
    """Stream frames; the last metrics, and the final maps."""
    with Flyback(dict(SETTINGS, **(settings or {}))) as fly, fly.viewer() as viewer, fly.sender() as sender:
        sender.start([PX, PX], [("HAADF", "<u2")], [SEGMENT] if per_px else [], frames_planned=frames,
                     pixel_nm=[PIXEL_NM, PIXEL_NM])
        for name, chips in SUPPORT.items():
            sender.control.support_add(name, chips)
        for frame in range(frames):
            if between:
                between(fly, sender, frame)
            send_frame(sender, frame, noise, per_px)
        sender.stop()
        wait_until(lambda: (viewer.poll(0.05), viewer.stop)[1], 30, "the published stop")
        if then:
            then(fly, sender.session, viewer.metrics)
        return viewer.metrics, {key: got.labels for key, got in viewer.maps.items()}


def a_noisy_image_is_listened_to_less():
    clear, _ = session(noise=20.0)
    noisy, _ = session(noise=400.0)
    for use in ("fewshot", "community"):
        good, bad = clear["reliability"][use], noisy["reliability"][use]
        assert good["reason"] == bad["reason"] == "measured", (good, bad)
        assert bad["haadf"] < 0.5 < good["haadf"] <= 1 and 0.5 < good["eds"] == bad["eds"] <= 1, (good, bad)
        assert bad["weights"][0] < 0.5 and bad["weights"][0] < good["weights"][0] + 1e-9, (good, bad)
        assert abs(sum(bad["weights"]) - 1) < 1e-12, bad
    return "haadf %.2f and %.2f" % (clear["reliability"]["community"]["haadf"], noisy["reliability"]["community"]["haadf"])


def few_shot_says_where_its_weights_are_from():
    metrics, _ = session(noise=400.0)
    told, calibration = metrics["reliability"]["fewshot"], metrics["calibration"]
    assert told["used"] is True and calibration["weights_from"] == "reliability", metrics
    assert calibration["weights"] == told["weights"], metrics
    metrics, _ = session(noise=400.0, settings={"fewshot.weights": "0.3, 0.7"})
    assert metrics["calibration"]["weights_from"] == "given" and metrics["reliability"]["fewshot"]["used"] is False, metrics


def communities_use_them_where_they_are_asked_to():
    asked, _ = session(noise=400.0, settings={"graph.weights": "auto"})
    told = asked["reliability"]["community"]
    assert told["used"] is True, told
    plain, _ = session(noise=400.0)
    assert plain["reliability"]["community"] == dict(told, used=False), plain

    # the same as weights that were given, and asked for while running
    given, _ = session(noise=400.0, settings={"graph.weights": "%g, %g" % tuple(told["weights"])})
    assert given["modularity"] == asked["modularity"] and given["threshold"] == asked["threshold"], (given, asked)
    assert plain["modularity"]["ensemble"] != asked["modularity"]["ensemble"], "weights made no difference"

    def ask(fly, sender, frame):
        if frame == 3:
            got = sender.control.params_set({"graph.weights": "auto"})
            assert got == {"graph.weights": "auto"}, got

    late, _ = session(noise=400.0, between=ask)
    assert late["modularity"] == asked["modularity"] and late["reliability"]["community"] == told, (late, asked)


def where_there_are_none_the_reason_is_told():
    metrics, _ = session(frames=1, settings={"graph.weights": "auto"})
    for told in metrics["reliability"].values():
        assert told == {"haadf": None, "eds": told["eds"], "weights": [0.5, 0.5], "used": False,
                        "reason": "no_halves"} and told["eds"] > 0, told
    assert metrics["calibration"]["weights_from"] == "equal", metrics
    metrics, _ = session(per_px=0.002)
    for told in metrics["reliability"].values():
        assert told["reason"] == "too_few" and told["eds"] is None and told["weights"] == [0.5, 0.5], told
    metrics, _ = session(per_px=0)
    assert metrics["reliability"] == {"fewshot": {"haadf": None, "eds": None, "weights": [0.5, 0.5], "used": False,
                                                  "reason": "alone"}}, metrics
    metrics, _ = session(frames=2, settings={"profile": "paper", "graph.weights": "auto"})
    assert metrics["reliability"] is None, metrics


def analyze_tells_the_same_of_the_recording():
    def analyze(fly, name, metrics):
        with tempfile.TemporaryDirectory() as out:
            flyback("analyze", fly.recording(name), "--no-pictures", "--out", out)
            with open(os.path.join(out, "result.json")) as file:
                assert json.load(file)["reliability"] == metrics["reliability"], metrics

    session(noise=90.0, frames=3, settings={"graph.weights": "auto"}, then=analyze)


def the_journal_tells_when_weights_were_adopted():
    live, made, weights = [], [], set()

    with Flyback(dict(SETTINGS, **{"graph.weights": "auto"})) as fly, fly.viewer() as viewer, fly.sender() as sender:

        def look(timeout_s):
            viewer.poll(timeout_s)
            got = viewer.maps.get(("community", "ensemble"))
            if got is not None and (not live or live[-1] != got.labels.astype("<i4").tobytes()):
                live.append(got.labels.astype("<i4").tobytes())
            if viewer.metrics and viewer.metrics["reliability"]:
                weights.add(tuple(viewer.metrics["reliability"]["community"]["weights"]))
            return viewer.stop

        sender.start([PX, PX], [("HAADF", "<u2")], [SEGMENT], frames_planned=FRAMES, pixel_nm=[PIXEL_NM, PIXEL_NM])
        for frame in range(FRAMES):
            pixels = image(90.0, frame)
            for y in range(0, PX, CHIP):
                sender.lines("HAADF", pixels[y:y + CHIP], y, frame=frame)
                look(0.02)
            send_photons(sender, 1.0, frame)
            for _ in range(5):
                look(0.05)
        sender.stop()
        wait_until(lambda: look(0.05), 30, "the published stop")
        assert fly.end() == 0
        with tempfile.TemporaryDirectory() as out:
            flyback("analyze", fly.recording(sender.session), "--epochs", "--no-pictures", "--out", out)
            for path in sorted(glob.glob(os.path.join(out, "epoch_??????_community_ensemble.npy"))):
                made.append(np.load(path).astype("<i4").tobytes())
    at = 0
    for number, state in enumerate(live):
        while at < len(made) and made[at] != state:
            at += 1
        assert at < len(made), "live map %d of %d is in none of the %d epochs left" % (number, len(live), len(made))
    assert made[-1] == live[-1] and len(live) >= 3
    return "%d live maps among %d epochs, weights %s" % (len(live), len(made), sorted(weights))


def a_session_cut_short_and_resumed_ends_as_one_that_was_not():
    def die(fly, sender, frame):
        if frame != 2:
            return
        wait_until(lambda: (lambda s: s["durable_seq"] == s["last_seq"])(sender.control.status()), 20, "all on disk")
        fly.kill()
        fly.start()

    settings = {"graph.weights": "auto"}
    whole, maps = session(noise=90.0, settings=settings)
    cut, again = session(noise=90.0, settings=settings, between=die)
    assert whole["reliability"] == cut["reliability"], (whole, cut)
    assert whole["modularity"] == cut["modularity"] and whole["threshold"] == cut["threshold"], (whole, cut)
    for key in maps:
        if key[0] == "fewshot":
            assert (maps[key] == again[key]).all(), key
    return str(whole["reliability"]["community"]["weights"])


run(
    a_noisy_image_is_listened_to_less,
    few_shot_says_where_its_weights_are_from,
    communities_use_them_where_they_are_asked_to,
    where_there_are_none_the_reason_is_told,
    analyze_tells_the_same_of_the_recording,
    the_journal_tells_when_weights_were_adopted,
    a_session_cut_short_and_resumed_ends_as_one_that_was_not,
)
