"""What steering gains: runs `flyback bench steer` and makes tables, a picture and intervals of its lines.

    tests/bench/steer_benefit.py run --seeds 1-5 --out RUNS.jsonl [--policy LIST] [--specimen LIST] [--set LIST]
                                     [--ablate] [-j N] [--judge HASH] [--sessions FOLDER]
                                     [-- options of `flyback bench steer`]
    tests/bench/steer_benefit.py sessions FOLDER --seeds 1-5 [--specimen LIST] [--frames 8] [-j N] [--judge HASH]
    tests/bench/steer_benefit.py report RUNS.jsonl [--set LIST] [--criterion accuracy] [--markdown FILE]
                                        [--picture FILE.png]

run: one process a seed and specimen, N at a time; what stands in RUNS.jsonl already is not run again. Seeds 1-20 are
for tuning. 101-120 judge, once: they need --judge HASH, the commit in which simulator, inference and scoring were
frozen; sim/, engine/ and tests/bench/ must be what they are there, and the program is built from them first. A file
holds runs of one judgement and one choice of options. --set: constants of the policy other than the
defaults; --ablate adds runs with one more of them at 0. $FLYBACK names the program (build/default/flyback).
With --sessions, the recorded sessions in FOLDER are specimens beside the others (`flyback bench steer --from`).

sessions: makes these: a simulated microscope scans a specimen several times, each time for 0.11 us a pixel and
without drift; `flyback run`, with a support set, records it. What remains is NAME-SEED.fly and
NAME-SEED.npy, the phases of its chips. What is there is not made again.

report: the criterion is the published label's accuracy against the truth (tests/bench/steer_score.h). Dose to 95 % is
the mean dose of the map at the first of HOLD looks in a row (or of all that are left) at which the accuracy is at
least 0.95 of the reference's, a map of the same specimen by one uniform frame of the whole budget. A run that never
gets there counts as infinite. Of a recorded session the criterion is agreement with the map of all its frames; by the
truth it stands beside itself, as NAME_truth. Ratios are paired, seed by seed, to interlaced; a seed in which neither
gets there has none. Intervals are 95 % percentiles of the median over 10000 resamplings of the seeds; of several
specimens together a seed is drawn with all of them.
"""
import argparse
import concurrent.futures
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.environ.get("FLYBACK", os.path.join(ROOT, "build", "default", "flyback"))
SPECIMENS = ("pristine_0", "pristine_0.1", "defective_0", "defective_0.1", "rare", "novel")
SESSIONS = {  # options of `flyback sim`, side of a chip
    "session_pristine_0.1": (["--geometry", "table2_pristine_0.1"], 20),
    "session_defective_0.1": (["--geometry", "table2_defective_0.1"], 10),
    "session_rare": (["--geometry", "table2_defective_0", "--inclusion", "0.01"], 15),
}
TRUTH = "_truth"
ALL = SPECIMENS + tuple(SESSIONS) + tuple(name + TRUTH for name in SESSIONS)
# A frame has 10 image counts (the simulated beam makes 90 a us) and 40 photons a chip: the survey of the others, of 3 and
# 12, is shorter than a frame can be. 8 support chips.
FRAME_US, FRAME_PHOTONS, SHOTS = 0.11, 40.0, 8
TOLD_US = 2.0  # so that dwell and moves compare as with the others
READY_S = 60.0
POLICIES = ("adaptive", "margin", "interlaced", "raster", "random")
ABLATIONS = ("boundary=0", "novel=0", "explore=0", "disagree=0", "composition=0", "potts_iterations=0")
RARE = ("rare", "novel", "session_rare" + TRUTH)
LEVELS = (0.90, 0.95, 0.98)
BASE = "interlaced"
JUDGES = range(101, 121)
FROZEN = ("sim", "engine", "tests/bench")
HOLD = 5
RESAMPLINGS = 10000
ACROSS = 3  # specimens side by side in the picture
SETUP = ("judge", "options", "budget", "survey_us", "hits", "photons", "shots")
OF_BEAM = ("hits", "photons", "shots")
COLOURS = {"adaptive": "#c1272d", "margin": "#e6a13a", "interlaced": "#1f5fa8", "raster": "#6fa8dc", "random": "#7f7f7f"}


