"""The program as a person uses it: help, exit codes, recordings that give the same maps again."""

import ctypes
import glob
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from flyback_test import BINARY, ROOT, SLOW, TESTS, Case, Flyback, flyback, labels_of, run, same_map, wait_until  # noqa: E402

CASE = Case(os.path.join(TESTS, "golden", "a_tiny"))
SHAPE = CASE.params["rows"], CASE.params["cols"]
MODALITIES = ("haadf", "eds", "ensemble")
COMMANDS = ("demo", "run", "sim", "replay", "import", "watch-folder", "analyze", "export", "session", "watch", "check", "version")
TGKILL = {"x86_64": 234, "aarch64": 131}[os.uname().machine]  # of the kernel's calls


def recorded(folder, settings=None):
    """A session of the case in folder/recordings: its path, and its final maps."""
    with Flyback(dict(CASE.settings(), **(settings or {})), folder=folder) as fly, fly.sender(session="kept") as sender:
        CASE.start(sender)
        for name, chips in CASE.support():
            sender.control.support_add(name, chips)
        CASE.send_raster(sender)
        sender.stop()
        maps = {m: sender.control.map_get("fewshot", m) for m in MODALITIES}
        return fly.recording("kept"), maps


def every_command_has_help_on_stdout():
    top = flyback("--help").stdout
    for command in COMMANDS:
        assert command in top, "flyback --help does not name %s" % command
        if command != "version":
            done = flyback(command, "--help")
            assert ("usage: flyback %s" % command) in done.stdout.lower(), done.stdout[:200]
            assert not done.stderr, "%s --help talks to stderr: %s" % (command, done.stderr[:200])
    assert flyback("version").stdout.startswith("flyback "), flyback("version").stdout


def wrong_usage_ends_with_2_and_says_what_is_wrong():
    with tempfile.TemporaryDirectory() as folder:
        bad = os.path.join(folder, "bad.yaml")
        with open(bad, "w") as file:
            file.write("chip:\n  size_px: 15\n  sise_px: 3\n")
        for args, word in (
            ([], "Usage"),
            (["frobnicate"], "frobnicate"),
            (["run", "--set", "chip.size_px=0"], "chip.size_px"),
            (["run", "--set", "chip.sise_px=3"], "chip.size_px"),
            (["run", "--no-such-option"], "no-such-option"),
            (["run", "--config", bad], "bad.yaml:3"),
            (["run", "--set", "embed.model=resnet"], "embed.model"),
            (["run", "--crash-at", "lunch:1"], "--crash-at"),
            (["analyze", "--case", CASE.folder], "--out"),
            (["analyze", "--out", folder], "--case"),
            (["check"], "check"),
        ):
            done = flyback(*args, status=2)
            assert word in done.stderr, (args, done.stderr)
            assert not done.stdout, (args, done.stdout)


def run_ends_with_0_after_sigterm_and_130_after_sigint():
    for how, status in ((signal.SIGTERM, 0), (signal.SIGINT, 130)):
        for busy in (False, True):
            with Flyback(CASE.settings()) as fly, fly.sender() as sender:
                if busy:
                    CASE.start(sender)
                    CASE.send_raster(sender, 0, 20)
                    sender.wait_durable()
                got = fly.end(how, 5.0)
                assert got == status, "%s, %s: ended with %s" % (how.name, "busy" if busy else "idle", got)


def a_signal_that_a_librarys_thread_gets_ends_it_as_well():
    """Threads that libraries made before main block nothing: what comes while main is busy may be given to one of them."""
    kill_thread = ctypes.CDLL(None, use_errno=True).syscall
    with Flyback() as fly:
        pid, told = fly.process.pid, 0
        for thread in map(int, os.listdir("/proc/%d/task" % pid)):
            with open("/proc/%d/task/%d/status" % (pid, thread)) as file:
                blocked = int(next(line for line in file if line.startswith("SigBlk")).split()[1], 16)
            if thread != pid and not blocked >> (signal.SIGTERM - 1) & 1:
                assert kill_thread(TGKILL, pid, thread, int(signal.SIGTERM)) == 0, ctypes.get_errno()
                told = 1
                break
        if not told:
            fly.process.send_signal(signal.SIGTERM)
        assert fly.process.wait(10 * SLOW) == 0
    return "" if told else "no such thread here"


def a_socket_in_use_is_an_error_that_names_it():
    with Flyback(CASE.settings()) as fly:
        port = "tcp://127.0.0.1:*"
        args = ["run", "--set", "sockets.ingest=" + port, "--set", "sockets.publish=" + port,
                "--set", "recording.dir=" + fly.folder]
        tcp = Flyback({"sockets.ingest": "tcp://127.0.0.1:5999", **CASE.settings()}, wait=False)
        with tcp:
            wait_until(lambda: os.path.exists(tcp.control[6:]), 10, "the first one")
            args[2] = "sockets.ingest=tcp://127.0.0.1:5999"
            done = flyback(*args, "--set", "sockets.control=" + port, status=1)
            assert "5999" in done.stderr and "in use" in done.stderr, done.stderr
            tcp.wait_ready()


