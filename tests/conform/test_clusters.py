"""Ward's clusters through the sockets, and what persons call clusters: golden partitions, names that stay.

Ids that are shown hang on what was shown before: where maps are compared with golden, they are the exact ones, whose
ids go by first appearance, or partitions.
"""

import json
import math
import os
import sys
import time

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from communities import PENDING, TINY, Made, Witness, counted, drained, settled  # noqa: E402
from flyback_test import (  # noqa: E402
    MODALITIES, SHARED, SLOW, Case, Flyback, canon, fc, flyback, rectangles, run, same_map, same_partition,
    wait_until)

WARD = [("ward", modality) for modality in MODALITIES]
GOLDEN = {"haadf": "ward_emb", "eds": "ward_at", "ensemble": "ward_vote"}
OTHERS = ("b_pristine01", "c_defective0", "d_defective01", "e_size64_tv", "f_gmp_coarse")


def golden_cases(*names):
    """The tiny one and those of these that are there; sanitizers have their own patience."""
    folders = [TINY] + [os.path.join(SHARED, "golden", name) for name in names[: len(names) if SLOW == 1 else 1]]
    return [Case(folder) for folder in folders if os.path.exists(folder)]


def settings_of(case, **more):
    return dict(case.settings("vgg16"), **dict({"tree.k": case.params["k"]}, **more))


def name_of(case):
    return os.path.basename(case.folder)


def golden(case, name):
    return canon(case.expected(name)).reshape(case.params["rows"], case.params["cols"])


def refused(control, op, words, **args):
    try:
        got = control.request(op, **args)
    except fc.RequestError as error:
        for word in words:
            assert word in error.message, (args, word, error.message)
        return error
    raise AssertionError("%s %s was taken: %s" % (op, args, got))


# ---- golden -----------------------------------------------------------------------------------------


def exact_maps(control, what):
    exact = {}
    for key in WARD:
        exact[key] = control.map_get(*key, exact=True)
        assert exact[key].header["base_seq"] is None
        same_map(exact[key].labels, canon(exact[key].labels), "%s %s: ids by first appearance" % (what, key[1]))
    return exact


def hold_to_golden(case, send, what, wanted=GOLDEN, **more):
    with Flyback(settings_of(case, **more)) as fly, Witness(fly) as viewer, fly.sender() as sender:
        case.start(sender)
        send(sender)
        drained(sender, viewer)
        exact = exact_maps(sender.control, what)
        for key in WARD:
            if key[1] not in wanted:
                continue
            same_map(exact[key].labels, golden(case, wanted[key[1]]), "%s %s against golden" % (what, key[1]))
        for key in WARD:
            assert exact[key].final
            same_partition(viewer.maps[key], exact[key], "%s %s: final against exact" % (what, key[1]))
            assert not np.isnan(viewer.maps[key].confidence).any(), key
        hold_heights(case, viewer.reports[-1][0], wanted)
        return exact


def hold_heights(case, metrics, wanted):
    """The last metrics are of the final maps: where the trees are cut."""
    n, k = case.params["rows"] * case.params["cols"], case.params["k"]
    assert set(metrics["hierarchy"]) == {"haadf", "eds"} and metrics["calibration"] is None, metrics
    for modality, told in metrics["hierarchy"].items():
        heights = case.expected("ward_heights_" + wanted[modality].split("_")[1])
        assert (told["k"], told["chips"]) == (k, n), told
        assert abs(told["height_below"] / heights[n - k - 1] - 1) < 1e-4, (modality, told, heights[n - k - 1])
        assert abs(told["height_above"] / heights[n - k] - 1) < 1e-4, (modality, told, heights[n - k])


def final_maps_are_golden():
    for case in golden_cases(*OTHERS):
        hold_to_golden(case, case.send_raster, name_of(case))
    return ", ".join(name_of(case) for case in golden_cases(*OTHERS))


def spectra_are_grouped_where_they_are_asked_for():
    # Of spectra with ties golden has one hierarchy of several (engine/tree/chain.h): those cases are not here.
    cases = golden_cases("b_pristine01", "e_size64_tv", "f_gmp_coarse")
    for case in cases:
        hold_to_golden(case, case.send_raster, name_of(case), {"haadf": "ward_emb", "eds": "ward_spec"},
                       **{"eds.feature.ward": "spectrum"})
    return ", ".join(name_of(case) for case in cases)


