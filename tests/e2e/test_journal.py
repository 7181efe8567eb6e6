"""A recording's journal: every map that was published live is made again to the bit.

The scan is sent with pauses, requests come in between, so that when an epoch was cut and what it had seen
is decided by time. `analyze --epochs` has no clock to go by: only what the recording says.
"""

import glob
import os
import sys
import tempfile

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from flyback_test import MAPS, TESTS, SLOW, Case, Flyback, flyback, run, shared, wait_until  # noqa: E402

CASE = Case(os.path.join(TESTS, "golden", "a_tiny"))
ARRAYS = ("", "_confidence", "_age", "_shown")


def facts(*arrays):
    return b"".join(a.astype(t).tobytes() for a, t in zip(arrays, ("<i4", "<f4", "<u4", "<i4")) if a is not None)


class Watcher:
    """Every state of every map that a viewer went through, in order."""

    def __init__(self, viewer):
        self.viewer = viewer
        self.seen = {key: [] for key in MAPS}

    def look(self, timeout_s=0.0):
        """One message at a time would be best; a poll may take several, and then the last one counts."""
        if not any(kind == "map" for kind, _ in self.viewer.poll(timeout_s)):
            return
        for key, got in self.viewer.maps.items():
            now = facts(got.labels, got.confidence, got.age, got.shown)
            if not self.seen[key] or self.seen[key][-1] != now:
                self.seen[key].append(now)


def scan(fly, watcher):
    """A scan with a person at work: classes come one by one, one goes, weights, threshold and resolution change."""
    height = CASE.shape[0]
    todo = list(CASE.support())
    with fly.controller() as control, fly.sender(session="watched") as sender:
        CASE.start(sender)
        for y0 in range(0, height, 3):
            CASE.send_raster(sender, y0, min(height, y0 + 3))
            sender.poll()
            watcher.look(0.05)
            if todo and y0 % 6 == 0:
                control.support_add(*todo.pop(0))
            if y0 == 39:
                control.params_set({"fewshot.weights": "[0.45, 0.55]", "graph.weights": [0.45, 0.55]})
            if y0 == 54:
                control.params_set({"graph.resolution": 1.5, "graph.threshold": "median"})
            if y0 == 66:
                control.params_set({"graph.threshold": "mode"})
            if y0 == 48:
                control.support_remove(CASE.support()[0][1][:1])
        for name, chips in todo:
            control.support_add(name, chips)
            watcher.look(0.02)
        sender.stop()
    wait_until(lambda: (watcher.look(0.02), watcher.viewer.stop)[1], 10, "the published stop")
    watcher.look()


def epochs_of(recording, out, threads):
    """{map: the bytes of every epoch, in order} as analyze makes them again; all files, for comparison."""
    flyback("analyze", recording, "--epochs", "--no-pictures", "--out", out, "--set", "engine.threads=%d" % threads)
    made = {key: [] for key in MAPS}
    for method, modality in MAPS:
        name = modality if method == "fewshot" else "%s_%s" % (method, modality)
        for path in sorted(glob.glob(os.path.join(out, "epoch_??????_%s.npy" % name))):
            base = path[:-4]
            made[method, modality].append(facts(*(np.load(base + end + ".npy") for end in ARRAYS
                                                       if end != "_shown" or os.path.exists(base + end + ".npy"))))
    files = {}
    for path in sorted(glob.glob(os.path.join(out, "*.npy"))):
        with open(path, "rb") as file:
            files[os.path.basename(path)] = file.read()
    return made, files


def compare(model, profile="paper"):
    with tempfile.TemporaryDirectory() as folder:
        with Flyback(dict(CASE.settings(model), profile=profile)) as fly, fly.viewer() as viewer:
            watcher = Watcher(viewer)
            scan(fly, watcher)
            assert fly.end() == 0  # the recording is whole once its writer has ended
            assert all((got.shown is None) == (profile == "paper") for got in viewer.maps.values())
            assert all((got.shown == got.labels).all() for got in viewer.maps.values() if got.shown is not None)
            made, files = epochs_of(fly.recording("watched"), os.path.join(folder, "one"), 1)
            _, again = epochs_of(fly.recording("watched"), os.path.join(folder, "two"), 2)
    assert files == again, "files differ between 1 and 2 threads: %s" % [n for n in files if files[n] != again.get(n)]
    counts = []
    for key in MAPS:
        name, at, live = "%s of %s" % key, 0, watcher.seen[key]
        assert len(live) >= 5, "%s: only %d live maps were seen, too few to speak of a journal" % (name, len(live))
        for number, state in enumerate(live):
            while at < len(made[key]) and made[key][at] != state:
                at += 1
            assert at < len(made[key]), "%s: live map %d of %d is in none of the %d epochs that were left" % (
                name, number, len(live), len(made[key]))
        assert made[key][-1] == live[-1], "%s: the final map is not the last epoch" % name
        counts.append("%s %d live maps among %d epochs" % (name, len(live), len(made[key])))
    return ", ".join(counts)


def live_maps_are_found_in_the_followed_journal():
    return compare("spectral")


def what_a_person_is_shown_is_found_there_too():
    return compare("spectral", "robust")


def a_slow_network_that_lags_is_followed_as_well():
    return compare("vgg16")


def a_weight_file_that_moved_is_asked_for_by_name():
    weights = shared("weights", "squeezenet1_1_features_caffe.safetensors")
    with tempfile.TemporaryDirectory() as folder:
        there, moved = os.path.join(folder, "net.safetensors"), os.path.join(folder, "elsewhere.safetensors")
        os.symlink(weights, there)
        settings = dict(CASE.settings("squeezenet1_1"), **{"embed.weights": there})
        with Flyback(settings) as fly:
            with fly.sender(session="net") as sender:
                CASE.start(sender)
                CASE.send_raster(sender)
                sender.stop(timeout_s=30 * SLOW)
            assert fly.end() == 0
            os.rename(there, moved)
            recording = fly.recording("net")
            told = flyback("analyze", recording, "--no-pictures", "--out", folder + "/out", status=1).stderr
            for word in (there, "--set embed.weights=", "recorded"):
                assert word in told, told
            flyback("analyze", recording, "--no-pictures", "--out", folder + "/out", "--set", "embed.weights=" + moved)
            assert os.path.exists(folder + "/out/emb.npy")


run(
    live_maps_are_found_in_the_followed_journal,
    what_a_person_is_shown_is_found_there_too,
    a_slow_network_that_lags_is_followed_as_well,
    a_weight_file_that_moved_is_asked_for_by_name,
)
