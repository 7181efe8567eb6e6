"""Both sides of a guard, in Python and from the protocol's page alone: a plugin that steers, an acquisition that obeys."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import msgpack
import numpy as np
import zmq

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from flyback_test import BINARY, SLOW, wait_until  # noqa: E402

LIMITS = {
    "guard_limits": 1, "chip_dose_e_per_A2": 12000, "total_dose_e_per_A2": 3000, "dwell_min_us": 1,
    "dwell_max_us": 20, "step_px": 90, "slew_px_per_us": 1, "commands_per_s": 20, "open_commands": 4,
    "targets_per_command": 8, "box_px": 32, "frames_per_command": 4, "safe_state": "blank", "heartbeat_s": 1.5,
}
SIDE, CHIPS, CHIP = 64, 8, 8
NM = 0.31622776601683794  # with 1 nA a us is 624.15 e-/A^2
FACTOR = 624.1509074460763


class Plugin:
    """A control socket that answers as the plugin does. Runs in a thread of its own; ask for it by name."""

    def __init__(self, address, session="s1", factor=FACTOR):
        self.address, self.session, self.factor = address, session, factor
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind(address)
        self.owner = self.attached = None
        self.held = False
        self.mute = False
        self.silent_status = False  # status is not answered, all else is
        self.busy_ledger = False  # no time for dose.get
        self.ledger = np.full((CHIPS, CHIPS), 2.0, "<f4")  # us
        self.acks, self.requests, self.attaches = [], [], []
        self.own_holds = []  # what the guard told of a hold of its own since it last attached, newest last
        self.refuse_attach = None
        self.first = None  # a command that leaves before the answer to attach
        self.scan = {"session": session, "shape_px": [SIDE, SIDE], "frames_planned": 1, "pixel_nm": [NM, NM],
                     "beam_current_na": 1.0, "pixel_time_us": 2.0, "grid_shape": [CHIPS, CHIPS], "chip_px": CHIP,
                     "pitch_px": CHIP}
        self.outbox = []
        self.lock = threading.Lock()
        self.ending = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _reply(self, peer, request, result=None, error=None, payloads=()):
        head = {"type": "reply", "id": request["id"], "ok": error is None}
        head["result" if error is None else "error"] = result if error is None else error
        self.socket.send_multipart([peer, b"", msgpack.packb(head), *payloads])

    def _request(self, peer, head):
        op, args = head["op"], head.get("args") or {}
        self.requests.append((time.monotonic(), op))
        if op == "status":
            self.own_holds.append(args.get("own_hold", "not told"))
        if op == "status" and self.silent_status:
            return
        if op == "status":
            owner = {"name": "g", "as": self.attached["as"], "mode": self.attached["mode"]} if self.owner else None
            self._reply(peer, head, {"state": "running", "session": self.session, "scan": self.scan, "owner": owner,
                                     "steer": {"held": self.held}})
        elif op == "steer.attach":
            self.attaches.append(args)
            self.own_holds = []
            if self.refuse_attach:
                self._reply(peer, head, error={"code": "uncalibrated", "message": self.refuse_attach})
                return
            self.owner, self.attached = peer, args
            if self.first:
                self.socket.send_multipart([peer, b"", msgpack.packb(self.first)])
            self._reply(peer, head, {"mode": args["mode"]})
        elif op == "steer.detach":
            self.owner = None
            self._reply(peer, head, {})
        elif op == "dose.get" and self.busy_ledger:
            self._reply(peer, head, error={"code": "busy", "message": "later"})
        elif op == "dose.get":
            most = (self.ledger * self.factor).astype("<f4")
            self._reply(peer, head, {"unit": "e_per_A2", "factor": self.factor, "max": float(most.max()),
                                     "mean": float(most.mean()), "full_shape": [CHIPS, CHIPS]},
                        payloads=(most.tobytes(), most.tobytes()))
        else:
            self._reply(peer, head, error={"code": "unknown_op", "message": op})

    def _run(self):
        while not self.ending:
            with self.lock:
                todo, self.outbox = self.outbox, []
            for parts in todo:
                self.socket.send_multipart(parts)
            if not self.socket.poll(2):
                continue
            peer, _, head, *_ = self.socket.recv_multipart()
            if self.mute:
                continue
            head = msgpack.unpackb(head)
            if head["type"] == "ack":
                self.acks.append(head)
            elif head["type"] == "request":
                self._request(peer, head)
        self.socket.close()

    def send(self, *heads):
        """Headers, or the bytes of them, to whoever owns the beam, with nothing said in between."""
        with self.lock:
            for head in heads:
                body = head if isinstance(head, bytes) else msgpack.packb(head)
                self.outbox.append([self.owner, b"", body])

    def ack_of(self, cmd_id, status=None, timeout_s=5):
        def there():
            return [a for a in self.acks if a["cmd_id"] == cmd_id and (status is None or a["status"] == status)]

        return wait_until(there, timeout_s, "ack %s of %s" % (status, cmd_id))[-1]

    def wait_attached(self):
        wait_until(lambda: self.owner is not None, 5, "the guard to attach")
        asked = len(self.requests)
        wait_until(lambda: any(op == "dose.get" for _, op in self.requests[asked:]), 5, "the ledger to be asked for")
        wait_until(lambda: [op for _, op in self.requests][-1] != "dose.get", 5, "the ledger to be read")

    def close(self):
        self.ending = True
        self.thread.join()
        self.context.term()


class Acquisition:
    """Attaches to the guard and obeys, in a thread of its own."""

    def __init__(self, address, mode="auto", limits=None, answers=("received", "started", "done"), attach=True,
                 keys=None, identity=None):
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        if identity:
            self.socket.setsockopt(zmq.IDENTITY, identity)
        if keys:
            self.socket.curve_publickey, self.socket.curve_secretkey, self.socket.curve_serverkey = keys
        self.socket.connect(address)
        self.mode, self.limits, self.answers = mode, limits, answers
        self.commands, self.beats, self.replies, self.heard = [], [], {}, []
        self.silent = False
        self.next_id = 0
        self.outbox = []
        self.lock = threading.Lock()
        self.ending = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        if attach:
            self.attach()

    def _send(self, head):
        try:
            self.socket.send_multipart([b"", msgpack.packb(head)], zmq.DONTWAIT)
        except zmq.Again:
            pass  # nobody there, or who does not let us in

    def _run(self):
        asked = 0.0
        while not self.ending:
            with self.lock:
                todo, self.outbox = self.outbox, []
            for head in todo:
                self._send(head)
            if time.monotonic() - asked > 0.4 and not self.silent:
                asked = time.monotonic()
                self._send({"type": "request", "id": "tick", "op": "status"})
            if not self.socket.poll(2):
                continue
            _, head, *_ = self.socket.recv_multipart()
            now, head = time.monotonic(), msgpack.unpackb(head)
            if head["type"] == "command":
                self.commands.append((now, head))
                for status in self.answers:
                    self._send({"type": "ack", "cmd_id": head["cmd_id"], "status": status, "reason": None,
                                "achieved": None})
            elif head["type"] == "heartbeat":
                self.beats.append((now, head))
            elif head["type"] == "reply":
                self.replies[head["id"]] = head
        self.socket.close()

    def ask(self, op, timeout_s=5, **args):
        self.next_id += 1
        mine = self.next_id
        with self.lock:
            self.outbox.append({"type": "request", "id": mine, "op": op, "args": args})
        return wait_until(lambda: self.replies.get(mine), timeout_s, "a reply to %s" % op)

    def attach(self):
        reply = self.ask("steer.attach", mode=self.mode, **({"limits": self.limits} if self.limits else {}))
        assert reply["ok"], reply
        return reply["result"]

    def status(self):
        return self.ask("status")["result"]

    def acked(self, cmd_id, status, reason=None):
        with self.lock:
            self.outbox.append({"type": "ack", "cmd_id": cmd_id, "status": status, "reason": reason, "achieved": None})

    def of_kind(self, kind):
        return [(t, c) for t, c in self.commands if c["kind"] == kind]

    def wait_command(self, kind, timeout_s=5):
        return wait_until(lambda: self.of_kind(kind), timeout_s, "a command of kind %s" % kind)[-1]

    def measuring(self):
        """Commands that put beam on the specimen."""
        return [c for _, c in self.commands if c["kind"] not in ("stop", "blank")]

    def close(self):
        self.ending = True
        self.thread.join()
        self.context.term()


class Guard:
    """`flyback guard` with a folder of its own, a plugin and an acquisition of this test's."""

    def __init__(self, limits=None, plugin=None, settings=None, wait=True, **popen):
        self.folder = tempfile.mkdtemp(prefix="flg.")
        self.listen = "ipc://%s/guard" % self.folder
        self.control = plugin or "ipc://%s/control" % self.folder
        self.journal = os.path.join(self.folder, "journal.jsonl")
        self.limits_path = os.path.join(self.folder, "limits.yaml")
        self.settings = settings or {}
        self.popen = popen
        values = dict(LIMITS, **(limits or {}))
        with open(self.limits_path, "w") as file:
            file.write("".join("%s: %s\n" % item for item in values.items()))
        self.log = os.path.join(self.folder, "log")
        self.start(wait)

    def start(self, wait=True):
        command = [BINARY, "guard"]
        for key, value in {"guard.listen": self.listen, "guard.plugin": self.control, "guard.limits": self.limits_path,
                           "guard.journal": self.journal, **self.settings}.items():
            command += ["--set", "%s=%s" % (key, value)]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, **self.popen)
        self.starts = getattr(self, "starts", 0) + 1
        if wait:
            wait_until(lambda: self.log_text().count(" ready: ") == self.starts or self.process.poll() is not None, 10,
                       "the guard to be ready")
            assert self.process.poll() is None, self.log_text()

    def log_text(self):
        with open(self.log, errors="replace") as file:
            return file.read()

    def lines(self):
        import json

        with open(self.journal) as file:
            return [json.loads(line) for line in file.read().split("\n") if line.endswith("}")]

    def kill(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5 * SLOW)
            except subprocess.TimeoutExpired:
                self.kill()
        if kind is not None:
            print("---- the log of flyback guard\n%s----" % self.log_text()[-6000:])
        elif self.process.returncode not in (0, -9):
            raise AssertionError("flyback guard ended with %s:\n%s" % (self.process.returncode, self.log_text()[-3000:]))
        shutil.rmtree(self.folder, ignore_errors=True)


_number = [0]


def command(plugin, y=8, x=8, h=8, w=8, **more):
    """The next good command, one box, as the plugin sends it. Keys given replace others."""
    _number[0] += 1
    n = _number[0]
    target = {"kind": "box", "px": [y, x, h, w], "dwell_us": 2.0, "signal": "both"}
    made = {"type": "command", "cmd_id": "c-%d" % n, "decision_id": "d-%d" % n, "kind": "box", "targets": [target],
            "frame": n, "frames": 1, "dwell_us": 2.0, "valid_until_ns": time.time_ns() + int(min(8, SLOW) * 10**9),
            "as_of": {"control": 1, "HAADF": n}}
    made.update(more)
    return made