# ---- runs -------------------------------------------------------------------------------------------


def seeds_of(text):
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def check_frozen(judge):
    """The commit's whole hash. Ends the program where the tree is not that of the commit."""
    for command in (["cat-file", "-e", judge + "^{commit}"], ["diff", "--quiet", judge, "--", *FROZEN]):
        if subprocess.run(["git", "-C", ROOT, *command], stderr=subprocess.DEVNULL).returncode:
            sys.exit("steer_benefit: %s is not in %s as it was in %s" % (", ".join(FROZEN), ROOT, judge))
    stray = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "--others", "--exclude-standard", "--", *FROZEN], check=True, capture_output=True
    ).stdout
    if stray:
        sys.exit("steer_benefit: files that are in no commit: %s" % stray.decode().split())
    whole = ["git", "-C", ROOT, "rev-parse", "--verify", judge + "^{commit}"]
    return subprocess.run(whole, check=True, capture_output=True, text=True).stdout.strip()


def build():
    """What is judged is the tree, not what some program was once built from."""
    folder = os.path.dirname(os.path.realpath(BINARY))
    cache = os.path.join(folder, "CMakeCache.txt")
    home = "CMAKE_HOME_DIRECTORY:INTERNAL=%s\n" % os.path.realpath(ROOT)
    if not os.path.exists(cache) or home not in open(cache):
        sys.exit("steer_benefit: %s is not built in a build folder of %s" % (BINARY, ROOT))
    subprocess.run(["cmake", "--build", folder, "--target", "flyback"], check=True, stdout=subprocess.DEVNULL)


def read(path):
    with open(path) as file:
        return [json.loads(line) for line in file]


def one_setup(lines, path, setup=SETUP):
    """What all of them were made with: {name: value}. Ends the program where they differ. A recorded session has a
    specimen and a beam of its own."""
    one = {}
    for name in setup:
        found = {line.get(name) for line in lines if not (line.get("frames") and name in OF_BEAM)}
        if len(found) > 1:
            sys.exit("steer_benefit: %s holds runs with %s %s: a file each" % (path, name, sorted(map(repr, found))))
        one[name] = found.pop() if found else math.nan
    return one


def key_of(run):
    return run["specimen"], run["seed"], run["policy"], run["set"]


def jobs_of(args, done):
    """(specimen, seed, policies, set) of what is still to run."""
    sets = [(args.policy, args.set)]
    if args.ablate:
        sets += [(["adaptive"], ",".join(filter(None, (args.set, term)))) for term in ABLATIONS]
    for seed in seeds_of(args.seeds):
        for specimen in args.specimen:
            for policies, what in sets:
                left = [p for p in policies if (specimen, seed, p, what) not in done]
                if left:
                    yield specimen, seed, left, what


def what_is_measured(args, specimen, seed):
    if specimen not in SESSIONS:
        return ["--specimen", specimen, "--seeds", "%d-%d" % (seed, seed)]
    return ["--from", session_path(args.sessions, specimen, seed, "fly"),
            "--truth", session_path(args.sessions, specimen, seed, "npy"), "--survey-us", str(TOLD_US)]


def run_job(args, job, file, lock):
    specimen, seed, policies, what = job
    command = [BINARY, "bench", "steer", *what_is_measured(args, specimen, seed), "--policy", ",".join(policies)]
    command += ["--quiet"] + (["--set", what] if what else [])
    command += ["--judge", args.judge] if args.judge else []
    out = subprocess.run(command + args.more, check=True, stdout=subprocess.PIPE, text=True).stdout
    lines = [dict(json.loads(line), options=" ".join(args.more), specimen=specimen, seed=seed) for line in out.splitlines()]
    with lock:
        file.writelines(json.dumps(line) + "\n" for line in lines)
        file.flush()