def a_session_left_open_goes_on_after_a_restart():
    with tempfile.TemporaryDirectory(prefix="fly.") as folder:
        with Flyback(CASE.settings(), folder=folder) as fly, fly.sender(session="kept") as sender:
            CASE.start(sender)
            for name, chips in CASE.support():
                sender.control.support_add(name, chips)
            CASE.send_raster(sender, 0, 50)
            sender.wait_durable()
            assert fly.end() == 0
            fly.start()
            with fly.viewer() as viewer:
                viewer.wait(lambda: viewer.start, 10 * SLOW)
                assert viewer.start["session"] == "kept" and viewer.start["resumed"] is True, viewer.start
            CASE.send_raster(sender, 50)
            sender.stop()
            live = {m: sender.control.map_get("fewshot", m).labels for m in MODALITIES}
    with tempfile.TemporaryDirectory() as out:
        batch = CASE.analyze(CASE.settings(), out)
    for modality in MODALITIES:
        same_map(live[modality], batch[modality], modality)


def a_recording_analyzed_gives_the_live_maps():
    with tempfile.TemporaryDirectory(prefix="fly.") as folder:
        path, maps = recorded(folder)
        out = os.path.join(folder, "out")
        flyback("analyze", path, "--out", out)
        again = labels_of(out, SHAPE)
        for modality in MODALITIES:
            same_map(again[modality], maps[modality].labels, modality)
        with open(os.path.join(out, "result.json")) as file:
            result = json.load(file)
        assert result["profile"] == "paper" and result["version"], result
        for name in glob.glob(os.path.join(out, "*.png")):
            with open(name, "rb") as file:
                assert file.read(8) == b"\x89PNG\r\n\x1a\n", name
        assert len(glob.glob(os.path.join(out, "*.png"))) >= 3
        flyback("check", path)


def quantities(out):
    """{file: bytes} of what analyze wrote of the spectra."""
    paths = glob.glob(os.path.join(out, "at_*.npy")) + glob.glob(os.path.join(out, "fs_*.npy"))
    made = {}
    for path in paths:
        with open(path, "rb") as file:
            made[os.path.basename(path)] = file.read()
    assert any(name.startswith("at_") for name in made), os.listdir(out)
    return made


def a_recording_carries_the_factors_of_a_file_that_is_gone():
    with tempfile.TemporaryDirectory(prefix="fly.") as folder:
        k_file = os.path.join(folder, "k.json")
        with open(k_file, "w") as file:
            json.dump({"k_basis": "atomic", "k_factors": {"Fe_Ka": 1.35, "O_Ka": 2.1, "Sr_La": 1.7}}, file)
        path, maps = recorded(folder, {"eds.k_factor_file": k_file})
        os.unlink(k_file)
        kept, own, plain = (os.path.join(folder, name) for name in ("kept", "own", "plain"))
        flyback("analyze", path, "--no-pictures", "--out", kept)
        again = labels_of(kept, SHAPE)
        for modality in MODALITIES:
            same_map(again[modality], maps[modality].labels, modality)
        flyback("analyze", path, "--no-pictures", "--out", own, "--set", "eds.k_basis=atomic",
                "--set", "eds.k_factors=Fe_Ka=1.35,O_Ka=2.1,Sr_La=1.7")
        assert quantities(kept) == quantities(own)
        flyback("analyze", path, "--no-pictures", "--out", plain, "--set", "eds.k_factors=")
        assert quantities(kept) != quantities(plain), "the factors changed nothing"
        # another file, later: the recorded factors have to be put aside first
        with open(k_file, "w") as file:
            json.dump({"k_factors": {"Fe_Ka": 2}}, file)
        args = ["analyze", path, "--no-pictures", "--out", own, "--set", "eds.k_factor_file=" + k_file]
        told = flyback(*args, status=2).stderr
        for word in ("eds.k_factor_file", k_file, "eds.k_factors", "recorded configuration"):
            assert word in told, told
        flyback(*args, "--set", "eds.k_factors=")
        assert quantities(kept) != quantities(own)


def a_restart_goes_on_with_the_factors_a_session_began_with():
    """The file is another by then; the session that is open keeps what it was begun with."""
    with tempfile.TemporaryDirectory(prefix="fly.") as folder:
        k_file = os.path.join(folder, "k.json")
        with open(k_file, "w") as file:
            json.dump({"k_factors": {"Fe_Ka": 1.35, "O_Ka": 2.1}}, file)
        settings = dict(CASE.settings(), **{"eds.k_factor_file": k_file})
        with Flyback(settings, folder=folder) as fly, fly.sender(session="kept") as sender:
            CASE.start(sender)
            CASE.send_raster(sender, 0, 50)
            sender.wait_durable()
            assert sender.control.status()["config"]["eds.k_factors"] == "Fe_Ka=1.35,O_Ka=2.1"
            assert fly.end() == 0
            with open(k_file, "w") as file:
                json.dump({"k_factors": {"Fe_Ka": 9}}, file)
            fly.start()
            config = sender.control.status()["config"]
            assert config["eds.k_factors"] == "Fe_Ka=1.35,O_Ka=2.1", config["eds.k_factors"]
            assert config["eds.k_factor_file"] == "", config["eds.k_factor_file"]
            CASE.send_raster(sender, 50)
            sender.stop()


