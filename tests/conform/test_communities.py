"""Communities through the sockets: what a viewer is shown is what the golden graphs and `analyze` give.

Modularity is recomputed from golden similarities, agreement from the maps that were shown, sizes from their labels.
Ids that are shown hang on what was shown before: where maps are compared, their partitions are, or the exact maps,
whose ids go by first appearance.
"""

import json
import os
import sys
import tempfile
import time

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from communities import (  # noqa: E402
    COMMUNITIES, MINOR, OTHERS, PENDING, TINY, Golden, Witness, ami_ari, counted, drained, golden_cases, modularity,
    settled, wire)
from flyback_test import (  # noqa: E402
    MAPS, MODALITIES, SLOW, Flyback, fc, rectangles, run, same_map, same_partition)

PAIRS = {"haadf_eds": ("haadf", "eds"), "haadf_ens": ("haadf", "ensemble"), "eds_ens": ("eds", "ensemble")}


# ---- golden -----------------------------------------------------------------------------------------


def shares(s, threshold, labels, binary):
    """Of a chip's edges' weight, the part within its community."""
    w = np.where((s >= threshold) & (s > 0), 1.0 if binary else s, 0.0)
    np.fill_diagonal(w, 0.0)
    flat = labels.ravel()
    with np.errstate(invalid="ignore"):
        return ((w * (flat[:, None] == flat[None, :])).sum(1) / w.sum(1)).reshape(labels.shape)


def held_to_golden(case, mode, edge):
    viewer, exact = case.streamed(mode, edge, case.send_raster)
    name, told = os.path.basename(case.folder), []
    for modality in MODALITIES:
        what = "%s %s %s %s" % (name, modality, mode, edge)
        threshold, best, batch = case.rule(modality, mode, edge)
        s, binary = case.s[modality], edge == "binary"
        final = viewer.maps["community", modality]
        same_map(exact["community", modality].labels, wire(batch), what + ": exact against analyze")
        whole = modularity(s, threshold, batch, binary)
        q = modularity(s, threshold, final.labels, binary)
        assert whole >= best - 0.002, (what, whole, best)
        # Communities of two chips are told as minor, and here their chips count one by one: that alone is lost.
        minor = modularity(s, threshold, np.where(final.labels < 0, -1, batch), binary)
        assert abs(q - minor) < 1e-12, (what, q, minor)
        assert q >= best - 0.002 - (whole - q), (what, q, whole, best)
        if (np.bincount(batch.ravel()) != 2).all():
            assert q >= best - 0.002 and abs(whole - q) < 1e-12, (what, q, best)
        share = shares(s, threshold, final.labels, binary)
        there = final.labels >= 0
        assert (np.isnan(final.confidence) == ~there).all(), what
        off = np.abs(share[there] - final.confidence[there]).max()
        assert off < 0.01, (what, off)
        told.append("%s %+.5f%s" % (modality, q - best, "" if abs(whole - q) < 1e-12 else " (%.5f in pairs of chips)" % (whole - q)))
    return viewer, "%s %s %s: %s" % (name, mode, edge, ", ".join(told))


def communities_streamed_reach_the_golden_modularity():
    told = []
    for case in golden_cases(*(OTHERS if SLOW == 1 else OTHERS[:1])):  # sanitizers have their own patience
        for mode in ("p100", "m2"):
            told.append(held_to_golden(case, mode, "weight")[1])
    for case in golden_cases("c_defective0"):
        told.append(held_to_golden(case, "p100", "binary")[1])
    return "\n        " + "\n        ".join(told)


def metrics_tell_modularity_and_threshold_of_the_maps_shown():
    worst = 0.0
    for case in golden_cases("b_pristine01"):
        for mode, edge in (("p100", "weight"), ("m2", "weight"), ("p100", "binary")):
            settings = dict(case.settings("vgg16"), **{"graph.mode": mode, "graph.edge": edge})
            with Flyback(settings) as fly, Witness(fly) as viewer, fly.sender() as sender:
                case.start(sender)
                case.send_raster(sender)
                settled(fly, sender, viewer)
                before = len(viewer.reports)
                viewer.until(lambda: (sender.poll(), len(viewer.reports) > before + 1)[1], "metrics", 10)
                header, shown, final = viewer.reports[-1]
                assert not final and set(header["threshold"]) == set(header["modularity"]) == set(MODALITIES)
                for modality in MODALITIES:
                    threshold = case.rule(modality, mode, edge)[0]
                    assert header["threshold"][modality] == threshold, (mode, modality, header["threshold"], threshold)
                    labels = shown["community", modality]
                    if not (labels == MINOR).any():  # else who belongs together there is not told
                        q = modularity(case.s[modality], threshold, labels, edge == "binary")
                        worst = max(worst, abs(header["modularity"][modality] - q))
    assert worst <= 1e-6, worst
    return "modularity within %.2g" % worst


