"""Keys and roles: who may come in, who may do what, and what the others are told. The table of protocol section 8, written out."""

import http.client
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time

import numpy as np
import zmq

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from flyback_test import BINARY, SLOW, TESTS, Case, Flyback, fc, flyback, run, wait_until  # noqa: E402

CASE = Case(os.path.join(TESTS, "golden", "a_tiny"))
ROLES = ("viewer", "instrument", "controller", "operator", "guard")
# By what a role may do on the control socket, besides `status`.
LOOKS = {"map.get", "chip.get", "graph.curve", "crystallinity.get", "image.get", "region.get", "elements.get", "support.get",
         "changes.get", "dose.get", "steer.hold"}
STEERS = {"steer.attach", "steer.detach"}
CHANGES = {"support.add", "support.remove", "class.rename", "class.remove", "params.set", "frame.shift", "cluster.name",
           "cluster.role", "steer.decide", "steer.resume"}
MAY = {
    "viewer": LOOKS,
    "instrument": set(),
    "controller": LOOKS | STEERS,
    "operator": LOOKS | STEERS | CHANGES,
    "guard": {"dose.get", "steer.detach"},
}
ALL = LOOKS | STEERS | CHANGES
PUBLISH = ("viewer", "controller", "operator")

FOLDER = tempfile.mkdtemp(prefix="fly_keys.")


def at(*names):
    return os.path.join(FOLDER, *names)


def keygen(name, role, out=None):
    """The allow-list line of a fresh pair."""
    return flyback("keygen", "--name", name, "--role", role, "--out", out or at(name)).stdout


def keys(name, server="server"):
    return fc.read_keys(at(name), at(server, "public.key"))


def make_lab():
    keygen("server", "server")
    lines = [keygen(role + "-pc", role) for role in ROLES]
    lines.append(keygen("desk", "viewer,instrument,operator"))
    lines.append(keygen("sends-and-looks", "viewer,instrument"))
    keygen("stranger", "operator")
    keygen("other-server", "server")
    return lines


LINES = make_lab()


def allow(path, lines=None):
    """Write the list whole or not at all, as an editor does."""
    with open(path + ".new", "w") as file:
        file.write("# the lab\n" + "".join(LINES if lines is None else lines))
    os.replace(path + ".new", path)
    return path


def without(*names):
    return [line for line in LINES if line.split()[2] not in names]


def served(settings=None, lines=None, **more):
    """A Flyback with keys and a list of its own."""
    path = tempfile.mktemp(prefix="allow.", dir=FOLDER)
    allow(path, lines)
    fly = Flyback(dict({"chip.size_px": 8, "security.keys": at("server"), "security.allow": path}, **(settings or {})),
                  keys=keys("desk"), **more)
    fly.allow = path
    return fly


def refusals(viewer):
    viewer.poll(0.05)
    return viewer.heartbeat["counters"]["peers_refused"] if viewer.heartbeat else 0


def code_of(control, op, args=None):
    """None when it was done, else the code and the words."""
    try:
        control.request(op, args or {})
        return None, ""
    except fc.RequestError as error:
        return error.code, error.message


# ---- roles ------------------------------------------------------------------------------------------


def a_hold_says_who_and_in_what_role():
    with served() as fly, fly.controller(keys("viewer-pc")) as viewer, fly.controller() as operator:
        viewer.request("steer.hold", {"by": "the king"})  # what it calls itself does not count
        told = operator.status()["steer"]
        assert (told["held_by"], told["held_role"]) == ("viewer-pc", "viewer"), told
        assert len(told["held_id"]) == 10 and int(told["held_id"], 16) >= 0, told
        operator.request("steer.hold")
        told = viewer.status()["steer"]
        assert (told["held_by"], told["held_role"]) == ("desk", "viewer,instrument,operator"), told
        operator.request("steer.resume")
        told = viewer.status()["steer"]
        assert [told[key] for key in ("held_by", "held_role", "held_id")] == [None] * 3, told


