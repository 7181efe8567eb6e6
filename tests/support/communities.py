"""What the tests of communities share: a viewer that remembers, scenes with what is known of their graphs, and
numbers by their definitions. Nothing here asks the program what is right, but for `analyze`, which is held to golden
elsewhere.
"""

import collections
import json
import math
import os
import tempfile
import time

import numpy as np

from flyback_test import (
    MODALITIES, SHARED, SLOW, TESTS, Case, Flyback, all_final, fc, same_map, same_partition, wait_until)

TINY = os.path.join(TESTS, "golden", "a_tiny")
GRAPH = {"haadf": "emb", "eds": "spec", "ensemble": "mix"}  # as golden calls them
COMMUNITIES = [("community", modality) for modality in MODALITIES]
MINOR, TOO_LITTLE, PENDING = -4, -3, -1


# ---- watching ---------------------------------------------------------------------------------------


class Witness(fc.Viewer):
    """A viewer that remembers: every state of every map, what was shown when metrics came, the order of it all."""

    def __init__(self, fly):
        self.history = collections.defaultdict(list)  # {(method, modality): [(as_of, final, labels)]}
        self.reports = []  # (metrics, {map: labels}, all of them final)
        self.told = []     # clusters as they came, each once
        self.order = []    # kinds
        super().__init__(fly.publish, fly.control)

    def _take_map(self, header, payloads):
        if not super()._take_map(header, payloads):
            return False
        key = header["method"], header["modality"]
        got = self.maps[key]
        self.history[key].append((got.as_of, got.final, got.labels.copy()))
        return True

    @property
    def metrics(self):
        return self.reports[-1][0] if self.reports else None

    @metrics.setter
    def metrics(self, header):
        if header is None or (self.reports and header["seq"] <= self.reports[-1][0]["seq"]):
            return
        self.reports.append((header, {k: m.labels.copy() for k, m in self.maps.items()},
                             bool(self.maps) and all(m.final for m in self.maps.values())))

    def poll(self, timeout_s=0.0):
        heard = super().poll(timeout_s)
        self.order += [(kind, header.get("final")) for kind, header in heard]
        self.told += [header for kind, header in heard if kind == "clusters"]
        return heard

    def until(self, done, what, timeout_s=20.0):
        return wait_until(lambda: (self.poll(0.02), done())[1], timeout_s, what)


def settled(fly, sender, viewer, seconds=0.3):
    """Wait until the engine has nothing left to do, better answers included: its counters stand still."""
    keys = ("messages", "embedded_first", "pairs_compared", "nodes_visited", "graph_rows_read", "epochs", "scored")
    last = {"at": time.monotonic(), "was": None}
    sent = sum(sender.last_seq.values())

    def still():
        sender.poll()
        beat = viewer.heartbeat
        if not beat or beat["counters"]["messages"] < sent or beat["backlog_chips"]:
            return False
        now = {k: beat["counters"][k] for k in keys}
        # heartbeats of this session count the sender's own as messages
        now["messages"] = 0
        if now != last["was"]:
            last["was"], last["at"], last["beat"] = now, time.monotonic(), beat["seq"]
            return False
        return beat["seq"] > last["beat"] + 1 and time.monotonic() - last["at"] > seconds * SLOW

    wait_until(lambda: (viewer.poll(0.02), still())[1], 40, "an engine at rest")
    return viewer.heartbeat["counters"]


def drained(sender, viewer):
    sender.stop(timeout_s=40 * SLOW)
    viewer.until(lambda: viewer.stop and all_final(viewer), "the final maps and the stop", 20)


# ---- numbers by their definitions -------------------------------------------------------------------


