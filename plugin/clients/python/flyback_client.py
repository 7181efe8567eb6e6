#!/usr/bin/env python3
"""A client for Flyback in one file: send a scan, watch its maps, talk to the plugin.

It needs Python 3.8, pyzmq, msgpack and numpy, and runs wherever these do (Linux, Windows, macOS). It is
written from the protocol page (stream/PROTOCOL.md) alone: copy it to the acquisition PC, or read it as
an example of how to write your own.

    Sender    an instrument: start, lines, eds, heartbeat, stop; delivery guaranteed by durable_seq
    Viewer    a subscriber: rebuilds the maps from keyframes and deltas, collects events and metrics
    Control   requests: status, support.add, params.set, map.get, chip.get, ...

Axes are (y, x), origin top left, y down; the units stand in the names. None of the classes may be used
from two threads at once (give each thread its own), as is the way of ZeroMQ sockets.

On the command line:

    python3 flyback_client.py send --haadf image.npy --events y.npy,x.npy,channel.npy
    python3 flyback_client.py watch
    python3 flyback_client.py request support.add class=STO chips='[[0,0],[0,1]]'

Where Flyback runs with keys, each of the classes takes keys=read_keys("keys/acquisition-pc", "server/public.key"), and
each of the commands --keys DIR --server-key FILE. What a key may do stands in Flyback's allow-list;
`flyback_client.py keygen` makes a pair here.
"""

import argparse
import collections
import itertools
import json
import os
import re
import stat
import sys
import time
import uuid

try:
    import msgpack
    import numpy as np
    import zmq
except ImportError as missing:  # name what to install, rather than end in a traceback
    raise SystemExit(
        "flyback_client needs pyzmq, msgpack and numpy (%s): python -m pip install pyzmq msgpack numpy"
        % missing
    )

__all__ = ["Sender", "Viewer", "Control", "Map", "Keys", "read_keys", "make_keys", "FlybackError", "FlybackTimeout", "RequestError"]

SCHEMA = [1, 0]
INGEST = "tcp://127.0.0.1:5570"
PUBLISH = "tcp://127.0.0.1:5571"
CONTROL = "tcp://127.0.0.1:5572"

# Labels that are not classes.
NOT_MEASURED = -1
UNKNOWN = -2
TOO_LITTLE = -3
MINOR = -4

DTYPES = ("<u1", "<u2", "<u4", "<i2", "<i4", "<f4", "<f8")
_SESSION = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")


class FlybackError(Exception):
    """Flyback said no, or what was asked of this client cannot be said in the protocol."""


class FlybackTimeout(FlybackError):
    """Flyback did not answer, or did not acknowledge, in time."""


class RequestError(FlybackError):
    """A control request was refused; `code` is the protocol's word for why."""

    def __init__(self, code, message):
        super().__init__("%s: %s" % (code, message))
        self.code = code
        self.message = message


# ---- bytes ------------------------------------------------------------------------------------------


def _plain(value):
    """numpy numbers and tuples as msgpack takes them; bytes would become `bin`, which is refused."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return [_plain(v) for v in value.tolist()]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (bytes, bytearray)):
        raise FlybackError("bytes cannot stand in a header: %r" % (bytes(value[:16]),))
    return value


def pack_header(header):
    """One header as the wire wants it: a msgpack map with string keys, `type` first."""
    return msgpack.packb(_plain(header), use_bin_type=True)


def unpack_header(raw):
    """The map of a header that came."""
    header = msgpack.unpackb(raw, raw=False, strict_map_key=False)
    if not isinstance(header, dict):
        raise FlybackError("a header that is no map: %r" % (header,))
    return header


def wire_dtype(array_or_dtype):
    """The protocol's word for a numpy type ("<u2"). FlybackError when it has none."""
    dtype = np.dtype(getattr(array_or_dtype, "dtype", array_or_dtype))
    word = "<%s%d" % (dtype.kind, dtype.itemsize)
    if word not in DTYPES:
        raise FlybackError("numpy type %s cannot be sent; Flyback takes %s" % (dtype, " ".join(DTYPES)))
    return word


def wire_array(array, dtype=None):
    """(dtype word, contiguous little-endian array) of anything numpy can read."""
    array = np.asarray(array)
    word = wire_dtype(array if dtype is None else np.dtype(dtype))
    return word, np.ascontiguousarray(array, dtype=np.dtype(word))


# ---- keys -------------------------------------------------------------------------------------------

# A client's pair and its server's public key, each 40 characters of Z85 as bytes.
Keys = collections.namedtuple("Keys", "public secret server")

_Z85 = re.compile(r"[0-9A-Za-z.:+=^!/*?&<>()\[\]{}@%$#-]{40}\Z")