def every_role_is_let_in_where_it_belongs_and_nowhere_else():
    with served() as fly:
        for role in ROLES:
            mine = keys(role + "-pc")
            with fly.controller(mine) as control:
                assert control.status()["state"] == "idle"
            hears = True
            with fly.viewer(ask=False, keys=mine) as viewer:
                try:
                    viewer.wait(lambda: viewer.heartbeat is not None, 10 * SLOW)
                except fc.FlybackTimeout:
                    raise AssertionError("%s: neither heard nor refused" % role)
                except fc.FlybackError as error:
                    hears = False
                    assert "role may not come there" in str(error), error
            assert hears == (role in PUBLISH), "%s at publish: %s" % (role, hears)
            sends = True
            with fly.sender(keys=mine, timeout_s=10 * SLOW) as sender:
                try:
                    sender.start([8, 8], [("HAADF", "<u2")])
                    sender.stop()
                except fc.FlybackTimeout:
                    raise AssertionError("%s: neither taken nor refused" % role)
                except fc.FlybackError as error:
                    sends = False
                    assert "ingest" in str(error) and "role may not come there" in str(error), error
            assert sends == (role == "instrument"), "%s at ingest: %s" % (role, sends)
        log = fly.log_text()
        assert "ingest: viewer-pc may not come here with the role viewer; allowed: instrument" in log, log


def every_op_asks_for_the_role_that_the_table_says():
    with served() as fly:
        with fly.controller() as control:
            code, words = code_of(control, "no.such.op")
            assert code == "unknown_op", code
            known = {w.strip(" ,") for w in words.split("known are")[1].split(",")}
            assert known == ALL | {"status"}, "ops without a row in this test, or gone: %s" % (known ^ (ALL | {"status"}))
        asked = 0
        for role in ROLES:
            with fly.controller(keys(role + "-pc")) as control:
                assert code_of(control, "status") == (None, "")
                assert code_of(control, "no.such.op")[0] == "unknown_op"
                for op in sorted(ALL):
                    code, words = code_of(control, op)
                    asked += 1
                    assert (code != "forbidden") == (op in MAY[role]), "%s %s: %s: %s" % (role, op, code, words)
                    if code == "forbidden":
                        who = {r for r in ROLES if op in MAY[r]}
                        told = set(re.search(r"allowed: (\S+)$", words).group(1).split(","))
                        assert op in words and "the role %s of %s-pc" % (role, role) in words, words
                        assert told == who, "%s is told that %s may %s, it is %s" % (role, told, op, who)
        assert asked == 5 * len(ALL)


def the_guard_alone_attaches_as_guard():
    with served() as fly:
        for role in ROLES:
            with fly.controller(keys(role + "-pc")) as control:
                for as_guard in (False, True):
                    args = {"mode": "advise", "limits": {}}
                    args.update({"as": "guard"} if as_guard else {})
                    code, words = code_of(control, "steer.attach", args)
                    may = role == "guard" if as_guard else role in ("controller", "operator")
                    assert (code != "forbidden") == may, (role, as_guard, code, words)
                    if as_guard and not may:
                        assert words.endswith("allowed: guard"), words
                    if code is None:
                        assert code_of(control, "steer.detach")[0] is None


def an_ack_from_a_role_that_may_not_is_counted():
    with served() as fly, fly.viewer(ask=False) as viewer:
        viewer.wait(lambda: viewer.heartbeat is not None, 10 * SLOW)
        ack = fc.pack_header({"type": "ack", "cmd_id": "c-1", "status": "done", "reason": ""})
        for role in ROLES:
            before = refusals(viewer)
            with fly.controller(keys(role + "-pc")) as control:
                control._socket.send_multipart([b"", ack])
                control.status()  # one after the other: it was taken
                beat = viewer.heartbeat
                viewer.wait(lambda: viewer.heartbeat is not beat, 10 * SLOW)
                beat = viewer.heartbeat
                viewer.wait(lambda: viewer.heartbeat is not beat, 10 * SLOW)  # one that was made after it
                counted = refusals(viewer) - before
            assert counted == (role in ("viewer", "instrument")), (role, counted)


