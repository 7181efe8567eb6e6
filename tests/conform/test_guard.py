"""`flyback guard` between a plugin and an acquisition, both played here: what passes, what does not, and what happens
when one of the three is no more."""

import os
import resource
import signal
import statistics
import subprocess
import sys
import time

import msgpack

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from flyback_test import BINARY, SLOW, flyback, run, wait_until  # noqa: E402
from guard_peers import Acquisition, Guard, Plugin, command  # noqa: E402


class Trio:
    """Plugin, guard, acquisition, all attached."""

    def __init__(self, limits=None, plugin=None, acquisition=None, **guard):
        self.guard = Guard(limits, **guard)
        self.plugin = Plugin(self.guard.control, **(plugin or {}))
        self.acquisition = Acquisition(self.guard.listen, **(acquisition or {}))
        self.plugin.wait_attached()

    def __enter__(self):
        self.guard.__enter__()
        return self

    def __exit__(self, *why):
        self.acquisition.close()
        self.plugin.close()
        self.guard.__exit__(*why)

    def send(self, **more):
        made = command(self.plugin, **more)
        self.plugin.send(made)
        return made

    def passes(self, **more):
        made = self.send(**more)
        wait_until(lambda: any(c["cmd_id"] == made["cmd_id"] for c in self.acquisition.measuring()), 5, "it to pass")
        self.plugin.ack_of(made["cmd_id"], "done")
        return made

    def refuses(self, why, words="", **more):
        made = self.send(**more)
        ack = self.plugin.ack_of(made["cmd_id"], "rejected")
        assert ack["reason"].startswith("guard: %s: %s" % (why, words)), (why, words, ack["reason"])
        assert all(c["cmd_id"] != made["cmd_id"] for c in self.acquisition.measuring())
        return made


def a_good_command_passes_as_it_was_and_its_acks_come_back():
    with Trio() as t:
        made = t.passes()
        [got] = t.acquisition.measuring()
        for key in ("cmd_id", "decision_id", "kind", "frame", "frames", "dwell_us", "valid_until_ns", "as_of"):
            assert got[key] == made[key], (key, got[key])
        assert got["targets"][0]["px"] == made["targets"][0]["px"]
        assert [a["status"] for a in t.plugin.acks] == ["received", "started", "done"]
        [line] = [x for x in t.guard.lines() if x["what"] == "command"]
        assert line["verdict"] == "pass" and line["targets"][0]["px"] == made["targets"][0]["px"]
        assert t.plugin.attaches[0]["as"] == "guard" and t.plugin.attaches[0]["mode"] == "auto"


def each_wrong_command_is_refused_with_its_reason():
    def target(**more):
        return [dict({"kind": "box", "px": [8, 8, 8, 8], "dwell_us": 2.0, "signal": "both"}, **more)]

    two = target() + target(px=[8, 12, 8, 8])
    back = target(px=[8, 8, 8, 8]) + target(px=[24, 8, 8, 8]) + target(px=[16, 8, 8, 8])
    far = target(px=[0, 0, 1, 1]) + target(px=[0, 62, 1, 1])
    now = time.time_ns()
    with Trio({"step_px": 50, "margin_px": 2, "targets_per_command": 3}) as t:
        good = t.passes()
        t.refuses("malformed", kind="dance")
        t.refuses("malformed", targets=target(px=[8, 8, 8, 80]))
        t.refuses("malformed", targets=target(px=[8, 8, 8]))
        t.refuses("malformed", frames=2.5)
        t.refuses("outside", targets=target(px=[0, 8, 8, 8]))
        t.refuses("box", targets=target(px=[8, 8, 8, 40]))
        t.refuses("dwell", dwell_us=21.0)
        t.refuses("dwell", dwell_us=0.5, targets=target(dwell_us=0.5))
        t.refuses("frames", frames=5)
        t.refuses("frame_order", frame=0)
        t.refuses("frame_order", frame=good["frame"])
        t.refuses("expired", valid_until_ns=now - 10**9)
        t.refuses("ahead", valid_until_ns=time.time_ns() + 60 * 10**9)
        t.refuses("stale", as_of={"control": 1, "HAADF": 0})
        t.refuses("stale", as_of={"control": 1})
        t.refuses("decision", decision_id=good["decision_id"])
        t.refuses("id_order", cmd_id="c-0")
        t.refuses("overlap", targets=two)
        t.refuses("line_order", targets=back)
        t.refuses("step", targets=[dict(x, px=[x["px"][0] + 2, min(x["px"][1] + 2, 60), 1, 1]) for x in far])
        t.refuses("targets", targets=[dict(target()[0], px=[8, 2 + 4 * i, 8, 4]) for i in range(4)])
        t.refuses("chip_dose", dwell_us=20.0, targets=target(dwell_us=20.0))
        t.plugin.send(good)
        wait_until(lambda: [a for a in t.plugin.acks if a["status"] == "rejected" and
                            a["cmd_id"] == good["cmd_id"]], 5, "the repeat to be refused")
        assert len(t.acquisition.measuring()) == 1
        assert t.acquisition.status()["commands"]["passed"] == 1
        t.passes()
        verdicts = [x["verdict"] for x in t.guard.lines() if x["what"] == "command"]
        assert verdicts.count("pass") == 2 and "chip_dose" in verdicts and "repeated" in verdicts