def check_seeds(args):
    if any(seed in JUDGES for seed in seeds_of(args.seeds)) and not args.judge:
        sys.exit("steer_benefit: seeds %d-%d judge, once, and need --judge HASH" % (JUDGES[0], JUDGES[-1]))
    if args.judge:
        args.judge = check_frozen(args.judge)
        build()


def run(args):
    args.specimen = args.specimen or list(SPECIMENS) + (list(SESSIONS) if args.sessions else [])
    if not args.sessions and any(specimen in SESSIONS for specimen in args.specimen):
        sys.exit("steer_benefit: %s: --sessions FOLDER says where they lie" % ", ".join(SESSIONS))
    check_seeds(args)
    there = read(args.out) if os.path.exists(args.out) else []
    one_setup(there + [{"judge": args.judge, "options": " ".join(args.more)}], args.out, ("judge", "options"))
    done = {key_of(r) for r in there}
    lock = threading.Lock()
    with open(args.out, "a") as file, concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for job in [pool.submit(run_job, args, job, file, lock) for job in jobs_of(args, done)]:
            job.result()


# ---- sessions ---------------------------------------------------------------------------------------


def session_path(folder, specimen, seed, what):
    return os.path.join(folder, "%s-%d.%s" % (specimen, seed, what))


def wait_for(path, process):
    """What stands in a JSON file that a process writes."""
    end = time.monotonic() + READY_S
    while time.monotonic() < end and process.poll() is None:
        try:
            with open(path) as file:
                return json.load(file)
        except (OSError, ValueError):  # not there, or not whole
            time.sleep(0.02)
    raise RuntimeError("flyback sim wrote no %s" % path)


def record(args, specimen, seed, folder):
    """A session, in a folder of its own: where its recording and its truth lie."""
    options, side = SESSIONS[specimen]
    at = {name: "ipc://%s/%s" % (folder, name) for name in ("ingest", "publish", "control")}
    sim = [BINARY, "sim", "--quiet", "--session", "recorded", "--seed", str(seed), "--frames", str(args.frames), "--pace", "0"]
    sim += options + ["--dwell-us", str(FRAME_US), "--eds-counts", str(FRAME_PHOTONS / side**2), "--channels", "2048"]
    sim += ["--drift-px", "0", "--line-jitter-px", "0", "--lines-per-message", "32", "--truth", folder + "/truth"]
    sim += ["--support", folder + "/support.json", "--support-shots", str(SHOTS)]
    sim += [word for name in at for word in ("--" + name, at[name])]
    beam = subprocess.Popen(sim, stdout=subprocess.DEVNULL)
    plugin = None
    try:  # the microscope waits until Flyback answers, which needs its support set
        rows, cols = wait_for(folder + "/truth/truth.json", beam)["grid_shape"]
        wait_for(folder + "/support.json", beam)
        settings = {"sockets." + name: at[name] for name in at}
        settings.update({"recording.dir": folder, "page.listen": "", "chip.size_px": side, "chip.rows": rows, "chip.cols": cols,
                         "fewshot.support": folder + "/support.json", "graph.chips_max": 0, "tree.chips_max": 0,
                         "engine.threads": 1})
        command = [BINARY, "run"] + [word for key in settings for word in ("--set", "%s=%s" % (key, settings[key]))]
        with open(folder + "/log", "w") as log:
            plugin = subprocess.Popen(command, stdout=log, stderr=log)
        if beam.wait(10 * READY_S):
            raise RuntimeError("flyback sim ended with %d:\n%s" % (beam.returncode, open(folder + "/log").read()))
        plugin.terminate()
        if plugin.wait(READY_S):
            raise RuntimeError("flyback run ended with %d:\n%s" % (plugin.returncode, open(folder + "/log").read()))
    finally:
        for process in (beam, plugin):
            if process and process.poll() is None:
                process.kill()
                process.wait()
    return folder + "/recorded.fly", folder + "/truth/truth_chip.npy"