# ---- keys -------------------------------------------------------------------------------------------


def whoever_shows_no_good_key_is_refused_told_and_counted():
    with served() as fly, fly.viewer(ask=False) as viewer:
        viewer.wait(lambda: viewer.heartbeat is not None, 10 * SLOW)
        assert refusals(viewer) == 0
        told = []
        for mine, words, logged in (
                (None, "it wants keys", "control: a peer that showed no key"),
                (keys("desk", "other-server"), "its public key is not that of --server-key", "takes us for another server"),
                (keys("stranger"), "refuses this key: it is not in Flyback's allow-list", None)):
            before = refusals(viewer)
            control = fc.Control(fly.control, timeout_s=2.0 * SLOW, keys=mine)
            try:
                control.status()
                raise AssertionError("let in: %s" % words)
            except fc.FlybackError as error:
                assert words in str(error), error
                told.append(str(error))
            wait_until(lambda: refusals(viewer) > before, 10, "the counter to see: %s" % words)
            # one line a second, and these two try again and again
            wait_until(lambda: logged is None or logged in fly.log_text(), 10, "the log to tell of %s" % logged)
            control.close()
        stamps = [e["t_ns"] for e in viewer.events if e["code"] == "peer_refused"]
        assert stamps and min(np.diff(stamps), default=1e9) > 0.9e9, stamps
        with fly.controller() as control:  # and those who may are served as before
            assert control.status()["state"] == "idle"
        return told[-1]


def a_plain_socket_gets_nothing_through():
    with served() as fly, fly.controller() as control:
        context = zmq.Context.instance()
        push, sub = context.socket(zmq.PUSH), context.socket(zmq.SUB)
        for s, address in ((push, fly.ingest), (sub, fly.publish)):
            s.setsockopt(zmq.LINGER, 0)
            s.connect(address)
        sub.setsockopt(zmq.SUBSCRIBE, b"")
        start = {"type": "start", "session": "plain", "stream": "control", "seq": 1, "t_ns": 1, "schema": [1, 0],
                 "scan_shape_px": [8, 8], "detectors": [{"name": "HAADF", "dtype": "<u2"}]}
        push.send_multipart([fc.pack_header(start)], zmq.DONTWAIT)
        log = wait_until(lambda: "ingest: a peer that showed no key" in fly.log_text() or
                         "publish: a peer that showed no key" in fly.log_text(), 10, "a refusal in the log")
        assert log and not sub.poll(1500)
        assert control.status()["session"] == "", "a session of one without a key"
        push.close()
        sub.close()