def _crc32c(data):
    """CRC-32C (Castagnoli), bit by bit: a key file has two hundred bytes."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def _key_file(path, kind):
    """{"name", "role", "public"[, "secret"]} of a file that flyback keygen made."""
    try:
        with open(path, "rb") as file:
            if kind == "secret" and os.name == "posix":
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                if mode & 0o077:
                    raise FlybackError("%s: its mode %04o lets others in, and a secret that others could read is none: "
                                       "chmod 600 %s, or better make a new pair" % (path, mode, path))
            raw = file.read(4096)
    except OSError as wrong:
        raise FlybackError("%s: %s" % (path, wrong.strerror))
    lines = raw.decode("ascii", "replace").split("\n")
    if not lines[0].startswith("flyback-key "):
        raise FlybackError("%s: no key of Flyback's (flyback keygen makes them)" % path)
    if lines[0] == "flyback-key 1 secret" and kind == "public":
        raise FlybackError("%s: a secret key, which never leaves its folder; public.key beside it is meant" % path)
    if lines[0] != "flyback-key 1 " + kind:
        raise FlybackError('%s: "%.40s", a %s key of version 1 is needed' % (path, lines[0], kind))
    wanted = ["name", "role", "public"] + (["secret"] if kind == "secret" else []) + ["check"]
    pairs = [line.split(" ", 1) for line in lines[1:-1]]
    summed = raw[: raw.rfind(b"check ")]
    if lines[-1] or [p[0] for p in pairs] != wanted or any(len(p) != 2 for p in pairs) or (
            pairs[-1][1] != "%08x" % _crc32c(summed)):
        raise FlybackError("%s: cut off or altered: copy it again, or make a new pair with flyback keygen" % path)
    return dict(pairs)


def read_keys(folder, server_key):
    """Keys of a folder that flyback keygen made, and of a server: its public.key, or the 40 characters themselves.

    None when neither is given. On Windows, where files have no mode, see to it that nobody else may read secret.key.
    """
    if not folder and not server_key:
        return None
    if not folder or not server_key:
        raise FlybackError("--keys DIR and --server-key FILE go together: %s is missing"
                           % ("--server-key" if folder else "--keys"))
    if not zmq.has("curve"):
        raise FlybackError("this pyzmq was built without CURVE: keys cannot be used with it")
    if os.path.exists(server_key):
        server = _key_file(server_key, "public")["public"]
    elif _Z85.match(server_key):
        server = server_key
    else:
        raise FlybackError("server key %s: neither a file nor a key of 40 characters; the server's public.key is meant"
                           % server_key)
    path = os.path.join(folder, "secret.key")
    pair = _key_file(path, "secret")
    secret = pair["secret"].encode()
    if zmq.curve_public(secret) != pair["public"].encode():
        raise FlybackError("%s: its two keys are not a pair" % path)
    return Keys(pair["public"].encode(), secret, server.encode())


def make_keys(folder, name, role):
    """A fresh pair in a folder, as flyback keygen makes it; its line for the allow-list. Nothing is overwritten.

    For a PC without Flyback's program: so its secret never has to travel.
    """
    roles = ("viewer", "instrument", "controller", "operator", "guard")
    words = role.split(",")
    if any(w not in roles for w in words) or len(set(words)) != len(words) or ("guard" in words and len(words) > 1):
        raise FlybackError("role %s: allowed are %s; or several but for guard, with commas between" % (role, ", ".join(roles)))
    if not _SESSION.match(name):
        raise FlybackError("name %r: 1 to 64 of letters, digits, '.', '_', '-' are needed" % name)
    if not zmq.has("curve"):
        raise FlybackError("this pyzmq was built without CURVE: it makes no keys")
    public, secret = zmq.curve_keypair()
    while not public[:1].isalnum():  # never taken for a path or an option
        public, secret = zmq.curve_keypair()
    public, secret = public.decode(), secret.decode()
    made = []
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        for kind, mode in (("secret", 0o600), ("public", 0o644)):
            text = "flyback-key 1 %s\nname %s\nrole %s\npublic %s\n" % (kind, name, role, public)
            text += "secret %s\n" % secret if kind == "secret" else ""
            text += "check %08x\n" % _crc32c(text.encode())
            path = os.path.join(folder, kind + ".key")
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
            made.append(path)
            with os.fdopen(file, "wb") as out:
                out.write(text.encode())
    except OSError as wrong:
        for path in made:
            os.unlink(path)
        raise FlybackError("%s: %s: there is a key already, or the folder cannot be written; nothing was overwritten"
                           % (wrong.filename or folder, wrong.strerror))
    return "%s %s %s" % (public, role, name)


class _Door:
    """How the handshakes of a connecting socket go: a refused one says nothing by itself."""

    NUMBERS = itertools.count()
    OK, REFUSED, BROKEN = 0x1000, 0x4000, 0x2000 | 0x0800  # ZMQ_EVENT_HANDSHAKE_*

    def __init__(self, context, socket, keys):
        self._keys = keys
        self._last = 0
        if keys:
            socket.curve_publickey, socket.curve_secretkey, socket.curve_serverkey = keys
        address = "inproc://flyback-door-%d-%d" % (id(context), next(self.NUMBERS))
        socket.monitor(address, self.OK | self.REFUSED | self.BROKEN)
        self._watched = socket
        self._pair = context.socket(zmq.PAIR)
        self._pair.setsockopt(zmq.LINGER, 0)
        self._pair.setsockopt(zmq.RCVHWM, 0)  # a full one would hold ZeroMQ's own thread
        self._pair.connect(address)

    def close(self):
        self._watched.disable_monitor()
        self._pair.close()

    def look(self):
        while self._pair.poll(0):
            self._last = int.from_bytes(self._pair.recv_multipart()[0][:2], sys.byteorder)

    def is_refused(self):
        self.look()
        return self._last == self.REFUSED

    def check(self, where):
        """FlybackError when Flyback will not have this key: nothing will ever come or go."""
        if self.is_refused():
            raise FlybackError("%s refuses this key: it is not in Flyback's allow-list, or its role may not come there "
                               "(Flyback's log names both)" % where)

    def words(self):
        """What a timeout may be due to, for the end of its sentence."""
        self.look()
        if not self._last & self.BROKEN:
            return "is Flyback running there?"
        if self._keys:
            return "it breaks off when keys are shown: it runs without keys, or its public key is not that of --server-key"
        return "it breaks off the greeting: it wants keys (keys=, or --keys DIR --server-key FILE), or is no Flyback"


# ---- control ----------------------------------------------------------------------------------------


class Map:
    """One map: few-shot, community or Ward labels of one modality.

    labels      (R, C) int32: class ids, or NOT_MEASURED, UNKNOWN, TOO_LITTLE, MINOR
    confidence  (R, C) float32, 0 .. 1; NaN where there is no class
    age         (R, C) uint32: revisions of the chip so far
    shown       (R, C) int32: labels as a person's eye follows them best, steadier than `labels`; None in the paper
                profile
    classes     [{id, name, color}]
    seq         its number among the maps of the session, None for an exact one
    as_of       {stream: seq} of the data behind it
    final       True once the session is drained
    header      all that came with it
    """

    def __init__(self, header, payloads):
        self.method = header["method"]
        self.modality = header["modality"]
        self.labels = np.full(tuple(header["full_shape"]), NOT_MEASURED, dtype=np.int32)
        self.confidence = np.full(self.labels.shape, np.nan, dtype=np.float32)
        self.age = np.zeros(self.labels.shape, dtype=np.uint32)
        self.shown = np.full(self.labels.shape, NOT_MEASURED, dtype=np.int32) if len(payloads) > 3 else None
        self.apply(header, payloads)

    def apply(self, header, payloads):
        """Lay a keyframe or a delta over what is there."""
        r0, c0, nr, nc = header["bbox"]
        rows, cols = self.labels.shape
        if list(header["full_shape"]) != [rows, cols] or r0 < 0 or c0 < 0 or r0 + nr > rows or c0 + nc > cols:
            raise FlybackError(
                "map %s/%s: box %s does not fit a map of %d x %d"
                % (self.method, self.modality, header["bbox"], rows, cols)
            )
        wanted = 3 if self.shown is None else 4
        if len(payloads) != wanted or any(len(p) != 4 * nr * nc for p in payloads):
            raise FlybackError("map %s/%s: payloads do not fit box %s" % (self.method, self.modality, header["bbox"]))
        box = (slice(r0, r0 + nr), slice(c0, c0 + nc))
        arrays = (self.labels, self.confidence, self.age, self.shown)
        for array, dtype, raw in zip(arrays, ("<i4", "<f4", "<u4", "<i4"), payloads):
            array[box] = np.frombuffer(raw, dtype=dtype).reshape(nr, nc)
        self.header = header
        self.session = header.get("session", "")
        self.classes = header.get("classes", [])
        self.seq = header.get("seq")
        self.as_of = header.get("as_of", {})
        self.final = bool(header.get("final"))

    def name_of(self, label):
        """What a person would call a label."""
        for known in self.classes:
            if known["id"] == label:
                return known["name"]
        return {-1: "not measured", -2: "unknown", -3: "too little", -4: "minor"}.get(int(label), str(label))

    def summary(self):
        """Names and how many chips each, as one line."""
        labels, counts = np.unique(self.labels, return_counts=True)
        return ", ".join("%s %d" % (self.name_of(k), n) for k, n in zip(labels, counts))


class Control:
    """Requests and their replies. `address` is Flyback's control socket, keys what read_keys() gave."""

    def __init__(self, address=CONTROL, timeout_s=10.0, context=None, keys=None):
        self.address = address
        self.timeout_s = timeout_s
        self._ids = 0
        # A DEALER, not a REQ: after an answer that never came it can simply ask again.
        context = context or zmq.Context.instance()
        self._socket = context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._door = _Door(context, self._socket, keys)
        self._socket.connect(address)

    def close(self):
        if not self._socket.closed:
            self._door.close()
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def request_parts(self, op, args=None, timeout_s=None):
        """(result, payloads) of a request. RequestError when refused, FlybackTimeout without a reply."""
        wait_s = self.timeout_s if timeout_s is None else timeout_s
        end = time.monotonic() + wait_s
        while True:
            try:
                return self._ask(op, {} if args is None else args, end, wait_s)
            except RequestError as error:
                # After a restart Flyback reads its recording first: a matter of moments.
                if error.code != "resuming" or time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def _ask(self, op, args, end, wait_s):
        """Ask once and wait for the reply until `end`."""
        self._ids += 1
        self._socket.send_multipart(
            [b"", pack_header({"type": "request", "id": self._ids, "op": op, "args": args})]
        )
        while True:
            left_ms = int(1000 * (end - time.monotonic()))
            if left_ms <= 0:
                raise FlybackTimeout(
                    "no reply to %s from %s within %g s: %s" % (op, self.address, wait_s, self._door.words())
                )
            if not self._socket.poll(min(left_ms, 200)):
                self._door.check(self.address)
                continue
            parts = self._socket.recv_multipart()
            reply = unpack_header(parts[1]) if len(parts) > 1 and parts[0] == b"" else {}
            if reply.get("type") != "reply":
                continue
            # Replies to requests that timed out earlier may still come; they are nobody's now. A request
            # that could not be read is answered without an id.
            if reply.get("id") == self._ids or (reply.get("id") is None and not reply.get("ok")):
                break
        if not reply.get("ok"):
            error = reply.get("error") or {}
            raise RequestError(error.get("code", "error"), error.get("message", "refused without a word"))
        return reply.get("result"), parts[2:]

    def request(self, op, args=None, timeout_s=None, **more):
        """The result of a request. Arguments as a map or by name: request("chip.get", r=0, c=1)."""
        return self.request_parts(op, dict(args or {}, **more), timeout_s)[0]

    def status(self, timeout_s=None):
        return self.request("status", timeout_s=timeout_s)

    def wait_ready(self, timeout_s=10.0):
        """Wait until Flyback answers; its status."""
        end = time.monotonic() + timeout_s
        while True:
            try:
                return self.status(timeout_s=min(1.0, max(0.05, end - time.monotonic())))
            except FlybackTimeout:
                if time.monotonic() >= end:
                    raise

    def support_add(self, name, chips):
        """Add chips [[row, col], ...] to a class, making it when it is new; {class_id, ...}."""
        return self.request("support.add", {"class": name, "chips": chips})

    def support_remove(self, chips):
        return self.request("support.remove", {"chips": chips})

    def class_rename(self, name, to):
        return self.request("class.rename", {"class": name, "to": to})

    def class_remove(self, name):
        return self.request("class.remove", {"class": name})

    def params_set(self, values):
        """Change run-time keys: params_set({"fewshot.temperature": 0.5}); the values in force."""
        return self.request("params.set", values)

    def map_get(self, method="fewshot", modality="haadf", exact=False, timeout_s=None):
        """The last published Map or, exact, the one that a batch computation on the same data gives."""
        args = {"method": method, "modality": modality, "exact": bool(exact)}
        header, payloads = self.request_parts("map.get", args, timeout_s)
        return Map(header, payloads)

    def chip_get(self, row, col):
        """What is known of one chip; its spectrum, where it has one, stands under `spectrum`."""
        result, payloads = self.request_parts("chip.get", {"r": row, "c": col})
        result["spectrum"] = np.frombuffer(payloads[0], dtype="<u4") if payloads else None
        return result

    def dose_get(self):
        """Dose so far: (result, mean dose of the chips, dose of their largest pixels), in result["unit"]."""
        result, payloads = self.request_parts("dose.get")
        shape = result["full_shape"]
        return (result,) + tuple(np.frombuffer(p, "<f4").reshape(shape) for p in payloads)

    def crystallinity_get(self):
        """How crystalline the image is around each chip, (R, C) float32, 0 .. 1; NaN where it is not measured."""
        result, payloads = self.request_parts("crystallinity.get")
        return np.frombuffer(payloads[0], dtype="<f4").reshape(result["grid_shape"])


