"""Steering over the sockets: who has the beam, what becomes of a suggestion, commands and what is said of them, hold, a restart."""

import json
import os
import re
import shutil
import struct
import sys
import tempfile
import time

import msgpack
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from flyback_test import MAPS, SLOW, Flyback, flyback, run, same_map, same_partition, wait_until  # noqa: E402
from steer_peers import Heard, Peer  # noqa: E402

CHIP, ROWS, COLS = 15, 8, 10
SHAPE = (CHIP * ROWS, CHIP * COLS)
KNOWN = {"pixel_nm": [0.05, 0.05], "beam_current_na": 0.05, "pixel_time_us": 1.0, "frames_planned": 2}
FAST = {"chip.size_px": CHIP, "steer.cycle_ms": 100}

_Y, _X = np.mgrid[: SHAPE[0], : SHAPE[1]]
CLEAN = np.where(_X > SHAPE[1] // 2 + 8 * np.sin(_Y / 17), np.cos(2 * np.pi * _X / 3.1),
                 np.cos(2 * np.pi * _X / 5) * np.cos(2 * np.pi * _Y / 5))


class Specimen:
    """Two lattices side by side, seen with noise."""

    def __init__(self, seed=1):
        self.rng = np.random.default_rng(seed)

    def pixels(self, y0, x0, h, w, dwell_us=1.0):
        clean = CLEAN[y0 : y0 + h, x0 : x0 + w]
        seen = 9000 + 1500 * clean + self.rng.normal(0, 3000 / np.sqrt(dwell_us), clean.shape)
        return np.clip(seen, 0, 65535).astype("<u2")


def survey(sender, specimen, classes=True, **facts):
    sender.start(SHAPE, [("HAADF", "<u2")], **{k: v for k, v in {**KNOWN, **facts}.items() if v is not None})
    if classes:
        sender.control.support_add("a", [[1, 1], [5, 2]])
        sender.control.support_add("b", [[1, 8], [5, 7]])
    for y in range(SHAPE[0]):
        sender.lines("HAADF", specimen.pixels(y, 0, 1, SHAPE[1])[0], y)


def measure(sender, specimen, command, stretch=1.0):
    """Send what a command asks for."""
    for target in command["targets"]:
        y0, x0, h, w = (int(v) for v in target["px"])
        dwell_us = stretch * target["dwell_us"]
        sender.lines("HAADF", specimen.pixels(y0, x0, h, w, dwell_us), y0, x0, frame=command["frame"],
                     dwell_us=dwell_us, cmd_id=command["cmd_id"])


def achieved(command, stretch=1.0):
    return {"frames": 1, "pixels": int(sum(t["px"][2] * t["px"][3] for t in command["targets"])),
            "dwell_us": stretch * command["dwell_us"]}


# ---- who has the beam -------------------------------------------------------------------------------


def one_owner_at_a_time_until_it_lets_go_or_is_silent():
    with Flyback(FAST) as fly, fly.sender() as sender, Peer(fly) as a, Peer(fly) as b, Heard(fly) as heard:
        survey(sender, Specimen())
        assert a.ask("status")["owner"] is None
        a.attach("ask")
        owner = b.ask("status")["owner"]
        assert owner["mode"] == "ask" and owner["as"] is None and owner["since_ns"] > 0, owner
        assert owner["name"] == "the controller" and int(owner["identity"], 16) >= 0, owner  # for people, for programs
        assert a.ask("steer.hold")["held_by"] == "the controller" and b.ask("steer.resume")["held"] is False
        assert b.code("steer.attach", mode="advise") == "busy"
        assert b.code("steer.detach") == "not_owner"
        a.attach("advise")  # the owner may change its mind
        a.ask("steer.detach")
        assert a.code("steer.detach") == "not_owner"
        b.attach("ask")
        began = time.monotonic()
        assert a.code("steer.attach", mode="ask") == "busy"
        wait_until(lambda: a.reply("steer.attach", mode="ask")["ok"], 8, "b to be taken for gone")
        silent = time.monotonic() - began
        assert silent > 4.5, silent
        heard.event("owner_silent")
        # whoever is not asked does not decide, and what is no argument is named
        assert a.code("steer.attach", mode="fast") == "bad_value" and "auto" in a.message
        assert a.code("steer.attach") == "bad_key"
        assert a.code("steer.attach", mode="ask", limits={"rate_hz": 0}) == "bad_value" and "rate_hz" in a.message
        assert a.code("steer.attach", mode="ask", limits={"box_px": 10}) == "bad_value" and "15 px" in a.message
        assert a.code("steer.attach", mode="ask", **{"as": "king"}) == "bad_value"
        assert a.code("steer.decide", decision_id="7") == "bad_key"
        assert a.code("steer.decide", decision_id="7", verdict="approve") == "unknown_decision"
        return "b was taken for gone after %.1f s" % silent