def a_client_that_is_struck_off_loses_its_rights_at_the_next_message():
    with served() as fly, fly.viewer(ask=False) as stays:
        stays.wait(lambda: stays.heartbeat is not None, 10 * SLOW)
        with fly.controller(keys("operator-pc")) as control, fly.viewer(ask=False, keys=keys("viewer-pc")) as gone, \
                fly.sender(keys=keys("instrument-pc")) as sender, fly.controller() as desk:
            gone.wait(lambda: gone.heartbeat is not None, 10 * SLOW)
            sender.start([16, 16], [("HAADF", "<u2")])
            sender.lines("HAADF", np.zeros((1, 16), "<u2"), 0)
            sender.wait_durable(10 * SLOW)
            assert control.params_set({"log.level": "info"})
            allow(fly.allow, without("operator-pc", "viewer-pc", "instrument-pc"))
            wait_until(lambda: code_of(control, "params.set", {"log.level": "info"})[0] == "forbidden", 10, "it to be noticed")
            code, words = code_of(control, "status")
            assert code == "forbidden" and "the role none" in words, words
            before = desk.status()["last_seq"]["HAADF"]
            refused = refusals(stays)
            line = {"type": "lines", "session": sender.session, "stream": "HAADF", "seq": 2, "t_ns": 1, "frame": 0,
                    "y0_px": 1, "x0_px": 0, "dtype": "<u2", "shape": [1, 16]}
            sender._push_parts([fc.pack_header(line), bytes(32)])
            wait_until(lambda: refusals(stays) > refused, 10, "the line to be refused")
            assert desk.status()["last_seq"]["HAADF"] == before, "a line of one who was struck off"
            try:
                sender.wait_durable(10 * SLOW)
                sender.heartbeat()
                sender.wait_durable(10 * SLOW)
                raise AssertionError("the sender was not told")
            except fc.RequestError as error:
                assert error.code == "forbidden", error
            try:
                gone.wait(lambda: False, 10 * SLOW)
            except fc.FlybackTimeout:
                raise AssertionError("who was struck off listens on")
            except fc.FlybackError as error:
                assert "refuses this key" in str(error), error
            heard = stays.heartbeat
            stays.wait(lambda: stays.heartbeat is not heard, 10 * SLOW)  # parted as well, and back by itself
            assert "some rights were taken back" in fly.log_text()

            allow(fly.allow)  # in the list again: what is open goes on
            wait_until(lambda: code_of(control, "params.set", {"log.level": "info"})[0] is None, 10, "to be back")


def a_role_that_changes_counts_at_once():
    with served() as fly, fly.controller(keys("viewer-pc")) as control:
        assert code_of(control, "params.set", {"log.level": "info"})[0] == "forbidden"
        allow(fly.allow, [line.replace(" viewer viewer-pc", " operator viewer-pc") for line in LINES])
        wait_until(lambda: code_of(control, "params.set", {"log.level": "info"})[0] != "forbidden", 10, "the new role")
        allow(fly.allow)
        wait_until(lambda: code_of(control, "params.set", {"log.level": "info"})[0] == "forbidden", 10, "the old role")


def a_list_with_a_mistake_is_told_and_not_taken():
    with served() as fly, fly.viewer(ask=False) as viewer, fly.controller(keys("operator-pc")) as control:
        viewer.wait(lambda: viewer.heartbeat is not None, 10 * SLOW)
        allow(fly.allow, without("operator-pc") + ["what is this\n"])
        viewer.wait(lambda: any(e["code"] == "allow_list" for e in viewer.events), 10 * SLOW)
        event = [e for e in viewer.events if e["code"] == "allow_list"][0]
        assert event["level"] == "error" and ":%d: " % (len(LINES) + 1) in event["text"], event
        assert "stays in force" in event["text"], event
        assert control.status()["state"] == "idle"


# ---- starting ---------------------------------------------------------------------------------------


def starting(settings, *words, status=None):
    """flyback run with these settings ends at once, and says why."""
    command = [BINARY, "run", "--set", "page.listen=", "--set", "recording.dir=" + at("rec")]
    for name in ("ingest", "publish", "control"):
        settings.setdefault("sockets." + name, "ipc://%s" % at(name[0]))
    for item in settings.items():
        command += ["--set", "%s=%s" % item]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=30 * SLOW)
    assert done.returncode in (1, 2) and status in (None, done.returncode), (done.returncode, done.stderr)
    for word in words:
        assert word in done.stderr, "%s: '%s' is not in: %s" % (settings, word, done.stderr)


def other_machines_need_keys():
    for address in ("tcp://0.0.0.0:0", "tcp://*:0", "tcp://192.0.2.1:5570"):
        for name in ("ingest", "publish", "control"):
            starting({"sockets." + name: address}, "sockets." + name, "security.keys", "security.allow", "flyback keygen",
                     status=2)