# ---- instrument -------------------------------------------------------------------------------------

# A message sent and not acknowledged: its number, its place among all that were sent, its bytes.
_Kept = collections.namedtuple("_Kept", "seq order parts size")


class Sender:
    """An instrument's side of a session.

        sender = Sender()
        sender.start([512, 512], [("HAADF", "<u2")], eds=[{"name": "EDS", "n_channels": 4096, ...}])
        for y, line in enumerate(image):
            sender.lines("HAADF", line[None, :], y)
        sender.stop()

    Each message is kept until Flyback says that it is on disk (durable_seq in its heartbeat). When Flyback
    was restarted in between it says so, and everything above durable_seq goes out again with the
    same numbers; what had arrived already is recognised as a repeat and has no effect.

    Every call that sends also does the chores: a heartbeat each second, reading what Flyback says.
    An instrument that pauses for more than a second calls poll() meanwhile.

    window_bytes  what may be kept unacknowledged; beyond it a call waits, at most timeout_s
    auto_resend   False leaves restarts to the caller (resend())
    keys          what read_keys() gave, of the role `instrument`. With that role alone nothing that Flyback publishes is
                  heard, and so no events; durable_seq is asked for instead. `instrument,viewer` hears
    on_event      called with the header of each event that Flyback publishes
    """

    STALL_S = 5.0  # unacknowledged for so long while Flyback lives: sent again
    HEARTBEAT_S = 1.0
    ASK_S = 0.25  # between two questions of one who hears nothing

    def __init__(
        self,
        ingest=INGEST,
        control=CONTROL,
        publish=PUBLISH,
        session=None,
        window_bytes=256 << 20,
        timeout_s=30.0,
        auto_resend=True,
        on_event=None,
        context=None,
        keys=None,
    ):
        self.session = session or str(uuid.uuid4())
        if not _SESSION.match(self.session):
            raise FlybackError("session %r: 1 to 64 of letters, digits, '.', '_', '-' are needed" % self.session)
        self.window_bytes = window_bytes
        self.timeout_s = timeout_s
        self.auto_resend = auto_resend
        self.on_event = on_event
        self.events = collections.deque(maxlen=256)
        self.dropped = {}  # {stream: lines you could not send}; goes out with the heartbeat
        self.last_seq = {"control": 0}
        self.durable_seq = {"control": 0}
        self.resent = 0
        self.drained = False
        self._over = False
        self._detectors = {}
        self._segments = {}
        self._shape = None
        self._stopped = False
        self._order = 0
        self._kept = {}  # {stream: deque of _Kept}, all above durable_seq
        self._kept_bytes = 0
        self._beat_at = self._moved_at = time.monotonic()
        self._resume_seen = None
        self._context = context or zmq.Context.instance()
        self.control = Control(control, timeout_s=min(timeout_s, 10.0), context=self._context, keys=keys)
        self._asked_at = 0.0
        self._sub = self._context.socket(zmq.SUB)
        self._sub.setsockopt(zmq.LINGER, 0)
        self._sub_door = _Door(self._context, self._sub, keys)
        for topic in (b"start", b"event", b"heartbeat", b"stop"):
            self._sub.setsockopt(zmq.SUBSCRIBE, topic)
        self._sub.connect(publish)
        self._push = self._context.socket(zmq.PUSH)
        self._push.setsockopt(zmq.SNDHWM, 1000)
        self._push.setsockopt(zmq.LINGER, 0)
        self._push_door = _Door(self._context, self._push, keys)
        self._push.connect(ingest)
        self._ingest = ingest

    def close(self):
        """Let go. What Flyback has not acknowledged is lost: stop() waits for it."""
        if not self._push.closed:
            self._push_door.close()
            self._sub_door.close()
        self._push.close()
        self._sub.close()
        self.control.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # -- messages

    def start(self, scan_shape_px, detectors, eds=(), wait=True, **facts):
        """Open the session.

        scan_shape_px  [H, W]
        detectors      [(name, numpy type), ...] of the images, e.g. [("HAADF", "<u2")]
        eds            [{"name", "n_channels", "ev_per_channel", "ev_offset", "takeoff_deg"}, ...]
        facts          whatever else the protocol's start has: pixel_nm=[0.05, 0.05],
                       pixel_time_us=2.0, beam_energy_kev=200.0, sample="...", ...
        wait           make sure that Flyback took it
        """
        listed = []
        for item in detectors:
            name, dtype = (item["name"], item["dtype"]) if isinstance(item, dict) else item
            self._detectors[name] = wire_dtype(dtype)
            listed.append({"name": name, "dtype": self._detectors[name]})
        for item in eds:
            self._segments[item["name"]] = int(item["n_channels"])
        self._shape = [int(v) for v in scan_shape_px]
        for name in list(self._detectors) + list(self._segments):
            self.last_seq.setdefault(name, 0)
            self.durable_seq.setdefault(name, 0)
        header = {"schema": SCHEMA, "scan_shape_px": self._shape, "detectors": listed}
        if eds:
            header["eds"] = [dict(item) for item in eds]
        header.update({k: v for k, v in facts.items() if v is not None})
        if wait:
            self.control.wait_ready(self.timeout_s)
            end = time.monotonic() + 0.3
            while time.monotonic() < end:  # what is old news now is not about this start
                self._listen(50)
        heard = len(self.events)
        self._send("start", "control", header)
        if wait:
            self._wait_opened(heard)
        return self.session

    def _wait_opened(self, heard):
        end = time.monotonic() + self.timeout_s
        while True:
            self._listen(20)
            said = list(self.events)[heard:]
            status = self.control.status()
            if status.get("session") == self.session and status.get("state") == "running":
                return  # a warning that came meanwhile is about an open session
            for event in said:
                if event.get("level") != "info":
                    raise FlybackError("start refused, %s: %s" % (event.get("code"), event.get("text")))
            self._push_door.check(self._ingest)
            if time.monotonic() > end:
                raise FlybackTimeout(
                    "session %s was not opened within %g s (Flyback has %r): is %s its ingest address?"
                    % (self.session, self.timeout_s, status.get("session"), self._ingest)
                )

    def lines(self, detector, pixels, y0_px, x0_px=0, frame=0, dwell_us=None, cmd_id=None, t_ns=None):
        """A rectangle of image pixels: (h, w), or (w) for one line. Its seq."""
        if detector not in self._detectors:
            raise FlybackError("detector %r was not declared in start (%s)" % (detector, ", ".join(self._detectors)))
        word, pixels = wire_array(np.atleast_2d(pixels), self._detectors[detector])
        if pixels.ndim != 2:
            raise FlybackError("pixels of shape %s: (h, w) is needed" % (pixels.shape,))
        header = self._rectangle(pixels.shape, y0_px, x0_px, frame, dwell_us, cmd_id, t_ns)
        header["dtype"] = word
        return self._send("lines", detector, header, [pixels.data])

    def eds_pairs(self, stream, pixel, channel, y0_px, x0_px, shape, **more):
        """Photons as two arrays: pixel within the rectangle (row-major) and channel. Its seq.

        more: frame, dwell_us, cmd_id, live_time_us, real_time_us, t_ns
        """
        payload = [wire_array(pixel, "<u4")[1], wire_array(channel, "<u2")[1]]
        if payload[0].shape != payload[1].shape or payload[0].ndim != 1:
            raise FlybackError("pairs: %s pixels, %s channels" % (payload[0].shape, payload[1].shape))
        return self._eds("pairs", stream, y0_px, x0_px, shape, payload, more)

    def eds_csr(self, stream, row_pointers, channel, y0_px, x0_px, shape, **more):
        """Photons as row pointers (h * w + 1) and the channel of each. Its seq. more: as eds_pairs."""
        payload = [wire_array(row_pointers, "<u4")[1], wire_array(channel, "<u2")[1]]
        return self._eds("csr", stream, y0_px, x0_px, shape, payload, more)

    def eds_dense(self, stream, counts, y0_px, x0_px=0, **more):
        """Photons as counts (h, w, n_channels), unsigned. Its seq. more: as eds_pairs."""
        word, counts = wire_array(counts)
        if counts.ndim != 3 or word[1] != "u":
            raise FlybackError("dense: counts are unsigned (h, w, channels), not %s %s" % (counts.dtype, counts.shape))
        return self._eds("dense", stream, y0_px, x0_px, counts.shape[:2], [counts], dict(more, dtype=word))

    def heartbeat(self):
        header = {"last_seq": dict(self.last_seq), "backlog": 0, "dropped": dict(self.dropped)}
        return self._send("heartbeat", "control", header)

    def skip(self, stream, seq):
        """Fill a number whose message could not be read by Flyback, so that durable_seq passes it."""
        header = {"type": "skip", "session": self.session, "stream": stream, "seq": seq, "t_ns": time.time_ns()}
        self._push_parts([pack_header(header)])

    def stop(self, exit_status="success", reason="", wait=True, timeout_s=None):
        """Close the session. With wait, return once all of it is on disk and the final maps are out."""
        self._send(
            "stop",
            "control",
            {
                "exit_status": exit_status,
                "reason": reason,
                # of control the number this very message gets
                "count": dict(self.last_seq, control=self.last_seq["control"] + 1),
            },
        )
        self._stopped = True
        if wait:
            self._wait_for(lambda: self.drained and (self._all_durable() or self._over), "drained and on disk", timeout_s)

    def _all_durable(self):
        return all(self.durable_seq.get(stream, 0) >= seq for stream, seq in self.last_seq.items())

    def wait_durable(self, timeout_s=None):
        """Wait until everything sent so far is on disk at Flyback."""
        self._wait_for(self._all_durable, "durable", timeout_s)

    def resend(self):
        """Ask for durable_seq and send all above it again. How many messages that were."""
        end = time.monotonic() + self.timeout_s
        status = self.control.wait_ready(self.timeout_s)
        while self.durable_seq["control"] and status.get("session") != self.session and time.monotonic() < end:
            if status.get("session"):
                break  # another one is open
            time.sleep(0.05)  # it may still be reading its recordings
            status = self.control.status()
        # A start that never reached the disk is not known after a crash: then everything is still here.
        if status.get("session") == self.session:
            self._acknowledge(status.get("durable_seq") or {})
        elif self.durable_seq["control"]:
            raise FlybackError(
                "Flyback no longer has session %s open (it has %r): another start replaced it, or Flyback "
                "was restarted without a recording"
                % (self.session, status.get("session"))
            )
        messages = sorted((m for queue in self._kept.values() for m in queue), key=lambda m: m.order)
        for message in messages:
            self._push_parts(message.parts)
        self.resent += len(messages)
        self._moved_at = time.monotonic()
        return len(messages)

    def poll(self, timeout_s=0.0):
        """The chores: heartbeat when one is due, and whatever Flyback has said."""
        now = time.monotonic()
        if self.last_seq["control"] and not self._stopped and now - self._beat_at >= self.HEARTBEAT_S:
            self.heartbeat()
        wait_ms = int(1000 * timeout_s)
        while self._listen(wait_ms):
            wait_ms = 0
        if now - self._asked_at >= self.ASK_S:
            self._asked_at = now
            if self._sub_door.is_refused():
                self._ask_instead()
        stalled = self._kept_bytes and now - self._moved_at > self.STALL_S
        if self.auto_resend and stalled and not self.drained:
            self.resend()

    # -- below

    def _ask_instead(self):
        """What a heartbeat and the stop would say, for a role that does not hear them."""
        self._push_door.check(self._ingest)
        status = self.control.status()
        if status.get("session") != self.session:
            return
        self._acknowledge(status.get("durable_seq") or {})
        self.drained = self._stopped and status.get("state") == "idle"

    def _rectangle(self, shape, y0_px, x0_px, frame, dwell_us, cmd_id, t_ns):
        if self._shape is None:
            raise FlybackError("start comes first")
        h, w = (int(v) for v in shape)
        y0_px, x0_px = int(y0_px), int(x0_px)
        if h < 1 or w < 1 or y0_px < 0 or x0_px < 0 or y0_px + h > self._shape[0] or x0_px + w > self._shape[1]:
            raise FlybackError(
                "a rectangle of %d x %d px at (%d, %d) does not lie in the scan of %d x %d px"
                % (h, w, y0_px, x0_px, self._shape[0], self._shape[1])
            )
        header = {"frame": int(frame), "y0_px": y0_px, "x0_px": x0_px, "shape": [h, w]}
        for key, value in (("dwell_us", dwell_us), ("cmd_id", cmd_id), ("t_ns", t_ns)):
            if value is not None:
                header[key] = value
        return header

    def _eds(self, layout, stream, y0_px, x0_px, shape, payload, more):
        if stream not in self._segments:
            raise FlybackError("EDS stream %r was not declared in start (%s)" % (stream, ", ".join(self._segments)))
        more = dict(more)
        keys = ("frame", "dwell_us", "cmd_id", "t_ns")
        header = self._rectangle(shape, y0_px, x0_px, more.pop("frame", 0), *(more.pop(k, None) for k in keys[1:]))
        header["layout"] = layout
        header["live_time_us"] = more.pop("live_time_us", None)
        header["real_time_us"] = more.pop("real_time_us", None)
        if "dtype" in more:
            header["dtype"] = more.pop("dtype")
        if more:
            raise FlybackError("eds has no %s" % ", ".join(sorted(more)))
        return self._send("eds", stream, header, [p.data for p in payload])

    def _send(self, kind, stream, header, payloads=()):
        if self._stopped:
            raise FlybackError("session %s is stopped; a new one needs a new Sender" % self.session)
        payloads = [bytes(p) for p in payloads]  # the caller may fill the same buffer with the next line
        size = sum(len(p) for p in payloads) + 512
        if payloads and self._kept_bytes + size > self.window_bytes and self._kept_bytes:
            self._wait_for(lambda: self._kept_bytes + size <= self.window_bytes, "durable", None)
        seq = self.last_seq[stream] + 1
        head = {"type": kind, "session": self.session, "stream": stream, "seq": seq, "t_ns": time.time_ns()}
        head.update(header)
        parts = [pack_header(head)] + payloads
        if not self._kept_bytes:
            self._moved_at = time.monotonic()
        self.last_seq[stream] = seq
        self._order += 1
        self._kept.setdefault(stream, collections.deque()).append(_Kept(seq, self._order, parts, size))
        self._kept_bytes += size
        if stream == "control":
            self._beat_at = time.monotonic()
        self._push_parts(parts)
        if kind not in ("heartbeat", "stop"):
            self.poll()
        return seq

    def _push_parts(self, parts):
        end = time.monotonic() + self.timeout_s
        while True:
            try:
                self._push.send_multipart(parts, zmq.DONTWAIT)
                return
            except zmq.Again:
                # Back-pressure, or nobody there. What Flyback says is heard meanwhile.
                self._push_door.check(self._ingest)
                if time.monotonic() > end:
                    raise FlybackTimeout("%s took no message for %g s: %s"
                                         % (self._ingest, self.timeout_s, self._push_door.words()))
                self._push.poll(20, zmq.POLLOUT)
                self._listen(0)

    def _listen(self, wait_ms):
        """One message of Flyback's, if there is one: 1, else 0."""
        if not self._sub.poll(wait_ms):
            return 0
        parts = self._sub.recv_multipart()
        if len(parts) < 2:
            return 1
        header = unpack_header(parts[1])
        kind = header.get("type")
        if kind == "event":
            self.events.append(header)
            if self.on_event:
                self.on_event(header)
        if header.get("session") != self.session:
            # After its final maps Flyback speaks of another session, or of none, once this one's file is closed.
            self._over = self._over or (self.drained and kind == "heartbeat")
            return 1
        if kind == "heartbeat":
            self._acknowledge(header.get("durable_seq") or {})
        elif kind == "stop":
            self.drained = True
        elif kind == "start" and header.get("resumed") and self.auto_resend:
            stamp = (header.get("seq"), header.get("t_ns"))
            if stamp != self._resume_seen:  # the same start is told again to every late joiner
                self._resume_seen = stamp
                self.resend()
        return 1

    def _acknowledge(self, durable):
        for stream, seq in durable.items():
            if seq <= self.durable_seq.get(stream, 0):
                continue
            self.durable_seq[stream] = seq
            self._moved_at = time.monotonic()
            queue = self._kept.get(stream, ())
            while queue and queue[0].seq <= seq:
                self._kept_bytes -= queue.popleft().size

    def _wait_for(self, done, what, timeout_s):
        timeout_s = self.timeout_s if timeout_s is None else timeout_s
        end = time.monotonic() + timeout_s
        while not done():
            if time.monotonic() > end:
                behind = {k: v - self.durable_seq.get(k, 0) for k, v in self.last_seq.items()}
                raise FlybackTimeout(
                    "session %s not %s after %g s; messages not on disk yet: %s"
                    % (self.session, what, timeout_s, {k: v for k, v in behind.items() if v > 0})
                )
            self.poll(0.02)