def after_the_first_rows_the_maps_are_the_golden_prefix():
    told = []
    for case in golden_cases("b_pristine01"):
        with open(os.path.join(case.folder, "expected", "expected.json")) as file:
            prefix = sorted(json.load(file)["prefix"], key=int)
        with Flyback(settings_of(case)) as fly, Witness(fly) as viewer, fly.sender() as sender:
            case.start(sender)
            line = 0
            for rows in prefix:
                case.send_raster(sender, line, int(rows) * case.params["chip"])
                line = int(rows) * case.params["chip"]
                settled(fly, sender, viewer)
                exact = exact_maps(sender.control, "%s row %s" % (name_of(case), rows))
                for modality, name in (("haadf", "emb"), ("eds", "at")):
                    want = canon(case.expected("prefix%s_ward_%s" % (rows, name))).reshape(int(rows), -1)
                    got = exact["ward", modality].labels
                    same_map(got[: int(rows)], want, "%s row %s %s" % (name_of(case), rows, modality))
                    assert (got[int(rows) :] == PENDING).all()
                    same_partition(sender.control.map_get("ward", modality), exact["ward", modality], "shown against exact")
                told.append("%s row %s" % (name_of(case), rows))
            sender.stop()
    return ", ".join(told)


def random_rectangles_end_with_the_same():
    case = golden_cases("b_pristine01")[-1]
    for seed in (1, 2):
        rng = np.random.default_rng(seed)
        jobs = [(kind, r) for kind in ("lines", "eds") for r in rectangles(rng, *case.shape)]
        rng.shuffle(jobs)

        def send(sender):
            for kind, (y0, x0, h, w) in jobs:
                y0, x0, h, w = int(y0), int(x0), int(h), int(w)
                if kind == "lines":
                    sender.lines("HAADF", case.haadf[y0 : y0 + h, x0 : x0 + w], y0, x0)
                else:
                    case.send_eds(sender, y0, x0, h, w)

        hold_to_golden(case, send, "%s seed %d" % (name_of(case), seed))
    return name_of(case)


# ---- params -----------------------------------------------------------------------------------------


def k_acts_at_once():
    case = golden_cases("b_pristine01")[-1]
    with Flyback(settings_of(case, **{"tree.k": 7})) as fly, Witness(fly) as viewer, fly.sender() as sender:
        control = sender.control
        case.start(sender)
        case.send_raster(sender)
        settled(fly, sender, viewer)
        for k in (2, 1, 12, case.params["k"]):
            assert control.params_set({"tree.k": k}) == {"tree.k": k}
            for modality in ("haadf", "eds"):
                shown = control.map_get("ward", modality)
                assert len(counted(shown.labels)) == k, (k, modality, counted(shown.labels))
                same_partition(shown, control.map_get("ward", modality, exact=True), "k %d %s" % (k, modality))
        for modality, name in GOLDEN.items():
            same_map(control.map_get("ward", modality, exact=True).labels, golden(case, name), modality)
        for wrong in (0, 65, -1, 2.5, "many"):
            refused(control, "params.set", ["tree.k"], **{"tree.k": wrong})
        refused(control, "params.set", ["tree.k", "1 .. 64"], **{"tree.k": 65})
        assert control.status()["config"]["tree.k"] == case.params["k"]
        drained(sender, viewer)


def a_chip_tells_its_clusters():
    case = Case(TINY)
    with Flyback(settings_of(case)) as fly, Witness(fly) as viewer, fly.sender() as sender:
        case.start(sender)
        case.send_raster(sender)
        drained(sender, viewer)
        for r, c in ((0, 0), (3, 4), (5, 5)):
            got = sender.control.chip_get(r, c)["ward"]
            assert got == {m: int(viewer.maps["ward", m].labels[r, c]) for m in MODALITIES}, got


# ---- clusters ---------------------------------------------------------------------------------------