def keys_and_list_go_together_and_are_judged():
    allow(at("allow.txt"))
    starting({"security.keys": at("server")}, "security.keys", "goes with security.allow", status=2)
    starting({"security.allow": at("allow.txt")}, "security.allow", "goes with security.keys", status=2)
    both = {"security.keys": at("server"), "security.allow": at("allow.txt")}
    starting(dict(both, **{"security.keys": at("nowhere")}), "security.keys", "nowhere", "flyback keygen")
    starting(dict(both, **{"security.allow": at("nowhere.txt")}), "security.allow", "nowhere.txt", "No such file")
    allow(at("allow.txt"), LINES[:2] + ["# ok\n", LINES[2].replace("controller", "boss")])
    starting(both, "security.allow", "allow.txt:5", '"boss" is no role')
    allow(at("allow.txt"))
    os.chmod(at("allow.txt"), 0o666)
    starting(both, "security.allow", "chmod o-w")
    os.chmod(at("allow.txt"), 0o644)
    secret = at("server", "secret.key")
    for mode in (0o644, 0o640, 0o606):
        os.chmod(secret, mode)
        starting(both, "security.keys", "chmod 600 " + secret)
    os.chmod(secret, 0o600)


def a_secret_that_others_could_read_is_refused_by_clients_too():
    secret = at("desk", "secret.key")
    more = ["--keys", at("desk"), "--server-key", at("server", "public.key")]
    client = os.path.join(os.path.dirname(fc.__file__), "flyback_client.py")
    os.chmod(secret, 0o644)
    try:
        for command in (["sim", "--frames", "1"], ["watch"], ["replay", at("none.fly")], ["watch-folder", FOLDER]):
            done = flyback(*command, *more, status=2)
            assert "chmod 600 " + secret in done.stderr, done.stderr
        done = subprocess.run([sys.executable, "-B", client, "request", "status", *more], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=30 * SLOW)
        assert done.returncode == 1 and "chmod 600 " + secret in done.stderr, done.stderr
    finally:
        os.chmod(secret, 0o600)
    for command in (["sim", "--frames", "1"], ["watch"], ["replay", at("none.fly")], ["watch-folder", FOLDER]):
        done = flyback(*command, "--keys", at("desk"), status=2)
        assert "--server-key is missing" in done.stderr, done.stderr


def python_reads_what_c_writes_and_refuses_what_c_refuses():
    pair = fc.read_keys(at("desk"), at("server", "public.key"))
    with open(at("desk", "public.key")) as file:
        assert "public %s\n" % pair.public.decode() in file.read()
    assert fc.read_keys(at("desk"), pair.server.decode()) == pair
    assert fc.read_keys(None, None) is None
    os.makedirs(at("torn"), exist_ok=True)
    with open(at("desk", "secret.key"), "rb") as file:
        whole = file.read()
    path = at("torn", "secret.key")
    for i in range(len(whole)):
        for wrong in (whole[:i], whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1:]):
            with open(path, "wb") as file:
                file.write(wrong)
            os.chmod(path, 0o600)
            try:
                fc.read_keys(at("torn"), pair.server.decode())
            except fc.FlybackError:
                continue
            raise AssertionError("byte %d: taken for whole" % i)
    for folder, server in ((at("desk"), None), (None, at("server", "public.key")), (at("desk"), at("desk", "secret.key")),
                           (at("desk"), "no such file")):
        try:
            fc.read_keys(folder, server)
        except fc.FlybackError:
            continue
        raise AssertionError("%s %s were taken" % (folder, server))


def c_reads_what_python_writes():
    line = fc.make_keys(at("py"), "py-pc", "viewer,instrument")
    assert stat.S_IMODE(os.stat(at("py", "secret.key")).st_mode) == 0o600
    with served(lines=LINES + [line + "\n"]) as fly:
        done = flyback("watch", "--once", "--seconds", "1", "--publish", fly.publish, "--control", fly.control, "--keys",
                       at("py"), "--server-key", at("server", "public.key"))
        assert "Flyback" in done.stdout and not done.stderr, (done.stdout, done.stderr)
        with fly.controller(keys("py")) as control:
            assert control.status()["state"] == "idle"
    with open(at("py", "secret.key")) as file:
        before = file.read()
    for wrong in (("py", "py-pc", "viewer"), ("py2", "a b", "viewer"), ("py2", "a", "boss"), ("py2", "a", "guard,viewer")):
        try:
            fc.make_keys(at(wrong[0]), *wrong[1:])
            raise AssertionError("%s made a pair" % (wrong,))
        except fc.FlybackError:
            pass
    with open(at("py", "secret.key")) as file:
        assert file.read() == before
    assert not os.path.exists(at("py2"))