# ---- viewer -----------------------------------------------------------------------------------------


class Viewer:
    """A subscriber that keeps the newest maps whole.

        viewer = Viewer()
        while True:
            for kind, header in viewer.poll(1.0):
                if kind == "map":
                    print(viewer.maps["fewshot", "ensemble"].summary())

    maps      {(method, modality): Map}, of the newest session
    start     the newest `start` (geometry, profile), or None
    stop      the newest `stop`, or None
    metrics   the newest `metrics`; heartbeat: the newest heartbeat
    clusters  {(method, modality): header}, the newest `clusters` of each
    dose      the newest `dose`, or None, and dose_map, the mean dose of the chips in its unit
    events    the last 1000 events
    misses    how often a delta came whose base we lacked, and the map was asked for

    keys      what read_keys() gave, of the role `viewer` or more
    """

    TOPICS = ("start", "map", "event", "metrics", "clusters", "dose", "heartbeat", "stop")

    def __init__(self, publish=PUBLISH, control=CONTROL, topics=TOPICS, context=None, keys=None):
        context = context or zmq.Context.instance()
        self._publish = publish
        self.maps = {}
        self.clusters = {}
        self.start = self.stop = self.metrics = self.heartbeat = None
        self.dose = self.dose_map = None
        self.events = collections.deque(maxlen=1000)
        self.misses = 0
        self.deltas = 0
        self.keyframes = 0
        self.control = Control(control, timeout_s=5.0, context=context, keys=keys) if control else None
        self._sub = context.socket(zmq.SUB)
        self._sub.setsockopt(zmq.LINGER, 0)
        self._door = _Door(context, self._sub, keys)
        self._sub.connect(publish)
        # start first: it tells a new session from a repeat of the old one. In the order given: what is
        # newest of each comes in the order in which it is asked for, and maps belong before their stop
        for topic in sorted(dict.fromkeys(topics), key=lambda t: t != "start"):
            self._sub.setsockopt(zmq.SUBSCRIBE, topic.encode())

    def close(self):
        if not self._sub.closed:
            self._door.close()
        self._sub.close()
        if self.control:
            self.control.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def poll(self, timeout_s=0.0):
        """Read what is there, waiting at most timeout_s for the first: [(type, header), ...].

        A map that changed nothing here (a repeat for some late joiner) is left out.
        """
        heard = []
        wait_ms = int(1000 * timeout_s)
        while self._sub.poll(wait_ms):
            wait_ms = 0
            parts = self._sub.recv_multipart()
            if len(parts) < 2:
                continue
            header = unpack_header(parts[1])
            kind = header.get("type")
            if kind == "map" and not self._take_map(header, parts[2:]):
                continue
            if kind == "start":
                old, self.start = self.start, header
                if old is None or (old.get("session"), old.get("t_ns")) != (header.get("session"), header.get("t_ns")):
                    # a new session, or the old one in a new process that counts from 1 again
                    self.maps.clear()
                    self.clusters.clear()
                    self.stop = self.dose = self.dose_map = None
            elif kind in ("stop", "metrics", "heartbeat"):
                setattr(self, kind, header)
            elif kind == "dose":
                self.dose, self.dose_map = header, np.frombuffer(parts[2], "<f4").reshape(header["full_shape"])
            elif kind == "clusters":
                self.clusters[header["method"], header["modality"]] = header
            elif kind == "event":
                self.events.append(header)
            heard.append((kind, header))
        if not heard:
            self._door.check(self._publish)
        return heard

    def wait(self, done, timeout_s=10.0):
        """poll() until done() is true. FlybackTimeout."""
        end = time.monotonic() + timeout_s
        while not done():
            left_s = end - time.monotonic()
            if left_s <= 0:
                silent = ": " + self._door.words() if self.heartbeat is None else ""
                raise FlybackTimeout("what was waited for was not published within %g s%s" % (timeout_s, silent))
            self.poll(min(0.1, left_s))

    def _take_map(self, header, payloads):
        key = header["method"], header["modality"]
        have = self.maps.get(key)
        if have is not None and have.session != header.get("session"):
            have = None
        if have is not None and have.seq is not None and header["seq"] <= have.seq:
            return False
        if header["base_seq"] == 0:
            self.maps[key] = Map(header, payloads)
            self.keyframes += 1
            return True
        if have is not None and have.seq == header["base_seq"]:
            have.apply(header, payloads)
            self.deltas += 1
            return True
        self.misses += 1
        if self.control is None:
            return False
        try:
            fetched = self.control.map_get(*key)
        except FlybackError:
            return False  # the next keyframe heals it, 2 s at most
        if fetched.session != header.get("session") or (fetched.seq or 0) < header["seq"]:
            return False
        self.maps[key] = fetched
        return True