def what_ask_and_auto_need_is_named():
    with Flyback(FAST) as fly, fly.sender() as sender, Peer(fly) as a:
        survey(sender, Specimen(), pixel_nm=None, beam_current_na=None)
        assert a.code("steer.attach", mode="ask") == "uncalibrated"
        assert "beam_current_na and pixel_nm" in a.message, a.message
        assert a.code("steer.attach", mode="auto", **{"as": "guard"}) == "uncalibrated"
        assert a.code("steer.attach", mode="advise", limits={"dose_e_per_A2": 100}) == "uncalibrated"
        assert a.code("steer.attach", mode="auto") == "guard_required"
        a.attach("advise", box_px=30)
        assert wait_until(lambda: a.ask("status")["steer"]["dose"], 10, "a decision")["unit"] == "us"
        sender.stop()
    with Flyback(FAST) as fly, fly.sender() as sender, Peer(fly) as a, Heard(fly) as heard:
        a.attach("ask")  # there is no session yet that could lack anything
        survey(sender, Specimen(), beam_current_na=None)
        assert "beam_current_na" in heard.event("steer_uncalibrated")[0]["text"]
        assert a.ask("status")["steer"]["mode"] == "advise"


# ---- suggestions ------------------------------------------------------------------------------------


def a_suggestion_says_what_why_and_until_when():
    with Flyback(dict(FAST, **{"steer.tiles": 12})) as fly, fly.sender() as sender, Heard(fly) as heard, Peer(fly) as a:
        survey(sender, Specimen())
        s = heard.suggest()
        assert s["policy"] == "adaptive" and s["mode"] == "advise" and s["stop"] is None
        assert set(s["as_of"]) == {"control", "HAADF"} and s["as_of"]["HAADF"] > 0
        assert 0 < s["expected_error"] < 1 and 1 <= len(s["targets"]) <= 12
        assert s["valid_until_ns"] - s["t_ns"] <= 200e6 and int(s["decision_id"]) > 0
        gains = [t["expected_gain"] for t in s["targets"]]
        assert min(gains) >= 0 and max(gains) > 0
        for t in s["targets"]:
            y0, x0, h, w = t["px"]
            assert t["kind"] == "box" and h == CHIP and w % CHIP == 0 and y0 % CHIP == 0 and x0 % CHIP == 0
            assert np.allclose(t["frac"], [y0 / SHAPE[0], x0 / SHAPE[1], h / SHAPE[0], w / SHAPE[1]])
            assert np.allclose(t["nm"], np.array(t["px"]) * 0.05) and t["signal"] == "haadf"
            dose = t["dwell_us"] * 0.05 * 6241.509 / 0.25  # 1 nA is 6241.509 e- in 1 us; a pixel has 0.25 A^2
            assert abs(t["dose_e_per_A2"] / dose - 1) < 1e-6 and t["reason"]
        assert len(s["alternatives"]) <= 8
        steer = a.ask("status")["steer"]
        assert steer["mode"] == "advise" and steer["held"] is False and steer["decision_id"] is not None
        assert steer["dose"]["unit"] == "e_per_A2" and steer["dose"]["max"] > 0
        with Heard(fly) as late:  # whoever comes later hears the newest
            wait_until(lambda: late.suggest()["seq"] == heard.suggest()["seq"], 10, "both to have heard the newest")
        with fly.controller() as control:  # and off is off
            control.params_set({"steer.mode": "off"})
            heard.quiet()
            said = len(heard.suggests)
            control.support_add("a", [[2, 1]])
            sender.lines("HAADF", Specimen().pixels(0, 0, CHIP, SHAPE[1]), 0, frame=1)
            heard.quiet()
            assert len(heard.suggests) == said and a.ask("status")["steer"]["mode"] == "off"
            assert a.code("steer.attach", mode="ask") == "steer_off"
            control.params_set({"steer.mode": "advise", "steer.policy": "raster", "steer.target_error": 0})
            assert heard.suggest(after=said)["policy"] == "raster"
            return "%d places, error %.3f" % (len(s["targets"]), s["expected_error"])