def phases(rows=12, cols=12):
    """Stripes that lean, and a third phase, round, that comes with the lower half of the scan."""
    y, x = np.mgrid[:rows, :cols]
    return np.where(x + 0.5 * y < cols / 2, 0, np.where((x - 8) ** 2 + (y - 8) ** 2 < 12, 2, 1))


def heard(viewer, seconds):
    end = time.monotonic() + seconds * SLOW
    viewer.until(lambda: time.monotonic() > end, "some time", seconds + 1)


def events_are_consistent_with_the_maps():
    """Ids are born once and known from then on; parents were there before; gone ones have no chips."""
    case, told, words = Made(phases()), 0, {}
    with Flyback(case.settings(**{"tree.k": 3})) as fly, Witness(fly) as viewer, fly.sender() as sender:
        case.start(sender)
        for y in range(case.params["rows"]):
            case.send_raster(sender, 12 * y, 12 * y + 12)
            caught_up(sender)
            heard(viewer, 0.2)
        for k in (2, 6, 3):
            sender.control.params_set({"tree.k": k})
            heard(viewer, 2.0)
        drained(sender, viewer)
    keys = [(method, modality) for method in ("community", "ward") for modality in MODALITIES]
    for key in keys:
        ever = {int(i) for _, _, labels in viewer.history[key] for i in np.unique(labels[labels >= 0])}
        messages = [m for m in viewer.told if (m["method"], m["modality"]) == key]
        seen, living = set(), set()
        for message in messages:
            now = {c["id"]: c for c in message["clusters"]}
            assert len(now) == len(message["clusters"]), "%s: an id twice" % (key,)
            for i, c in now.items():
                told += 1
                words[c["event"]] = words.get(c["event"], 0) + 1
                assert (c["chips"] == 0) == (c["event"] == "gone"), (key, c)
                assert c["event"] in (None, "born", "merged", "split", "gone"), c
                if c["event"] is None:
                    assert i in living and not c["parents"], (key, c, living)
                if c["event"] == "born":
                    assert i not in living, (key, c, living)
                if c["event"] == "merged":
                    assert len(c["parents"]) >= 2, (key, c)
                if c["event"] == "split":
                    assert c["parents"], (key, c)
                assert set(c["parents"]) <= ever, (key, c, ever)
            gone = living - {i for i, c in now.items() if c["chips"]}
            assert gone <= {i for i, c in now.items() if c["event"] == "gone"}, (key, gone, now)
            living = {i for i, c in now.items() if c["chips"]}
            seen |= living
        last = viewer.maps[key]
        assert {c["id"]: c["chips"] for c in messages[-1]["clusters"] if c["chips"]} == counted(last.labels), key
        assert seen <= ever, (key, seen, ever)
    assert words.get("born") and words.get("gone") and words.get("split") and words.get("merged"), words
    return "%d clusters told: %s" % (told, words)


def latest(viewer, sender, key, done):
    """The newest `clusters` of the map for which done(by id) holds."""

    def there():
        sender.poll()
        message = viewer.clusters.get(key)
        return message if message and done({c["id"]: c for c in message["clusters"]}) else None

    viewer.until(lambda: there() is not None, "clusters of %s %s" % key)
    return there()