# ---- command line -----------------------------------------------------------------------------------


def _load(path, what):
    try:
        return np.load(path)
    except (OSError, ValueError) as wrong:
        raise FlybackError("%s %s: %s" % (what, path, wrong))


class _Scan:
    """What `send` sends: frames of an image, and events of each line or a cube."""

    def __init__(self, args):
        self.image = self.cube = self.events = None
        if args.haadf:
            self.image = _load(args.haadf, "--haadf")
            if self.image.ndim == 2:
                self.image = self.image[None]
            if self.image.ndim != 3:
                raise FlybackError(
                    "--haadf %s: shape %s, (H, W) or (frames, H, W) is needed" % (args.haadf, self.image.shape)
                )
            self.shape = self.image.shape[1:]
        if args.eds:
            self.cube = _load(args.eds, "--eds")
            if self.cube.ndim != 3 or self.cube.dtype.kind not in "ui":
                raise FlybackError(
                    "--eds %s: %s %s, whole counts (H, W, channels) are needed"
                    % (args.eds, self.cube.dtype, self.cube.shape)
                )
            if self.cube.dtype.kind == "i":
                if self.cube.size and self.cube.min() < 0:
                    raise FlybackError("--eds %s: counts below 0" % args.eds)
                self.cube = self.cube.astype("<u%d" % min(self.cube.dtype.itemsize, 4))
            if args.haadf and self.cube.shape[:2] != self.shape:
                raise FlybackError("--eds %s: %s px, the image has %s" % (args.eds, self.cube.shape[:2], self.shape))
            self.shape = self.cube.shape[:2]
            self.n_channels = self.cube.shape[2]
        if args.events:
            paths = args.events.split(",")
            if len(paths) != 3:
                raise FlybackError("--events %s: Y.npy,X.npy,CHANNEL.npy is needed" % args.events)
            y, x, ch = (_load(p, "--events").astype(np.int64) for p in paths)
            if not y.shape == x.shape == ch.shape or y.ndim != 1:
                raise FlybackError("--events: the three arrays have shapes %s %s %s" % (y.shape, x.shape, ch.shape))
            if not args.haadf:
                if not args.scan_shape:
                    raise FlybackError("--events without --haadf needs --scan-shape H,W")
                self.shape = tuple(int(v) for v in args.scan_shape.split(","))
            if y.size and (min(y.min(), x.min(), ch.min()) < 0 or y.max() >= self.shape[0] or x.max() >= self.shape[1]):
                raise FlybackError("--events: events outside the scan of %d x %d px" % self.shape)
            order = np.argsort(y, kind="stable")
            self.events = y[order], x[order], ch[order]
            self.n_channels = args.n_channels or (int(ch.max()) + 1 if ch.size else 1)

    def line_eds(self, sender, y, h, layout):
        w = self.shape[1]
        if self.cube is not None and layout == "dense":
            sender.eds_dense("EDS", self.cube[y : y + h], y)
            return
        if self.cube is not None:
            counts = self.cube[y : y + h].reshape(h * w, -1)
            pixel, channel = np.nonzero(counts)
            times = counts[pixel, channel].astype(np.int64)
            pixel, channel = np.repeat(pixel, times), np.repeat(channel, times)
        else:
            lo, hi = np.searchsorted(self.events[0], [y, y + h])
            ey, ex, channel = (a[lo:hi] for a in self.events)
            pixel = (ey - y) * w + ex
        # what no detector of this session can have counted
        inside = channel < self.n_channels
        pixel, channel = pixel[inside], channel[inside]
        if layout == "csr":
            order = np.argsort(pixel, kind="stable")
            pointers = np.searchsorted(pixel[order], np.arange(h * w + 1))
            sender.eds_csr("EDS", pointers, channel[order], y, 0, [h, w])
        else:
            sender.eds_pairs("EDS", pixel, channel, y, 0, [h, w])


