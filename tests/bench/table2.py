#!/usr/bin/env python3
"""How good live maps are on the simulated samples of Table II, against the truth that the simulator knows.

    /usr/bin/python3 tests/bench/table2.py [--part live,still,dose,fine,weights] [--seeds 1,2] [--minutes 20] [--out FILE.jsonl]
    /usr/bin/python3 tests/bench/table2.py --report FILE.jsonl

Everything goes through the program: `flyback sim` makes a scene, its messages are kept, and each setting gets
the same bytes on the ingest socket of a `flyback run` of its own, which is stopped at checkpoints and asked
`map.get exact`. The descriptor of the trivial rows (mean and standard deviation of the chip, each over its
spread in the scene) is computed here and given to `flyback analyze --emb`. In the part `dose` photons of half
of the chips are thinned here, binomially, before they are sent. Only counting (accuracy, ARI; AMI by sklearn)
is done here.

Parts: live, the four samples while frames come; still, the same without drift; dose, 10 to 1000 photons a chip,
equal or with half of the chips thinned, over graph.min_counts; fine, which chips may join the graph at all; weights,
of haadf and eds in the ensemble, fixed ones beside those by reliability, with poor X-rays or a poor image (its
counts thinned here, binomially). The support set is the simulator's, four of the purest chips a class: a careful
person's choice, not an average one.

One session is one line of FILE.jsonl, sessions that stand there already are not run again, and the tables are
printed from it: a bench that ran out of minutes goes on where it was. $FLYBACK names the program.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

import msgpack
import numpy as np
import zmq

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from flyback_test import BINARY, SHARED, Flyback, fc, wait_until  # noqa: E402

try:
    from sklearn.metrics import adjusted_mutual_info_score
except ImportError:
    adjusted_mutual_info_score = None

PHASES = ["STO", "LFO", "LFO_disordered", "cap"]  # as the simulator numbers them
STO, LFO, DISORDERED, CAP = range(4)
MODALITIES = ("haadf", "eds", "ensemble")
# name: chip px, rows = cols (Table II), as `flyback sim --geometry` has them
SAMPLES = {"pristine_0": (15, 33), "pristine_0.1": (20, 24), "defective_0": (15, 34), "defective_0.1": (10, 51)}
SIDE_PX = 512
WEIGHTS = os.path.join(SHARED, "weights", "squeezenet1_1_features_caffe.safetensors")
# (name, whole frames, lines of the next)
LIVE_POINTS = [("10 %", 0, 51), ("25 %", 0, 128), ("50 %", 0, 256), ("1 f", 1, 0), ("4 f", 4, 0), ("16 f", 16, 0),
               ("64 f", 64, 0)]
DOSE_A_FRAME = 10.0  # photons a chip, in the part `dose`
DOSE_POINTS = [("10", 1, 0), ("50", 5, 0), ("200", 20, 0), ("1000", 100, 0)]
DOSE_SAMPLES = ("defective_0", "pristine_0.1")
MIN_COUNTS = (0, 20, 30, 50, 100, 200, 500)
MIXES = ("equal", "columns/4", "random/4", "random/16")
FINE_POINTS = [(str(10 * n), n, 0) for n in (1, 2, 3, 5, 7, 10, 14, 20, 30, 50)]
FINE_MIXES = ("equal", "random/4", "random/16")
COUNT_BINS = (0, 5, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 1 << 30)
WEIGHT_FRAMES = 4
# photons a chip, share of the image's counts
WEIGHT_DOSES = ((10, 1.0), (50, 1.0), (200, 1.0), (1000, 1.0), (1000, 0.05), (1000, 0.01), (200, 0.02))
WEIGHT_GRID = (0.2, 0.35, 0.5, 0.65, 0.8)  # of haadf
GRAPHS = {"p100": {}, "m2": {"graph.mode": "m2"}, "median": {"graph.threshold": "median"}}
GRAPH_BACK = {"graph.mode": "p100", "graph.threshold": "mode"}


# ---- scenes -----------------------------------------------------------------------------------------


class Scene:
    """What the simulator sent, message by message, and what is true of it."""

    def __init__(self, sample, seed, frames, eds_counts=None, drift=True):
        self.sample, self.seed = sample, seed
        self.chip, self.rows = SAMPLES[sample]
        folder = tempfile.mkdtemp(prefix="t2.")
        context = zmq.Context.instance()
        tap = context.socket(zmq.PULL)
        tap.bind("ipc://%s/tap" % folder)
        command = [BINARY, "sim", "--geometry", "table2_" + sample, "--seed", str(seed), "--frames", str(frames),
                   "--pace", "0", "--ingest", "ipc://%s/tap" % folder, "--truth", folder, "--support", folder + "/sup.json",
                   "--quiet"]
        if eds_counts is not None:
            command += ["--eds-counts", repr(eds_counts)]
        if not drift:
            command += ["--drift-px", "0"]
        self.messages = []  # (header, parts)
        settings = {"recording.enabled": "false", "graph.chips_max": 0, "chip.size_px": self.chip}
        with Flyback(settings, folder=folder) as fly:
            push = context.socket(zmq.PUSH)
            push.setsockopt(zmq.LINGER, 5000)
            push.connect(fly.ingest)
            sim = subprocess.Popen(command + ["--publish", fly.publish, "--control", fly.control],
                                   stdout=subprocess.DEVNULL)
            while True:
                if not tap.poll(200):
                    if sim.poll() is not None:
                        break
                    continue
                parts = tap.recv_multipart()
                push.send_multipart(parts)
                header = msgpack.unpackb(parts[0], raw=False)
                if header["type"] in ("start", "lines", "eds"):
                    self.messages.append((header, parts))
            push.close()
        tap.close()
        assert sim.returncode == 0, "flyback sim ended with %s" % sim.returncode
        # what went twice (a resend) has no effect on the maps; the first copy is kept
        seen, once = set(), []
        for header, parts in self.messages:
            key = header["stream"], header["seq"]
            if key not in seen:
                seen.add(key)
                once.append((header, parts))
        self.messages = once
        self.truth = np.load(folder + "/truth_chip.npy")
        assert self.truth.shape == (self.rows, self.rows), self.truth.shape
        with open(folder + "/sup.json") as file:
            self.support = json.load(file)
        shutil.rmtree(folder, ignore_errors=True)

    def until(self, whole, lines):
        """Number of messages of `whole` frames and the first `lines` lines of the next."""
        for i, (header, _) in enumerate(self.messages):
            if header["type"] != "start" and (header["frame"], header["y0_px"]) >= (whole, lines):
                return i
        return len(self.messages)

    def thinned(self, mix, seed):
        """The messages with photons of half of the chips thinned; and which chips those are."""
        few = np.zeros((self.rows, self.rows), bool)
        if mix == "equal":
            return self.messages, few
        how, factor = mix.split("/")
        rng = np.random.default_rng([seed, len(mix), int(factor)])
        if how == "columns":
            few[:, 1::2] = True
        else:
            flat = few.reshape(-1)
            flat[rng.permutation(flat.size)[: flat.size // 2]] = True
        made = []
        for header, parts in self.messages:
            if header["type"] == "eds":
                assert header["layout"] == "pairs" and header["shape"][1] == SIDE_PX
                pixel, channel = np.frombuffer(parts[1], "<u4"), np.frombuffer(parts[2], "<u2")
                r = (header["y0_px"] + pixel // SIDE_PX) // self.chip
                c = pixel % SIDE_PX // self.chip
                inside = (r < self.rows) & (c < self.rows)
                thin = inside & few[np.minimum(r, self.rows - 1), np.minimum(c, self.rows - 1)]
                keep = ~thin | (rng.random(len(pixel)) < 1.0 / int(factor))
                parts = [parts[0], pixel[keep].tobytes(), channel[keep].tobytes()]
            made.append((header, parts))
        return made, few

    def noisier(self, share):
        """The messages with that share of the image's counts."""
        if share == 1.0:
            return self.messages
        rng, made = np.random.default_rng([self.seed, int(1e6 * share)]), []
        for header, parts in self.messages:
            if header["type"] == "lines":
                pixels = np.frombuffer(parts[1], header["dtype"])
                parts = [parts[0], rng.binomial(pixels, share).astype(header["dtype"]).tobytes()]
            made.append((header, parts))
        return made

    def counts(self, messages):
        """Photons of each chip (R, C)."""
        sums = np.zeros((self.rows, self.rows), np.int64)
        for header, parts in messages:
            if header["type"] == "eds":
                pixel = np.frombuffer(parts[1], "<u4")
                r, c = (header["y0_px"] + pixel // SIDE_PX) // self.chip, pixel % SIDE_PX // self.chip
                keep = (r < self.rows) & (c < self.rows)
                np.add.at(sums, (r[keep], c[keep]), 1)
        return sums

    def files(self, messages, folder):
        """haadf.npy, the mean of what was measured, and y, x, ch.npy for `analyze`."""
        total, times = np.zeros((SIDE_PX, SIDE_PX)), np.zeros(SIDE_PX)
        ys, xs, chs = [], [], []
        for header, parts in messages:
            if header["type"] == "lines":
                y, h = header["y0_px"], header["shape"][0]
                total[y : y + h] += np.frombuffer(parts[1], header["dtype"]).reshape(h, SIDE_PX)
                times[y : y + h] += 1
            elif header["type"] == "eds":
                pixel = np.frombuffer(parts[1], "<u4")
                ys.append(header["y0_px"] + pixel // SIDE_PX)
                xs.append(pixel % SIDE_PX)
                chs.append(np.frombuffer(parts[2], "<u2"))
        mean = (total / times[:, None]).astype(np.float32)
        np.save(folder + "/haadf.npy", mean)
        for name, parts in (("y", ys), ("x", xs), ("ch", chs)):
            np.save("%s/%s.npy" % (folder, name), np.concatenate(parts).astype(np.int32))
        return mean


# ---- scores -----------------------------------------------------------------------------------------


def ari(a, b):
    """Hubert and Arabie 1985, eq. 5."""
    _, ia = np.unique(a, return_inverse=True)
    _, ib = np.unique(b, return_inverse=True)
    table = np.zeros((ia.max() + 1, ib.max() + 1))
    np.add.at(table, (ia, ib), 1)
    pairs = lambda n: (n * (n - 1) / 2).sum()
    both, pa, pb, every = pairs(table), pairs(table.sum(1)), pairs(table.sum(0)), len(a) * (len(a) - 1) / 2
    chance, most = pa * pb / every, (pa + pb) / 2
    return 1.0 if most == chance else float((both - chance) / (most - chance))


def agreement(a, b, keep):
    """[AMI, ARI] of two partitions over the chips of keep; None for too few, or where a has one class only."""
    if keep.sum() < 2 or a[keep].min() == a[keep].max():
        return None
    x, y = a[keep], b[keep]
    ami = adjusted_mutual_info_score(x, y) if adjusted_mutual_info_score else float("nan")
    return [round(float(ami), 4), round(ari(x, y), 4)]


def fewshot_scores(labels, truth, measured):
    """labels are numbers of PHASES, or below 0. acc and easy: of labelled chips; od: mean of the shares right
    among ordered and among disordered LFO, None without both; share: labelled of measured."""
    named = (labels >= 0) & measured
    right = labels == truth
    share_of = lambda where: round(float(right[where].mean()), 4) if where.any() else None
    od = [share_of(named & (truth == k)) for k in (LFO, DISORDERED)]
    return {
        "acc": share_of(named),
        "easy": share_of(named & ((truth == STO) | (truth == CAP))),
        "od": round(sum(od) / 2, 4) if None not in od else None,
        "od_each": od,
        "share": round(float(named.sum() / max(1, measured.sum())), 4),
    }


def community_scores(labels, truth, measured):
    """Over the chips that have a community (label >= 0); k communities; `all`: every chip measured, those
    without community as one class; od: [AMI, ARI] restricted to ordered and disordered LFO."""
    named = (labels >= 0) & measured
    lfo = named & ((truth == LFO) | (truth == DISORDERED))
    sizes = np.unique(labels[named], return_counts=True)[1]
    return {
        "truth": agreement(truth, labels, named),
        "all": agreement(truth, np.maximum(labels, -1), measured),
        "od": agreement(truth, labels, lfo) if (truth[lfo] == DISORDERED).any() else None,
        "k": int(len(sizes)),
        "largest": round(float(sizes.max() / named.sum()), 3) if len(sizes) else None,
        "share": round(float(named.sum() / max(1, measured.sum())), 4),
        "minor": int((labels[measured] == -4).sum()),
        "few": int((labels[measured] == -3).sum()),
    }


def layers_by_counts(labels, truth, counts):
    """[chips, in a community, in one whose most frequent layer is their own] for each of COUNT_BINS. Layers are
    STO, film and cap: order does not show in X-rays, and would only blur what is asked here."""
    layer, right = np.where(truth == DISORDERED, LFO, truth), np.zeros(truth.shape, bool)
    for k in np.unique(labels[labels >= 0]):
        of = labels == k
        right |= of & (layer == np.bincount(layer[of]).argmax())
    at = np.digitize(counts, COUNT_BINS) - 1
    return [[int((w & (at == i)).sum()) for w in (labels > -9, labels >= 0, right)] for i in range(len(COUNT_BINS) - 1)]


# ---- sessions ---------------------------------------------------------------------------------------


class Session:
    """One `flyback run` and the messages of a scene, sent as far as asked."""

    def __init__(self, scene, messages, settings):
        self.scene, self.messages, self.at = scene, messages, 0
        made = {"recording.enabled": "false", "chip.size_px": scene.chip, "chip.rows": scene.rows,
                "chip.cols": scene.rows, "log.level": "info"}
        made.update(settings)
        self.fly = Flyback(made)
        self.control = fc.Control(self.fly.control, timeout_s=120.0)
        self.viewer = self.fly.viewer(ask=False)
        self.push = zmq.Context.instance().socket(zmq.PUSH)
        self.push.setsockopt(zmq.LINGER, 0)
        self.push.connect(self.fly.ingest)
        self.sent = {}
        self.send(1)  # the start: support chips need a session
        for name, chips in scene.support.items():
            self.control.support_add(name, chips)

    def send(self, until):
        for header, parts in self.messages[self.at : until]:
            self.push.send_multipart(parts)
            self.sent[header["stream"]] = header["seq"]
        self.at = max(self.at, until)
        wait_until(lambda: all(self.control.status()["last_seq"].get(k, 0) >= n for k, n in self.sent.items()), 120,
                   "all messages to arrive")

    def map(self, method, modality):
        """The exact map of all that was sent; None when there is none."""
        end = time.monotonic() + 120
        while True:
            try:
                got = self.control.map_get(method, modality, exact=True)
            except fc.RequestError as error:
                if error.code == "no_map":
                    return None
                raise
            # data streams only: requests count on `control`
            if all(got.as_of.get(k, 0) >= n for k, n in self.sent.items() if k != "control"):
                return got
            assert time.monotonic() < end, "as_of %s, sent %s" % (got.as_of, self.sent)
            time.sleep(0.01)

    def thresholds(self):
        """Of the published maps, as `metrics` tells them; each second."""
        self.viewer.poll(0)
        self.viewer.metrics = None
        try:
            self.viewer.wait(lambda: self.viewer.metrics, 2.5)
        except fc.FlybackTimeout:
            return None
        return self.viewer.metrics["threshold"]

    def reliability(self):
        """As `metrics` tells it, each second."""
        self.viewer.poll(0)
        self.viewer.metrics = None
        self.viewer.wait(lambda: self.viewer.metrics, 10)
        return self.viewer.metrics["reliability"]

    def close(self):
        self.push.close()
        self.control.close()
        self.viewer.__exit__(None, None, None)
        log = self.fly.log_text()
        self.fly.__exit__(None, None, None)
        return log


def measured_at(scene, whole, lines):
    """Chips that are complete at least once."""
    got = np.zeros((scene.rows, scene.rows), bool)
    got[: scene.rows if whole else lines // scene.chip] = True
    return got


def in_phases(got):
    """Few-shot labels as numbers of PHASES."""
    labels = got.labels.copy()
    for known in got.classes:
        labels[got.labels == known["id"]] = PHASES.index(known["name"])
    return labels


def look(session, whole, lines, features, graphs):
    """All scores at one checkpoint."""
    scene, made = session.scene, {}
    session.send(scene.until(whole, lines))
    measured = measured_at(scene, whole, lines)
    counts = session.counts_now
    made["counts"] = [round(float(v), 1) for v in (counts[measured].mean(), *np.percentile(counts[measured], (5, 95)))]
    made["fewshot"], made["community"], made["pairs"] = {}, {}, {}
    for feature in features:
        session.control.params_set({"eds.feature.fewshot": feature})
        maps = {m: session.map("fewshot", m) for m in MODALITIES}
        labels = {m: in_phases(got) for m, got in maps.items() if got}
        made["fewshot"][feature] = {m: fewshot_scores(v, scene.truth, measured) for m, v in labels.items()}
        made["pairs"]["fewshot " + feature] = table1(labels, measured)
        if session.few.any():
            for half, where in (("thinned", session.few), ("whole", ~session.few)):
                made.setdefault(half, {})[feature] = {m: fewshot_scores(v, scene.truth, measured & where)
                                                      for m, v in labels.items()}
    session.control.params_set({"eds.feature.fewshot": "composition"})
    for graph in graphs:
        if GRAPHS[graph]:
            session.control.params_set(GRAPHS[graph])
        maps = {m: session.map("community", m) for m in MODALITIES}
        labels = {m: got.labels for m, got in maps.items() if got}
        made["community"][graph] = {m: community_scores(v, scene.truth, measured) for m, v in labels.items()}
        made["pairs"]["community " + graph] = table1(labels, measured)
        if session.by_counts:
            made["layers"] = {m: layers_by_counts(v, scene.truth, counts) for m, v in labels.items()}
        if session.few.any():  # do communities tell doses apart, where there is but one phase?
            made["dose"] = {m: agreement(session.few.astype(int), v, measured & (v >= 0) & (scene.truth == STO))
                            for m, v in labels.items()}
        if GRAPHS[graph]:
            session.control.params_set(GRAPH_BACK)
    if len(graphs) > 1:
        made["threshold"] = session.thresholds()
    return made


def table1(labels, measured):
    """[AMI haadf-eds, haadf-ens, eds-ens] over the chips that both name."""
    pairs = []
    for a, b in (("haadf", "eds"), ("haadf", "ensemble"), ("eds", "ensemble")):
        if a not in labels or b not in labels:
            pairs.append(None)
            continue
        got = agreement(labels[a], labels[b], measured & (labels[a] >= 0) & (labels[b] >= 0))
        pairs.append(got[0] if got else None)
    return pairs


def measure(scene, messages, settings, points, features, graphs_at, few=None, by_counts=False):
    began = time.monotonic()
    session = Session(scene, messages, settings)
    session.by_counts = by_counts
    session.few = np.zeros_like(scene.truth, bool) if few is None else few
    points_made = {}
    try:
        for name, whole, lines in points:
            session.counts_now = scene.counts(messages[: scene.until(whole, lines)])
            points_made[name] = look(session, whole, lines, features, graphs_at(name))
    finally:
        log = session.close()
    notes = [line.split(" ", 1)[1] for line in log.splitlines() if "heartbeat_missing" not in line
             and ("haadf_range" in line or "threshold" in line or "warning" in line or "error" in line)]
    return {"points": points_made, "log": notes[:20], "wall_s": round(time.monotonic() - began, 1)}


def trivial(scene, points):
    """Few-shot of mean and standard deviation, by `flyback analyze --emb`, on the mean image of the frames."""
    made = {}
    for name, whole, lines in points:
        if not whole:
            continue
        with tempfile.TemporaryDirectory(prefix="t2.") as folder:
            image = scene.files(scene.messages[: scene.until(whole, lines)], folder)
            n, s = scene.rows, scene.chip
            chips = image[: n * s, : n * s].reshape(n, s, n, s).transpose(0, 2, 1, 3).reshape(n * n, s * s)
            emb = np.stack([chips.mean(1), chips.std(1)], 1)
            np.save(folder + "/emb.npy", ((emb - emb.mean(0)) / emb.std(0)).astype(np.float32))
            with open(folder + "/sup.json", "w") as file:
                json.dump(scene.support, file)
            command = [BINARY, "analyze", "--haadf", folder + "/haadf.npy", "--emb", folder + "/emb.npy", "--support",
                       folder + "/sup.json", "--events", ",".join("%s/%s.npy" % (folder, k) for k in ("y", "x", "ch")),
                       "--no-pictures", "--out", folder + "/out"]
            for key, value in (("chip.size_px", s), ("chip.rows", n), ("chip.cols", n),
                               ("eds.elements", ",".join(scene.messages[0][0]["elements"]))):
                command += ["--set", "%s=%s" % (key, value)]
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            names = list(scene.support)  # classes are numbered in the file's order
            maps, communities, measured = {}, {}, measured_at(scene, whole, lines)
            for modality, suffix in zip(MODALITIES, ("emb", "at", "ens_0.5_0.5")):
                labels = np.load("%s/out/fs_label_%s.npy" % (folder, suffix)).reshape(n, n)
                phases = labels.copy()
                for k, phase in enumerate(names):
                    phases[labels == k] = PHASES.index(phase)
                maps[modality] = fewshot_scores(phases, scene.truth, measured)
                labels = np.load("%s/out/community_%s.npy" % (folder, modality)).reshape(n, n)
                communities[modality] = community_scores(labels, scene.truth, measured)
            made[name] = {"fewshot": {"composition": maps}, "community": {"p100": communities}}
    return {"points": made}


def one_shot(session, support, i, measured):
    """Share of the chips that are labelled right, by the i-th support chip of each class alone: haadf, eds, and the
    ensemble by reliability and with equal weights."""
    right = lambda m: float((in_phases(session.map("fewshot", m)) == session.scene.truth)[measured].mean())
    for name, chips in support.items():
        session.control.support_add(name, [chips[i]])
    made = [right(m) for m in MODALITIES]
    # Weights that differ are a person's: not learned, not measured.
    session.control.params_set({"fewshot.weights": [0.5, 0.5000001]})
    made.append(right("ensemble"))
    session.control.params_set({"fewshot.weights": [0.5, 0.5]})
    for name in support:
        session.control.request("class.remove", **{"class": name})
    return [round(share, 4) for share in made]


def weigh(scene, share, settings):
    """Communities of the ensemble at each weight and by reliability, and few-shot of one chip a class."""
    messages, support = scene.noisier(share), scene.support
    measured, began = np.ones_like(scene.truth, bool), time.monotonic()
    scene.support = {}
    session = Session(scene, messages, settings)
    scene.support = support
    try:
        session.send(len(messages))

        def ami(modality, weights=None):
            if weights:
                session.control.params_set({"graph.weights": weights})
            got = community_scores(session.map("community", modality).labels, scene.truth, measured)["all"]
            return got[0] if got else None

        made = {"alone": {m: ami(m) for m in MODALITIES[:2]}, "mix": {str(w): ami("ensemble", [w, 1 - w]) for w in WEIGHT_GRID},
                "auto": ami("ensemble", "auto"), "one_shot": [one_shot(session, support, i, measured) for i in range(4)],
                "reliability": session.reliability()}
    finally:
        session.close()
    return {"points": {"end": made}, "wall_s": round(time.monotonic() - began, 1)}


# ---- what is run ------------------------------------------------------------------------------------


def live_settings(sample, profile, model, rows):
    made = {"profile": profile, "embed.model": model, "haadf.range_rows": rows}
    if model == "squeezenet1_1":
        made["embed.weights"] = WEIGHTS
    return made


def jobs(parts, samples, seeds):
    """(key, scene arguments, run(scene)) in the order in which they matter."""
    for seed in seeds:
        if "live" in parts:
            for sample in samples:
                demo = SAMPLES[sample][1] * 2 // 5  # what `flyback demo` takes
                scene = (sample, seed, LIVE_POINTS[-1][1], None)
                yield ("live", sample, seed, "trivial", "robust", "all"), scene, lambda s: trivial(s, LIVE_POINTS)
                for rows, models, profiles in ((demo, ("spectral", "squeezenet1_1"), ("robust", "paper")),
                                               (1, ("spectral", "squeezenet1_1"), ("robust",))):
                    for model in models:
                        for profile in profiles:
                            settings = live_settings(sample, profile, model, rows)
                            some = ("1 f", "4 f", "64 f") if rows != 1 else ()
                            yield (("live", sample, seed, model, profile, "demo" if rows != 1 else "default"), scene,
                                   lambda s, t=settings, some=some: measure(
                                       s, s.messages, t, LIVE_POINTS, ("composition", "spectrum"),
                                       lambda name: GRAPHS if name in some else ("p100",)))
        if "dose" in parts:
            for sample in (s for s in DOSE_SAMPLES if s in samples):
                chip = SAMPLES[sample][0]
                scene = (sample, seed, DOSE_POINTS[-1][1], DOSE_A_FRAME / chip**2)
                for mix in MIXES:
                    for profile, least in [("paper", 500)] + [("robust", n) for n in MIN_COUNTS]:
                        settings = live_settings(sample, profile, "spectral", SAMPLES[sample][1] * 2 // 5)
                        settings["graph.min_counts"] = least

                        def run(s, mix=mix, settings=settings, least=least, profile=profile):
                            messages, few = s.thinned(mix, s.seed)
                            once = profile == "paper" or least == 500  # few-shot does not see the option
                            return measure(s, messages, settings, DOSE_POINTS,
                                           ("composition", "spectrum") if once else ("composition",), lambda name: ("p100",), few)

                        yield ("dose", sample, seed, mix, profile, least), scene, run
        if "still" in parts:  # what of the fall at 64 frames is the drift's
            for sample in samples:
                for model in ("spectral", "squeezenet1_1"):
                    settings = live_settings(sample, "robust", model, SAMPLES[sample][1] * 2 // 5)
                    yield (("still", sample, seed, model, "robust", "demo"), (sample, seed, LIVE_POINTS[-1][1], None, False),
                           lambda s, t=settings: measure(s, s.messages, t, LIVE_POINTS[3:], ("composition",),
                                                         lambda name: ("p100",)))
        if "weights" in parts:
            for sample in samples:
                for dose, share in WEIGHT_DOSES:
                    settings = live_settings(sample, "robust", "spectral", SAMPLES[sample][1] * 2 // 5)
                    settings["tree.chips_max"] = 0
                    yield (("weights", sample, seed, dose, share),
                           (sample, seed, WEIGHT_FRAMES, dose / SAMPLES[sample][0] ** 2 / WEIGHT_FRAMES),
                           lambda s, share=share, settings=settings: weigh(s, share, settings))
        if "fine" in parts:
            for sample in (s for s in DOSE_SAMPLES if s in samples):
                scene = (sample, seed, FINE_POINTS[-1][1], DOSE_A_FRAME / SAMPLES[sample][0] ** 2)
                for mix in FINE_MIXES:
                    for profile in ("robust", "paper"):
                        settings = live_settings(sample, profile, "spectral", SAMPLES[sample][1] * 2 // 5)
                        settings["graph.min_counts"] = 0

                        def run(s, mix=mix, settings=settings):
                            messages, few = s.thinned(mix, s.seed)
                            return measure(s, messages, settings, FINE_POINTS, ("composition",), lambda name: ("p100",),
                                           few, True)

                        yield ("fine", sample, seed, mix, profile, 0), scene, run


def load(path):
    done = {}
    if os.path.exists(path):
        with open(path) as file:
            for line in file:
                row = json.loads(line)
                done[tuple(row["key"])] = row
    return done


def run_all(args):
    done, end, made_for, scene = load(args.out), time.monotonic() + 60 * args.minutes, None, None
    for key, wanted, run in jobs(args.part.split(","), args.samples.split(","), [int(s) for s in args.seeds.split(",")]):
        if key in done:
            continue
        if time.monotonic() > end:
            print("out of minutes before %s" % (key,), file=sys.stderr)
            return
        if made_for != wanted:
            made_for, scene = wanted, Scene(*wanted)
        row = dict(run(scene), key=key, phases=np.bincount(scene.truth.ravel(), minlength=4).tolist())
        with open(args.out, "a") as file:
            file.write(json.dumps(row) + "\n")
        print("%6.0f s left  %s  %s s" % (end - time.monotonic(), key, row.get("wall_s")), file=sys.stderr, flush=True)


# ---- tables -----------------------------------------------------------------------------------------


class Tables:
    """Prints markdown of the rows of a result file: means over seeds."""

    def __init__(self, rows):
        self.rows = rows
        self.spread = []  # (half of the range over seeds, where) of the table in work

    def values(self, part, sample, setting, path):
        """What stands at path in the result of each seed, None left out."""
        found = []
        for key, row in self.rows.items():
            if key[0] == part and key[1] == sample and key[3:] == setting:
                at = row["points"]
                for step in path:
                    at = at.get(step) if isinstance(at, dict) else (at[step] if at is not None else None)
                if at is not None:
                    found.append(at)
        return found

    def mean(self, *where, digits=0, scale=100.0):
        """Mean over seeds as text, a dot when there is none."""
        got = self.values(*where)
        if not got:
            return "."
        self.spread.append(((max(got) - min(got)) / 2 * scale, where))
        return "%.*f" % (digits, scale * sum(got) / len(got))

    def fewshot(self, part, sample, setting, path):
        """accuracy (easy layers / ordered and disordered), and the share labelled where not all are."""
        one = lambda last: self.mean(part, sample, setting, path + [last])
        acc, share = one("acc"), one("share")
        if acc == ".":
            return "." if share in (".", "0") else "@" + share
        return "%s (%s/%s)%s" % (acc, one("easy"), one("od"), "" if share == "100" else "@" + share)

    def community(self, part, sample, setting, path):
        """AMI/ARI to truth of the chips in a community, how many communities, share in one."""
        one = lambda *last, **more: self.mean(part, sample, setting, path + list(last), **more)
        ami, share, k = one("truth", 0), one("share"), one("k", scale=1.0, digits=0)
        if ami == ".":
            return "." if share in (".", "0") else "k%s@%s" % (k, share)
        return "%s/%s k%s%s" % (ami, one("truth", 1), k, "" if share == "100" else "@" + share)

    def begin(self, title, columns):
        self.spread = []
        print("\n### %s\n" % title)
        print("| " + " | ".join(columns) + " |")
        print("|" + " --- |" * len(columns))

    def line(self, cells):
        if any(c.strip("/ ") not in (".", "") for c in cells[2:]):
            print("| " + " | ".join(cells) + " |")

    def end(self):
        if self.spread:
            halves = [s for s, _ in self.spread]
            print("\nHalf of the range over seeds: median %.1f, 95 %% of cells within %.1f." % (
                np.median(halves), np.percentile(halves, 95)))

    def seeds(self, part):
        return sorted({key[2] for key in self.rows if key[0] == part})

    # the part `live`

    def live(self):
        print("\n## Live maps of the samples of Table II, seeds %s" % self.seeds("live"))
        self.samples()
        self.live_fewshot()
        self.live_community()
        self.live_ranges()
        self.live_table1()
        self.live_graphs()

    def samples(self):
        self.begin("Samples: chips of each class in truth, EDS photons a chip", [
            "sample", "seed", "chip px", "grid", *PHASES, "photons at 1 f: mean (5 .. 95 %)", "at 4, 16, 64 f"])
        for key, row in sorted(self.rows.items(), key=str):
            if key[0] == "live" and key[3:] == ("spectral", "robust", "demo"):
                at = lambda name: row["points"][name]["counts"]
                chip, n = SAMPLES[key[1]]
                self.line([key[1], str(key[2]), str(chip), "%d x %d" % (n, n), *map(str, row["phases"]),
                           "%.1f (%.0f .. %.0f)" % tuple(at("1 f")), ", ".join("%.0f" % at(n)[0] for n in ("4 f", "16 f", "64 f"))])

    def live_fewshot(self):
        self.begin("Few-shot: accuracy % (STO and cap / ordered against disordered LFO, balanced) @ share labelled %", [
            "sample", "at", "haadf trivial", "haadf spectral", "haadf squeezenet", "eds composition paper",
            "eds composition robust", "eds spectrum", "ens spectral paper", "ens spectral robust", "ens squeezenet paper",
            "ens squeezenet robust", "ens trivial robust"])
        for sample in SAMPLES:
            for name, _, _ in LIVE_POINTS:
                def cell(model, profile, modality, feature="composition"):
                    setting = (model, profile, "all" if model == "trivial" else "demo")
                    return self.fewshot("live", sample, setting, [name, "fewshot", feature, modality])
                self.line([sample, name, cell("trivial", "robust", "haadf"), cell("spectral", "robust", "haadf"),
                           cell("squeezenet1_1", "robust", "haadf"), cell("spectral", "paper", "eds"),
                           cell("spectral", "robust", "eds"), cell("spectral", "robust", "eds", "spectrum"),
                           cell("spectral", "paper", "ensemble"), cell("spectral", "robust", "ensemble"),
                           cell("squeezenet1_1", "paper", "ensemble"), cell("squeezenet1_1", "robust", "ensemble"),
                           cell("trivial", "robust", "ensemble")])
        self.end()

    def live_community(self):
        self.begin("Communities (mode p100): AMI/ARI % to truth, k communities @ share in one %", [
            "sample", "at", "haadf trivial", "haadf spectral", "haadf squeezenet", "eds paper", "eds robust",
            "ens spectral paper", "ens spectral robust", "ens squeezenet paper", "ens squeezenet robust"])
        for sample in SAMPLES:
            for name, _, _ in LIVE_POINTS:
                def cell(model, profile, modality):
                    setting = (model, profile, "all" if model == "trivial" else "demo")
                    return self.community("live", sample, setting, [name, "community", "p100", modality])
                self.line([sample, name, cell("trivial", "robust", "haadf"), cell("spectral", "robust", "haadf"),
                           cell("squeezenet1_1", "robust", "haadf"), cell("spectral", "paper", "eds"),
                           cell("spectral", "robust", "eds"), cell("spectral", "paper", "ensemble"),
                           cell("spectral", "robust", "ensemble"), cell("squeezenet1_1", "paper", "ensemble"),
                           cell("squeezenet1_1", "robust", "ensemble")])
        self.end()
        self.begin("ARI % of communities within LFO alone, ordered against disordered (0: chance)", [
            "sample", "at", "haadf trivial", "haadf spectral", "haadf squeezenet", "eds paper", "eds robust",
            "ens spectral robust", "ens squeezenet robust"])
        for sample in SAMPLES:
            for name in ("1 f", "64 f"):
                def cell(model, profile, modality):
                    setting = (model, profile, "all" if model == "trivial" else "demo")
                    return self.mean("live", sample, setting, [name, "community", "p100", modality, "od", 1])
                self.line([sample, name, cell("trivial", "robust", "haadf"), cell("spectral", "robust", "haadf"),
                           cell("squeezenet1_1", "robust", "haadf"), cell("spectral", "paper", "eds"),
                           cell("spectral", "robust", "eds"), cell("spectral", "robust", "ensemble"),
                           cell("squeezenet1_1", "robust", "ensemble")])
        self.end()

    def live_ranges(self):
        self.begin("haadf.range_rows: 1 (default) beside 2/5 of the rows (as `flyback demo` sets it), haadf, robust", [
            "sample", "at", "few-shot spectral 1", "2/5", "few-shot squeezenet 1", "2/5", "communities spectral 1", "2/5",
            "communities squeezenet 1", "2/5"])
        for sample in SAMPLES:
            for name, _, _ in LIVE_POINTS:
                cells = []
                for how, kind in (("fewshot", "composition"), ("community", "p100")):
                    for model in ("spectral", "squeezenet1_1"):
                        for rows in ("default", "demo"):
                            show = self.fewshot if how == "fewshot" else self.community
                            cells.append(show("live", sample, (model, "robust", rows), [name, how, kind, "haadf"]))
                self.line([sample, name, *cells])
        self.end()

    def live_table1(self):
        self.begin("Table I: AMI % haadf-eds, haadf-ens, eds-ens", [
            "sample", "at", "few-shot spectral paper", "few-shot spectral robust", "few-shot squeezenet paper",
            "few-shot squeezenet robust", "community spectral paper", "community spectral robust",
            "community squeezenet paper", "community squeezenet robust"])
        for sample in SAMPLES:
            for name in ("1 f", "4 f", "16 f", "64 f"):
                cells = []
                for method in ("fewshot composition", "community p100"):
                    for model in ("spectral", "squeezenet1_1"):
                        for profile in ("paper", "robust"):
                            three = [self.mean("live", sample, (model, profile, "demo"), [name, "pairs", method, i])
                                     for i in range(3)]
                            cells.append("." if three == ["."] * 3 else " ".join(three))
                self.line([sample, name, *cells])
        self.end()

    def live_graphs(self):
        for modality in MODALITIES:
            self.begin("How the graph is cut, %s: AMI/ARI %% to truth, k @ share; largest community %%; mode's threshold" %
                       modality, ["sample", "at", *("%s %s %s" % (model, profile, graph) for model, profile in
                                                    self.graph_settings(modality) for graph in GRAPHS), "thresholds p100"])
            for sample in SAMPLES:
                for name in ("1 f", "4 f", "64 f"):
                    cells, cuts = [], []
                    for model, profile in self.graph_settings(modality):
                        for graph in GRAPHS:
                            path = [name, "community", graph, modality]
                            cell = self.community("live", sample, (model, profile, "demo"), path)
                            if cell != ".":
                                cell += "; " + self.mean("live", sample, (model, profile, "demo"), path + ["largest"])
                            cells.append(cell)
                        cuts += ["%.2f" % v for v in self.values("live", sample, (model, profile, "demo"),
                                                                 [name, "threshold", modality])] + ["|"]
                    self.line([sample, name, *cells, " ".join(cuts[:-1]).replace("|", "/")])
            self.end()

    @staticmethod
    def graph_settings(modality):
        if modality == "haadf":
            return [("spectral", "robust"), ("squeezenet1_1", "robust")]
        if modality == "eds":
            return [("spectral", "paper"), ("spectral", "robust")]
        return [("spectral", "paper"), ("spectral", "robust"), ("squeezenet1_1", "robust")]

    # the parts `dose` and `fine`

    def dose(self):
        print("\n## Dose: photons a chip of the unthinned, spectral embedding, seeds %s" % self.seeds("dose"))
        self.begin("Few-shot of eds: accuracy % (STO and cap / ordered against disordered) @ share labelled %", [
            "sample, doses", "photons", "composition paper", "composition robust", "spectrum", "thinned half: composition paper",
            "composition robust", "spectrum", "ens paper", "ens robust"])
        for sample, mix, name in self.dose_lines():
            cell = lambda profile, feature, half, m="eds": self.fewshot(
                "dose", sample, (mix, profile, 500), [name, half, feature, m])
            self.line([sample + " " + mix, name, cell("paper", "composition", "fewshot"),
                       cell("robust", "composition", "fewshot"), cell("robust", "spectrum", "fewshot"),
                       cell("paper", "composition", "thinned"), cell("robust", "composition", "thinned"),
                       cell("robust", "spectrum", "thinned"), cell("paper", "composition", "fewshot", "ensemble"),
                       cell("robust", "composition", "fewshot", "ensemble")])
        self.end()
        for modality in ("eds", "ensemble"):
            self.begin("Communities of %s: AMI/ARI %% to truth of those in one, k @ share in one %%" % modality, [
                "sample, doses", "photons", "paper", *("robust, min_counts %d" % n for n in MIN_COUNTS)])
            for sample, mix, name in self.dose_lines():
                self.line([sample + " " + mix, name] + [
                    self.community("dose", sample, (mix, profile, least), [name, "community", "p100", modality])
                    for profile, least in [("paper", 500)] + [("robust", n) for n in MIN_COUNTS]])
            self.end()
            self.begin("The same, ARI %% to truth of all chips, those in no community (-3, -4) as one class of their own: %s" %
                       modality, ["sample, doses", "photons", "paper", *("robust %d" % n for n in MIN_COUNTS)])
            for sample, mix, name in self.dose_lines():
                self.line([sample + " " + mix, name] + [
                    self.mean("dose", sample, (mix, profile, least), [name, "community", "p100", modality, "all", 1])
                    for profile, least in [("paper", 500)] + [("robust", n) for n in MIN_COUNTS]])
            self.end()
        self.begin("Do communities of eds tell doses apart within STO? ARI % to thinned or not", [
            "sample, doses", "photons", "paper", *("robust %d" % n for n in MIN_COUNTS)])
        for sample, mix, name in self.dose_lines():
            self.line([sample + " " + mix, name] + [
                self.mean("dose", sample, (mix, profile, least), [name, "dose", "eds", 1])
                for profile, least in [("paper", 500)] + [("robust", n) for n in MIN_COUNTS]])
        self.end()

    def dose_lines(self):
        return [(sample, mix, name) for sample in DOSE_SAMPLES for mix in MIXES for name, _, _ in DOSE_POINTS]

    def still(self):
        print("\n## Without drift (--drift-px 0) beside with it (0.04 px a frame), robust, seeds %s" % self.seeds("still"))
        self.begin("haadf: few-shot accuracy % (easy / ordered against disordered); communities AMI/ARI % k @ share", [
            "sample", "at", *("%s %s %s" % (how, model, drift) for how in ("few-shot", "communities")
                              for model in ("spectral", "squeezenet") for drift in ("still", "drift"))])
        for sample in SAMPLES:
            for name, _, _ in LIVE_POINTS[3:]:
                cells = []
                for show, path in ((self.fewshot, ["fewshot", "composition"]), (self.community, ["community", "p100"])):
                    for model in ("spectral", "squeezenet1_1"):
                        for part in ("still", "live"):
                            cells.append(show(part, sample, (model, "robust", "demo"), [name, *path, "haadf"]))
                self.line([sample, name, *cells])
        self.end()

    def fine(self):
        print("\n## Which chips may join: graph.min_counts 0, seeds %s" % self.seeds("fine"))
        for modality in ("eds", "ensemble"):
            self.begin("Communities of %s: AMI/ARI %% to truth, k @ share" % modality, [
                "sample", "photons", *("%s %s" % (mix, profile) for mix in FINE_MIXES for profile in ("robust", "paper"))])
            for sample in DOSE_SAMPLES:
                for name, _, _ in FINE_POINTS:
                    self.line([sample, name] + [
                        self.community("fine", sample, (mix, profile, 0), [name, "community", "p100", modality])
                        for mix in FINE_MIXES for profile in ("robust", "paper")])
            self.end()
        self.begin("Communities of eds, all of the above together, by the photons of the chip itself: chips; % in a community; "
                   "% of those in one whose commonest layer (STO, film, cap) is theirs", [
                       "own photons", "", "robust, scene of >= 30 photons a chip", "robust, scene of fewer",
                       "paper, >= 30", "paper, fewer"])
        for i in range(len(COUNT_BINS) - 1):
            cells = []
            for profile in ("robust", "paper"):
                for rich in (True, False):
                    n = np.zeros(3, int)
                    for key, row in self.rows.items():
                        if key[0] == "fine" and key[4] == profile:
                            for point in row["points"].values():
                                if (point["counts"][0] >= 30) == rich and "eds" in point["layers"]:
                                    n += point["layers"]["eds"][i]
                    cells.append("." if not n[0] else "%d; %.1f; %.1f" % (n[0], 100 * n[1] / n[0], 100 * n[2] / max(1, n[1])))
            top = COUNT_BINS[i + 1]
            self.line(["%d .. %d" % (COUNT_BINS[i], top - 1) if top < 1 << 30 else "%d .." % COUNT_BINS[i], "", *cells])


    def weights(self):
        print("\n## Weights of haadf in the ensemble, spectral embedding, robust, seeds %s" % self.seeds("weights"))
        of = lambda dose, share: [row["points"]["end"] for key, row in sorted(self.rows.items(), key=str)
                                  if key[0] == "weights" and key[3:] == (dose, share)]
        show = lambda values: "%.1f" % (100 * np.mean(values))
        self.begin("Communities of the ensemble: AMI % to truth of all chips, those in none as one class; mean of samples and "
                   "seeds, and of auto less equal (worst .. best)",
                   ["photons", "of the image's", "haadf", "eds", *map(str, WEIGHT_GRID), "auto", "its weight", "auto - equal"])
        for dose, share in WEIGHT_DOSES:
            rows = [r for r in of(dose, share) if r["auto"] is not None]
            if not rows:
                continue
            gain = [100 * (r["auto"] - r["mix"]["0.5"]) for r in rows]
            self.line([str(dose), str(share), *(show([r["alone"][m] for r in rows]) for m in MODALITIES[:2]),
                       *(show([r["mix"][str(w)] for r in rows]) for w in WEIGHT_GRID), show([r["auto"] for r in rows]),
                       "%.2f" % np.mean([r["reliability"]["community"]["weights"][0] for r in rows]),
                       "%+.1f (%+.1f .. %+.1f)" % (np.mean(gain), min(gain), max(gain))])
        self.begin("Few-shot of one chip a class: chips right in %, and by reliability less equal: mean (10 % .. 90 %)",
                   ["photons", "of the image's", "haadf", "eds", "by reliability", "equal", "its weight", "gain"])
        for dose, share in WEIGHT_DOSES:
            rows = of(dose, share)
            if not rows:
                continue
            all_ = np.array([shot for r in rows for shot in r["one_shot"]])
            gain = 100 * (all_[:, 2] - all_[:, 3])
            self.line([str(dose), str(share), *map(show, all_.T),
                       "%.2f" % np.mean([r["reliability"]["fewshot"]["weights"][0] for r in rows]),
                       "%+.1f (%+.1f .. %+.1f)" % (gain.mean(), *np.percentile(gain, (10, 90)))])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--part", default="live,still,dose,fine")
    parser.add_argument("--samples", default=",".join(SAMPLES))
    parser.add_argument("--seeds", default="1,2", help="of the specimen and its noise; default %(default)s")
    parser.add_argument("--minutes", type=float, default=30, help="begin no session after so long; default %(default)s")
    parser.add_argument("--out", default="table2.jsonl", help="default %(default)s")
    parser.add_argument("--report", metavar="FILE", help="only print the tables of what stands there")
    args = parser.parse_args()
    if not args.report:
        run_all(args)
    tables = Tables(load(args.report or args.out))
    for part in ("live", "still", "dose", "fine", "weights"):
        if tables.seeds(part):
            getattr(tables, part)()


if __name__ == "__main__":
    main()