def keygen_overwrites_nothing_and_prints_the_line():
    line = keygen("fresh", "controller")
    key, role, name = line.split()
    assert len(key) == 40 and key[0].isalnum() and (role, name) == ("controller", "fresh"), line
    assert stat.S_IMODE(os.stat(at("fresh", "secret.key")).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(at("fresh", "public.key")).st_mode) == 0o644
    assert stat.S_IMODE(os.stat(at("fresh")).st_mode) == 0o700
    with open(at("fresh", "secret.key")) as file:
        before = file.read()
    done = flyback("keygen", "--name", "fresh", "--out", at("fresh"), status=1)
    assert "there is a key already" in done.stderr and not done.stdout, (done.stdout, done.stderr)
    with open(at("fresh", "secret.key")) as file:
        assert file.read() == before
    done = flyback("keygen", "--role", "boss", status=2)
    assert "server, viewer, instrument" in done.stderr, done.stderr
    flyback("keygen", "--name", "a b", status=2)
    assert not os.path.exists("keys"), "a refused name left a folder"
    done = flyback("keygen", "--check", allow(at("good.txt")))
    assert len(done.stdout.splitlines()) == len(LINES) and "%d clients" % len(LINES) in done.stderr, done.stderr
    with open(at("good.txt"), "a") as file:
        file.write("nonsense\n")
    done = flyback("keygen", "--check", at("good.txt"), status=1)
    assert "good.txt:%d:" % (len(LINES) + 2) in done.stderr, done.stderr


# ---- the whole way ----------------------------------------------------------------------------------


def sim(fly, *more, status=0):
    return flyback("sim", "--ingest", fly.ingest, "--publish", fly.publish, "--control", fly.control, "--size", "96x96",
                   "--chip", "12", "--frames", "2", "--pace", "0", "--eds-counts", "0.5", "--t0-ns", "1000", "--session",
                   "same", *more, status=status)


def the_map_is_the_same_with_keys_and_without():
    maps = []
    for fly in (Flyback({"chip.size_px": 12}), served({"chip.size_px": 12})):
        mine = ["--keys", at("instrument-pc"), "--server-key", at("server", "public.key")] if fly.keys else []
        with fly, fly.controller() as control:
            report = json.loads(sim(fly, *mine).stdout)
            assert report["stopped"], report
            if mine:  # it ends once it knows of its stop
                assert report["durable_seq_heard"]["control"] == report["messages"]["control"], report
            maps.append([control.map_get("community", m, exact=True) for m in ("haadf", "eds", "ensemble")])
    for plain, keyed in zip(*maps):
        assert (plain.labels >= 0).any()
        assert np.array_equal(plain.labels, keyed.labels), plain.modality
        assert np.array_equal(plain.confidence, keyed.confidence, equal_nan=True), plain.modality


def tools_say_what_keeps_them_out():
    with served({"chip.size_px": 12}) as fly:
        more = ["--server-key", at("server", "public.key"), "--connect-timeout-s", "%g" % (5 * SLOW)]
        for who, words in (("viewer-pc", "/ingest refuses this key"), ("stranger", "refuses this key"),
                           ("guard-pc", "/ingest refuses this key")):
            done = sim(fly, "--keys", at(who), *more, status=1)
            assert words in done.stderr and "its log names the key" in done.stderr, done.stderr
        done = sim(fly, "--connect-timeout-s", "%g" % SLOW, status=1)
        assert "no Flyback answers" in done.stderr and "it wants keys (--keys DIR --server-key FILE)" in done.stderr, done.stderr
        done = sim(fly, "--keys", at("instrument-pc"), "--judge", at("judge.json"), *more, status=1)
        assert "the roles instrument,viewer" in done.stderr, done.stderr
        done = flyback("watch", "--publish", fly.publish, "--control", fly.control, "--keys", at("instrument-pc"),
                       "--server-key", at("server", "public.key"), status=1)
        assert "/publish refuses this key" in done.stderr, done.stderr
    with Flyback() as fly:  # and the other way round
        done = sim(fly, "--keys", at("desk"), "--server-key", at("server", "public.key"), "--connect-timeout-s", "%g" % SLOW,
                   status=1)
        assert "it runs without keys" in done.stderr, done.stderr