def _cmd_send(args):
    if not (args.haadf or args.eds or args.events):
        raise FlybackError("nothing to send: --haadf, --eds or --events is needed")
    if args.eds and args.events:
        raise FlybackError("--eds and --events: one of them")
    if args.lines_per_message < 1:
        raise FlybackError("--lines-per-message %d: at least 1" % args.lines_per_message)
    scan = _Scan(args)
    layout = args.eds_layout or ("dense" if args.eds else "pairs")
    if args.events and layout == "dense":
        raise FlybackError("--eds-layout dense goes with --eds; events are sent as pairs or csr")
    support = None
    if args.support:
        try:
            with open(args.support, encoding="utf-8") as file:
                support = json.load(file)
        except (OSError, ValueError) as wrong:
            raise FlybackError("--support %s: %s" % (args.support, wrong))
        if not isinstance(support, dict):
            raise FlybackError("--support %s: {class: [[row, col], ...]} is needed" % args.support)

    def told(event):
        if event.get("level") != "info":
            print("%s: %s: %s" % (event.get("level"), event.get("code"), event.get("text")), file=sys.stderr)

    height = scan.shape[0]
    frames = 1 if scan.image is None else scan.image.shape[0]
    with Sender(args.ingest, args.control, args.publish, session=args.session, on_event=told,
                keys=read_keys(args.keys, args.server_key)) as sender:
        eds = []
        if scan.cube is not None or scan.events is not None:
            axis = {"ev_per_channel": args.ev_per_channel, "ev_offset": args.ev_offset}
            eds = [dict(axis, name="EDS", n_channels=scan.n_channels)]
        sender.start(
            scan.shape,
            [(args.detector, scan.image.dtype)] if scan.image is not None else [],
            eds,
            frames_planned=frames,
            scan_path="raster",
            pixel_nm=[args.pixel_nm] * 2 if args.pixel_nm else None,
            pixel_time_us=args.pixel_time_us,
            sample=args.sample,
        )
        print("session %s" % sender.session, file=sys.stderr)
        for name, chips in (support or {}).items():
            sender.control.support_add(name, chips)
        began = time.monotonic()
        step = args.lines_per_message
        for frame in range(frames):
            for y in range(0, height, step):
                h = min(step, height - y)
                if scan.image is not None:
                    sender.lines(args.detector, scan.image[frame, y : y + h], y, frame=frame)
                if eds and frame == 0:
                    scan.line_eds(sender, y, h, layout)
                if args.line_rate:
                    while time.monotonic() - began < (frame * height + y + h) / args.line_rate:
                        sender.poll(0.005)
        sender.stop()
        sent = ", ".join("%s %d" % item for item in sorted(sender.last_seq.items()))
        print("sent %s; all of it is at Flyback" % sent, file=sys.stderr)