def why_nothing_is_proposed_is_said():
    """In status, as a sentence; nil while something is."""

    def idle(peer, words):
        def said():
            told = peer.ask("status")["steer"]["idle"]
            return told is not None and words in told and told

        return wait_until(said, 10, "the words '%s'" % words)

    told = []
    with Flyback(dict(FAST, **{"steer.dose_cap": 2, "tree.k": 1})) as fly, fly.sender() as sender, Peer(fly) as a, \
            fly.controller() as control:
        told.append(idle(a, "there is no session"))
        specimen = Specimen()
        sender.start(SHAPE, [("HAADF", "<u2")], **KNOWN)
        for y in range(SHAPE[0]):
            if y == SHAPE[0] // 2:
                told.append(idle(a, "the survey, the session's first frame, is not over yet"))
            sender.lines("HAADF", specimen.pixels(y, 0, 1, SHAPE[1])[0], y)
        told.append(idle(a, "two clusters, or two classes of a support set: the map has one cluster"))
        for y in range(SHAPE[0]):
            sender.lines("HAADF", specimen.pixels(y, 0, 1, SHAPE[1])[0], y, frame=1)
        control.support_add("a", [[1, 1], [5, 2]])
        control.support_add("b", [[1, 8], [5, 7]])
        told.append(idle(a, "has had what it may have"))  # two survey dwells, and two frames are there
        control.params_set({"steer.policy": "frozen"})
        told.append(idle(a, "steer.policy is frozen"))
        control.params_set({"steer.mode": "off"})
        told.append(idle(a, "steer.mode is off"))
        sender.stop()
        control.params_set({"steer.mode": "advise"})
        told.append(idle(a, "the session is over; before its end: steer.policy is frozen"))
    with Flyback(FAST) as fly, fly.sender() as sender, Peer(fly) as a, Heard(fly) as heard:
        survey(sender, Specimen())
        until = heard.suggest()["until"]
        assert a.ask("status")["steer"]["idle"] is None
        assert set(until) == {"error", "births", "agreement", "composition", "budget"}, until
        assert until["error"]["limit"] == 0.02 and until["births"]["limit"] == 3, until
        for name in ("agreement", "composition", "budget"):  # there is an image alone, and no budget
            assert until[name]["now" if name != "budget" else "limit"] is None, until
        assert until["budget"]["now"] == 1.0 and not until["budget"]["met"], until  # the survey
    return "; ".join(told)