def the_last_metrics_are_of_the_final_maps():
    worst = 0.0
    for case in golden_cases("b_pristine01"):
        for mode in ("p100", "m2"):
            viewer, _ = case.streamed(mode, "weight", case.send_raster)
            header, shown, final = viewer.reports[-1] if viewer.reports else ({}, {}, False)
            assert final, "no metrics came after the final maps (%d before)" % len(viewer.reports)
            kinds = [kind for kind, _ in viewer.order]
            assert kinds.index("stop") > len(kinds) - 1 - kinds[::-1].index("metrics"), "metrics after the stop"
            for modality in MODALITIES:
                threshold, _, batch = case.rule(modality, mode, "weight")
                assert header["threshold"][modality] == threshold, (header["threshold"], threshold)
                q = modularity(case.s[modality], threshold, batch)
                worst = max(worst, abs(header["modularity"][modality] - q))
    assert worst <= 1e-6, worst
    return "modularity within %.2g" % worst


def after_the_first_rows_the_graphs_are_those_of_the_golden_prefix():
    told = []
    for case in golden_cases("b_pristine01"):
        with open(os.path.join(case.folder, "expected", "expected.json")) as file:
            prefix = json.load(file)["prefix"]
        settings = dict(case.settings("vgg16"), **{"graph.mode": "m2"})
        with Flyback(settings) as fly, Witness(fly) as viewer, fly.sender() as sender:
            case.start(sender)
            line = 0
            for rows in sorted(prefix, key=int):
                case.send_raster(sender, line, int(rows) * case.params["chip"])
                line = int(rows) * case.params["chip"]
                settled(fly, sender, viewer)
                before = len(viewer.reports)
                viewer.until(lambda: (sender.poll(), len(viewer.reports) > before + 1)[1], "metrics", 10)
                header, _, final = viewer.reports[-1]
                n = prefix[rows]["chips"]
                assert not final and n == int(rows) * case.params["cols"], (rows, n)
                for modality, golden in (("haadf", "emb"), ("eds", "spec"), ("ensemble", "mix")):
                    want = prefix[rows][golden]["mode_m2"]
                    # one bin, where two are all but equally full: the tolerance of the golden definitions
                    assert abs(header["threshold"][modality] - want) <= 2 / 2048, (rows, modality, header, want)
                    labels = sender.control.map_get("community", modality, exact=True).labels
                    assert (labels[int(rows):] == PENDING).all() and (labels[:int(rows)] != PENDING).all()
                told.append("%s row %s" % (os.path.basename(case.folder), rows))
            sender.stop()
    return ", ".join(told)


# ---- order ---------------------------------------------------------------------------------------


def the_composition_can_be_what_is_alike():
    for case in golden_cases("b_pristine01"):
        settings = dict(case.settings("vgg16"), **{"eds.feature.community": "composition"})
        with Flyback(settings) as fly, Witness(fly) as viewer, fly.sender() as sender:
            case.start(sender)
            case.send_raster(sender)
            drained(sender, viewer)
            exact = sender.control.map_get("community", "eds", exact=True)
            same_partition(viewer.maps["community", "eds"], exact, "final against exact")
            batch = np.load(os.path.join(case.out.name, "louvain_p100_weight_at.npy")).reshape(exact.labels.shape)
            same_map(exact.labels, wire(batch), "composition against analyze")
            spectrum = case.rule("eds", "p100", "weight")[2]
            assert case is golden_cases()[0] or not np.array_equal(batch, spectrum), "the feature changes nothing"
            same_map(sender.control.map_get("community", "haadf", exact=True).labels,
                     wire(case.rule("haadf", "p100", "weight")[2]), "haadf, of which this says nothing")


def random_rectangles_end_with_the_maps_of_a_raster():
    case = golden_cases("b_pristine01")[-1]

    def in_disorder(seed):
        rng = np.random.default_rng(seed)
        h, w = case.shape
        jobs = [(kind, r) for kind in ("lines", "eds") for r in rectangles(rng, h, w)]
        rng.shuffle(jobs)

        def send(sender):
            for kind, (y0, x0, hh, ww) in jobs:
                y0, x0, hh, ww = int(y0), int(x0), int(hh), int(ww)
                if kind == "lines":
                    sender.lines("HAADF", case.haadf[y0 : y0 + hh, x0 : x0 + ww], y0, x0)
                else:
                    case.send_eds(sender, y0, x0, hh, ww)

        return send

    for mode, edge in (("p100", "weight"), ("m2", "weight"), ("p100", "binary")):
        _, raster = case.streamed(mode, edge, case.send_raster)
        for seed in (1, 2):
            _, exact = case.streamed(mode, edge, in_disorder(seed))
            for key in COMMUNITIES:
                what = "%s %s seed %d: %s" % (mode, edge, seed, key[1])
                same_map(exact[key], raster[key], what)
                same_map(exact[key].labels, wire(case.rule(key[1], mode, edge)[2]), what + " against analyze")
    return os.path.basename(case.folder)