def bytes_that_are_no_command_reach_nobody():
    with Trio() as t:
        packed = msgpack.packb(command(t.plugin))
        for junk in (b"", b"\xc1", packed[:-3], packed + b"x", packed.replace(b"box", b"b\xffx"),
                     msgpack.packb({"type": "command"}), msgpack.packb(dict(command(t.plugin), dwell_us=float("nan")))):
            t.plugin.send(junk)
        t.passes()
        assert len(t.acquisition.measuring()) == 1


def the_cap_holds_though_the_plugin_lies_low():
    """Survey 2 us and commands of 2 us under a cap of 7: two pass, whatever the ledger says."""
    with Trio({"chip_dose_e_per_A2": 7 * 624.16}) as t:
        t.plugin.ledger[:] = 0
        t.passes()
        t.passes()
        t.refuses("chip_dose")
        t.passes(y=24)  # elsewhere there is room


def a_ledger_that_says_more_counts():
    with Trio({"chip_dose_e_per_A2": 7 * 624.16}) as t:
        t.plugin.ledger[1, 1] = 6.0
        wait_until(lambda: t.acquisition.status()["dose"]["max"] > 5.9 * 624, 5, "the ledger to be believed")
        t.refuses("chip_dose")
        t.passes(y=24)


def stop_and_blank_pass_a_hold():
    with Trio() as t:
        assert t.acquisition.ask("steer.hold")["result"]["held"] is True
        t.refuses("held")
        stop = t.send(kind="stop", targets=[], cmd_id="s-1")
        wait_until(lambda: any(c["cmd_id"] == stop["cmd_id"] for _, c in t.acquisition.of_kind("stop")), 5, "the stop")
        t.plugin.send({"type": "command", "cmd_id": "s-2", "kind": "blank"})  # told badly, meant well
        t.acquisition.wait_command("blank")


def a_hold_stops_what_runs_and_lets_nothing_pass_from_either_side():
    with Trio(acquisition={"answers": ("received", "started")}) as t:
        made = t.send()
        t.plugin.ack_of(made["cmd_id"], "started")
        held = time.monotonic()
        assert t.acquisition.ask("steer.hold")["ok"]
        told, _ = t.acquisition.wait_command("stop")
        assert told - held < 0.5 * SLOW, told - held
        t.refuses("held", y=24)
        wait_until(lambda: t.acquisition.beats[-1][1]["state"] == "held", 3, "the heartbeat to say so")
        assert t.acquisition.ask("steer.resume")["result"]["held"] is False
        t.send(y=40)
        wait_until(lambda: len(t.acquisition.measuring()) == 2, 5, "a command after resume")
        # the plugin's own hold, as its status tells it
        t.plugin.held = True
        stops = len(t.acquisition.of_kind("stop"))
        wait_until(lambda: len(t.acquisition.of_kind("stop")) > stops, 3, "the plugin's hold to stop it")
        t.refuses("held", "held at the plugin", y=24)
        t.plugin.held = False
        wait_until(lambda: not t.acquisition.status()["held"], 3, "the plugin's hold to end")