def in_ask_a_person_decides():
    with Flyback(dict(FAST, **{"steer.ask_s": 1.0 * SLOW})) as fly, fly.sender() as sender, Heard(fly) as heard, \
            Peer(fly) as a, Peer(fly) as person:
        specimen = Specimen()
        a.attach("ask")
        heard.owner = a
        survey(sender, specimen)
        first = heard.suggest("ask")
        assert a.ask("status")["steer"]["undecided"] == first["decision_id"]
        a.quiet(0.3)
        result = person.ask("steer.decide", decision_id=first["decision_id"], verdict="approve", reason="looks right")
        assert result == {"decision_id": first["decision_id"], "verdict": "approve"}
        command = a.command()
        assert command["decision_id"] == first["decision_id"] and command["kind"] == "box"
        assert command["frame"] == 2 and command["frames"] == 1  # beyond those planned
        order = sorted(tuple(t["px"]) for t in command["targets"])
        assert order == sorted(tuple(t["px"]) for t in first["targets"])
        assert person.code("steer.decide", decision_id=first["decision_id"], verdict="veto") == "decided"
        a.ack(command, "received", "started")
        measure(sender, specimen, command)
        a.ack(command, "done", frames=1, pixels=sum(t["px"][2] * t["px"][3] for t in command["targets"]))
        second = heard.suggest("ask", after=len(heard.suggests))
        person.ask("steer.decide", decision_id=second["decision_id"], verdict="veto", reason=None)
        vetoed = {tuple(t["px"]) for t in second["targets"]}
        third = heard.suggest("ask", after=len(heard.suggests))
        assert not vetoed & {tuple(t["px"]) for t in third["targets"]}, "a place was vetoed and proposed again"
        expired = heard.event("decision_expired")[0]["data"]["decision_id"]
        assert expired == third["decision_id"], (expired, third["decision_id"])
        assert person.code("steer.decide", decision_id=expired, verdict="approve") == "expired"
        a.quiet(0.2)
        assert person.code("steer.decide", decision_id="nobody", verdict="approve") == "unknown_decision"


# ---- commands ---------------------------------------------------------------------------------------


def in_auto_the_guard_gets_commands_and_what_comes_back_is_watched():
    # Random: it has something to command however good the map is.
    with Flyback(dict(FAST, **{"steer.policy": "random", "steer.tiles": 12, "steer.target_error": 0})) as fly, \
            fly.sender() as sender, Heard(fly) as heard, Peer(fly) as guard, Peer(fly) as other:
        specimen = Specimen()
        guard.attach("auto", guard=True)
        heard.owner = guard
        survey(sender, specimen)
        seen = []
        for turn in range(3):
            command = guard.command()
            seen.append((int(command["cmd_id"]), command["frame"], command["decision_id"]))
            assert {t["signal"] for t in command["targets"]} == {"haadf"}
            assert max(t["dwell_us"] for t in command["targets"]) == command["dwell_us"]
            if turn == 0:
                other.ack(command, "done")  # of somebody who was not asked
                guard.ack({"cmd_id": "12"}, "received")
                guard.ack(command, "received", "received", "started", "received")
                heard.counted("acks_refused", 4)
                guard.say({"type": "ack", "cmd_id": command["cmd_id"]})
                heard.counted("acks_refused", 5)
            guard.ack(command, *(("received", "started") if turn else ()))
            guard.quiet(0.2)  # one at a time
            measure(sender, specimen, command, stretch=1.2 if turn == 0 else 1.0)
            guard.ack(command, "done", **(achieved(command, 1.2) if turn == 2 else achieved(command)))
        ids, frames, decisions = zip(*seen)
        assert sorted(set(ids)) == list(ids) and list(frames) == [2, 3, 4] and len(set(decisions)) == 3, seen
        # the very first command, by its data; the third, by what its acquisition says, whatever its data do
        wait_until(lambda: len(heard.event("dose_differs")) == 2, 15, "both alarms")
        differs = heard.event("dose_differs")
        assert [d["data"]["cmd_id"] for d in differs] == [str(ids[0]), str(ids[2])], differs
        for d in differs:
            assert d["level"] == "warning" and abs(d["data"]["dwell_us"] / d["data"]["commanded_us"] - 1.2) < 0.01, d
        marked = {c["cmd_id"]: c["dose_differs"] for c in guard.ask("status")["steer"]["commands"]}
        assert marked.get(str(ids[2])) and not marked.get(str(ids[1]), False), marked
        heard.counted("commands_done", 3)
        command = guard.command()
        refused = {tuple(t["px"]) for t in command["targets"]}
        guard.ack(command, "rejected", reason="beyond the field")
        assert "beyond the field" in heard.event("command_rejected")[0]["text"]
        command = guard.command()
        assert not refused & {tuple(t["px"]) for t in command["targets"]}, "what was rejected is asked for again"
        sender.stop()
        assert guard.command()["kind"] == "stop"  # the session ends under it
        heard.event("command_withdrawn")


