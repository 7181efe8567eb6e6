"""graph.curve: what other thresholds would give; what a session still does after its stop; very many communities."""

import os
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from flyback_test import TESTS, SLOW, Case, Flyback, run, same_map  # noqa: E402
from flyback_client import RequestError  # noqa: E402

CASE = Case(os.path.join(TESTS, "golden", "a_tiny"))
GRAPHS = {"haadf": "emb", "eds": "spec", "ensemble": "mix"}


def finished(fly, sender, viewer):
    CASE.start(sender)
    for name, chips in CASE.support():
        sender.control.support_add(name, chips)
    CASE.send_raster(sender)
    sender.stop()
    viewer.wait(lambda: viewer.stop, 20 * SLOW)


def modularity(similarities, n, threshold, labels):
    """Of a partition, on the weighted graph of pairs at or above a threshold."""
    w = np.zeros((n, n))
    w[np.triu_indices(n, 1)] = np.where((similarities >= threshold) & (similarities > 0), similarities, 0)
    w += w.T
    k, m2 = w.sum(1), w.sum()
    return sum(w[np.ix_(labels == c, labels == c)].sum() / m2 - (k[labels == c].sum() / m2) ** 2 for c in set(labels))


def a_curve_says_what_each_threshold_would_give():
    said = []
    with Flyback(CASE.settings("vgg16")) as fly, fly.sender() as sender, fly.viewer() as viewer:
        finished(fly, sender, viewer)
        with fly.controller() as control:
            for modality, golden in GRAPHS.items():
                before = control.map_get("community", modality)
                curve = control.request("graph.curve", {"modality": modality, "from": 0.05, "to": 0.95, "points": 19})
                upper = CASE.expected("affinity_upper_" + golden).astype(float)
                assert curve["modality"] == modality and len(curve["epochs"]) == 2
                for i, threshold in enumerate(curve["thresholds"]):
                    assert abs(threshold - (0.05 + 0.05 * i)) < 1e-12, threshold
                    edges = int(((upper >= threshold) & (upper > 0)).sum())
                    near = int((np.abs(upper - threshold) < 1e-6).sum())
                    assert abs(curve["edges"][i] - edges) <= near, (modality, threshold, curve["edges"][i], edges)
                # at the threshold in force it finds what is published
                now = viewer.metrics["threshold"][modality]
                at = control.request("graph.curve", {"modality": modality, "from": now, "points": 1})
                labels = before.labels.ravel().copy()
                assert at["ami_now"][0] > 0.999 or abs(at["modularity"][0] - viewer.metrics["modularity"][modality]) < 0.002
                alone = labels == -4
                labels[alone] = -100 - np.arange(alone.sum())
                q = modularity(upper, labels.size, now, labels)
                assert at["modularity"][0] >= q - 1e-4, (modality, at["modularity"][0], q)
                # and asking changes nothing
                same_map(before, control.map_get("community", modality), modality)
                said.append("%s %d..%d communities" % (modality, min(curve["communities"]), max(curve["communities"])))
                fewshot = [a for a in curve["ami_fewshot"] if a is not None]
                assert fewshot and all(-1 <= a <= 1 + 1e-12 for a in fewshot)
    return ", ".join(said)


def what_a_curve_cannot_be_is_refused_by_name():
    bad = [({"modality": "wards"}, "modality"), ({}, "modality"), ({"modality": "eds", "from": -1}, "from"),
           ({"modality": "eds", "to": 2.5}, "to"), ({"modality": "eds", "to": "1"}, "to"),
           ({"modality": "eds", "points": 0}, "points"), ({"modality": "eds", "points": 202}, "points")]
    with Flyback(CASE.settings()) as fly, fly.sender() as sender, fly.viewer() as viewer:
        with fly.controller() as control:
            try:
                control.request("graph.curve", {"modality": "eds"})
                raise AssertionError("a curve without a session")
            except RequestError as error:
                assert error.code == "no_session", error.code
            finished(fly, sender, viewer)
            for args, key in bad:
                try:
                    control.request("graph.curve", args)
                except RequestError as error:
                    assert key in str(error), (args, str(error))
                else:
                    raise AssertionError("graph.curve took %r" % (args,))
            assert len(control.request("graph.curve", {"modality": "eds"})["thresholds"]) == 51
    return "%d refused" % (len(bad) + 1)


def a_session_still_thinks_after_its_stop():
    """A shift that is told of late is acted on: maps change, and exact ones answer."""
    with Flyback(CASE.settings()) as fly, fly.sender() as sender, fly.viewer() as viewer:
        finished(fly, sender, viewer)
        with fly.controller() as control:
            before = control.map_get("fewshot", "haadf", exact=True)
            control.request("frame.shift", {"frame": 0, "dy_px": 0, "dx_px": CASE.params["chip"]})
            for method in ("fewshot", "community"):
                after = control.map_get(method, "haadf", exact=True)
                assert (after.labels[:, 0] == -1).all(), after.labels
                assert after.header["final"] is True and after.header["t_ns"] > 0
            moved = control.map_get("fewshot", "haadf", exact=True)
            assert (moved.labels[:, 1:] != before.labels[:, 1:]).any() or (moved.labels != before.labels).any()
            viewer.wait(lambda: (viewer.maps["community", "haadf"].labels[:, 0] == -1).all(), 10 * SLOW)


def of_very_many_communities_the_largest_are_told():
    """600 of 3 chips, and one of all others that comes last: classes and clusters have no room for all."""
    rows, cols, small = 48, 64, 600
    segment = {"name": "EDS", "n_channels": 2048, "ev_per_channel": 10, "ev_offset": 0}
    settings = {"chip.size_px": 4, "profile": "paper", "graph.threshold": 0.9}
    with Flyback(settings) as fly, fly.sender() as sender, fly.viewer() as viewer:
        sender.start([4 * rows, 4 * cols], [], [segment])
        for row in range(rows):
            chip = np.arange(row * cols, (row + 1) * cols)
            channel = np.repeat(np.where(chip < 3 * small, chip // 3, 2000), 50)
            sender.eds_pairs("EDS", np.repeat(np.arange(cols) * 4, 50), channel, 4 * row, 0, [4, 4 * cols])
        sender.stop()
        viewer.wait(lambda: viewer.stop and ("community", "eds") in viewer.clusters, 30 * SLOW)
        final = viewer.maps["community", "eds"]
        ids, chips = np.unique(final.labels, return_counts=True)
        largest = int(ids[chips.argmax()])
        assert len(ids) == small + 1 and chips.max() == rows * cols - 3 * small, (len(ids), chips.max())
        assert len(final.classes) == 512 and largest in [c["id"] for c in final.classes]
        told = viewer.clusters["community", "eds"]
        assert told["final"] and told["clusters"][0]["id"] == largest
        assert told["clusters"][0]["chips"] == chips.max()
        assert told["omitted"] + len(told["clusters"]) == small + 1, (told["omitted"], len(told["clusters"]))
        return "%d told, %d left out" % (len(told["clusters"]), told["omitted"])


run(
    a_curve_says_what_each_threshold_would_give,
    what_a_curve_cannot_be_is_refused_by_name,
    a_session_still_thinks_after_its_stop,
    of_very_many_communities_the_largest_are_told,
)