def a_factor_file_that_is_no_good_ends_the_start():
    with tempfile.TemporaryDirectory(prefix="fly.") as folder:
        k_file = os.path.join(folder, "k.json")
        with open(k_file, "w") as file:
            file.write('{"k_factors": {"Fe_Ka": 1.35, "O_Ka": "much"}}')
        named = "eds.k_factor_file=" + k_file
        for command in (["run", "--set", named],
                        ["analyze", "--case", CASE.folder, "--out", os.path.join(folder, "out"), "--set", named]):
            told = flyback(*command, status=2).stderr
            assert "--set: eds.k_factor_file: %s: k_factors: O_Ka: " % k_file in told, told
        assert not os.path.exists(os.path.join(folder, "out"))
        with open(k_file, "w") as file:
            file.write('{"k_factors": {"Fe_Ka": 1.35}}')
        page = flyback("run", "--print-config", "--set", named).stdout
        assert "set by %s, the eds.k_factor_file of --set\n  k_factors: \"Fe_Ka=1.35\"" % k_file in page, page


def analyze_writes_the_same_bytes_every_time_and_in_every_order():
    with tempfile.TemporaryDirectory() as folder:
        outs = []
        for i, more in enumerate((["--order", "raster"], ["--order", "random:7"],
                                  ["--order", "random:8", "--set", "engine.threads=1"])):
            out = os.path.join(folder, str(i))
            flyback("analyze", "--case", CASE.folder, "--set", "embed.model=spectral",
                    "--set", "embed.weights=", "--set", "embed.input_px=0", "--out", out, *more)
            outs.append(out)
        names = sorted(os.listdir(outs[0]))
        assert "result.json" in names and "timing.json" in names
        for out in outs[1:]:
            assert sorted(os.listdir(out)) == names
            for name in names:
                if name != "timing.json":
                    with open(os.path.join(outs[0], name), "rb") as a, open(os.path.join(out, name), "rb") as b:
                        assert a.read() == b.read(), "%s differs from run to run" % name
        return "%d files" % len(names)


def a_replay_is_the_same_session_again():
    with tempfile.TemporaryDirectory(prefix="fly.") as folder:
        path, maps = recorded(folder)
        with Flyback(CASE.settings()) as fly, fly.viewer() as viewer:
            flyback("replay", path, "--ingest", fly.ingest, "--control", fly.control, "--publish", fly.publish)
            viewer.wait(lambda: viewer.stop, 20 * SLOW)
            assert viewer.stop["session"] == "kept" and viewer.stop["complete"] == 1.0, viewer.stop
            with fly.controller() as control:
                for name, chips in CASE.support():
                    control.support_add(name, chips)
                for modality in MODALITIES:
                    same_map(control.map_get("fewshot", modality, exact=True), maps[modality], modality)


def the_default_configuration_is_written_down():
    with open(os.path.join(ROOT, "configs", "default.yaml")) as file:
        page = file.read()
    done = flyback("run", "--print-config")
    assert done.stdout == page, "configs/default.yaml is not what flyback run --print-config says"
    flyback("check", os.path.join(ROOT, "configs", "default.yaml"))


def the_demo_leaves_a_recording_maps_and_a_result():
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        done = subprocess.run([BINARY, "demo", "--headless", "--seconds", "4"], cwd=folder, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60 * SLOW)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        out = os.path.join(folder, "out", "demo")
        for pattern in ("**/*.fly", "*.png", "result.json"):
            assert glob.glob(os.path.join(out, pattern), recursive=True), "no %s in out/demo: %s" % (pattern, os.listdir(out))
        with open(os.path.join(out, "result.json")) as file:
            result = json.load(file)
        assert isinstance(result, dict) and result, result
        for name in glob.glob(os.path.join(out, "**", "*.fly"), recursive=True):
            flyback("check", name)
        return "%.1f s" % (time.monotonic() - began)


run(
    every_command_has_help_on_stdout,
    wrong_usage_ends_with_2_and_says_what_is_wrong,
    run_ends_with_0_after_sigterm_and_130_after_sigint,
    a_signal_that_a_librarys_thread_gets_ends_it_as_well,
    a_socket_in_use_is_an_error_that_names_it,
    a_session_left_open_goes_on_after_a_restart,
    a_recording_analyzed_gives_the_live_maps,
    a_recording_carries_the_factors_of_a_file_that_is_gone,
    a_restart_goes_on_with_the_factors_a_session_began_with,
    a_factor_file_that_is_no_good_ends_the_start,
    analyze_writes_the_same_bytes_every_time_and_in_every_order,
    a_replay_is_the_same_session_again,
    the_default_configuration_is_written_down,
    the_demo_leaves_a_recording_maps_and_a_result,
)