def what_is_not_acknowledged_is_withdrawn_for_good():
    with Flyback(FAST) as fly, fly.sender() as sender, Heard(fly) as heard, Peer(fly) as guard:
        guard.attach("auto", guard=True, rate_hz=4)
        survey(sender, Specimen())
        commands, stops = [], 0
        began = time.monotonic()
        while len(commands) < 4:
            command = guard.command()
            if command["kind"] == "stop":
                stops += 1
            else:
                assert stops == len(commands), "not each one was told to stop as it was withdrawn"
                commands.append(command)
        assert time.monotonic() - began > 3 * 0.25 - 0.1
        withdrawn = [e["data"]["cmd_id"] for e in heard.event("command_withdrawn")]
        assert withdrawn[0] == commands[0]["cmd_id"]
        assert len({c["cmd_id"] for c in commands}) == len({c["decision_id"] for c in commands}) == 4
        assert [c["frame"] for c in commands] == [2, 3, 4, 5]
        guard.ack(commands[0], "received")
        assert heard.event("ack_refused")[0]["data"]["cmd_id"] == commands[0]["cmd_id"]
        heard.counted("commands_withdrawn", 3)


def hold_comes_before_the_next_command_and_ends_the_one_that_runs():
    with Flyback(FAST) as fly, fly.sender() as sender, Peer(fly) as guard, Peer(fly) as viewer:
        specimen = Specimen()
        guard.attach("auto", guard=True)
        survey(sender, specimen)
        command = guard.command()
        guard.ack(command, "received", "started")
        guard.ask("status")  # what was said before this is known
        told = viewer.ask("steer.hold", by="anna")
        assert {k: told[k] for k in ("held", "held_by", "held_role")} == {"held": True, "held_by": "anna", "held_role": None}
        assert len(told["held_id"]) == 10 and told["held_id"] != viewer.ask("status")["owner"]["identity"], told
        stop = guard.command()
        assert stop["kind"] == "stop" and stop["targets"] == [] and stop["cmd_id"] != command["cmd_id"], stop
        measure(sender, specimen, command)
        guard.ack(stop, "received", "done")
        guard.ack(command, "done")
        guard.quiet(1.0)
        steer = viewer.ask("status")["steer"]
        assert steer["held"] and steer["held_by"] == "anna" and steer["mode"] == "auto", steer
        assert viewer.ask("steer.hold", by="ben")["held_by"] == "ben"  # once more says the same
        assert guard.command()["kind"] == "stop"  # and stops whatever may run
        assert viewer.ask("steer.resume") == {"held": False, "held_by": None, "held_role": None, "held_id": None}
        assert guard.command()["kind"] == "box"


def a_hold_that_the_guard_tells_is_known_before_a_command_is_refused():
    with Flyback(FAST) as fly, fly.sender() as sender, Heard(fly) as heard, Peer(fly) as guard, Peer(fly) as viewer:
        guard.attach("auto", guard=True)
        heard.owner = guard
        guard.ask("status", own_hold="held by signal")
        [event] = heard.event("guard_held")
        assert event["level"] == "info" and event["data"] == {"by": "the guard"} and "held by signal" in event["text"], event
        assert viewer.ask("status", own_hold=None)["steer"]["guard_held"] == "held by signal", "anybody is believed"
        assert guard.ask("status")["steer"]["guard_held"] == "held by signal", "what is not told is no end of it"
        assert guard.code("status", own_hold=1) == "bad_type" and "own_hold" in guard.message, guard.message
        survey(sender, Specimen())
        assert wait_until(lambda: guard.ask("status")["steer"]["decision_id"], 10, "a decision")
        guard.quiet(0.5)
        assert viewer.ask("steer.resume")["held"] is False  # that hold is not ours to end
        guard.quiet(0.3)
        guard.ask("status", own_hold=None)
        heard.event("guard_resumed")
        assert viewer.ask("status")["steer"]["guard_held"] is None
        assert guard.box()
        heard.poll()
        assert len(heard.event("guard_held")) == 1 and heard.counters["commands_rejected"] == 0