def _cmd_watch(args):
    if args.save:
        os.makedirs(args.save, exist_ok=True)
    end = time.monotonic() + args.seconds if args.seconds else None
    with Viewer(args.publish, args.control, keys=read_keys(args.keys, args.server_key)) as viewer:
        while end is None or time.monotonic() < end:
            for kind, header in viewer.poll(0.2):
                if kind == "map":
                    key = header["method"], header["modality"]
                    now = viewer.maps[key]
                    print("map %s/%s %s%s: %s" % (key + (now.seq, " final" if now.final else "", now.summary())))
                    if args.save and now.final:
                        np.save(os.path.join(args.save, "%s_%s.npy" % key), now.labels)
                elif kind == "event":
                    print("event %s %s: %s" % (header.get("level"), header.get("code"), header.get("text")))
                elif kind == "start":
                    print(
                        "start %s: %s chips of %s px%s"
                        % (header.get("session"), header.get("grid_shape"), header.get("chip_px"),
                           ", resumed" if header.get("resumed") else "")
                    )
                elif kind == "metrics":
                    print("latency %s ms" % (header.get("latency_ms"),))
                elif kind == "stop":
                    print(
                        "stop %s: %s, complete %s"
                        % (header.get("session"), header.get("exit_status"), header.get("complete"))
                    )
                    if args.until_stop:
                        return
            sys.stdout.flush()


