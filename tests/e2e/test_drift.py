"""Drift that is adopted: frames lie where they belong, what is adopted is true, what is not known is refused, and all of it
is made again from the recording."""

import glob
import json
import math
import os
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from flyback_test import BINARY, Flyback, flyback, run, same_map, wait_until  # noqa: E402

PX, CHIP, FRAMES = 128, 16, 8
DRIFT_PX = 1.5  # a frame, along y
LAP = 12.0  # of the simulator: its specimen goes so far and begins again
ADOPT = {"drift.adopt": "true"}
SMALL = dict(ADOPT, **{"chip.size_px": CHIP, "graph.chips_max": 0, "tree.chips_max": 0})


def image(dy=0.0, dx=0.0, seed=1, particles=25, lattice=60.0):
    """A lattice with particles, seen (dy, dx) px away."""
    y, x = np.mgrid[:PX, :PX] + np.array([dy, dx])[:, None, None]
    mean = 60 + lattice * np.exp(4 * (np.cos(2 * np.pi * y / 11.03) + np.cos(2 * np.pi * x / 10.4) - 2))
    for py, px in np.random.default_rng(77).uniform(0, PX, (particles, 2)):
        mean += 400 * np.exp(-((y - py) ** 2 + (x - px) ** 2) / 18)
    return np.random.default_rng(seed).poisson(mean).astype("<u2")


def send(sender, frame, pixels):
    for y in range(0, PX, CHIP):
        sender.lines("HAADF", pixels[y:y + CHIP], y, frame=frame)


def begin(sender, **facts):
    sender.start([PX, PX], [("HAADF", "<u2")], pixel_time_us=1.0, **facts)


def said(viewer, code):
    return [e["data"] for e in viewer.events if e["code"] == code]


def applied(viewer):
    """(frame measured last, its shift) as metrics have it."""
    q = viewer.metrics and viewer.metrics["quality"]
    return q and (q["drift"]["frame"], q["drift"]["applied_dy_px"], q["drift"]["applied_dx_px"])


# ---- the simulator ----------------------------------------------------------------------------------


def true_drift(frame):
    return [d * frame - LAP * math.floor(d * frame / LAP + 0.5) for d in (DRIFT_PX, -0.6 * DRIFT_PX)]


def simulate(adopt):
    """Of a drift of 1.5 px a frame: scores of the final few-shot maps, the shifts told, and the drift of the last metrics."""
    with tempfile.TemporaryDirectory() as folder:
        support = os.path.join(folder, "support.json")
        specimen = ("--geometry", "table2_defective_0.1", "--eds-counts", 0.1)
        flyback("sim", *specimen, "--support", support, "--frames", 1, "--ingest", "ipc://%s/none" % folder,
                "--connect-timeout-s", 0, status=None)
        settings = {"chip.size_px": 10, "fewshot.support": support, "graph.chips_max": 0, "tree.chips_max": 0,
                    "drift.adopt": adopt}
        with Flyback(settings) as fly, fly.viewer() as viewer:
            flyback("sim", *specimen, "--ingest", fly.ingest, "--publish", fly.publish, "--control", fly.control,
                    "--pace", 0, "--frames", FRAMES, "--drift-px", DRIFT_PX, "--quiet", "--session", "s",
                    "--judge", os.path.join(folder, "judge.json"))
            viewer.wait(lambda: viewer.stop)
            with open(os.path.join(folder, "judge.json")) as file:
                scores = json.load(file)["final"]["fewshot"]
            return scores, said(viewer, "drift_adopted"), viewer.metrics["quality"]["drift"]


def strong_drift_costs_less_where_it_is_adopted():
    off, told, drift = simulate("false")
    assert told == [] and drift["adopted"] == 0, told
    on, told, drift = simulate("true")
    assert drift["adopted"] == FRAMES - 1, drift
    assert len(told) >= FRAMES - 2, told  # one whose shift was put right ahead says nothing
    for data in told:
        right = true_drift(data["frame"])
        for i, axis in enumerate(("dy", "dx")):
            off_px = data[axis + "_px"] - right[i]
            assert abs(off_px) < 0.15 + 3 * data["sigma_%s_px" % axis], (data, right)
            assert abs(data["shift_px"][i] - right[i]) <= 0.8, (data, right)
    for modality in on:
        assert on[modality]["accuracy_all"] >= off[modality]["accuracy_all"] - 0.01, (modality, on, off)
    assert on["haadf"]["accuracy_all"] > off["haadf"]["accuracy_all"] + 0.05, (on, off)
    return ", ".join("%s %.3f for %.3f" % (m, on[m]["accuracy_all"], off[m]["accuracy_all"]) for m in on)


# ---- made-up images ---------------------------------------------------------------------------------


