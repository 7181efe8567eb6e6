"""Communities while a session runs: what a person sets, what it costs, what is left out, which ids stay."""

import os
import sys
import time

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from communities import (  # noqa: E402
    COMMUNITIES, GRAPH, MINOR, PENDING, TINY, TOO_LITTLE, Golden, Made, Witness, counted, drained, golden_cases,
    modularity, settled)
from flyback_test import (  # noqa: E402
    MAPS, MODALITIES, SLOW, Flyback, all_final, canon, fc, flyback, rectangles, run, same_map, same_partition)


# ---- params --------------------------------------------------------------------------------------


def ids_of(control, modality):
    labels = control.map_get("community", modality).labels
    return len(np.unique(labels[labels >= 0])), labels


def parameters_of_the_graphs_act_at_once_and_survive_a_kill():
    case = Golden(TINY)
    with Flyback(case.settings()) as fly, Witness(fly) as viewer, fly.sender() as sender, fly.controller() as control:
        case.start(sender)
        case.send_raster(sender, 0, 75)  # five of six rows
        settled(fly, sender, viewer)
        s, checked = {}, 0
        in_row = 5 * case.params["cols"]

        def shown(modality, exact=False):
            return control.map_get("community", modality, exact=exact).labels

        for text, threshold in (("0.6", lambda v: 0.6), (0.25, lambda v: 0.25), ("mean", np.mean), ("median", np.median),
                                ("mode", None)):
            said = control.params_set({"graph.threshold": text})
            live = shown("eds")
            assert float(said["graph.threshold"]) == text if isinstance(text, float) else said == {"graph.threshold": text}, said
            assert (live.ravel()[:in_row] != PENDING).all() and (live.ravel()[in_row:] == PENDING).all()
            last = control.map_get("community", "eds", exact=True).labels
            before = len(viewer.reports)
            viewer.until(lambda: (sender.poll(), len(viewer.reports) > before + 1)[1], "metrics", 10)
            told = viewer.metrics["threshold"]["eds"]
            sub = case.s["eds"][:in_row, :in_row]
            all_pairs = sub[np.triu_indices(in_row, 1)]
            want = threshold(all_pairs) if threshold else np.argmax(np.histogram(all_pairs, 100, (0, 1))[0]) * 0.01
            assert abs(told - want) <= (1e-4 if text == "median" else 1e-9), (text, told, want)
            # right after, it is the answer in hand: as good as the exact one but for 0.005 (criterion A4)
            q = [modularity(sub, told, labels.ravel()[:in_row]) for labels in (live, last)]
            assert q[0] >= q[1] - 0.005, (text, q)
            s[text] = q[0] - q[1]
            best = shown("eds")
            if not (best == MINOR).any():
                q = modularity(sub, told, best.ravel()[:in_row])
                assert abs(q - viewer.metrics["modularity"]["eds"]) < 1e-6, (text, q, viewer.metrics["modularity"])
                checked += 1
        assert checked >= 3, checked
        for wrong in ("nonsense", "", "-0.1", "1.95", "0.6 ", "nan", -1, [0.5, 0.5]):
            try:
                control.params_set({"graph.threshold": wrong, "graph.resolution": 3})
                raise AssertionError("graph.threshold %r was taken" % (wrong,))
            except fc.RequestError as refused:
                assert "graph.threshold" in refused.message, refused
                if wrong:
                    for word in ("mode", "mean", "median", "1.9"):
                        assert word in refused.message, refused
        for key, wrong, word in (("graph.resolution", 0, "0.001 .. 64"), ("graph.weights", [0, 0], "both are 0"),
                                 ("graph.weights", [1, -1], "outside"), ("graph.mode", "m1", "p100, m2"),
                                 ("graph.edge", "binary", "graph.threshold"), ("graph.chips_max", 7, "graph.threshold")):
            try:
                control.params_set({"graph.threshold": "0.5", key: wrong})
                raise AssertionError("%s %r was taken" % (key, wrong))
            except fc.RequestError as refused:
                assert key in refused.message and word in refused.message, refused
        config = control.status()["config"]
        assert (config["graph.threshold"], config["graph.resolution"]) == ("mode", 1), config

        few, _ = ids_of(control, "eds")
        control.params_set({"graph.resolution": 4})
        many, _ = ids_of(control, "eds")
        assert many > few >= 2, (few, many)
        control.params_set({"graph.resolution": 1, "graph.weights": [1, 0]})
        for weights, alone in (([1, 0], "haadf"), ([0, 3], "eds")):
            control.params_set({"graph.weights": weights})
            live = canon(shown("ensemble"))
            assert np.array_equal(shown("ensemble", True), shown(alone, True)), "weights %s: not %s's partition" % (weights, alone)
            sub = case.s[alone][:in_row, :in_row]
            q = [modularity(sub, case.p100[GRAPH[alone]]["threshold"], m.ravel()[:in_row]) for m in (live, shown(alone, True))]
            assert q[0] >= q[1] - 0.005, (weights, q)
        set_to = {"graph.threshold": "0.3", "graph.resolution": 1.25, "graph.weights": [0.25, 0.75], "graph.mode": "m2"}
        assert control.params_set(set_to) == set_to
        exact = {key: control.map_get(*key, exact=True) for key in COMMUNITIES}

        fly.kill()
        fly.start()
        sender.resend()
        now = control.status()
        assert {k: now["config"][k] for k in set_to} == set_to, now["config"]
        for key in COMMUNITIES:
            same_map(control.map_get(*key, exact=True), exact[key], "%s after the kill" % key[1])
        case.send_raster(sender, 75)
        drained(sender, viewer)
        for key in COMMUNITIES:
            same_partition(viewer.maps[key], control.map_get(*key, exact=True), key[1])
        # after the stop a change acts on the maps as well
        control.params_set({"graph.threshold": "0.5"})
        same_partition(shown("eds"), shown("eds", True), "eds, threshold set after the stop")
    return "%d communities, %d at resolution 4; modularity right after, to exact: %s" % (
        few, many, ", ".join("%s %+.4f" % i for i in s.items()))