def signals_hold_and_resume_and_a_hold_outlives_the_guard():
    with Trio() as t:
        t.guard.process.send_signal(signal.SIGUSR1)
        t.acquisition.wait_command("stop")
        t.refuses("held", "held by signal")
        t.guard.kill()
        t.guard.start()
        assert t.acquisition.attach()["state"] in ("held", "waiting")
        t.plugin.wait_attached()
        t.refuses("held", "held since before its restart")
        t.guard.process.send_signal(signal.SIGUSR2)
        wait_until(lambda: not t.acquisition.status()["held"], 3, "the hold to end")
        t.passes()


def the_plugin_is_told_of_a_hold_of_the_guards_own_and_of_its_end():
    def told(words):
        """Without any command."""
        wait_until(lambda: t.plugin.own_holds[-1] == words, 3, "the plugin to be told %r" % words)

    with Trio() as t:
        told(None)
        began = time.monotonic()
        assert t.acquisition.ask("steer.hold")["ok"]
        told("held by acquisition")
        took = time.monotonic() - began
        assert t.acquisition.ask("steer.resume")["ok"]
        told(None)
        t.guard.process.send_signal(signal.SIGUSR1)
        told("held by signal")
        t.guard.kill()
        t.guard.start()
        t.plugin.owner, asked = None, len(t.plugin.requests)
        t.acquisition.attach()
        t.plugin.wait_attached()
        assert t.plugin.own_holds[0] == "held since before its restart", t.plugin.own_holds
        ops = [op for _, op in t.plugin.requests]
        assert ops[ops.index("steer.attach", asked) + 1] == "status", ops[asked:]  # nothing may be commanded in between
        t.guard.process.send_signal(signal.SIGUSR2)
        told(None)
        t.plugin.held = True  # which is none of the guard's own
        wait_until(lambda: t.acquisition.status()["held"], 3, "the plugin's hold to be known")
        told_so_far = len(t.plugin.own_holds)
        wait_until(lambda: len(t.plugin.own_holds) >= told_so_far + 2, 3, "two more statuses")
        assert not any(t.plugin.own_holds[told_so_far:]), t.plugin.own_holds
        return "told within %.0f ms" % (1e3 * took)


def a_hold_is_stronger_than_the_safe_state_raster():
    for by in ("guard", "plugin"):
        with Trio({"safe_state": "raster"}) as t:
            if by == "guard":
                assert t.acquisition.ask("steer.hold")["ok"]
            t.plugin.held = by == "plugin"
            t.acquisition.wait_command("stop")
            t.plugin.mute = True
            wait_until(lambda: t.acquisition.beats[-1][1]["state"] == "safe", 4, "the plugin to be lost")
            assert t.acquisition.status()["held"] is True
            beats = len(t.acquisition.beats)
            wait_until(lambda: len(t.acquisition.beats) >= beats + 2, 5, "two heartbeats")
            assert t.acquisition.beats[-1][1]["safe"] == "stop" and not t.acquisition.of_kind("raster")
    with Trio({"safe_state": "raster", "chip_dose_e_per_A2": 1e9, "total_dose_e_per_A2": 1e9}) as t:
        t.plugin.mute = True
        t.acquisition.wait_command("raster", 4)
        assert t.acquisition.ask("steer.hold")["ok"]
        t.acquisition.wait_command("stop")
        assert t.acquisition.commands[-1][1]["kind"] == "stop"
        # the end of the guard begins no raster either
        assert t.acquisition.ask("steer.resume")["ok"]
        rasters = len(t.acquisition.of_kind("raster"))
        t.guard.process.send_signal(signal.SIGTERM)
        t.acquisition.wait_command("blank")
        assert len(t.acquisition.of_kind("raster")) == rasters


def what_came_before_a_stop_or_a_hold_does_not_pass_after_it():
    with Trio() as t:
        first = command(t.plugin)
        t.plugin.send(first, {"type": "command", "cmd_id": "s-1", "kind": "stop"})
        assert t.plugin.ack_of(first["cmd_id"])["reason"] == "guard: held: a stop came after it"
        t.acquisition.wait_command("stop")
        t.plugin.silent_status = True
        second = t.send()
        asked = len(t.plugin.requests)
        wait_until(lambda: [op for _, op in t.plugin.requests[asked:]].count("status") >= 3, 5, "it to wait for a status")
        assert t.acquisition.ask("steer.hold")["ok"] and t.acquisition.ask("steer.resume")["ok"]
        t.plugin.silent_status = False
        assert "held" in t.plugin.ack_of(second["cmd_id"])["reason"]
        third = t.passes()
        assert [c["cmd_id"] for c in t.acquisition.measuring()] == [third["cmd_id"]]