def what_was_adopted_is_made_again_to_the_bit():
    """Every final map, image and X-rays, of frames that drifted and of a part; on one thread and on two."""
    rng = np.random.default_rng(3)
    segment = {"name": "EDS", "n_channels": 64, "ev_per_channel": 20.0, "ev_offset": 0.0}
    with Flyback(SMALL) as fly, fly.viewer() as viewer, fly.sender() as sender, tempfile.TemporaryDirectory() as folder:
        sender.start([PX, PX], [("HAADF", "<u2")], [segment], pixel_time_us=1.0)
        for name, chips in (("a", [[0, 0], [4, 2]]), ("b", [[1, 5], [6, 6]])):
            sender.control.support_add(name, chips)
        for frame in range(6):
            pixels = image(2.4 * frame, -1.7 * frame, seed=frame + 1)
            for y in range(0, PX, CHIP):
                sender.lines("HAADF", pixels[y:y + CHIP], y, frame=frame)
                n = 60 * PX
                sender.eds_pairs("EDS", np.sort(rng.integers(0, CHIP * PX, n)), rng.integers(0, 64, n), y, 0, [CHIP, PX],
                                 frame=frame)
                viewer.poll()
        boxes(sender, 6, 5.0)
        sender.stop()
        viewer.wait(lambda: viewer.stop)
        final = {m: viewer.maps["fewshot", m] for m in ("haadf", "eds", "ensemble")}
        drift, dose = viewer.metrics["quality"]["drift"], viewer.dose_map
        assert drift["adopted"] >= 5 and all(m.final for m in final.values()), drift
        assert fly.end() == 0
        files = []
        for threads in (1, 2):
            out = os.path.join(folder, str(threads))
            flyback("analyze", fly.recording(sender.session), "--epochs", "--no-pictures", "--out", out,
                    "--set", "engine.threads=%d" % threads)
            files.append({os.path.basename(p): open(p, "rb").read() for p in sorted(glob.glob(out + "/*.npy"))})
        assert files[0] == files[1], [n for n in files[0] if files[0][n] != files[1].get(n)]
        for modality, live in final.items():
            last = sorted(glob.glob(os.path.join(folder, "1", "epoch_??????_%s.npy" % modality)))[-1]
            same_map(np.load(last).reshape(live.labels.shape), live.labels, modality)
            sure = np.load(last[:-4] + "_confidence.npy").reshape(live.labels.shape)
            np.testing.assert_array_equal(sure, live.confidence)
        np.testing.assert_array_equal(np.load(os.path.join(folder, "1", "dose.npy")), dose)
        with open(os.path.join(folder, "1", "result.json")) as file:
            told = json.load(file)["quality"]["drift"]
        assert told["adopted"] == drift["adopted"], (told, drift)


def what_is_not_known_is_refused_and_told():
    for reason, how in (("unmeasured", {"particles": 0, "lattice": 0.0}), ("ambiguous", {"particles": 0, "lattice": 400.0})):
        with Flyback(SMALL) as fly, fly.viewer() as viewer, fly.sender() as sender:
            begin(sender)
            for frame in range(3):
                send(sender, frame, image(2.0 * frame, -frame, seed=frame, **how))
            sender.stop()
            viewer.wait(lambda: viewer.stop)
            refused = said(viewer, "drift_refused")
            assert [data["reason"] for data in refused] == [reason], refused
            assert said(viewer, "drift_adopted") == [] and viewer.metrics["quality"]["drift"]["adopted"] == 0


def a_shift_by_request_stays():
    with Flyback(SMALL) as fly, fly.viewer() as viewer, fly.sender() as sender:
        begin(sender)
        send(sender, 0, image())
        sender.control.request("frame.shift", frame=1, dy_px=1, dx_px=1)
        send(sender, 1, image(5, -3, seed=2))
        viewer.wait(lambda: applied(viewer) == (1, 1, 1))
        send(sender, 2, image(5, -3, seed=3))
        viewer.wait(lambda: applied(viewer) == (2, 5, -3))
        sender.stop()
        viewer.wait(lambda: viewer.stop)
        assert viewer.metrics["quality"]["drift"]["adopted"] == 1


def boxes(sender, frame, dwell_us):
    """A re-scan of the chip of the scan under which chip (3, 3) of a specimen that went by a chip each way lies."""
    sender.lines("HAADF", image(CHIP, -CHIP, seed=9)[32:48, 64:80], 32, 64, frame=frame, dwell_us=dwell_us)


