#!/usr/bin/python3
"""Communities and live scans of Flyback beside what a user has today, in one run on one core.

    tests/bench/compare_igraph.py FLYBACK [--rounds N] [--core N] [--large] [--only louvain|scan]

FLYBACK is the program (build/default/flyback). Needs python-igraph and numpy: Debian's python3-igraph and
python3-numpy, so /usr/bin/python3 on Debian.

louvain   `flyback bench louvain` writes the thresholded image graph of 2601 chips, weights and all. igraph's
          community_multilevel runs on the same edges and weights, its graph built from arrays of edges each
          time in the fastest way it has. Both partitions are judged by igraph on the same graph.
            L1  cold best of 8 / igraph with building      goal <= 1/40
            L2  p99 of an update after a row / the same    goal <= 1/600
scan      `flyback bench scan` plays a whole scan of 34 x 34 chips row by row. The user reruns everything he
          has after each row: cosines (float32; spectra debiased), their mean, mode of the histogram, threshold,
          graph and communities of all three, and at.% by windows. Embeddings are given to both. Ward, few-shot
          and AMI are in neither.
            X2  sum over the rows / the user's sum         goal <= 1/100
          --large: 51 x 51 chips as well; given up after three minutes.

Both sides run in turns on one core; figures are medians over the rounds. Both count the processor's time of
their process, so that whoever else is on that core is in neither.
"""
import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
try:
    import igraph
    import numpy as np
except ImportError as missing:
    sys.exit(
        "compare_igraph: NOTHING WAS COMPARED: %s. Install python-igraph and numpy (Debian: apt-get install "
        "python3-igraph python3-numpy, then run this with /usr/bin/python3)." % missing
    )

LARGE_LIMIT_S = 180.0


def flyback(program, case, folder, quick=True):
    """The JSON lines of a case, by name (the last of a name)."""
    command = [program, "bench", case, "--write", folder] + (["--quick"] if quick else [])
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    lines = [json.loads(line) for line in out.splitlines()]
    return {"%s %d" % (line["name"], line["size"]): line for line in lines}


def load(folder, name):
    return np.load(os.path.join(folder, name + ".npy"))


def build(n, i, j):
    return igraph.Graph(n, list(zip(i.tolist(), j.tolist())))


def multilevel(n, i, j, weight):
    """Seconds to build the graph and to partition it, and both."""
    begin = time.process_time()
    graph = build(n, i, j)
    built = time.process_time()
    parts = graph.community_multilevel(weights=weight)
    return graph, parts.membership, built - begin, time.process_time() - built


def goal(name, ours, theirs, bar):
    ratio = theirs / ours
    print("%s: 1/%.0f, goal <= 1/%d: %s" % (name, ratio, bar, "met" if ratio >= bar else "NOT met"))


# ---- louvain ---------------------------------------------------------------------------------------