def make_session(args, specimen, seed):
    with tempfile.TemporaryDirectory(prefix="fly.") as folder:
        recording, truth = record(args, specimen, seed, folder)
        shutil.move(truth, session_path(args.folder, specimen, seed, "npy"))
        shutil.move(recording, session_path(args.folder, specimen, seed, "part"))
    whole = session_path(args.folder, specimen, seed, "fly")
    os.rename(session_path(args.folder, specimen, seed, "part"), whole)
    print("%s: %.1f MB" % (whole, os.path.getsize(whole) / 1e6), file=sys.stderr)


def sessions(args):
    check_seeds(args)
    os.makedirs(args.folder, exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        jobs = [pool.submit(make_session, args, specimen, seed) for seed in seeds_of(args.seeds) for specimen in args.specimen
                if not os.path.exists(session_path(args.folder, specimen, seed, "fly"))]
        for job in jobs:
            job.result()


# ---- numbers ----------------------------------------------------------------------------------------


class Curve:
    def __init__(self, line, criterion):
        rows = np.array(line["curve"], float)
        self.of = {name: rows[:, i] for i, name in enumerate(line["columns"])}
        self.full = line["reference"][criterion]
        self.criterion = criterion
        self.line = line

    def reached(self, level):
        """The look from which the criterion holds, or None."""
        good = self.of[self.criterion] >= level * self.full - 1e-12
        for i in range(len(good)):
            if good[i : i + HOLD].all():
                return i
        return None

    def to(self, level, what):
        i = self.reached(level)
        return math.inf if i is None else self.of[what][i]

    def last(self, what):
        return self.of[what][-1]


def medians_of(ordered):
    """Mean of the two in the middle, along the last axis; infinite where one of them is."""
    n = ordered.shape[-1]
    return (ordered[..., (n - 1) // 2] + ordered[..., n // 2]) / 2


def median_of(values):
    """Of all of them; NaN left out."""
    there = np.sort(values[~np.isnan(values)])
    return medians_of(there) if len(there) else math.nan


def interval(values):
    """Median and its 95 % interval; NaN left out."""
    values = np.array([v for v in values if not math.isnan(v)])
    if not len(values):
        return math.nan, math.nan, math.nan
    picks = np.random.default_rng(1).integers(0, len(values), (RESAMPLINGS, len(values)))
    medians = np.sort(medians_of(np.sort(values[picks], axis=1)))
    return (medians_of(np.sort(values)), medians[int(0.025 * RESAMPLINGS)],
            medians[int(0.975 * RESAMPLINGS) - 1])


def ratio(ours, theirs):
    if math.isinf(ours) and math.isinf(theirs):
        return math.nan
    return ours / theirs


def said(triple, form="%.2f"):
    words = ["inf" if math.isinf(v) else "-" if math.isnan(v) else form % v for v in triple]
    return "-" if math.isnan(triple[0]) else "%s [%s, %s]" % tuple(words)


class Runs:
    """setting, everywhere: constants of the policy as they were set; None: those of the comparison."""

    def __init__(self, lines, criterion, plain):
        self.plain, self.criterion = plain, criterion
        self.curves = {key_of(line): Curve(line, "agreement" if line.get("frames") else criterion) for line in lines}
        for line in [line for line in lines if line.get("frames") and line["reference"][criterion] is not None]:
            twin = dict(line, specimen=line["specimen"] + TRUTH)
            self.curves[key_of(twin)] = Curve(twin, criterion)
        self.specimens = [s for s in ALL if any(k[0] == s for k in self.curves)]
        self.policies = [p for p in POLICIES if any(k[2] == p and k[3] == plain for k in self.curves)]
        self.sets = sorted({k[3] for k in self.curves} - {plain})

    def curve(self, specimen, seed, policy, setting=None):
        return self.curves[specimen, seed, policy, self.plain if setting is None else setting]

    def seeds(self, specimen, policy, setting=None):
        wanted = specimen, policy, self.plain if setting is None else setting
        return sorted(k[1] for k in self.curves if (k[0], k[2], k[3]) == wanted)

    def paired(self, specimen, policy, level, what, setting=None):
        """(seed, ours, theirs) where both ran."""
        base = set(self.seeds(specimen, BASE))
        return [(s, self.curve(specimen, s, policy, setting).to(level, what), self.curve(specimen, s, BASE).to(level, what))
                for s in self.seeds(specimen, policy, setting) if s in base]

    def ratios(self, specimen, policy, level, what, setting=None):
        return interval([ratio(a, b) for _, a, b in self.paired(specimen, policy, level, what, setting)])

    def pooled(self, specimens, policy, level, what):
        """Median of the ratios of several specimens together; a seed is drawn with all of them."""
        of = {}
        for specimen in specimens:
            for seed, ours, theirs in self.paired(specimen, policy, level, what):
                of.setdefault(seed, []).append(ratio(ours, theirs))
        width = max(map(len, of.values()), default=0)
        values = np.array([row + [math.nan] * (width - len(row)) for row in of.values()])
        if np.isnan(values).all():
            return math.nan, math.nan, math.nan
        picks = np.random.default_rng(1).integers(0, len(values), (RESAMPLINGS, len(values)))
        medians = np.sort([median_of(values[pick]) for pick in picks])
        return median_of(values), medians[int(0.025 * RESAMPLINGS)], medians[int(0.975 * RESAMPLINGS) - 1]

    def many(self, specimen, policy, pick, setting=None):
        return interval([pick(self.curve(specimen, s, policy, setting)) for s in self.seeds(specimen, policy, setting)])


# ---- words ------------------------------------------------------------------------------------------


def table(out, head, rows):
    out.append("| " + " | ".join(head) + " |")
    out.append("| " + " | ".join(["---"] * len(head)) + " |")
    out.extend("| " + " | ".join(row) + " |" for row in rows)
    out.append("")


def tell_doses(out, runs):
    out.append("### Mean dose of the map, survey dwells, and its ratio to %s" % BASE)
    out.append("")
    head = ["specimen", "policy", "seeds", "full"] + ["to %g %%" % (100 * v) for v in LEVELS]
    head += ["ratio at %g %%" % (100 * v) for v in LEVELS]
    rows = []
    for specimen in runs.specimens:
        for policy in runs.policies:
            rows.append([specimen, policy, str(len(runs.seeds(specimen, policy))),
                         "%.3f" % runs.many(specimen, policy, lambda c: c.full)[0]]
                        + [said(runs.many(specimen, policy, lambda c, v=v: c.to(v, "dose"))) for v in LEVELS]
                        + [said(runs.ratios(specimen, policy, v, "dose")) for v in LEVELS])
    table(out, head, rows)


def tell_times(out, runs):
    out.append("### Beam time, moves included: ratio to %s" % BASE)
    out.append("")
    rows = [[specimen, policy] + [said(runs.ratios(specimen, policy, v, "time_ms")) for v in LEVELS]
            for specimen in runs.specimens for policy in runs.policies if policy != BASE]
    table(out, ["specimen", "policy"] + ["at %g %%" % (100 * v) for v in LEVELS], rows)


def tell_pools(out, runs):
    groups = {"Table II": SPECIMENS[:4], "Table II, rare": SPECIMENS[:5], "simulated": SPECIMENS, "recorded": tuple(SESSIONS),
              "Table II, rare, recorded": SPECIMENS[:5] + tuple(SESSIONS)}
    out.append("### Several specimens together: ratio to %s" % BASE)
    out.append("")
    rows = [[name, policy] + [said(runs.pooled(group, policy, v, what)) for what in ("dose", "time_ms") for v in LEVELS]
            for name, group in groups.items() if set(group) <= set(runs.specimens)
            for policy in runs.policies if policy != BASE]
    table(out, ["specimens", "policy"] + ["%s at %g %%" % (what, 100 * v) for what in ("dose", "time") for v in LEVELS], rows)


def tell_ends(out, runs):
    out.append("### At the end of the budget")
    out.append("")
    rows = []
    for specimen in runs.specimens:
        for policy in runs.policies:
            picks = ("accuracy", "likeliest", "smoothed", "ami", "worst_recall", "rare_recall", "max_dose", "gini",
                     "error_told")
            rows.append([specimen, policy] + [said(runs.many(specimen, policy, lambda c, p=p: c.last(p))) for p in picks])
    table(out, ["specimen", "policy", "accuracy", "likeliest", "smoothed", "AMI", "worst recall", "rare recall",
                "most dose of a chip", "Gini", "error told"], rows)
    out.append("### Recall of the rare phase at a mean dose of 2, 4 and 8")
    out.append("")
    rows = [[specimen, policy] + [said(runs.many(specimen, policy, lambda c, d=d: at_dose(c, "rare_recall", d)))
                                  for d in (2, 4, 8)]
            for specimen in runs.specimens if specimen in RARE for policy in runs.policies]
    table(out, ["specimen", "policy", "2", "4", "8"], rows)


def at_dose(curve, what, dose):
    return curve.of[what][max(0, np.searchsorted(curve.of["dose"], dose, side="right") - 1)]


def tell_losses(out, runs):
    out.append("### Where adaptive needs more than %s" % BASE)
    out.append("")
    rows = []
    for specimen in runs.specimens:
        for level in LEVELS:
            lost = [(s, a, b) for s, a, b in runs.paired(specimen, "adaptive", level, "dose") if a > b]
            neither = [s for s, a, b in runs.paired(specimen, "adaptive", level, "dose") if math.isinf(a) and math.isinf(b)]
            all_of = len(runs.paired(specimen, "adaptive", level, "dose"))
            rows.append([specimen, "%g %%" % (100 * level), "%d of %d" % (len(lost), all_of),
                         ", ".join("%d: %.2f to %.2f" % one for one in lost) or "-",
                         ", ".join(map(str, neither)) or "-"])
    table(out, ["specimen", "level", "seeds lost", "seed: dose to dose", "neither gets there"], rows)


def tell_ablations(out, runs):
    if not runs.sets:
        return
    out.append("### Without one term: ratio of dose to %s" % BASE)
    out.append("")
    rows = [[specimen, setting or "all terms"] + [said(runs.ratios(specimen, "adaptive", v, "dose", setting)) for v in LEVELS]
            + [said(runs.many(specimen, "adaptive", lambda c: c.last("rare_recall"), setting))]
            for specimen in runs.specimens for setting in [runs.plain] + runs.sets if runs.seeds(specimen, "adaptive", setting)]
    table(out, ["specimen", "set"] + ["at %g %%" % (100 * v) for v in LEVELS] + ["rare recall"], rows)


def draw(path, runs):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    n = len(runs.specimens)
    across, down = min(n, ACROSS), -(-n // ACROSS)
    figure, axes = pyplot.subplots(2 * down, across, figsize=(3.2 * across, 4.6 * down), squeeze=False,
                                   height_ratios=(3, 2) * down)
    grid = np.geomspace(1.0, max(c.last("dose") for c in runs.curves.values()), 200)
    for spare in axes[-2:, n - across * (down - 1):].flat:
        spare.axis("off")
    for at_specimen, specimen in enumerate(runs.specimens):
        row, column = divmod(at_specimen, across)
        top, low = axes[2 * row][column], axes[2 * row + 1][column]
        full = runs.many(specimen, runs.policies[0], lambda c: c.full)[0]
        for level in LEVELS[1:]:
            top.axhline(level * full, color="#bbbbbb", lw=0.8, ls=":")
        for at, policy in enumerate(runs.policies):
            all_of = np.array([[at_dose(runs.curve(specimen, s, policy), runs.curve(specimen, s, policy).criterion, d) for d in grid]
                               for s in runs.seeds(specimen, policy)])
            top.plot(grid, np.median(all_of, axis=0), color=COLOURS[policy], lw=1.6, label=policy)
            top.fill_between(grid, *np.percentile(all_of, (25, 75), axis=0), color=COLOURS[policy], alpha=0.12, lw=0)
            for i, level in enumerate(LEVELS):
                middle, least, most = runs.ratios(specimen, policy, level, "dose")
                if policy != BASE and not math.isnan(middle):
                    x = i + 0.15 * (at - 2)
                    low.plot([x, x], [least, min(most, 8)], color=COLOURS[policy], lw=1.4)
                    low.plot(x, min(middle, 8), "o", color=COLOURS[policy], ms=4)
        top.set(title=specimen, xscale="log", xlim=(1, grid[-1]), xlabel="mean dose, survey dwells")
        ticks = [d for d in (1, 2, 4, 8, 16, 32, 64) if d <= 1.01 * grid[-1]]
        top.set_xticks(ticks, list(map(str, ticks)))
        top.minorticks_off()
        low.axhline(1.0, color=COLOURS[BASE], lw=0.8)
        low.set(yscale="log", ylim=(0.1, 8), xlim=(-0.5, len(LEVELS) - 0.5), xlabel="of full-dose accuracy")
        low.set_xticks(range(len(LEVELS)), ["%g %%" % (100 * v) for v in LEVELS])
        low.set_yticks([0.125, 0.25, 0.5, 1, 2, 4, 8], ["1/8", "1/4", "1/2", "1", "2", "4", "8"])
        low.minorticks_off()
    for row in range(down):
        axes[2 * row][0].set_ylabel("chips right (median, quartiles)")
        axes[2 * row + 1][0].set_ylabel("dose, of %s's" % BASE)
    axes[0][0].legend(frameon=False, fontsize=8, loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=90)


def report(args):
    lines = read(args.runs)
    setup = one_setup(lines, args.runs)
    runs = Runs(lines, args.criterion, args.set)
    out = []
    if args.picture:
        draw(args.picture, runs)
        out += ["![Accuracy against dose, and ratios of dose](%s)" % os.path.basename(args.picture), ""]
    out.append("Criterion %s; seeds %s; budget %g, survey %g us, %g image counts, %g photons a chip, %g shots; %s" % (
        args.criterion, ", ".join(map(str, sorted({line["seed"] for line in lines}))), setup["budget"],
        setup["survey_us"], setup["hits"], setup["photons"], setup["shots"],
        "judged, frozen in " + setup["judge"] if setup["judge"] else "tuning, no judgement"))
    out.append("")
    for tell in (tell_doses, tell_times, tell_pools, tell_ends, tell_losses, tell_ablations):
        tell(out, runs)
    text = "\n".join(out)
    if args.markdown:
        with open(args.markdown, "w") as file:
            file.write(text)
    else:
        print(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    one = parts.add_parser("run")
    one.add_argument("--seeds", required=True)
    one.add_argument("--out", required=True)
    one.add_argument("--policy", type=lambda t: t.split(","), default=list(POLICIES))
    one.add_argument("--specimen", type=lambda t: t.split(","))
    one.add_argument("--sessions")
    one.add_argument("--ablate", action="store_true")
    one.add_argument("--set", default="")
    one.add_argument("--judge", default="")
    one.add_argument("-j", dest="jobs", type=int, default=2)
    one.add_argument("more", nargs="*", help="after --: options of flyback bench steer")
    make = parts.add_parser("sessions")
    make.add_argument("folder")
    make.add_argument("--seeds", required=True)
    make.add_argument("--specimen", type=lambda t: t.split(","), default=list(SESSIONS))
    make.add_argument("--frames", type=int, default=8)
    make.add_argument("--judge", default="")
    make.add_argument("-j", dest="jobs", type=int, default=1)
    two = parts.add_parser("report")
    two.add_argument("runs")
    two.add_argument("--criterion", default="accuracy", choices=("accuracy", "smoothed", "likeliest"))
    two.add_argument("--set", default="")
    two.add_argument("--markdown")
    two.add_argument("--picture")
    args = parser.parse_args()
    {"run": run, "sessions": sessions, "report": report}[args.part](args)


if __name__ == "__main__":
    main()