def the_map_shows_a_change_before_the_answer_says_so():
    """Without a recording nothing but the map is waited for; 576 chips, so that there is work between the two."""
    case = Made(np.repeat(np.repeat(striped(), 2, 0), 2, 1), side=8)
    with Flyback(case.settings(**{"recording.enabled": "false"})) as fly, Witness(fly) as viewer, fly.sender() as sender:
        case.start(sender)
        case.send_raster(sender)
        settled(fly, sender, viewer)
        few, _ = ids_of(sender.control, "eds")
        for _ in range(15):
            sender.control.params_set({"graph.resolution": 2})
            many, labels = ids_of(sender.control, "eds")
            assert many > few, (few, many, labels)
            sender.control.params_set({"graph.resolution": 1})
            now, labels = ids_of(sender.control, "eds")
            assert now == few, (few, now, labels)
            sender.poll()
        drained(sender, viewer)
    return "%d communities, %d at resolution 2" % (few, many)


# ---- work ----------------------------------------------------------------------------------------


def the_work_of_a_scan_is_bounded_and_none_is_done_at_rest():
    """A pair is compared when the second of its chips joins the graph, and again whenever one of the two changes. A
    chip joins haadf and eds once; the ensemble once too, when the later of its image and spectrum is taken in."""
    told = []
    for case in golden_cases("d_defective01"):
        n = case.params["rows"] * case.params["cols"]
        with Flyback(case.settings()) as fly, Witness(fly) as viewer, fly.sender() as sender:
            case.start(sender)
            case.send_raster(sender)
            at_rest = settled(fly, sender, viewer)
            beat = viewer.heartbeat["seq"]
            end = time.monotonic() + 1.2 * SLOW
            viewer.until(lambda: (sender.poll(), time.monotonic() > end and viewer.heartbeat["seq"] > beat)[1], "a second")
            later = viewer.heartbeat["counters"]
            for key in ("pairs_compared", "graph_updates", "codes_changed", "edges_flipped", "nodes_visited",
                        "nodes_moved", "graph_rows_read", "scored", "quantified", "epochs", "maps_published"):
                assert later[key] == at_rest[key], (key, at_rest[key], later[key])
            assert at_rest["pairs_compared"] == 3 * n * (n - 1) // 2, (n, at_rest["pairs_compared"])
            # A code is set once for each pair and never taken back.
            assert at_rest["codes_changed"] == at_rest["pairs_compared"], at_rest
            assert at_rest["not_compared"] == 0 and at_rest["embedded_again"] == 0, at_rest
            updates = at_rest["graph_updates"]
            assert 0 < updates <= 2 * n, at_rest  # each takes in an image or a spectrum at least
            drained(sender, viewer)
            assert viewer.stop["counters"]["pairs_compared"] == at_rest["pairs_compared"]
            # After an update 8 warm orders and their probes, then cold ones while there is time: 20000 / n of them
            # within 8 .. 64; at the end as many, for the exact answer. No order visits a chip more than 30 times.
            orders = (updates + 1) * (10 + min(64, max(8, 20000 // n)))
            for counters in (at_rest, viewer.stop["counters"]):
                visits = counters["nodes_visited"]
                assert 0 < visits <= 3 * n * orders * 30, (visits, n, orders)
                assert 0 < counters["nodes_moved"] <= visits and 0 < counters["graph_rows_read"] <= visits, counters
            told.append("%s: %d updates, %.1f visits a chip and order" % (
                os.path.basename(case.folder), updates, at_rest["nodes_visited"] / (3 * n * orders)))
    return ", ".join(told)


# ---- the robust profile ------------------------------------------------------------------------------


def striped():
    """12 x 12 chips of three phases: stripes that lean, and a round one that grows in the lower half of the scan."""
    y, x = np.mgrid[:12, :12]
    return np.where(x + 0.5 * y < 6, 0, np.where((x - 8) ** 2 + (y - 8) ** 2 < 12, 2, 1))


def by_rows(case, sender, viewer):
    """In raster order, every row of chips shown before the next one."""
    side = case.params["chip"]
    for y in range(case.params["rows"]):
        case.send_raster(sender, y * side, (y + 1) * side)
        viewer.until(lambda: (sender.poll(), all(
            key in viewer.maps and (viewer.maps[key].labels[y] != PENDING).all() for key in COMMUNITIES))[1],
            "communities of row %d" % y)


def chips_of_too_few_counts_are_left_out_where_spectra_count():
    phases = striped()
    photons = np.full(phases.shape, 900)
    photons[3:6, 2:9] = 499
    photons[9, 3:6] = 500  # enough
    case = Made(phases, photons=photons)
    few = photons < 500
    with Flyback(case.settings(**{"graph.min_counts": 500})) as fly, Witness(fly) as viewer, fly.sender() as sender:
        case.start(sender)
        by_rows(case, sender, viewer)
        settled(fly, sender, viewer)
        for _ in range(2):  # live, then final
            for key in COMMUNITIES:
                got = viewer.maps[key]
                if key[1] == "haadf":
                    same_partition(got.labels, canon(phases), "haadf")
                    continue
                assert ((got.labels == TOO_LITTLE) == few).all(), (key, got.labels)
                assert np.isnan(got.confidence[few]).all() and not np.isnan(got.confidence[~few]).any()
                same_partition(got.labels[~few], canon(phases[~few]), key[1])
            if not viewer.stop:
                drained(sender, viewer)
        for key in COMMUNITIES:
            told = {c["id"]: c["chips"] for c in viewer.clusters[key]["clusters"]}
            assert told == counted(viewer.maps[key].labels), key
            same_partition(viewer.maps[key], sender.control.map_get(*key, exact=True), key[1])
        assert viewer.stop["counters"]["not_compared"] == 0
    return "%d of %d chips left out" % (few.sum(), few.size)


def ids_stay_while_regions_grow():
    """A community that once had 10 chips has the id that most of them have at the end, and no id comes back."""
    case, states, named, least = Made(striped()), 0, 0, 1.0
    with Flyback(case.settings()) as fly, Witness(fly) as viewer, fly.sender() as sender:
        case.start(sender)
        by_rows(case, sender, viewer)
        drained(sender, viewer)
        for key in COMMUNITIES:
            final = viewer.maps[key].labels
            assert len(np.unique(final)) == 3 and final.min() >= 0, (key, final)
            gone, before = set(), set()
            for _, _, labels in viewer.history[key]:
                now = set(np.unique(labels[labels >= 0]).tolist())
                assert not now & gone, "%s: ids %s came back" % (key[1], now & gone)
                gone |= before - now
                before = now
                states += 1
                for k in now:
                    was = labels == k
                    if was.sum() < 10:
                        continue
                    into = np.bincount(final[was]).argmax()
                    assert into == k, "%s: community %d of %d chips is called %d in the end" % (key[1], k, was.sum(), into)
                    least = min(least, (was & (final == k)).sum() / was.sum())
                    named += 1
    assert states >= 30 and named >= 30 and least > 0.5, (states, named, least)
    return "%d maps, at least %.0f %% of the chips stayed" % (states, 100 * least)


def of_chips_all_alike_nothing_is_told_but_in_the_paper_profile():
    case = Made(np.zeros((12, 12), int), photons=20000, noise=0.0)
    case.haadf[:] = 100
    for profile in ("robust", "paper"):
        settings = case.settings(profile=profile)
        with Flyback(settings) as fly, Witness(fly) as viewer, fly.sender() as sender:
            case.start(sender)
            case.send_raster(sender)
            drained(sender, viewer)
            for key in COMMUNITIES:
                labels = viewer.maps[key].labels
                want = TOO_LITTLE if profile == "robust" else 0
                if key[1] == "haadf" or profile == "robust":
                    assert (labels == want).all(), (profile, key, labels)
                same_partition(viewer.maps[key], sender.control.map_get(*key, exact=True), key[1])
                assert {c["id"] for c in viewer.clusters[key]["clusters"]} == set(counted(labels)), key


def revisions_end_with_the_maps_of_analyze():
    """Two frames in random rectangles, looked at and asked for other thresholds meanwhile."""
    frames = [Made(striped(), photons=400, noise=25.0, seed=seed) for seed in (1, 2)]
    whole, told = frames[0], []
    for profile, rest in (("robust", False), ("robust", True), ("paper", True)):
        rng = np.random.default_rng(3)
        jobs = [(f, kind, r) for f in (0, 1) for kind in ("lines", "eds") for r in rectangles(rng, *whole.shape)]
        jobs = [jobs[i] for i in rng.permutation(len(jobs))]
        with Flyback(whole.settings(profile=profile)) as fly, Witness(fly) as viewer, fly.sender(session="two") as sender:
            sender.start(whole.shape, [("HAADF", whole.haadf.dtype)], [whole.segment()], frames_planned=2)
            for i, (f, kind, (y0, x0, h, w)) in enumerate(jobs):
                if kind == "lines":
                    sender.lines("HAADF", frames[f].haadf[y0 : y0 + h, x0 : x0 + w], y0, x0, frame=f)
                else:
                    pixel, ch = frames[f].photons(y0, x0, h, w)
                    sender.eds_pairs("EDS", pixel, ch, y0, x0, [h, w], frame=f)
                if i % 50 == 49:
                    sender.control.map_get("community", "ensemble", exact=True)
                if i == len(jobs) // 2:
                    sender.control.params_set({"graph.threshold": "median"})
                if i == 3 * len(jobs) // 4:
                    sender.control.params_set({"graph.threshold": "mode"})
            if rest:
                settled(fly, sender, viewer)
            drained(sender, viewer)
            exact = {key: sender.control.map_get(*key, exact=True) for key in COMMUNITIES}
            assert fly.end() == 0
            out = os.path.join(fly.folder, "out")
            flyback("analyze", fly.recording("two"), "--no-pictures", "--out", out)
            for key in COMMUNITIES:
                same_partition(viewer.maps[key], exact[key], "%s %s: final against exact" % (profile, key[1]))
                batch = [np.load(os.path.join(out, "community_%s%s.npy" % (key[1], end))) for end in ("", "_confidence")]
                same_map(exact[key].labels, batch[0].reshape(exact[key].labels.shape), "%s %s against analyze" % (profile, key[1]))
                assert batch[1].astype("<f4").tobytes() == exact[key].confidence.tobytes(), (profile, key)
                assert len(counted(exact[key].labels)) >= 2 and exact[key].age.max() >= 1, key
        n, counters = whole.params["rows"] * whole.params["cols"], viewer.stop["counters"]
        # Each of a chip's changes compares it with all others at most once: two images, two spectra, and in the
        # ensemble every one of the four.
        assert n * (n - 1) // 2 * 3 < counters["pairs_compared"] <= (2 + 2 + 4) * n * (n - 1), counters
        told.append("%s %.2f" % (profile, counters["pairs_compared"] / (3 * n * (n - 1) / 2)))
    return "each pair compared %s times" % ", ".join(told)


# ---- too many chips ------------------------------------------------------------------------------


def more_chips_than_chips_max_have_no_communities():
    case = Golden(TINY)
    for most in (35, 0, 36):
        with Flyback(dict(case.settings(), **{"graph.chips_max": most})) as fly, Witness(fly) as viewer, \
                fly.sender() as sender:
            case.start(sender)
            case.send_raster(sender, 0, 60)
            few = most < 36
            maps = [key for key in MAPS if not few or key[0] != "community"]
            viewer.until(lambda: (sender.poll(), len(viewer.maps) == len(maps) and len(viewer.reports) > 1)[1], "metrics", 10)
            assert set(viewer.maps) == set(maps), sorted(viewer.maps)
            last = viewer.metrics
            assert set(last["ami"]) == set(last["ari"]) == {key[0] for key in maps}, last
            assert set(last["modularity"]) == set(last["threshold"]) == (set() if few else set(MODALITIES)), last
            for key in COMMUNITIES:
                for exact in (False, True):
                    try:
                        sender.control.map_get(*key, exact=exact)
                        assert not few, "a map of communities was given"
                    except fc.RequestError as refused:
                        assert few and refused.code == "bad_value", refused
                        assert "graph.chips_max" in refused.message and str(most) in refused.message, refused
            # the keys are still taken: they say what would be
            assert sender.control.params_set({"graph.resolution": 2}) == {"graph.resolution": 2}
            sender.stop()
            viewer.until(lambda: viewer.stop and all_final(viewer, maps), "the final maps and the stop")
            assert set(viewer.clusters) == set(maps), sorted(viewer.clusters)
            assert (viewer.stop["counters"]["pairs_compared"] == 0) == few, viewer.stop["counters"]


run(
    parameters_of_the_graphs_act_at_once_and_survive_a_kill,
    the_map_shows_a_change_before_the_answer_says_so,
    the_work_of_a_scan_is_bounded_and_none_is_done_at_rest,
    chips_of_too_few_counts_are_left_out_where_spectra_count,
    ids_stay_while_regions_grow,
    of_chips_all_alike_nothing_is_told_but_in_the_paper_profile,
    revisions_end_with_the_maps_of_analyze,
    more_chips_than_chips_max_have_no_communities,
    timeout_s=90,
)
