"""`flyback bench steer` and what tests/bench/steer_benefit.py makes of its lines."""

import json
import math
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from flyback_test import BINARY, ROOT, Flyback, flyback, run  # noqa: E402

sys.path.insert(0, os.path.join(ROOT, "tests", "bench"))
import steer_benefit as sb  # noqa: E402

SCRIPT = os.path.join(ROOT, "tests", "bench", "steer_benefit.py")


def bench(*words):
    return subprocess.run([BINARY, "bench", "steer", *words], capture_output=True, text=True)


def benefit(*words):
    return subprocess.run([sys.executable, "-B", SCRIPT, *words], capture_output=True, text=True)


def wrong_words_are_refused_with_what_is_allowed():
    for words, says in (
        (["--seeds", "101-101"], "need --judge HASH"),
        (["--seeds", "90-130"], "need --judge HASH"),
        (["--judge", "main"], "the hash of a commit"),
        (["--policy", "greedy"], "--policy greedy"),
        (["--specimen", "gold"], "--specimen gold"),
        (["--set", "boundary=7"], "0 .. 1"),
        (["--set", "speed=7"], "no such constant"),
        (["--budget", "0"], "1 .. 64"),
        (["adaptive"], "no word is expected"),
        (["--from", "x.fly", "--seeds", "1-2"], "without --specimen and --seeds"),
        (["--truth", "x.npy"], "only with --from"),
    ):
        got = bench(*words)
        assert got.returncode == 2 and says in got.stderr and not got.stdout, (words, got)


def a_run_is_the_same_again_and_keeps_its_budget():
    words = ["--specimen", "rare", "--policy", "adaptive,interlaced", "--budget", "1.5", "--quiet"]
    first, again = bench(*words), bench(*words)
    assert first.returncode == 0, first.stderr
    lines = [json.loads(line) for line in first.stdout.splitlines()]
    for line, other in zip(lines, map(json.loads, again.stdout.splitlines())):
        line.pop("cpu_s"), other.pop("cpu_s")
        assert line == other
    assert [line["policy"] for line in lines] == ["adaptive", "interlaced"]
    for line in lines:
        curve = sb.Curve(line, "accuracy")
        dose, time = curve.of["dose"], curve.of["time_ms"]
        assert dose[0] == 1.0 and 1.1 < dose[-1] <= 1.5 * 1.0001 and all(dose[1:] > dose[:-1]), dose
        assert all(time[1:] > time[:-1]) and curve.of["max_dose"][-1] <= 8.0
        assert 0.5 < curve.of["accuracy"][-1] <= 1.0 and 0.0 <= curve.of["rare_recall"][-1] <= 1.0
    assert lines[0]["curve"][0] == lines[1]["curve"][0]  # the survey is the same


def a_session_without_a_support_set_is_refused():
    with Flyback() as fly:
        flyback("sim", "--ingest", fly.ingest, "--publish", fly.publish, "--control", fly.control, "--quiet", "--size", "64x64",
                "--chip", 16, "--frames", 2, "--pace", 0, "--session", "bare")
        got = bench("--from", fly.recording("bare"))
        assert got.returncode == 1 and "a support set is needed" in got.stderr and not got.stdout, got
    got = bench("--from", "/nowhere.fly")
    assert got.returncode == 1 and "/nowhere.fly" in got.stderr, got


def recorded_sessions_stand_beside_the_others():
    name = "session_pristine_0.1"
    with tempfile.TemporaryDirectory() as folder:
        made = benefit("sessions", folder, "--seeds", "3", "--specimen", name, "--frames", "3")
        assert made.returncode == 0, made
        assert sorted(os.listdir(folder)) == [name + "-3.fly", name + "-3.npy"]
        again = benefit("sessions", folder, "--seeds", "3", "--specimen", name, "--frames", "3")
        assert again.returncode == 0 and ".fly" not in again.stderr, again  # it is there
        out = folder + "/runs.jsonl"
        words = ["run", "--seeds", "3", "--out", out, "--policy", "adaptive,interlaced", "--specimen", name]
        got = benefit(*words)
        assert got.returncode == 1 and "--sessions FOLDER" in got.stderr, got
        got = benefit(*words, "--sessions", folder)
        assert got.returncode == 0, got
        lines = sb.read(out)
        assert [(line["specimen"], line["seed"], line["policy"]) for line in lines] == [
            (name, 3, "adaptive"), (name, 3, "interlaced")]
        for line in lines:
            curve = sb.Curve(line, "agreement")
            assert line["frames"] == 3 and curve.of["dose"][0] == 1.0 and abs(curve.of["dose"][-1] - 3.0) < 1e-6, line
            assert 0.5 < curve.of["agreement"][0] < 1.0 == curve.of["agreement"][-1]  # the same frames, the same map
            chips = curve.of["dose"] * line["chips"]
            assert abs(chips - chips.round()).max() < 0.01  # whole frames; six digits are written
            assert curve.of["accuracy"][-1] == line["reference"]["accuracy"] > 0.5
        got = benefit("report", out)
        assert got.returncode == 0 and "| %s | adaptive |" % name in got.stdout, got
        assert "| %s_truth | adaptive |" % name in got.stdout, got
    got = benefit("sessions", folder, "--seeds", "101")
    assert got.returncode == 1 and "need --judge HASH" in got.stderr and not os.path.exists(folder), got