def a_number_too_large_for_the_journal_is_refused_and_a_guard_starts_again():
    with Trio() as t:
        t.refuses("malformed", as_of={"control": 1, "HAADF": 2**63})
        t.passes(as_of={"control": 1, "HAADF": 2**63 - 1})
        t.guard.kill()
        t.guard.start()
        assert t.acquisition.status()["journal"]["ok"]


def silence_of_the_plugin_leads_to_the_safe_state_in_two_seconds():
    for safe in ("stop", "blank", "raster"):
        with Trio({"safe_state": safe}) as t:
            t.plugin.mute = True
            last = time.monotonic()
            told, order = t.acquisition.wait_command(safe, 4)
            assert order["cmd_id"].startswith("guard-"), order
            assert told - last <= 2.0 * SLOW, told - last
            wait_until(lambda: t.acquisition.beats[-1][1]["state"] == "safe", 3, "the heartbeat to say so")
            if safe == "raster":  # a plugin that comes back before would end it with a stop
                t.acquisition.wait_command("blank")
            t.plugin.mute = False
            wait_until(lambda: t.acquisition.status()["state"] == "steering", 5, "the plugin to be back")
            t.plugin.wait_attached()
            if safe != "raster":
                t.passes()
                continue
            # frames of 8 ms at 1248 e-/A^2 each: booked as they go, and blanked where the next one would pass a cap
            dose = t.acquisition.status()["dose"]
            assert 1248 * 1.5 < dose["mean"] <= 3000 and dose["max"] <= 12000, dose
            t.refuses("total_dose", h=32, w=32, frames=2)


DOOMED = """
import sys
sys.path[:0] = %r
from guard_peers import Plugin
plugin = Plugin(sys.argv[1])
plugin.wait_attached()
print("attached", flush=True)
sys.stdin.read()
"""