def compare_louvain(program, rounds):
    cold, row, build_s, core_s, ratio, row_ratio = [], [], [], [], [], []
    with tempfile.TemporaryDirectory(prefix="flyback-igraph.") as folder:
        for turn in range(rounds):
            random.seed(turn)  # igraph's orders come from it
            ours = flyback(program, "louvain", folder)
            cold.append(ours["louvain.cold 2601"]["median"] * 1e-3)
            row.append(ours["louvain.row.pondered 2601"]["p99"] * 1e-3)
            weights, labels = load(folder, "graph"), load(folder, "labels")
            i, j = np.nonzero(np.triu(weights, 1))
            w = weights[i, j] / 32768.0
            graph, theirs, built, partitioned = multilevel(len(weights), i, j, w)
            build_s.append(built)
            core_s.append(partitioned)
            ratio.append((built + partitioned) / cold[-1])
            row_ratio.append((built + partitioned) / row[-1])
        full = flyback(program, "louvain", folder, quick=False)
    q_ours = graph.modularity(labels.tolist(), weights=w)
    q_theirs = graph.modularity(theirs, weights=w)
    whole = statistics.median(b + c for b, c in zip(build_s, core_s))
    print("louvain, %d chips, %d edges, %d rounds" % (len(weights), len(w), rounds))
    print("  igraph: build %.3f s, multilevel %.3f s" % (statistics.median(build_s), statistics.median(core_s)))
    print("  flyback: cold best of 8 %.2f ms" % (1e3 * statistics.median(cold)))
    print("  modularity: flyback %.6f (told %.6f), igraph %.6f" % (q_ours, ours["louvain.cold 2601"]["q"], q_theirs))
    print("  communities: flyback %d, igraph %d" % (len(set(labels.tolist())), len(set(theirs))))
    goal("  L1 cold / igraph with building", 1.0, statistics.median(ratio), 40)
    print("     (beside multilevel alone: 1/%.0f)" % (statistics.median(core_s) / statistics.median(cold)))
    for kind in ("", ".pondered", ".changed", ".changed.pondered"):
        line = full["louvain.row%s 2601" % kind]
        print("  row%s: %d rows, p50 %.3f p99 %.3f most %.3f ms, at most %.5f below cold best of 8"
              % (kind, line["rows"], line["median"], line["p99"], line["max"], line["gap"]))
        goal("    L2 p99 / igraph with building", line["p99"] * 1e-3, whole, 600)
    print("  L2 in turns, p99 of 51 rows (pondered): 1/%.0f" % statistics.median(row_ratio))


# ---- a scan ----------------------------------------------------------------------------------------


class User:
    """Today's way: everything again after each row."""

    def __init__(self, folder):
        self.emb, self.spec = load(folder, "emb"), load(folder, "spec")
        self.windows, self.factors = load(folder, "windows"), load(folder, "factors")
        self.spec_f32 = self.spec.astype(np.float32)  # kept from row to row, as embeddings are
        self.spent = {}

    def tick(self, stage, begin):
        now = time.process_time()
        self.spent[stage] = self.spent.get(stage, 0.0) + now - begin
        return now

    def percents(self, n):
        kept = np.empty((n, len(self.windows)))
        for e, (s0, s1, l0, l1, r0, r1) in enumerate(self.windows):
            signal, left, right = (self.spec[:n, a:b].sum(1).astype(float) for a, b in ((s0, s1), (l0, l1), (r0, r1)))
            beside = (l1 - l0) + (r1 - r0)
            kept[:, e] = signal - (left + right) * ((s1 - s0) / beside if beside else 0.0)
        kept = np.maximum(kept, 0.0) * (self.factors[:, 0] / self.factors[:, 1])
        total = kept.sum(1, keepdims=True)
        return 100.0 * np.divide(kept, total, out=np.zeros_like(kept), where=total > 0)

    def affinities(self, n):
        emb, spec = self.emb[:n], self.spec_f32[:n]
        unit = emb / np.sqrt((emb * emb).sum(1, keepdims=True))
        length = np.sqrt((spec * spec).sum(1, keepdims=True) - spec.sum(1, keepdims=True))
        spec = spec / length
        a, b = unit @ unit.T, spec @ spec.T
        return a, b, np.float32(0.5) * (a + b)

    def row(self, n):
        begin = time.process_time()
        percents = self.percents(n)
        begin = self.tick("at.%", begin)
        graphs = []
        matrices = self.affinities(n)
        begin = self.tick("affinity", begin)
        i, j = np.triu_indices(n, 1)
        for matrix in matrices:
            s = matrix[i, j]
            counts, _ = np.histogram(np.minimum(s, np.float32(1.0)), 100, (0.0, 1.0))
            threshold = counts.argmax() * 0.01
            begin = self.tick("mode", begin)
            keep = (s >= threshold) & (s > 0)
            begin = self.tick("threshold", begin)
            w = s[keep]
            graph, labels, built, _ = multilevel(n, i[keep], j[keep], w)
            self.spent["graph"] = self.spent.get("graph", 0.0) + built
            begin = self.tick("communities", begin + built)
            graphs.append((graph, labels, w, threshold))
        return percents, graphs