def differences_are_those_of_the_percents():
    case, numbers, worst = Case(TINY), 0, 0.0
    with Flyback(settings_of(case)) as fly, Witness(fly) as viewer, fly.sender() as sender:
        control = sender.control
        case.start(sender)
        for name, chips in case.support():
            control.support_add(name, chips)
        case.send_raster(sender)
        settled(fly, sender, viewer)
        for key in (("ward", "eds"), ("fewshot", "eds")):
            method, modality = key
            ids = sorted(counted(control.map_get(*key).labels))[:2]
            message = latest(viewer, sender, key, lambda by: len(by) >= 2)
            assert message["difference"] is None, message
            control.request("cluster.role", method=method, modality=modality, id=ids[1], to="ordered")
            control.request("cluster.role", method=method, modality=modality, id=ids[0], to="disordered")
            message = latest(viewer, sender, key, lambda by: by[ids[0]]["role"] and by[ids[1]]["role"])
            said = message["difference"]
            assert (said["ordered"], said["disordered"]) == (ids[1], ids[0]), said
            by = {c["id"]: c["atomic_percent"] for c in message["clusters"]}
            a, b = by[ids[1]], by[ids[0]]
            assert set(said["percent"]) == set(a) == set(message["elements"])
            for element, got in said["percent"].items():
                (x, sx), (y, sy) = ((v[element]["value"], v[element]["sigma"]) for v in (a, b))
                if x <= 0:
                    assert got["relative"] is None or got["relative"]["value"] is None, got
                else:
                    want = 100 * (y - x) / x, 100 / x * math.hypot(sy, y / x * sx)
                    worst = max([worst] + [abs(g - w) / max(1, abs(w)) for g, w in zip((got["relative"]["value"], got["relative"]["sigma"]), want)])
                    numbers += 1
                if x + y > 0:
                    mean = (x + y) / 2
                    want = 100 * abs(x - y) / mean, 100 / mean**2 * math.hypot(y * sx, x * sy)
                    worst = max([worst] + [abs(g - w) / max(1, abs(w)) for g, w in zip((got["symmetric"]["value"], got["symmetric"]["sigma"]), want)])
                    numbers += 1
            control.request("cluster.role", method=method, modality=modality, id=ids[1], to="none")
            message = latest(viewer, sender, key, lambda by: by[ids[1]]["role"] is None)
            assert message["difference"] is None, message
        drained(sender, viewer)
    assert numbers >= 8 and worst < 1e-9, (numbers, worst)
    return "%d numbers within %.2g" % (numbers, worst)


# ---- names ------------------------------------------------------------------------------------------


def called(map_):
    return {c["id"]: c["name"] for c in map_.classes}


def name_at(control, key, chip):
    shown = control.map_get(*key)
    return shown.name_of(shown.labels[chip])


def give(control, key, chip, name=None, role=None, **more):
    """Name the cluster that a chip is in; its id."""
    i = int(control.map_get(*key).labels[chip])
    for op, to in (("cluster.name", name), ("cluster.role", role)):
        if to:
            got = control.request(op, method=key[0], modality=key[1], id=i, to=to, **more)
            assert got["id"] == i and got["name" if op == "cluster.name" else "role"] == to, got
    return i


def names_act_at_once_and_are_refused_with_words():
    case = Case(TINY)
    with Flyback(settings_of(case)) as fly, Witness(fly) as viewer, fly.sender() as sender:
        control = sender.control
        case.start(sender)
        for name, chips in case.support():
            control.support_add(name, chips)
        case.send_raster(sender)
        settled(fly, sender, viewer)
        for key in WARD + [("community", "eds")]:
            i = give(control, key, (0, 0), "grains %s" % key[1], "ordered")
            assert name_at(control, key, (0, 0)) == "grains %s" % key[1]
            others = {j: n for j, n in called(control.map_get(*key)).items() if j != i}
            assert others and all(n == "%s %d" % (key[0], j) for j, n in others.items()), others
            message = latest(viewer, sender, key, lambda by: by[i]["role"] == "ordered")
            assert {c["id"]: c["name"] for c in message["clusters"]}[i] == "grains %s" % key[1]
            assert called(viewer.maps[key])[i] == "grains %s" % key[1]
        ward = {"method": "ward", "modality": "haadf"}
        i = int(control.map_get("ward", "haadf").labels[0, 0])
        refused(control, "cluster.name", ["999"], id=999, to="x", **ward)
        refused(control, "cluster.role", ["999"], id=999, to="other", members=[0, 4], present=[0, 36], **ward)
        refused(control, "cluster.role", ["args.to", "ordered", "disordered", "other"], id=i, to="tidy", **ward)
        refused(control, "cluster.name", ["args.to", "64"], id=i, to="x" * 65, **ward)
        refused(control, "cluster.name", ["args.to"], id=i, to="", **ward)
        refused(control, "cluster.name", ["no to", "64 bytes"], id=i, **ward)
        refused(control, "cluster.name", ["args.to"], id=i, to=list(range(15000)), **ward)
        refused(control, "cluster.name", ["args.id"], id=-1, to="x", **ward)
        refused(control, "cluster.name", ["args.method"], id=i, to="x", method="trees", modality="haadf")
        refused(control, "cluster.name", ["class.rename"], id=0, to="x", method="fewshot", modality="haadf")
        refused(control, "cluster.role", ["77"], id=77, to="other", method="fewshot", modality="haadf")
        assert name_at(control, ("ward", "haadf"), (0, 0)) == "grains haadf"
        drained(sender, viewer)
        for key in WARD:
            assert name_at(control, key, (0, 0)) == "grains %s" % key[1]
        # after the stop, too
        give(control, ("ward", "haadf"), (0, 0), "late")
        assert name_at(control, ("ward", "haadf"), (0, 0)) == "late"


