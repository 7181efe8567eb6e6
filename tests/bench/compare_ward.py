#!/usr/bin/python3
"""Ward's tree of Flyback beside scikit-learn's, in one run on one core.

    tests/bench/compare_ward.py FLYBACK [--rounds N] [--core N]

FLYBACK is the program (build/default/flyback). Needs numpy, scipy and scikit-learn: Debian's python3-numpy
python3-scipy python3-sklearn, so /usr/bin/python3 on Debian.

`flyback bench ward` writes its points (2601 embeddings of 512 numbers, as many compositions of 12, and as many
embeddings of nothing but noise); AgglomerativeClustering(4, linkage='ward') clusters the same from nothing.
  W1  from nothing / scikit-learn                     goal <= 1/18
  W2  p99 of an update after a row / scikit-learn     goal <= 1/75
Both partitions are compared.

Both sides run in turns on one core; figures are medians over the rounds. Both count the processor's time of
their process, so that whoever else is on that core is in neither.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
try:
    import numpy as np
    import sklearn
    from sklearn.cluster import AgglomerativeClustering
    from sklearn.metrics import adjusted_rand_score
except ImportError as missing:
    sys.exit(
        "compare_ward: NOTHING WAS COMPARED: %s. Install numpy and scikit-learn (Debian: apt-get install "
        "python3-numpy python3-sklearn, then run this with /usr/bin/python3)." % missing
    )

CLUSTERS = 4


def flyback(program, folder, quick=True):
    """The JSON lines, by name."""
    command = [program, "bench", "ward", "--write", folder] + (["--quick"] if quick else [])
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return {line["name"]: line for line in map(json.loads, out.splitlines())}


def cluster(points):
    begin = time.process_time()
    labels = AgglomerativeClustering(n_clusters=CLUSTERS, linkage="ward").fit_predict(points)
    return labels, time.process_time() - begin


def goal(kind, name, ratio, bar):
    met = "" if kind else ", goal <= 1/%d: %s" % (bar, "met" if ratio >= bar else "NOT met")
    print("    %s: 1/%.1f%s" % (name, ratio, met))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", metavar="FLYBACK")
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)), help="default: the last")
    options = parser.parse_args()
    os.sched_setaffinity(0, {options.core})
    print("python %s, scikit-learn %s, numpy %s; core %d of %d; load %.2f before"
          % (sys.version.split()[0], sklearn.__version__, np.__version__, options.core, os.cpu_count(),
             os.getloadavg()[0]))
    kinds, rows = ("", ".composition", ".noise"), ("row", "row.changed")
    took, batch, theirs, same = {}, {}, {}, {}
    with tempfile.TemporaryDirectory(prefix="flyback-ward.") as folder:
        for turn in range(options.rounds):
            ours = flyback(options.program, folder)
            for kind in kinds:
                points = np.load(os.path.join(folder, "ward%s.npy" % kind))
                labels, spent = cluster(points)
                theirs.setdefault(kind, []).append(spent)
                batch.setdefault(kind, []).append(ours["ward.batch" + kind]["median"])
                same[kind] = adjusted_rand_score(labels, np.load(os.path.join(folder, "ward%s.labels.npy" % kind)))
                for row in rows:
                    name = row.replace("row", "row" + kind)
                    took.setdefault(name, []).append(ours["ward." + name])
    for kind in kinds:
        whole = 1e3 * statistics.median(theirs[kind])
        print("%s, %d x %d" % (kind[1:] or "embeddings", *points_shape(kind)))
        print("  scikit-learn %.1f ms, flyback %.2f ms; ARI of both partitions into %d: %.6f"
              % (whole, statistics.median(batch[kind]), CLUSTERS, same[kind]))
        goal(kind, "W1", statistics.median(1e3 * t / b for t, b in zip(theirs[kind], batch[kind])), 18)
        for row in rows:
            lines = took[row.replace("row", "row" + kind)]
            p50, p99 = (statistics.median(line[which] for line in lines) for which in ("median", "p99"))
            print("  %s: p50 %.2f p99 %.2f ms" % (row, p50, p99))
            goal(kind, "W2", whole / p99, 75)


def points_shape(kind):
    return (2601, 12) if kind == ".composition" else (2601, 512)


if __name__ == "__main__":
    main()