def rerun(folder, cols, limit_s):
    user = User(folder)
    begin, last = time.process_time(), 0.0
    for n in range(cols, len(user.emb) + 1, cols):
        row = time.process_time()
        percents, graphs = user.row(n)
        last = time.process_time() - row
        if time.process_time() - begin > limit_s:
            return user, None, None, None, n
    return user, time.process_time() - begin, last, (percents, graphs), n


def compare_scan(program, rounds, cols, limit_s):
    n, quick, ratio, last_ratio = cols * cols, cols == 34, [], []
    with tempfile.TemporaryDirectory(prefix="flyback-igraph.") as folder:
        for turn in range(rounds):
            random.seed(turn)
            ours = flyback(program, "scan", folder, quick)["live.scan %d" % n]
            where = folder if quick else os.path.join(folder, "large")
            user, total, last, end, reached = rerun(where, cols, limit_s)
            if total is None:
                print("scan of %d chips: given up after %.0f s at %d chips" % (n, limit_s, reached))
                return
            ratio.append(1e3 * total / ours["median"])
            last_ratio.append(1e3 * last / ours["last_row"])
        percents, graphs = end
        told = load(where, "percent")
        labels = [load(where, "communities%d" % k) for k in range(3)]
    print("scan of %d chips in %d rows, %d rounds" % (n, cols, rounds))
    print("  user: %.2f s, last row %.3f s; %s" % (total, last, ", ".join(
        "%s %.2f" % (stage, spent) for stage, spent in sorted(user.spent.items(), key=lambda s: -s[1]))))
    print("  flyback by stage, ms: " + ", ".join(
        "%s %.1f" % (stage, ours[stage]) for stage in ("update", "tell", "window")))
    print("  flyback: %.1f ms, last row %.2f ms; of it windows %.1f ms (all chips every row: %.1f), not in it"
          " ml %.1f, spare work %.1f" % (ours["median"], ours["last_row"], ours["window"], ours["window_again"],
                                       ours["ml"], ours["spare"]))
    print("  at.%% differ by %.2g at most" % np.abs(percents - told).max())
    for k, name in enumerate(("image", "spectra", "mean")):
        graph, theirs, w, threshold = graphs[k]
        print("  %s: threshold flyback %.2f (hysteresis), user %.2f; modularity on the user's graph: flyback %.5f in %d,"
              " igraph %.5f in %d" % (name, ours["thresholds"][k], threshold,
                                      graph.modularity(labels[k].tolist(), weights=w), len(set(labels[k].tolist())),
                                      graph.modularity(theirs, weights=w), len(set(theirs))))
    goal("  X2 all rows / rerun after each row", 1.0, statistics.median(ratio), 100)
    slow = ours["median"] + ours["window_again"] - ours["window"] + ours["spare"]
    print("     (with every chip quantified every row and all spare work: 1/%.0f)" % (1e3 * total / slow))
    print("  last row alone: 1/%.0f" % statistics.median(last_ratio))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", metavar="FLYBACK")
    parser.add_argument("--rounds", type=int, default=5, help="default 5; scans take a third of it")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)), help="default: the last")
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--only", choices=("louvain", "scan"))
    options = parser.parse_args()
    os.sched_setaffinity(0, {options.core})
    print("python %s, igraph %s, numpy %s; core %d of %d; load %.2f before"
          % (sys.version.split()[0], igraph.__version__, np.__version__, options.core, os.cpu_count(),
             os.getloadavg()[0]))
    if options.only != "scan":
        compare_louvain(options.program, options.rounds)
    if options.only != "louvain":
        compare_scan(options.program, max(1, options.rounds // 3), 34, float("inf"))
        if options.large:
            compare_scan(options.program, 1, 51, LARGE_LIMIT_S)


if __name__ == "__main__":
    main()