def a_hold_outlives_its_process_and_its_session():
    with Flyback(FAST) as fly:
        kept = os.path.join(fly.settings["recording.dir"], "flyback.hold")

        def again():
            fly.kill()
            fly.start()
            with Peer(fly) as anyone:
                steer = anyone.ask("status")["steer"]
                return steer["held"], steer["held_by"]

        with Peer(fly) as viewer:  # before there is any session
            viewer.ask("steer.hold", by="anna with a space")
            with open(kept) as file:
                assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ anna with a space\n", file.read())
        assert again() == (True, "anna with a space")
        with Peer(fly) as viewer:
            viewer.ask("steer.resume")
            assert not os.path.exists(kept)
        assert again() == (False, None)
        with fly.sender() as sender, Peer(fly) as viewer:  # in a session that has ended since
            survey(sender, Specimen())
            viewer.ask("steer.hold", by="anna")
            sender.stop()
        assert again() == (True, "anna")
        with fly.sender() as sender, Peer(fly) as guard:
            guard.attach("auto", guard=True)
            survey(sender, Specimen())
            assert wait_until(lambda: guard.ask("status")["steer"]["decision_id"], 10, "a decision")
            guard.quiet(0.5)
            guard.ask("steer.resume")
            assert guard.box()
            os.mkdir(kept + ".tmp")  # a disk that does not take it
            assert guard.code("steer.hold") == "not_recorded" and kept in guard.message, guard.message
            assert guard.ask("status")["steer"]["held"] and not os.path.exists(kept)
            os.rmdir(kept + ".tmp")
            guard.ask("steer.hold", by="ben")
            with open(kept, "w") as file:
                file.write("what-nobody-wrote")
        assert again() == (True, None)
    with Flyback(dict(FAST, **{"recording.enabled": "false"})) as fly:  # it is the process's alone
        with Peer(fly) as viewer:
            assert viewer.ask("steer.hold", by="anna")["held"]
        assert again() == (False, None) and not os.path.exists(fly.settings["recording.dir"])


# ---- the record -------------------------------------------------------------------------------------


CRC32C = []
for _byte in range(256):
    for _ in range(8):
        _byte = _byte >> 1 ^ (0x82F63B78 if _byte & 1 else 0)
    CRC32C.append(_byte)