def a_tool_that_is_struck_off_says_so():
    with served({"chip.size_px": 12}) as fly:
        command = [BINARY, "sim", "--ingest", fly.ingest, "--publish", fly.publish, "--control", fly.control, "--size", "96x96",
                   "--frames", "1000", "--pace", "1", "--keys", at("instrument-pc"), "--server-key", at("server", "public.key")]
        tool = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        with fly.controller() as control:
            wait_until(lambda: control.status()["state"] == "running", 10, "the scan to begin")
        allow(fly.allow, without("instrument-pc"))
        _, said = tool.communicate(timeout=20 * SLOW)
        assert tool.returncode == 1 and "takes nothing more with this key: status is not for the role none" in said, said


def every_tool_works_with_keys():
    with served({"chip.size_px": 12}) as fly:
        where = ["--publish", fly.publish, "--control", fly.control, "--server-key", at("server", "public.key")]
        done = sim(fly, "--keys", at("sends-and-looks"), "--server-key", at("server", "public.key"), "--judge", at("judge.json"))
        assert json.loads(done.stdout)["complete"] == 1.0
        with open(at("judge.json")) as file:
            assert json.load(file)["history"], "the judge heard no map"
        done = flyback("replay", fly.recording("same"), "--new-session", "again", "--speed", "0", "--ingest", fly.ingest,
                       "--keys", at("instrument-pc"), *where)
        assert json.loads(done.stdout)["stopped"]
        done = flyback("watch", "--once", "--method", "community", "--keys", at("viewer-pc"), *where)
        assert "chips 64/64" in done.stdout, done.stdout
        os.makedirs(at("saved"))
        np.save(at("saved", "scan.npy"), np.random.default_rng(1).integers(0, 900, (48, 48)).astype("<u2"))
        done = flyback("watch-folder", at("saved"), "--existing", "--once", "--settle-s", "0.05", "--ingest", fly.ingest,
                       "--keys", at("sends-and-looks"), *where)
        assert "scan.npy" in done.stdout, done.stdout
        client = os.path.join(os.path.dirname(fc.__file__), "flyback_client.py")
        np.save(at("image.npy"), np.random.default_rng(2).integers(0, 900, (48, 48)).astype("<u2"))
        for command in (["send", "--haadf", at("image.npy"), "--ingest", fly.ingest, "--keys", at("instrument-pc"), *where],
                        ["request", "map.get", "method=community", "modality=haadf", "--keys", at("viewer-pc"), *where],
                        ["watch", "--seconds", "1", "--keys", at("viewer-pc"), *where]):
            done = subprocess.run([sys.executable, "-B", client, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  text=True, timeout=30 * SLOW)
            assert done.returncode == 0, (command, done.stderr)


def a_sender_that_hears_nothing_survives_a_restart():
    """With the role instrument alone durable_seq is asked for; a kill in the middle loses nothing."""
    fly = served(CASE.settings())
    with fly:
        with fly.sender(keys=keys("instrument-pc"), session="deaf") as sender:
            CASE.start(sender)
            CASE.send_raster(sender, 0, 20)
            fly.kill()
            fly.start()
            CASE.send_raster(sender, 20)
            sender.stop(timeout_s=40 * SLOW)
            assert sender._all_durable() and sender.drained
        with fly.controller() as control:
            got = control.map_get("community", "haadf", exact=True)
            assert (got.labels != fc.NOT_MEASURED).all()


def other_machines_may_come_with_keys():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with served({"sockets.control": "tcp://0.0.0.0:%d" % port}, wait=False) as fly:
        fly.control = "tcp://127.0.0.1:%d" % port
        fly.wait_ready()
        with fly.controller() as control:
            assert control.status()["sockets"]["control"] == "tcp://0.0.0.0:%d" % port
        with fc.Control(fly.control, timeout_s=1.0 * SLOW) as plain:
            try:
                plain.status()
                raise AssertionError("let in without a key")
            except fc.FlybackTimeout as error:
                assert "it wants keys" in str(error), error


def the_page_of_this_machine_goes_on_as_an_operator():
    with served(dict(CASE.settings(), **{"page.listen": "127.0.0.1:0"})) as fly:
        with fly.controller() as control:
            url = control.status()["sockets"]["page"]
        port = int(re.search(r":(\d+)/", url).group(1))
        with fly.sender() as sender:
            CASE.start(sender)
            CASE.send_raster(sender)
            sender.wait_durable(10 * SLOW)

            def ask(op, args):
                http_ = http.client.HTTPConnection("127.0.0.1", port, timeout=10 * SLOW)
                http_.request("POST", "/api/v1/request", json.dumps({"op": op, "args": args}),
                              {"Content-Type": "application/json"})
                answer = http_.getresponse()
                body = answer.read()
                http_.close()
                return answer.status, body

            name, chips = CASE.support()[0]
            assert ask("support.add", {"class": name, "chips": chips})[0] == 200
            status, body = ask("steer.attach", {"mode": "advise", "as": "guard"})
            assert status == 200 and json.loads(body)["error"]["code"] == "forbidden", (status, body)
            http_ = http.client.HTTPConnection("127.0.0.1", port, timeout=10 * SLOW)
            http_.request("GET", "/api/v1/heartbeat")
            assert http_.getresponse().status == 200
            http_.close()
            allow(fly.allow, LINES[:-1])  # rights taken back elsewhere leave the page where it is
            wait_until(lambda: "taken back" in fly.log_text(), 10, "the list to be read")
            beat = time.time_ns()

            def hears():
                page = http.client.HTTPConnection("127.0.0.1", port, timeout=10 * SLOW)
                page.request("GET", "/api/v1/heartbeat")
                newest = json.loads(page.getresponse().read())["t_ns"]
                page.close()
                return newest > beat

            wait_until(hears, 10, "the page to hear on")


try:
    run(
        every_role_is_let_in_where_it_belongs_and_nowhere_else,
        a_hold_says_who_and_in_what_role,
        every_op_asks_for_the_role_that_the_table_says,
        the_guard_alone_attaches_as_guard,
        an_ack_from_a_role_that_may_not_is_counted,
        whoever_shows_no_good_key_is_refused_told_and_counted,
        a_plain_socket_gets_nothing_through,
        a_client_that_is_struck_off_loses_its_rights_at_the_next_message,
        a_role_that_changes_counts_at_once,
        a_list_with_a_mistake_is_told_and_not_taken,
        other_machines_need_keys,
        keys_and_list_go_together_and_are_judged,
        a_secret_that_others_could_read_is_refused_by_clients_too,
        python_reads_what_c_writes_and_refuses_what_c_refuses,
        c_reads_what_python_writes,
        keygen_overwrites_nothing_and_prints_the_line,
        the_map_is_the_same_with_keys_and_without,
        tools_say_what_keeps_them_out,
        a_tool_that_is_struck_off_says_so,
        every_tool_works_with_keys,
        a_sender_that_hears_nothing_survives_a_restart,
        other_machines_may_come_with_keys,
        the_page_of_this_machine_goes_on_as_an_operator,
    )
finally:
    shutil.rmtree(FOLDER, ignore_errors=True)
