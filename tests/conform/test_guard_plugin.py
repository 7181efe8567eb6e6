"""`flyback guard` with the plugin itself, the acquisition played here: in auto, through a hold of the guard's own, and with
keys."""

import os
import signal
import sys
import tempfile
import time

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from flyback_test import SLOW, Flyback, fc, flyback, run, wait_until  # noqa: E402
from guard_peers import Acquisition, Guard  # noqa: E402
from steer_peers import Heard  # noqa: E402

SHAPE, PX = (120, 150), 15
REAL = {"chip_dose_e_per_A2": 11000, "total_dose_e_per_A2": 5000, "dwell_min_us": 0.2, "dwell_max_us": 100,
        "step_px": 400, "slew_px_per_us": 5, "commands_per_s": 10, "targets_per_command": 256, "box_px": 1024,
        "frames_per_command": 16}


def survey(sender):
    """Two lattices under noise; 1248 e-/A^2 a frame."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    seen = 9000 + 1500 * np.where(x > 75, np.cos(2 * np.pi * x / 3.1), np.cos(2 * np.pi * x / 5) * np.cos(2 * np.pi * y / 5))
    seen = (seen + np.random.default_rng(1).normal(0, 3000, SHAPE)).clip(0, 65535).astype("<u2")
    sender.start(SHAPE, [("HAADF", "<u2")], pixel_nm=[0.05, 0.05], beam_current_na=0.05, pixel_time_us=1.0,
                 frames_planned=1)
    sender.control.support_add("a", [[1, 1], [5, 2]])
    sender.control.support_add("b", [[1, 8], [5, 7]])
    for y in range(SHAPE[0]):
        sender.lines("HAADF", seen[y], y)


def in_auto_commands_reach_the_acquisition_through_the_guard_alone():
    with Flyback({"chip.size_px": PX, "steer.cycle_ms": 200}) as fly, Guard(REAL, plugin=fly.control) as guard:
        with fly.sender() as sender:
            survey(sender)
            direct = Acquisition(fly.control, attach=False)
            reply = direct.ask("steer.attach", mode="auto")
            assert not reply["ok"] and reply["error"]["code"] == "guard_required", reply
            acquisition = Acquisition(guard.listen)
            wait_until(lambda: len(acquisition.measuring()) >= 3, 20, "three commands")
            assert not direct.commands, direct.commands
            assert direct.ask("status")["result"]["owner"]["as"] == "guard"
            passed = {x["cmd_id"] for x in guard.lines() if x["what"] == "command" and x["verdict"] == "pass"}
            assert {c["cmd_id"] for c in acquisition.measuring()} <= passed
            assert all(c["frame"] >= 1 for c in acquisition.measuring())
            told = acquisition.status()
            assert told["commands"]["refused"] == 0, told["last"]
            assert direct.ask("steer.hold")["ok"]
            acquisition.wait_command("stop")
            wait_until(lambda: acquisition.status()["held"], 3, "the guard to know of the hold")
            before = len(acquisition.measuring())
            beats = len(acquisition.beats)
            wait_until(lambda: len(acquisition.beats) >= beats + 3, 5, "three heartbeats")
            assert len(acquisition.measuring()) == before
            assert direct.ask("steer.resume")["ok"]
            wait_until(lambda: len(acquisition.measuring()) > before, 10, "a command after the hold")
            direct.close()
        fly.kill()
        died = time.monotonic()
        ordered, _ = acquisition.wait_command("blank", 4)
        assert ordered - died <= 2.0 * SLOW, ordered - died
        acquisition.close()
        fly.start()
        return "%d commands, blank %.2f s after the kill" % (told["commands"]["passed"], ordered - died)


def a_hold_of_the_guards_own_is_seen_at_the_plugin_before_any_command_is_refused():
    with Flyback({"chip.size_px": PX, "steer.cycle_ms": 200}) as fly, Guard(REAL, plugin=fly.control) as guard, \
            fly.sender() as sender, Heard(fly) as heard:
        def seen():
            return sender.control.status()["steer"]["guard_held"]

        guard.process.send_signal(signal.SIGUSR1)  # before anybody is attached
        survey(sender)
        acquisition = Acquisition(guard.listen)
        assert wait_until(seen, 10, "the hold at the plugin") == "held by signal"
        assert "held by signal" in heard.event("guard_held")[0]["text"]
        guard.process.send_signal(signal.SIGUSR2)
        heard.event("guard_resumed")
        assert seen() is None
        wait_until(lambda: acquisition.measuring(), 20, "a command")
        assert acquisition.ask("steer.hold")["ok"]
        wait_until(lambda: seen() == "held by acquisition", 3, "the next hold at the plugin")
        numbers = acquisition.status()["commands"]
        beats = len(acquisition.beats)
        wait_until(lambda: len(acquisition.beats) >= beats + 4, 5, "four heartbeats")
        assert seen() and acquisition.status()["commands"]["refused"] == numbers["refused"], "commands came to be refused"
        guard.kill()
        guard.start()
        acquisition.attach()
        assert wait_until(lambda: seen() == "held since before its restart" and seen(), 10, "the hold of the guard before")
        before = len(acquisition.measuring())
        assert acquisition.ask("steer.resume")["ok"]
        wait_until(lambda: len(acquisition.measuring()) > before, 10, "a command after the hold")
        assert seen() is None
        acquisition.close()


def with_keys_the_guard_is_one_and_nobody_else_is():
    with tempfile.TemporaryDirectory(prefix="flk.") as folder:
        def at(*names):
            return os.path.join(folder, *names)

        lines = ""
        flyback("keygen", "--name", "server", "--role", "server", "--out", at("server"))
        for name, role in (("guard", "guard"), ("scope", "controller"), ("eye", "viewer"), ("desk", "operator")):
            lines += flyback("keygen", "--name", name, "--role", role, "--out", at(name)).stdout
        with open(at("allow"), "w") as file:
            file.write(lines)
        flyback("keygen", "--name", "stranger", "--role", "operator", "--out", at("stranger"))
        served = {"security.keys": at("server"), "security.allow": at("allow"), "chip.size_px": PX}
        mine = {"security.keys": at("guard"), "security.allow": at("allow"), "guard.plugin_key": at("server", "public.key")}
        with Flyback(served, wait=False) as fly, Guard(REAL, plugin=fly.control, settings=mine) as guard:
            def client(name):
                pair = fc.read_keys(at(name), at("guard", "public.key"))
                return Acquisition(guard.listen, attach=False, keys=pair)

            def not_answered(one):
                try:
                    one.ask("status", timeout_s=1.5)
                except AssertionError:
                    return
                raise AssertionError("a key that is not in the list was answered")

            scope, eye, desk, stranger = client("scope"), client("eye"), client("desk"), client("stranger")
            assert scope.ask("steer.attach", mode="auto")["ok"]
            wait_until(lambda: scope.status()["plugin"]["heard"], 20, "the plugin to be heard")
            wait_until(lambda: scope.status()["state"] == "steering", 10, "the guard to be attached")
            assert eye.ask("steer.attach", mode="auto")["error"]["code"] == "forbidden"
            assert eye.ask("steer.hold")["ok"]
            assert scope.ask("steer.resume")["error"]["code"] == "forbidden"
            assert desk.ask("steer.resume")["ok"]
            assert scope.status()["acquisition"]["name"] == "scope"
            not_answered(stranger)
            assert eye.ask("steer.detach")["error"]["code"] == "forbidden"
            # a key that loses its role, or its line, is silent from then on
            def allow(text):
                with open(at("allow"), "w") as file:
                    file.write(text)

            assert " controller " in lines
            allow(lines.replace(" controller ", " viewer "))
            wait_until(lambda: desk.status()["acquisition"] is None, 10, "the viewer to be parted")
            assert scope.ask("steer.attach", mode="auto")["error"]["code"] == "forbidden"
            allow(lines)
            wait_until(lambda: scope.ask("steer.attach", mode="auto")["ok"], 10, "its role to be its own again")
            allow("".join(x for x in lines.splitlines(True) if " controller " not in x))
            wait_until(lambda: desk.status()["acquisition"] is None, 10, "who is struck off to be parted")
            not_answered(scope)
            for one in (scope, eye, desk, stranger):
                one.close()


run(
    in_auto_commands_reach_the_acquisition_through_the_guard_alone,
    a_hold_of_the_guards_own_is_seen_at_the_plugin_before_any_command_is_refused,
    with_keys_the_guard_is_one_and_nobody_else_is,
)