NAMED = [("community", "eds"), ("community", "ensemble"), ("ward", "eds"), ("ward", "ensemble")]


def caught_up(sender):
    """Wait until all that was sent is in the maps and nothing is left to do; counters begin anew with a restart."""
    streams = [s for s in sender.last_seq if s != "control"]

    def there():
        sender.poll()
        as_of = sender.control.map_get("ward", "ensemble", exact=True).as_of
        return all(as_of[s] >= sender.last_seq[s] for s in streams)

    wait_until(there, 20, "the maps of all that was sent")


def analyzed(fly, session, *more):
    """What analyze makes of the recording: names by (method, modality, name or None), arrays by map."""
    out = os.path.join(fly.folder, "out%d" % len(more))
    flyback("analyze", fly.recording(session), "--out", out, "--no-pictures", *more)
    with open(os.path.join(out, "result.json")) as file:
        names = json.load(file)["names"]
    arrays = {}
    for key in NAMED:
        file = "community_" + key[1] if key[0] == "community" else {"eds": "ward_at", "ensemble": "ward_vote"}[key[1]]
        path = os.path.join(out, file + ".npy")
        arrays[key] = np.load(path if os.path.exists(path) else path.replace("ward_at", "ward_spec"))
    return names, arrays, out


def names_outlive_a_kill_and_reach_an_analysis():
    """Given early, when a cluster has a tenth of its chips, forged lists and all; changed in the second life."""
    case = Made(phases(), photons=3000)
    side = case.params["chip"]
    settings = case.settings(**{"tree.k": 2})
    with Flyback(settings) as fly, Witness(fly) as viewer, fly.sender(session="named") as sender:
        control = sender.control
        case.start(sender)
        case.send_raster(sender, 0, 2 * side)
        settled(fly, sender, viewer)
        for key in NAMED:  # both phases of the first rows
            left = give(control, key, (0, 0), "left", "ordered", members=[11, 1], present=[0, 24])
            right = give(control, key, (0, 11), "rihgt", "disordered")
            assert left != right, key
            refused(control, "cluster.name", ["4242"], method=key[0], modality=key[1], id=4242, to="nobody",
                    members=[0, 3], present=[0, 24])
        case.send_raster(sender, 2 * side, 6 * side)
        settled(fly, sender, viewer)

        def check(what, right="right"):
            for key in NAMED:
                got = name_at(control, key, (0, 0)), name_at(control, key, (0, 11))
                assert got == ("left", right), (what, key, got)
                want = {"left": "ordered", right: "disordered"}
                message = latest(viewer, sender, key,
                                 lambda by: {c["name"]: c["role"] for c in by.values() if c["role"]} == want)
                assert "nobody" not in {c["name"] for c in message["clusters"]}, (what, key)

        check("grown", "rihgt")
        fly.kill()
        fly.start()
        sender.resend()
        caught_up(sender)
        check("after a kill", "rihgt")
        for key in NAMED:
            give(control, key, (0, 11), "right")
        case.send_raster(sender, 6 * side, 8 * side)
        caught_up(sender)
        check("renamed")
        fly.kill()
        fly.start()
        sender.resend()
        caught_up(sender)
        check("after the second kill")
        case.send_raster(sender, 8 * side)
        caught_up(sender)
        check("at the end")
        drained(sender, viewer)
        check("final")
        final = {key: viewer.maps[key].labels.copy() for key in NAMED}
        assert fly.end() == 0
        for more in ((), ("--epochs",)):
            names, arrays, out = analyzed(fly, "named", *more)
            for key in NAMED:
                said = {n["name"]: n for n in names if (n["method"], n["modality"]) == key}
                assert set(said) == {"left", "right"}, (more, key, said)
                assert (said["left"]["role"], said["right"]["role"]) == ("ordered", "disordered"), said
                flat = arrays[key].ravel()
                assert (said["left"]["id"], said["right"]["id"]) == (flat[0], flat[11]), (more, key, said, flat[:12])
                if more:
                    last = max(f for f in os.listdir(out) if f.startswith("epoch_") and f.endswith("_%s_%s.npy" % key))
                    same_map(np.load(os.path.join(out, last)), final[key], "%s %s: the last epoch" % key)
    return "%d maps" % len(NAMED)