def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC32C[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def change_a_decision(recording, number, key):
    """Another last bit in a number of the `number`-th decision's outcome, with right checksums; the decision's id.
    As stream/RECORDING.md has it."""
    with open(recording, "rb") as file:
        data = bytearray(file.read())
    (seed,) = struct.unpack_from("<I", data, 28)
    at = 32
    while True:
        head = data[at : at + 72]
        lengths = struct.unpack_from("<8I", head, 32)
        end = at + 72 + sum((n + 7) // 8 * 8 for n in lengths)
        body = data[at + 72 : end]
        if head[4] == 4 and b"steer.plan" in body[: lengths[0]]:
            number -= 1
        if head[4] == 4 and number == 0:
            args = msgpack.unpackb(bytes(body[: lengths[0]]))["args"]
            place = body.index(b"outcome")
            place = body.index(key + b"\xcb", place) + len(key) + 8
            body[place] ^= 1
            struct.pack_into("<I", head, 64, crc32c(body))
            struct.pack_into("<I", head, 68, crc32c(head[:68], seed))
            data[at:end] = head + body
            with open(recording, "wb") as file:
                file.write(data)
            return args["decision_id"]
        at = end


def steer_some(fly, sender, guard, specimen, n):
    commands = []
    for _ in range(n):
        command = guard.box()
        commands.append(command)
        guard.ack(command, "received", "started")
        measure(sender, specimen, command)
        guard.ack(command, "done", frames=1, pixels=sum(int(t["px"][2] * t["px"][3]) for t in command["targets"]))
        guard.ask("status")
    return commands


def a_restart_keeps_hold_and_numbers_and_every_decision_can_be_made_again():
    # a target that is never met: decisions go on for as long as it takes
    with Flyback(dict(FAST, **{"steer.target_error": 0, "steer.tiles": 6})) as fly, fly.sender() as sender:
        specimen = Specimen()
        survey(sender, specimen)
        with Peer(fly) as guard:
            guard.attach("auto", guard=True)
            before = steer_some(fly, sender, guard, specimen, 3)
            before.append(guard.command())  # nobody says anything of this one
            guard.ask("steer.hold", by="anna")
        sender.wait_durable()
        fly.kill()
        fly.start()
        with Peer(fly) as guard, Heard(fly) as heard:
            status = guard.ask("status")
            assert status["session"] == sender.session and status["owner"] is None
            assert status["steer"]["held"] and status["steer"]["held_by"] == "anna", status["steer"]
            guard.attach("auto", guard=True)
            guard.quiet(0.5)
            guard.ask("steer.resume")
            after = steer_some(fly, sender, guard, specimen, 2)
            assert min(c["frame"] for c in after) > max(c["frame"] for c in before), "a frame number came twice"
            assert min(int(c["cmd_id"]) for c in after) > max(int(c["cmd_id"]) for c in before)
            assert not {c["decision_id"] for c in before} & {c["decision_id"] for c in after}
            heard.poll()
        sender.stop()
        recording = fly.recording(sender.session)
        found = json.loads(flyback("session", "verify", "--json", recording).stdout)
        with open(recording, "rb") as file:
            bytes_of_it = file.read()
        for key, op in (("decisions", b"steer.plan"), ("commands", b"steer.command"), ("acks", b"steer.ack")):
            written = bytes_of_it.count(msgpack.packb("op") + msgpack.packb(op.decode()))
            assert found[key] == written > 0, (key, found[key], written)
        assert found["acks"] == 3 * 5, found
        words = "steering: %d decisions, %d commands, 15 acks" % (found["decisions"], found["commands"])
        assert words in flyback("session", "verify", recording).stdout
        done = flyback("replay", recording, "--decisions")
        rows = done.stdout.splitlines()
        for command in before[:3] + after:
            row = [r for r in rows if r.startswith(command["decision_id"])]
            assert len(row) == 1 and "done, " in row[0], (command["decision_id"], rows)
        assert rows[-1].endswith("all come out as recorded"), rows[-1]
        said = flyback("replay", "--decisions", "--help").stdout
        columns = rows[0].split()
        results = {row.split(None, len(columns) - 1)[-1].split(":")[0].split(",")[0].split(";")[0] for row in rows[1:-1]}
        assert {"done", "told"} <= results, results
        for word in columns + sorted(results):
            assert re.search(r"^ +%s  " % word, said, re.M), "--help does not explain '%s':\n%s" % (word, said)
        # and it notices what does not: another policy, and a decision that was made of something else
        other = flyback("replay", recording, "--decisions", "--set", "steer.explore=0.5", status=1)
        assert "decision %s" % rows[1].split()[0] in other.stderr, other.stderr
        changed = change_a_decision(recording, 4, b"expected_error")
        flyback("session", "verify", recording)
        other = flyback("replay", recording, "--decisions", status=1)
        assert "decision %s differs: its expected_error" % changed in other.stderr, other.stderr
        assert changed == rows[4].split()[0] and len(other.stdout.splitlines()) == 4
        return rows[-1]


def slow_session(sender, specimen):
    """A survey and a second frame, slowly enough for decisions in between."""
    survey(sender, specimen)
    for y in range(0, SHAPE[0], CHIP):
        time.sleep(0.1 * SLOW)
        sender.lines("HAADF", specimen.pixels(y, 0, CHIP, SHAPE[1]), y, frame=1)
    sender.stop()


def off_and_advise_publish_the_same_maps():
    folder = tempfile.mkdtemp(prefix="fly.")
    try:
        with Flyback(FAST) as fly, fly.sender() as sender:
            slow_session(sender, Specimen())
            recording = shutil.copy(fly.recording(sender.session), folder)
        final, exact = {}, {}
        for mode in ("off", "advise"):
            with Flyback(dict(FAST, **{"steer.mode": mode, "steer.cycle_ms": 20})) as fly, fly.viewer() as viewer, \
                    Heard(fly) as heard, fly.controller() as control:
                flyback("replay", recording, "--new-session", "again", "--ingest", fly.ingest, "--publish", fly.publish,
                        "--control", fly.control, "--quiet")
                viewer.wait(lambda: viewer.stop, 20 * SLOW)
                heard.poll(0.2)
                assert bool(heard.suggests) == (mode == "advise"), (mode, len(heard.suggests))
                final[mode] = dict(viewer.maps)
                exact[mode] = {key: control.map_get(*key, exact=True) for key in viewer.maps}
        assert set(final["off"]) == set(final["advise"]) and set(final["off"]) <= set(MAPS)
        for key in final["off"]:
            same_map(exact["off"][key], exact["advise"][key], "exact %s" % (key,))
            # ids follow from every map before, and so from timing: by first appearance
            same_partition(final["off"][key], final["advise"][key], "final %s" % (key,))
        return "%d maps" % len(final["off"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def decisions_leave_every_interim_map_as_it_would_be():
    """What was published while decisions were made is, map for map, what follows from the data and the epochs alone:
    analyze makes no decisions."""
    folder = tempfile.mkdtemp(prefix="fly.")
    try:
        seen = {}
        with Flyback(dict(FAST, **{"steer.cycle_ms": 20})) as fly, fly.sender() as sender, fly.viewer() as viewer, \
                Heard(fly) as heard:
            def look():
                for key in {(h["method"], h["modality"]) for kind, h in viewer.poll(0.02) if kind == "map"}:
                    seen.setdefault(key, []).append(viewer.maps[key].labels.copy())
                heard.poll()
                return len(heard.suggests)

            survey(sender, Specimen())
            for y in range(0, SHAPE[0], CHIP):
                end = time.monotonic() + 0.1
                while time.monotonic() < end:
                    look()
                sender.lines("HAADF", Specimen(y).pixels(y, 0, CHIP, SHAPE[1]), y, frame=1)
                if y >= 2 * CHIP:  # the data of an epoch each, however slow it is
                    wait_until(lambda: look() >= min(3, y // CHIP), 15, "a decision")
            sender.stop()
            flyback("analyze", fly.recording(sender.session), "--epochs", "--no-pictures", "--out", folder)
        made = {}
        for name in os.listdir(folder):
            words = name[:-4].split("_")
            if words[0] == "epoch" and name.endswith(".npy") and words[-1] == "haadf":
                method = words[2] if len(words) == 4 else "fewshot"
                made.setdefault((method, "haadf"), set()).add(np.load(os.path.join(folder, name)).tobytes())
        assert set(seen) == set(made), (set(seen), set(made))
        for key, maps in seen.items():
            for i, labels in enumerate(maps):
                assert labels.tobytes() in made[key], "%s: published map %d is none that follows from the data" % (key, i)
        return "%d maps published, %d decisions" % (sum(map(len, seen.values())), len(heard.suggests))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    run(
        one_owner_at_a_time_until_it_lets_go_or_is_silent,
        what_ask_and_auto_need_is_named,
        a_suggestion_says_what_why_and_until_when,
        why_nothing_is_proposed_is_said,
        in_ask_a_person_decides,
        in_auto_the_guard_gets_commands_and_what_comes_back_is_watched,
        what_is_not_acknowledged_is_withdrawn_for_good,
        hold_comes_before_the_next_command_and_ends_the_one_that_runs,
        a_hold_that_the_guard_tells_is_known_before_a_command_is_refused,
        a_hold_outlives_its_process_and_its_session,
        a_restart_keeps_hold_and_numbers_and_every_decision_can_be_made_again,
        off_and_advise_publish_the_same_maps,
        decisions_leave_every_interim_map_as_it_would_be,
    )