# ---- agreement -----------------------------------------------------------------------------------


def check_agreement(viewer):
    """Every metrics message against the maps as they were shown then; how many numbers that were."""
    numbers, worst = 0, 0.0
    for header, shown, _ in viewer.reports:
        for method in ("fewshot", "community"):
            for pair, (one, other) in PAIRS.items():
                said = header["ami"][method][pair], header["ari"][method][pair]
                if (method, one) not in shown or (method, other) not in shown:
                    assert said == (None, None), (method, pair, said)
                    continue
                want = ami_ari(shown[method, one], shown[method, other])
                assert (said[0] is None) == (want[0] is None) == (said[1] is None), (method, pair, said, want)
                if want[0] is not None:
                    worst = max([worst] + [abs(x - y) for x, y in zip(said, want)])
                    numbers += 2
    assert worst <= 1e-10, worst
    return numbers, worst


def agreement_is_that_of_the_maps_shown():
    case = golden_cases("b_pristine01")[-1]
    with Flyback(dict(case.settings(), **{"graph.mode": "m2"})) as fly, Witness(fly) as viewer, fly.sender() as sender:
        case.start(sender)
        for name, chips in case.support():
            sender.control.support_add(name, chips)
        rows, side = case.params["rows"], case.params["chip"]
        for until in (1, rows // 2, rows):
            before = len(viewer.reports)
            case.send_raster(sender, 0 if until == 1 else (1 if until == rows // 2 else rows // 2) * side,
                             until * side if until < rows else None)
            viewer.until(lambda: (sender.poll(), len(viewer.reports) > before + 1)[1], "metrics", 10)
        sender.control.params_set({"graph.threshold": "median", "graph.resolution": 2})
        before = len(viewer.reports)
        viewer.until(lambda: (sender.poll(), len(viewer.reports) > before + 1)[1], "metrics", 10)
        drained(sender, viewer)
    numbers, worst = check_agreement(viewer)
    last = viewer.reports[-1][0]["ami"]["community"]
    assert numbers >= 36 and 0 < abs(last["haadf_eds"]) < 1, (numbers, last)
    return "%d numbers within %.2g" % (numbers, worst)


def agreement_of_a_map_that_is_missing_is_nil():
    case = Golden(TINY)
    px = case.params["px_nm"]
    with Flyback(case.settings()) as fly:
        for image in (True, False):
            with Witness(fly) as viewer, fly.sender() as sender:
                sender.start(case.shape, [("HAADF", case.haadf.dtype)] if image else [],
                             [] if image else [case.segment()], pixel_nm=[px, px], frames_planned=1)
                for y in range(case.shape[0]):
                    if image:
                        sender.lines("HAADF", case.haadf[y], y)
                    else:
                        case.send_eds(sender, y, 0, 1, case.shape[1])
                modality = "haadf" if image else "eds"
                shown = "community", modality
                viewer.until(lambda: (sender.poll(), shown in viewer.maps and (viewer.maps[shown].labels != PENDING).all())[1],
                             "communities")
                before = len(viewer.reports)
                viewer.until(lambda: (sender.poll(), len(viewer.reports) > before + 1)[1], "metrics", 10)
                assert set(viewer.maps) == {("fewshot", modality), shown, ("ward", modality)}, sorted(viewer.maps)
                last = viewer.reports[-1][0]
                for table in ("ami", "ari"):
                    assert last[table] == {m: dict.fromkeys(PAIRS) for m in ("fewshot", "community", "ward")}, last[table]
                assert set(last["modularity"]) == set(last["threshold"]) == {modality}, last
                other = "eds" if image else "haadf"
                try:
                    sender.control.map_get("community", other, exact=True)
                    raise AssertionError("a map of %s was given" % other)
                except fc.RequestError as refused:
                    assert refused.code == "bad_value" and "no %s map" % other in refused.message, refused
                sender.stop()
                viewer.until(lambda: viewer.stop, "the stop")
                assert set(viewer.clusters) <= {("fewshot", modality), shown, ("ward", modality)}, sorted(viewer.clusters)


# ---- clusters ------------------------------------------------------------------------------------


def clusters_count_the_labels_and_sum_the_spectra():
    case = Golden(TINY)
    seen = unseen = 0
    with Flyback(case.settings()) as fly, Witness(fly) as viewer, fly.sender() as sender:
        case.start(sender)
        for name, chips in case.support():
            sender.control.support_add(name, chips)
        for y in range(0, case.shape[0], case.params["chip"]):
            case.send_raster(sender, y, min(case.shape[0], y + case.params["chip"]))
            end = time.monotonic() + 0.3
            while time.monotonic() < end:
                viewer.poll(0.02)
        settled(fly, sender, viewer)
        with Witness(fly) as late:  # what is newest comes at once
            late.until(lambda: set(late.clusters) == set(MAPS), "clusters of every map", 2)
            for key in MAPS:
                assert late.clusters[key]["seq"] == viewer.clusters[key]["seq"], key
        drained(sender, viewer)
        skipped = viewer.stop["counters"]["maps_skipped"]
    kinds = [kind for kind, final in viewer.order if kind != "clusters" or final]
    assert kinds[: kinds.index("stop")].count("clusters") == len(MAPS), kinds
    for header in viewer.told:
        key = header["method"], header["modality"]
        assert all((c["event"] == "gone") == (c["chips"] == 0) for c in header["clusters"]), header["clusters"]
        got = {c["id"]: c["chips"] for c in header["clusters"] if c["chips"]}
        same = [counted(labels) for as_of, final, labels in viewer.history[key]
                if as_of == header["as_of"] and final == header["final"]]
        if not same and skipped == 0:  # the map did not change with the data that came since
            older = [labels for as_of, _, labels in viewer.history[key]
                     if all(as_of.get(k, 0) <= n for k, n in header["as_of"].items())]
            same = [counted(older[-1])] if older else []
        # Of a map that was skipped nothing is known, though another of the same data may have come.
        unseen += got not in same
        assert unseen <= skipped, (unseen, skipped, key, header["as_of"], got, same)
        assert header["omitted"] == 0
        sizes = [c["chips"] for c in header["clusters"]]
        assert sizes == sorted(sizes, reverse=True), sizes
        seen += 1
        for c in header["clusters"]:
            for element, made in (c["atomic_percent"] or {}).items():
                assert 0 <= made["value"] <= 100 and made["sigma"] >= 0, (key, c["id"], element, made)
                assert made["sigma"] > 0 or made["value"] == 0, (key, c["id"], element, made)
    with tempfile.TemporaryDirectory() as out:
        case.analyze(case.settings(), out)
        with open(os.path.join(out, "result.json")) as file:
            post = json.load(file)["post"]["fewshot"]
    final = {(h["method"], h["modality"]): h for h in viewer.told if h["final"]}
    assert set(final) == set(MAPS)
    for key, header in final.items():
        assert header["as_of"] == viewer.maps[key].as_of and viewer.maps[key].final
        names = {c["id"]: c["name"] for c in viewer.maps[key].classes}
        assert {c["id"]: c["name"] for c in header["clusters"] if c["chips"]} == {
            k: v for k, v in names.items() if k in counted(viewer.maps[key].labels)}, key
    compared = 0
    for c in final["fewshot", "ensemble"]["clusters"]:
        want = post[str(c["id"])]
        assert c["chips"] == want["chips"]
        assert c["region"]["square"] == want["square"], (c["id"], c["region"], want["square"])
        assert (c["d_spacing_nm"] is None) == (not want["crystalline"]), c
        if want["crystalline"]:
            assert c["d_spacing_nm"] == {"value": want["d"], "sigma": want["d_sigma"]}, (c["d_spacing_nm"], want)
        assert set(c["atomic_percent"]) == set(want["at_percent"]) == set(final["fewshot", "ensemble"]["elements"])
        for element, percent in want["at_percent"].items():
            assert abs(c["atomic_percent"][element]["value"] - percent) <= 1e-9, (c["id"], element)
            compared += 1
    assert compared >= 24, compared
    return "%d messages, %d percents" % (seen, compared)


run(
    communities_streamed_reach_the_golden_modularity,
    metrics_tell_modularity_and_threshold_of_the_maps_shown,
    the_last_metrics_are_of_the_final_maps,
    after_the_first_rows_the_graphs_are_those_of_the_golden_prefix,
    the_composition_can_be_what_is_alike,
    random_rectangles_end_with_the_maps_of_a_raster,
    agreement_is_that_of_the_maps_shown,
    agreement_of_a_map_that_is_missing_is_nil,
    clusters_count_the_labels_and_sum_the_spectra,
    timeout_s=150,
)