def a_part_goes_with_the_last_frame_also_after_a_kill():
    with Flyback(SMALL) as fly, fly.viewer() as viewer, fly.sender() as sender:
        begin(sender)
        send(sender, 0, image())
        send(sender, 1, image(CHIP, -CHIP, seed=2))
        viewer.wait(lambda: applied(viewer) == (1, CHIP, -CHIP))
        boxes(sender, 2, 5.0)
        sender.wait_durable()
        want = np.ones((8, 8), "<f4")
        want[1:, :7] += 1
        want[3, 3] += 5
        np.testing.assert_array_equal(sender.control.dose_get()[1], want)
        fly.kill()
        fly.start()
        # Its first pixels were promised to be on disk, what was adopted for them was not: then it is adopted again.
        wait_until(lambda: np.array_equal(sender.control.dose_get()[1], want), 10, "the dose where it was")
        boxes(sender, 3, 7.0)
        want[3, 3] += 7
        sender.wait_durable()
        np.testing.assert_array_equal(sender.control.dose_get()[1], want)
        exact = sender.control.map_get(exact=True)
        sender.stop()
        assert fly.end() == 0
        with tempfile.TemporaryDirectory() as out:
            flyback("analyze", fly.recording(sender.session), "--no-pictures", "--out", out)
            np.testing.assert_array_equal(np.load(os.path.join(out, "dose.npy")), want)
        assert exact.labels.shape == (8, 8)


# ---- steered ----------------------------------------------------------------------------------------

SLOW_PX = 0.15  # a frame: after 30 of them less than a lap
LIMITS = {"guard_limits": 1, "chip_dose_e_per_A2": 1e6, "total_dose_e_per_A2": 1e6, "dwell_min_us": 0.5, "dwell_max_us": 100,
          "step_px": 1500, "slew_px_per_us": 10, "commands_per_s": 50, "open_commands": 2, "targets_per_command": 256,
          "box_px": 1024, "frames_per_command": 4, "revisit_ms": 0, "valid_ahead_s": 10, "safe_state": "blank"}


def single_tiles_are_followed_after_the_survey():
    """Nothing but 40 chips of 100 at a time comes after the survey, through the guard: each command is measured by its boxes."""
    settings = {"chip.size_px": 16, "graph.chips_max": 0, "steer.policy": "random", "steer.tiles": 40, "steer.cycle_ms": 100,
                "steer.dose_cap": 60, "engine.frames_held": 16, "drift.adopt": "true"}
    with Flyback(settings) as fly, fly.viewer() as viewer:
        limits, listen = os.path.join(fly.folder, "limits.yaml"), "ipc://%s/guard" % fly.folder
        with open(limits, "w") as file:
            file.writelines("%s: %s\n" % item for item in LIMITS.items())
        guard = subprocess.Popen([BINARY, "guard", "--guard.limits", limits, "--guard.listen", listen, "--guard.plugin", fly.control,
                                  "--guard.journal", os.path.join(fly.folder, "journal.jsonl")],
                                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            done = flyback("sim", "--ingest", fly.ingest, "--publish", fly.publish, "--control", fly.control, "--quiet", "--obey",
                           "auto", "--steered-by", listen, "--size", "160x160", "--chip", 16, "--pace", 0, "--hysteresis", 0,
                           "--drift-px", SLOW_PX, "--dose-budget", 10, "--session", "s")
        finally:
            guard.kill()
            guard.wait()
        viewer.wait(lambda: viewer.stop)
        commands = json.loads(done.stdout)["steering"]["done"]
        told, drift = said(viewer, "drift_adopted"), viewer.metrics["quality"]["drift"]
        assert 10 < commands < 40, done.stdout
        assert drift["frames"] >= 0.8 * (commands + 1) and drift["adopted"] >= 0.6 * commands, (commands, drift)
        last = max(data["frame"] for data in told)
        assert last > 0.6 * commands and told[-1]["shift_px"][0] >= 2, told
        for data in told:
            for i, axis in enumerate(("dy", "dx")):
                right = (SLOW_PX, -0.6 * SLOW_PX)[i] * data["frame"]
                assert abs(data[axis + "_px"] - right) < 0.15 + 3 * data["sigma_%s_px" % axis], (data, right)
                assert abs(data["shift_px"][i] - right) < 1.0, (data, right)
        assert fly.end() == 0
        again = flyback("replay", fly.recording("s"), "--decisions").stdout.splitlines()[-1]
        assert again.endswith("all come out as recorded"), again
        return "%d commands, %d frames measured; %s" % (commands, drift["frames"], again)


run(
    single_tiles_are_followed_after_the_survey,
    strong_drift_costs_less_where_it_is_adopted,
    what_was_adopted_is_made_again_to_the_bit,
    what_is_not_known_is_refused_and_told,
    a_shift_by_request_stays,
    a_part_goes_with_the_last_frame_also_after_a_kill,
)