def ami_ari(a, b):
    """Adjusted mutual information (arithmetic mean) and adjusted Rand index over the chips that both label."""
    a, b = np.asarray(a).ravel(), np.asarray(b).ravel()
    keep = (a >= 0) & (b >= 0)
    a, b = np.unique(a[keep], return_inverse=True)[1], np.unique(b[keep], return_inverse=True)[1]
    n = len(a)
    if n == 0:
        return None, None
    table = np.zeros((a.max() + 1, b.max() + 1), int)
    np.add.at(table, (a, b), 1)
    rows, cols = table.sum(1), table.sum(0)

    def twos(x):
        return sum(int(v) * (int(v) - 1) // 2 for v in np.ravel(x))

    both, of_a, of_b, pairs = twos(table), twos(rows), twos(cols), n * (n - 1) // 2
    ari = 1.0 if of_a == of_b == both or pairs == 0 else None
    if ari is None:
        expected = of_a * of_b / pairs
        ari = (both - expected) / (0.5 * (of_a + of_b) - expected)
    if len(rows) == len(cols) == 1 or len(rows) == len(cols) == n:
        return 1.0, ari

    def entropy(sizes):
        return -math.fsum(v / n * math.log(v / n) for v in sizes)

    mi = math.fsum(v / n * math.log(n * v / (rows[i] * cols[j])) for (i, j), v in np.ndenumerate(table) if v)
    log = [math.lgamma(k + 1) for k in range(n + 1)]
    emi = math.fsum(
        nij / n * math.log(n * nij / (x * y)) * math.exp(
            log[x] + log[y] + log[n - x] + log[n - y] - log[n] - log[nij] - log[x - nij] - log[y - nij]
            - log[n - x - y + nij])
        for x in rows for y in cols for nij in range(max(1, x + y - n), min(x, y) + 1))
    return (mi - emi) / (0.5 * (entropy(rows) + entropy(cols)) - emi), ari


def modularity(s, threshold, labels, binary=False):
    """Weighted, resolution 1, by its definition; s (n, n) similarities. Chips below 0 each for themselves."""
    labels = np.asarray(labels).ravel().copy()
    alone = labels < 0
    labels[alone] = labels.max() + 1 + np.arange(alone.sum())
    w = np.where((s >= threshold) & (s > 0), 1.0 if binary else s, 0.0)
    np.fill_diagonal(w, 0.0)
    m2 = w.sum()
    if m2 == 0:
        return 0.0
    degree = w.sum(1)
    inside = (w * (labels[:, None] == labels[None, :])).sum()
    return inside / m2 - ((np.bincount(labels, degree) / m2) ** 2).sum()


def cosines(x):
    x = np.asarray(x, float)
    norm = np.sqrt((x * x).sum(1))
    x = np.divide(x, norm[:, None], out=np.zeros_like(x), where=norm[:, None] > 0)
    return x @ x.T


class Golden(Case):
    """A case with what golden says of its graphs, and what analyze makes of it."""

    made = {}

    def __new__(cls, folder):
        if folder not in cls.made:
            cls.made[folder] = super().__new__(cls)
        return cls.made[folder]

    def __init__(self, folder):
        if hasattr(self, "s"):
            return
        super().__init__(folder)
        with open(os.path.join(folder, "expected", "expected.json")) as file:
            self.graph = json.load(file)["graph"]
        with open(os.path.join(folder, "expected", "p100.json")) as file:
            self.p100 = json.load(file)
        n = self.params["rows"] * self.params["cols"]
        spectra = np.zeros((n, self.params["n_ch"]))
        nnz = self.expected("spec_nnz")
        spectra[nnz[:, 0], nnz[:, 1]] = nnz[:, 2]
        self.s = {"haadf": cosines(self.expected("emb")), "eds": cosines(spectra)}
        self.s["ensemble"] = 0.5 * (self.s["haadf"] + self.s["eds"])
        for modality, name in GRAPH.items():  # ours are golden's
            try:
                want, (i, j) = self.expected("affinity_upper_" + name), np.triu_indices(n, 1)
            except OSError:
                want, (i, j) = self.expected("affinity_pairs_" + name), self.expected("affinity_pairs_ij_" + name).T
            assert np.abs(self.s[modality][i, j] - want).max() <= 1e-6, name
        self.out = tempfile.TemporaryDirectory(prefix="fly.")
        self.analyze(self.settings("vgg16"), self.out.name)

    def rule(self, modality, mode, edge):
        """(threshold, q_best, labels as analyze wrote them)."""
        name = GRAPH[modality]
        if mode == "m2":
            threshold, best = self.graph[name]["mode_m2"], self.graph[name]["louvain_m2"]["q_best"]
            file = "louvain_m2_" + name
        else:
            threshold, best = self.p100[name]["threshold"], self.p100[name][edge]["q_best"]
            file = "louvain_p100_%s_%s" % (edge, name)
        return threshold, best, np.load(os.path.join(self.out.name, file + ".npy")).reshape(
            self.params["rows"], self.params["cols"])

    def streamed(self, mode, edge, send):
        """Final maps, exact maps, and the metrics that came with them."""
        settings = dict(self.settings("vgg16"), **{"graph.mode": mode, "graph.edge": edge})
        with Flyback(settings) as fly, Witness(fly) as viewer, fly.sender() as sender:
            self.start(sender)
            send(sender)
            drained(sender, viewer)
            exact = {}
            for key in COMMUNITIES:
                exact[key] = sender.control.map_get(*key, exact=True)
                assert exact[key].header["base_seq"] is None and exact[key].final
                ids = exact[key].labels[exact[key].labels >= 0]
                firsts = ids[np.sort(np.unique(ids, return_index=True)[1])]
                assert (np.diff(firsts) > 0).all(), "%s: ids not by first appearance: %s" % (key, firsts)
                same_partition(viewer.maps[key], exact[key], "%s: final against exact" % key[1])
                last = sender.control.map_get(*key)
                assert last.seq == viewer.maps[key].seq and last.final
                same_map(last, viewer.maps[key], "%s: map.get against the viewer's" % key[1])
                assert not (viewer.maps[key].age).any()
            return viewer, exact


def wire(labels):
    """A whole partition, ids by first appearance, as it goes out: of fewer than 3 chips minor, the others keep ids."""
    return np.where(np.bincount(labels.ravel())[labels] < 3, MINOR, labels)


def counted(labels):
    """{id: chips} of what is above -1."""
    return dict(zip(*(v.tolist() for v in np.unique(labels[labels >= 0], return_counts=True))))


def golden_cases(*names):
    cases = [Golden(TINY)]
    for name in names:
        folder = os.path.join(SHARED, "golden", name)
        if os.path.exists(folder):
            cases.append(Golden(folder))
    return cases


OTHERS = ("b_pristine01", "c_defective0", "d_defective01", "e_size64_tv", "f_gmp_coarse")


# ---- scenes of our own ------------------------------------------------------------------------------


class Made(Case):
    """A scene of our own: a phase for each chip, a lattice and a spectrum for each phase."""

    PERIODS = ((3.1, 0.0), (4.3, 0.8), (5.7, 0.4))  # px, radians
    LINES = ((40, 90, 160), (60, 200, 250), (120, 300, 350))  # channels

    def __init__(self, phases, side=12, photons=900, noise=6.0, seed=1):
        rng = np.random.default_rng(seed)
        phases = np.asarray(phases)
        rows, cols = phases.shape
        self.phases = phases
        h, w = rows * side, cols * side
        self.shape = h, w
        y, x = np.mgrid[:h, :w]
        at = phases[y // side, x // side]
        image = np.full((h, w), 100.0)
        for k, (period, angle) in enumerate(self.PERIODS):
            u = (np.cos(angle) * y + np.sin(angle) * x) * 2 * np.pi / period
            v = (np.cos(angle) * x - np.sin(angle) * y) * 2 * np.pi / period
            image += np.where(at == k, 20 * (np.cos(u) + np.cos(v)), 0)
        self.haadf = np.clip(image + rng.normal(0, noise, image.shape), 0, 65535).astype("<u2")
        self.params = {"rows": rows, "cols": cols, "chip": side, "n_ch": 400, "e0": 0.0, "de": 0.01, "px_nm": 0.05}
        photons = np.broadcast_to(photons, phases.shape)
        chip = np.repeat(np.arange(rows * cols), photons.ravel())
        phase = phases.ravel()[chip]
        lines = np.asarray(self.LINES)[phase, rng.integers(0, 3, len(chip))]
        self.ch = np.clip(np.where(rng.random(len(chip)) < 0.8, rng.normal(lines, 4).astype(int),
                                   rng.integers(0, 400, len(chip))), 0, 399)
        self.y = chip // cols * side + rng.integers(0, side, len(chip))
        self.x = chip % cols * side + rng.integers(0, side, len(chip))
        order = np.argsort(self.y, kind="stable")
        self.y, self.x, self.ch = self.y[order], self.x[order], self.ch[order]

    def settings(self, **more):
        made = {"profile": "robust", "chip.size_px": self.params["chip"], "haadf.lo": 0, "haadf.hi": 200}
        made.update(more)
        return made