def death_of_the_plugin_leads_to_the_safe_state_in_two_seconds():
    here = os.path.dirname(os.path.abspath(__file__))
    with Guard() as guard:
        acquisition = Acquisition(guard.listen)
        doomed = subprocess.Popen([sys.executable, "-B", "-c", DOOMED % [here, os.path.join(here, "..", "support")],
                                   guard.control], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert doomed.stdout.readline() == b"attached\n"
        doomed.kill()
        died = time.monotonic()
        told, _ = acquisition.wait_command("blank", 4)
        doomed.wait()
        assert told - died <= 2.0 * SLOW, told - died
        acquisition.close()
        return "%.2f s" % (told - died)


def an_order_is_sent_until_it_is_heard():
    with Trio(acquisition={"answers": ()}) as t:
        t.plugin.mute = True
        _, first = t.acquisition.wait_command("blank", 4)
        wait_until(lambda: len(t.acquisition.of_kind("blank")) >= 3, 5, "it to be said again")
        assert {c["cmd_id"] for _, c in t.acquisition.of_kind("blank")} == {first["cmd_id"]}
        t.acquisition.acked(first["cmd_id"], "received")
        t.acquisition.status()
        told = len(t.acquisition.of_kind("blank"))
        beats = len(t.acquisition.beats)
        wait_until(lambda: len(t.acquisition.beats) >= beats + 3, 5, "three heartbeats")
        assert len(t.acquisition.of_kind("blank")) <= told + 1


def the_plugin_hears_that_the_acquisition_is_gone():
    for how in ("silent", "closed"):
        with Trio(acquisition={"answers": ("received", "started")}) as t:
            made = t.send()
            t.plugin.ack_of(made["cmd_id"], "started")
            gone = time.monotonic()
            if how == "silent":
                t.acquisition.silent = True
            else:
                t.acquisition.close()
            t.plugin.ack_of(made["cmd_id"], "rejected", 5)
            took = time.monotonic() - gone
            assert took <= 2.6 * SLOW, took
            wait_until(lambda: t.plugin.owner is None, 3, "the guard to detach")
            if how == "silent":
                t.acquisition.silent = False
                wait_until(lambda: t.plugin.owner is not None, 5, "the guard to attach again")
            else:
                t.acquisition = Acquisition(t.guard.listen)
                t.plugin.wait_attached()
                t.passes(y=40)


def the_guard_beats_twice_a_second():
    with Trio() as t:
        wait_until(lambda: len(t.acquisition.beats) >= 5, 5, "five heartbeats")
        gaps = [b[0] - a[0] for a, b in zip(t.acquisition.beats, t.acquisition.beats[1:])]
        assert max(gaps) < 1.5 * SLOW, gaps
        assert t.acquisition.beats[-1][1]["state"] == "steering"


def one_acquisition_at_a_time():
    with Trio() as t:
        second = Acquisition(t.guard.listen, attach=False)
        reply = second.ask("steer.attach", mode="auto")
        assert not reply["ok"] and reply["error"]["code"] == "busy", reply
        assert second.ask("steer.detach")["error"]["code"] == "not_owner"
        assert second.ask("status")["ok"]
        named = Acquisition(t.guard.listen, attach=False, identity=b"scope")  # whoever takes it up gets its commands
        assert named.ask("steer.attach", mode="auto")["error"]["code"] == "own_id"
        named.close()
        assert second.ask("steer.hold")["ok"]  # whoever sees that something is wrong
        assert second.ask("steer.resume")["ok"]
        assert second.ask("steer.decide", decision_id="x")["error"]["code"] == "unknown_op"
        assert second.ask("steer.attach", mode="never")["error"]["code"] == "bad_value"
        assert t.acquisition.ask("steer.detach")["ok"]
        assert second.attach()["mode"] == "auto"
        second.close()


def without_an_acquisition_nothing_is_asked_of_the_plugin():
    with Guard() as guard:
        plugin = Plugin(guard.control)
        wait_until(lambda: [op for _, op in plugin.requests].count("status") >= 3, 5, "status to be asked")
        assert plugin.owner is None
        for mode in ("off", "advise"):
            acquisition = Acquisition(guard.listen, mode=mode)
            before = len(plugin.requests)
            wait_until(lambda: len(plugin.requests) >= before + 3, 5, "status to be asked")
            assert plugin.owner is None
            assert acquisition.ask("steer.detach")["ok"]
            acquisition.close()
        plugin.close()


def what_the_plugin_answers_to_attach_is_told():
    with Guard() as guard:
        plugin = Plugin(guard.control)
        plugin.refuse_attach = "beam_current_na is missing"
        acquisition = Acquisition(guard.listen)
        wait_until(lambda: acquisition.status()["plugin"]["refusal"] == plugin.refuse_attach, 5, "the refusal")
        assert acquisition.status()["state"] == "waiting"
        plugin.refuse_attach = None
        plugin.wait_attached()
        acquisition.close()
        plugin.close()


def a_command_that_leaves_before_the_answer_to_attach_passes():
    """The plugin answers when its disk has it, and acts before: the first command was refused as detached."""
    with Guard() as guard:
        plugin = Plugin(guard.control)
        plugin.first = command(plugin, valid_until_ns=time.time_ns() + 8 * 10**9)
        acquisition = Acquisition(guard.listen)
        plugin.ack_of(plugin.first["cmd_id"], "done")
        acquisition.close()
        plugin.close()


def a_repeated_command_is_refused_after_a_restart_and_its_dose_is_kept():
    with Trio({"chip_dose_e_per_A2": 5 * 624.16}) as t:
        made = t.passes()
        t.guard.kill()
        t.guard.start()
        t.acquisition.attach()
        t.plugin.wait_attached()
        t.plugin.send(dict(made, valid_until_ns=time.time_ns() + 10**9))
        wait_until(lambda: [a for a in t.plugin.acks if a["cmd_id"] == made["cmd_id"] and a["status"] == "rejected"
                            and "repeated" in a["reason"]], 5, "the repeat to be refused")
        t.refuses("chip_dose")
        assert len(t.acquisition.measuring()) == 1


def a_new_session_is_booked_anew_and_an_old_name_is_not():
    with Trio({"chip_dose_e_per_A2": 5 * 624.16}) as t:
        t.passes()
        t.refuses("chip_dose")
        t.plugin.session = "s2"
        t.plugin.scan = dict(t.plugin.scan, session="s2")
        wait_until(lambda: t.acquisition.status()["session"] == "s2", 3, "the new session")
        wait_until(lambda: t.plugin.requests[-1][1] == "dose.get", 3, "its ledger")
        t.acquisition.status()
        wait_until(lambda: abs(t.acquisition.status()["dose"]["max"] - 2 * 624.15) < 1, 3, "its dose")
        t.plugin.session = "s1"
        t.plugin.scan = dict(t.plugin.scan, session="s1")
        wait_until(lambda: t.acquisition.status()["session"] == "s1", 3, "the old name")
        t.refuses("session")


def what_runs_when_its_session_ends_is_told_to_stop():
    with Trio(acquisition={"answers": ("received", "started")}) as t:
        made = t.send()
        t.plugin.ack_of(made["cmd_id"], "started")
        t.plugin.session = "s2"
        t.plugin.scan = dict(t.plugin.scan, session="s2")
        t.plugin.ack_of(made["cmd_id"], "rejected")
        _, order = t.acquisition.wait_command("stop")
        assert order["cmd_id"].startswith("guard-"), order


def a_command_is_judged_in_the_session_that_it_was_made_in():
    """The plugin changed its session just before: what the guard knew half a second ago does not count."""
    with Trio({"chip_dose_e_per_A2": 5 * 624.16}) as t:
        t.passes()
        t.plugin.busy_ledger = True
        t.plugin.session = "s2"
        t.plugin.scan = dict(t.plugin.scan, session="s2")
        made = t.send()
        ack = t.plugin.ack_of(made["cmd_id"], "rejected")
        assert "ledger" in ack["reason"] or "session" in ack["reason"], ack
        assert len(t.acquisition.measuring()) == 1


def nobody_changes_a_limit_but_the_file_at_the_start():
    with Trio() as t:
        before = t.acquisition.status()["limits"]
        for op in ("params.set", "limits.set", "guard.limits"):
            assert t.acquisition.ask(op, **{"guard.limits": "x", "box_px": 1e9})["error"]["code"] == "unknown_op"
        with open(t.guard.limits_path, "a") as file:
            file.write("margin_px: 9\n")
        t.acquisition.limits = {"dose_e_per_A2": 1e9, "box_px": 1e9, "rate_hz": 1e9}
        t.acquisition.attach()
        assert t.acquisition.status()["limits"] == before
        t.acquisition.limits = {"dose_e_per_A2": 3000, "box_px": 4, "rate_hz": 0.5}
        t.acquisition.attach()
        after = t.acquisition.status()["limits"]
        assert (after["chip_dose_e_per_A2"], after["box_px"], after["commands_per_s"]) == (3000, 4, 0.5), after
        t.plugin.wait_attached()
        wait_until(lambda: t.plugin.attaches[-1]["limits"]["box_px"] == 4, 3, "the plugin to be told")
        t.refuses("box")


def a_full_disk_lets_nothing_pass_but_a_stop():
    def full():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2600, 2600))

    with Trio(preexec_fn=full) as t:
        passed = 0
        for _ in range(12):
            made = t.send(y=8 + 8 * (passed % 4))
            ack = wait_until(lambda: [a for a in t.plugin.acks if a["cmd_id"] == made["cmd_id"]
                                      and a["status"] in ("done", "rejected")], 5, "an answer")[0]
            if ack["status"] == "rejected":
                assert "journal" in ack["reason"], ack
                break
            passed += 1
        assert ack["status"] == "rejected", "the limit of the test was never met"
        status = t.acquisition.status()
        assert status["journal"]["ok"] is False
        assert len(t.acquisition.measuring()) == passed
        t.send(kind="stop", targets=[], cmd_id="s-9")
        t.acquisition.wait_command("stop")
        # every command that left stands in the journal
        written = [x["cmd_id"] for x in t.guard.lines() if x["what"] == "command" and x["verdict"] == "pass"]
        assert {c["cmd_id"] for c in t.acquisition.measuring()} <= set(written)