def line_of(policy, seed, accuracy, full=1.0, specimen="pristine_0", setting=""):
    return {"specimen": specimen, "seed": seed, "policy": policy, "set": setting, "judge": "", "budget": 8, "survey_us": 2,
            "hits": 10, "photons": 40, "shots": 8, "reference": {"accuracy": full},
            "columns": ["dose", "accuracy", "time_ms"], "curve": [[1 + 0.5 * i, a, 10 * i] for i, a in enumerate(accuracy)]}


def a_level_is_reached_when_it_is_held():
    curve = sb.Curve(line_of("adaptive", 1, [0.8, 0.96, 0.9, 0.96, 0.95, 0.97, 0.96, 0.95, 0.9, 0.99]), "accuracy")
    assert curve.to(0.95, "dose") == 2.5  # the first of five in a row
    assert curve.to(0.98, "dose") == 5.5  # held to the end
    assert math.isinf(curve.to(0.995, "dose"))
    assert math.isinf(sb.Curve(line_of("adaptive", 1, [0.99, 0.8]), "accuracy").to(0.95, "dose"))


def ratios_are_paired_and_their_interval_holds_the_median():
    lines = []
    for seed in range(1, 8):
        lines.append(line_of("interlaced", seed, [0.5] * 4 + [1.0] * 8))
        lines.append(line_of("adaptive", seed, [0.5] * (seed - 1) + [1.0] * 8))
    lines.append(line_of("adaptive", 8, [1.0] * 8))  # without a partner: not counted
    runs = sb.Runs(lines, "accuracy", "")
    middle, least, most = runs.ratios("pristine_0", "adaptive", 0.95, "dose")
    assert middle == 2.5 / 3.0 and 1.0 / 3.0 <= least < middle < most <= 4.0 / 3.0
    never = sb.Runs([line_of("interlaced", 1, [0.5]), line_of("adaptive", 1, [0.5])], "accuracy", "")
    assert math.isnan(never.ratios("pristine_0", "adaptive", 0.95, "dose")[0])


def specimens_are_pooled_seed_by_seed():
    late, soon = [0.0] * 3 + [1.0] * 9, [0.0] + [1.0] * 11
    lines = [line_of(policy, seed, accuracy, specimen=specimen)
             for specimen, ours in (("pristine_0", soon), ("defective_0", late)) for seed in (1, 2, 3)
             for policy, accuracy in (("adaptive", ours), ("interlaced", late))]
    runs = sb.Runs(lines, "accuracy", "")
    better = runs.ratios("pristine_0", "adaptive", 0.95, "dose")[0]
    assert better < 1.0
    # half of them at each: the median is between the two, whichever seeds are drawn
    middle, least, most = runs.pooled(("pristine_0", "defective_0"), "adaptive", 0.95, "dose")
    assert middle == least == most == (better + 1.0) / 2, (middle, least, most, better)
    assert runs.pooled(("pristine_0",), "adaptive", 0.95, "dose")[0] == better
    assert math.isnan(runs.pooled(("rare",), "adaptive", 0.95, "dose")[0])


def a_median_is_between_the_two_in_the_middle():
    assert sb.interval([4.0, 1.0, 2.0, 3.0])[0] == 2.5 and sb.interval([3.0, 1.0, 2.0])[0] == 2.0
    assert math.isinf(sb.interval([1.0, 2.0, math.inf, math.inf])[0])
    assert sb.interval([1.0, 2.0, math.nan, math.inf])[0] == 2.0  # a seed in which neither gets there is none


def runs_of_two_setups_are_not_one_file():
    with tempfile.TemporaryDirectory() as folder:
        path = folder + "/runs.jsonl"

        def write(lines):
            with open(path, "w") as file:
                file.writelines(json.dumps(dict(line, options=line.get("options", ""))) + "\n" for line in lines)

        lines = [line_of(policy, seed, [1.0] * 6) for policy in ("adaptive", "interlaced") for seed in (1, 2)]
        assert sb.one_setup(lines, path)["budget"] == 8
        for name, other in (("judge", "0123456"), ("options", "--budget 4"), ("budget", 4)):
            write(lines[:-1] + [dict(lines[-1], **{name: other})])
            got = benefit("report", path)
            assert got.returncode == 1 and "holds runs with %s" % name in got.stderr, got
        write(lines)
        got = benefit("run", "--seeds", "1", "--out", path, "--", "--budget", "4")
        assert got.returncode == 1 and "holds runs with options" in got.stderr, got
        with open(path) as file:
            assert len(file.readlines()) == len(lines)  # nothing ran


def seeds_that_judge_need_a_commit_that_the_tree_equals():
    with tempfile.TemporaryDirectory() as folder:
        out = folder + "/runs.jsonl"
        got = benefit("run", "--seeds", "101-120", "--out", out)
        assert got.returncode == 1 and "need --judge HASH" in got.stderr, got
        got = benefit("run", "--seeds", "120-121", "--out", out, "--judge", "0123456789abcdef")
        assert got.returncode == 1 and "is not in" in got.stderr, got
        assert not os.path.exists(out)


if __name__ == "__main__":
    run(
        wrong_words_are_refused_with_what_is_allowed,
        a_run_is_the_same_again_and_keeps_its_budget,
        a_session_without_a_support_set_is_refused,
        recorded_sessions_stand_beside_the_others,
        a_level_is_reached_when_it_is_held,
        ratios_are_paired_and_their_interval_holds_the_median,
        specimens_are_pooled_seed_by_seed,
        a_median_is_between_the_two_in_the_middle,
        runs_of_two_setups_are_not_one_file,
        seeds_that_judge_need_a_commit_that_the_tree_equals,
    )