def roles_of_classes_outlive_a_kill():
    case = Case(TINY)
    with Flyback(case.settings()) as fly, Witness(fly) as viewer, fly.sender(session="roles") as sender:
        control = sender.control
        case.start(sender)
        for name, chips in case.support():
            control.support_add(name, chips)
        case.send_raster(sender, 0, 60)
        settled(fly, sender, viewer)
        key = "fewshot", "eds"
        i = int(control.map_get(*key).labels[0, 0])
        control.request("cluster.role", method=key[0], modality=key[1], id=i, to="ordered")
        fly.kill()
        fly.start()
        sender.resend()
        case.send_raster(sender, 60)
        drained(sender, viewer)
        message = latest(viewer, sender, key, lambda by: by[i]["role"] == "ordered")
        assert [c["id"] for c in message["clusters"] if c["role"]] == [i], message
        assert fly.end() == 0
        out = os.path.join(fly.folder, "out")
        flyback("analyze", fly.recording("roles"), "--out", out, "--no-pictures")
        with open(os.path.join(out, "result.json")) as file:
            said = json.load(file)["names"]
        assert said == [{"method": "fewshot", "modality": "eds", "id": i, "name": case.classes[i], "role": "ordered"}], said


def a_name_whose_cluster_is_no_more_waits():
    """k is set after the name was given: no cluster of 12 is like one of two. Set back, its name is found."""
    case = Made(phases(), photons=3000)
    key = "ward", "eds"
    with Flyback(case.settings(**{"tree.k": 1})) as fly, Witness(fly) as viewer, fly.sender(session="waits") as sender:
        control = sender.control
        case.start(sender)
        case.send_raster(sender)
        settled(fly, sender, viewer)
        give(control, key, (0, 0), "everything")
        control.params_set({"tree.k": 20})
        fly.kill()
        fly.start()
        sender.resend()
        caught_up(sender)
        largest = max(counted(control.map_get(*key).labels).values())
        assert largest < 0.3 * case.phases.size, largest
        assert "everything" not in called(control.map_get(*key)).values()
        viewer.until(lambda: any(e["code"] == "names_wait" and e["data"] == {"count": 1} and e["text"].startswith("1 cluster that")
                                 for e in viewer.events), "an event")
        control.params_set({"tree.k": 1})
        assert name_at(control, key, (0, 0)) == "everything"
        control.params_set({"tree.k": 20})
        drained(sender, viewer)
        assert fly.end() == 0
        out = os.path.join(fly.folder, "out")
        flyback("analyze", fly.recording("waits"), "--out", out, "--no-pictures")
        with open(os.path.join(out, "result.json")) as file:
            said = json.load(file)["names"]
        assert said == [{"method": "ward", "modality": "eds", "id": None, "name": "everything", "role": None}], said


run(
    final_maps_are_golden,
    spectra_are_grouped_where_they_are_asked_for,
    after_the_first_rows_the_maps_are_the_golden_prefix,
    random_rectangles_end_with_the_same,
    k_acts_at_once,
    a_chip_tells_its_clusters,
    events_are_consistent_with_the_maps,
    differences_are_those_of_the_percents,
    names_act_at_once_and_are_refused_with_words,
    names_outlive_a_kill_and_reach_an_analysis,
    roles_of_classes_outlive_a_kill,
    a_name_whose_cluster_is_no_more_waits,
    timeout_s=120,
)