def two_guards_do_not_share_a_journal():
    with Guard() as guard:
        other = subprocess.run([BINARY, "guard", "--set", "guard.listen=ipc://%s/other" % guard.folder, "--set",
                                "guard.limits=%s" % guard.limits_path, "--set", "guard.journal=%s" % guard.journal],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               timeout=20 * SLOW)
        assert other.returncode == 1 and "another guard writes it" in other.stderr, other


def wrong_usage_ends_with_two_and_says_why():
    told = flyback("guard", status=2).stderr
    assert "guard.limits names no file" in told, told
    for settings, words in (
        (["guard.plugin=tcp://10.0.0.1:5572"], "is another machine, which needs its key: guard.plugin_key, with security.keys"),
        (["guard.plugin_key=server.key"], "guard.plugin_key: it goes with security.keys"),
    ):
        told = flyback("guard", *[x for s in settings for x in ("--set", s)], status=2).stderr
        assert words in told, told
    with Guard(wait=False, limits={"box_px": "wide"}) as guard:
        guard.process.wait(10 * SLOW)
        assert guard.process.returncode == 2 and "limits.yaml:11: box_px 'wide', allowed: 1 .. 16384" in guard.log_text()
        guard.process.returncode = 0
    assert "Usage: flyback guard" in flyback("guard", "--help").stdout
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    shipped = os.path.join(root, "configs", "guard-limits.yaml")
    assert "safe_state: blank" in flyback("guard", "--set", "guard.limits=%s" % shipped, "--check").stdout
    assert "limits of the guard" in flyback("check", shipped).stdout