def _cmd_request(args):
    values = {}
    for pair in args.pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise FlybackError("%s: key=value is needed" % pair)
        try:
            values[key] = json.loads(text)
        except ValueError:
            values[key] = text
    with Control(args.control, keys=read_keys(args.keys, args.server_key)) as control:
        result, payloads = control.request_parts(args.op, values)
        if args.op == "map.get":
            found = Map(result, payloads)
            result = dict(result, labels=found.labels.tolist())
        elif args.op == "chip.get" and payloads:
            spectrum = np.frombuffer(payloads[0], dtype="<u4")
            result = dict(result, photons=int(spectrum.sum()), channels_hit=int((spectrum > 0).sum()))
        print(json.dumps(result, indent=1, default=str))


def _cmd_keygen(args):
    folder = args.out or os.path.join("keys", args.name)
    print(make_keys(folder, args.name, args.role))
    print("%s stays here; the line on stdout belongs into Flyback's allow-list" % os.path.join(folder, "secret.key"),
          file=sys.stderr)


def _parser():
    parser = argparse.ArgumentParser(
        prog="flyback_client.py",
        description="Talk to a running Flyback: send a scan as an instrument would, watch its maps, make requests.",
    )
    commands = parser.add_subparsers(dest="command", metavar="send | watch | request | keygen")
    commands.required = True
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument("--ingest", default=INGEST, metavar="ADDRESS", help="default %(default)s")
    where.add_argument("--publish", default=PUBLISH, metavar="ADDRESS", help="default %(default)s")
    where.add_argument("--control", default=CONTROL, metavar="ADDRESS", help="default %(default)s")
    where.add_argument("--keys", metavar="DIR", help="your pair (flyback keygen), where Flyback runs with keys")
    where.add_argument("--server-key", metavar="FILE", help="Flyback's public.key, or the 40 characters themselves")

    send = commands.add_parser("send", parents=[where], help="send .npy files as an instrument would")
    send.add_argument("--haadf", metavar="FILE", help="image (H, W), or (frames, H, W)")
    send.add_argument("--eds", metavar="FILE", help="EDS cube (H, W, channels) of counts")
    send.add_argument("--events", metavar="Y,X,CH", help="EDS events as three .npy of one length")
    send.add_argument("--support", metavar="FILE", help="support set {class: [[row, col], ...]} in JSON")
    send.add_argument("--session", metavar="ID", help="default: a new uuid")
    send.add_argument("--detector", default="HAADF", metavar="NAME", help="of the image; default %(default)s")
    send.add_argument("--scan-shape", metavar="H,W", help="needed for --events without --haadf")
    send.add_argument("--n-channels", type=int, metavar="N", help="of the events; default: the highest and one")
    send.add_argument("--ev-per-channel", type=float, default=10.0, metavar="EV", help="default %(default)s")
    send.add_argument("--ev-offset", type=float, default=0.0, metavar="EV", help="default %(default)s")
    send.add_argument("--pixel-nm", type=float, metavar="NM", help="size of a pixel; default: not known")
    send.add_argument("--pixel-time-us", type=float, metavar="US", help="dwell time of a pixel")
    send.add_argument("--sample", metavar="TEXT", help="what lies in the holder")
    send.add_argument("--eds-layout", choices=("pairs", "csr", "dense"), help="default: dense for --eds, else pairs")
    send.add_argument("--lines-per-message", type=int, default=1, metavar="N", help="default %(default)s")
    send.add_argument("--line-rate", type=float, metavar="HZ", help="lines per second; default: as fast as it goes")
    send.set_defaults(run=_cmd_send)

    watch = commands.add_parser("watch", parents=[where], help="print what Flyback publishes")
    watch.add_argument("--seconds", type=float, metavar="S", help="end after so long; default: never")
    watch.add_argument("--until-stop", action="store_true", help="end with the session")
    watch.add_argument("--save", metavar="DIR", help="write the labels of final maps there, as .npy")
    watch.set_defaults(run=_cmd_watch)

    request = commands.add_parser(
        "request",
        parents=[where],
        help="make one control request",
        epilog="Values are JSON where they can be read as such, else text: request map.get method=fewshot "
        "modality=haadf exact=true",
    )
    request.add_argument("op", help="status, support.add, class.rename, params.set, map.get, chip.get, ...")
    request.add_argument("pairs", nargs="*", metavar="key=value")
    request.set_defaults(run=_cmd_request)

    keygen = commands.add_parser("keygen", help="a pair of keys for this PC, and its line for Flyback's allow-list")
    keygen.add_argument("--name", required=True, help="whose it is; stands in Flyback's log")
    keygen.add_argument("--role", default="instrument",
                        help="viewer, instrument, controller, operator, guard, or several with commas; default %(default)s")
    keygen.add_argument("--out", metavar="DIR", help="default: keys/NAME")
    keygen.set_defaults(run=_cmd_keygen)
    return parser


def main(argv=None):
    args = _parser().parse_args(argv)
    try:
        args.run(args)
    except FlybackError as wrong:
        print("flyback_client: %s" % wrong, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