def the_end_of_the_guard_is_a_safe_state_too():
    with Trio() as t:
        t.guard.process.send_signal(signal.SIGTERM)
        t.acquisition.wait_command("blank", 3)
        wait_until(lambda: t.plugin.owner is None, 3, "the guard to detach")
        assert t.guard.process.wait(5 * SLOW) == 0
        assert t.guard.lines()[-1]["what"] == "close"


def a_command_is_forwarded_without_much_ado():
    """A number to look at, not to hold: from the plugin's send to the acquisition's recv, both in this process."""
    took = []
    with Trio({"commands_per_s": 50, "chip_dose_e_per_A2": 1e9, "total_dose_e_per_A2": 1e9}) as t:
        for _ in range(40):
            began = time.monotonic()
            made = t.passes()
            took.append([at for at, c in t.acquisition.commands if c["cmd_id"] == made["cmd_id"]][0] - began)
    took.sort()
    return "median %.1f ms, largest of 40 %.1f ms" % (statistics.median(took) * 1e3, took[-1] * 1e3)


run(
    a_good_command_passes_as_it_was_and_its_acks_come_back,
    each_wrong_command_is_refused_with_its_reason,
    bytes_that_are_no_command_reach_nobody,
    the_cap_holds_though_the_plugin_lies_low,
    a_ledger_that_says_more_counts,
    stop_and_blank_pass_a_hold,
    a_hold_stops_what_runs_and_lets_nothing_pass_from_either_side,
    signals_hold_and_resume_and_a_hold_outlives_the_guard,
    the_plugin_is_told_of_a_hold_of_the_guards_own_and_of_its_end,
    a_hold_is_stronger_than_the_safe_state_raster,
    what_came_before_a_stop_or_a_hold_does_not_pass_after_it,
    a_number_too_large_for_the_journal_is_refused_and_a_guard_starts_again,
    silence_of_the_plugin_leads_to_the_safe_state_in_two_seconds,
    death_of_the_plugin_leads_to_the_safe_state_in_two_seconds,
    an_order_is_sent_until_it_is_heard,
    the_plugin_hears_that_the_acquisition_is_gone,
    the_guard_beats_twice_a_second,
    one_acquisition_at_a_time,
    without_an_acquisition_nothing_is_asked_of_the_plugin,
    what_the_plugin_answers_to_attach_is_told,
    a_command_that_leaves_before_the_answer_to_attach_passes,
    a_repeated_command_is_refused_after_a_restart_and_its_dose_is_kept,
    a_new_session_is_booked_anew_and_an_old_name_is_not,
    what_runs_when_its_session_ends_is_told_to_stop,
    a_command_is_judged_in_the_session_that_it_was_made_in,
    nobody_changes_a_limit_but_the_file_at_the_start,
    a_full_disk_lets_nothing_pass_but_a_stop,
    two_guards_do_not_share_a_journal,
    wrong_usage_ends_with_two_and_says_why,
    the_end_of_the_guard_is_a_safe_state_too,
    a_command_is_forwarded_without_much_ado,
)
