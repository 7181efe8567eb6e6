"""Every way to break the protocol is refused, counted, told, and harms nothing."""

import collections
import os
import sys
import time

import msgpack
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from flyback_test import DROP, SLOW, Counters, Flyback, Raw, run, wait_until  # noqa: E402

H, W, E = 30, 40, 64
SETTINGS = {"chip.size_px": 10, "haadf.lo": 0, "haadf.hi": 1000, "ingest.stop_wait_s": 0.2}
IMAGE = (np.arange(H * W).reshape(H, W) * 7 % 1000).astype("<u2")
START = {
    "schema": [1, 0],
    "scan_shape_px": [H, W],
    "detectors": [{"name": "HAADF", "dtype": "<u2"}, {"name": "F", "dtype": "<f4"}],
    "eds": [{"name": "EDS", "n_channels": E, "ev_per_channel": 10.0, "ev_offset": 0.0}],
    "frames_planned": 2,
}
LINE = {"frame": 0, "y0_px": 0, "x0_px": 0, "dtype": "<u2", "shape": [1, W]}
PHOTONS = {"frame": 0, "y0_px": 0, "x0_px": 0, "shape": [1, W], "layout": "pairs", "live_time_us": None, "real_time_us": None}
PIXELS = IMAGE[0].tobytes()
U4, U2 = (lambda *v: np.array(v, "<u4").tobytes()), (lambda *v: np.array(v, "<u2").tobytes())


DATA = ("lines", "eds", "pixels", "photons")


def deep(levels):
    value = 1
    for _ in range(levels):
        value = [value]
    return value


def refusals(raw):
    """[(reason, what, how)]; how sends one message that is to be refused for that reason.

    Those of one stream whose number can be read use it up: nothing may be missing after them.
    """
    def lines(**change):
        payloads = change.pop("payloads", [PIXELS])
        return lambda: raw.send("lines", "HAADF", *payloads, **dict(LINE, **change))

    def eds(*payloads, **change):
        return lambda: raw.send("eds", "EDS", *payloads, **dict(PHOTONS, **change))

    def nameless(header_bytes, *payloads):
        return lambda: raw.parts(header_bytes, *payloads)

    def start(**change):
        # a start of another session: refused, it must not close the open one
        def send():
            head = dict(raw.head("start", "control", seq=1), **START)
            head.update({"session": "another"}, **change)
            raw.parts(msgpack.packb({k: v for k, v in head.items() if v is not DROP}))
        return send

    # twice the same key cannot be packed from a dict
    twice = b"\x82" + 2 * (msgpack.packb("type") + msgpack.packb("lines"))
    good = msgpack.packb({"type": "lines"})
    return [
        ("malformed", "bytes that are no msgpack", nameless(b"\xc1\xc1")),
        ("malformed", "an empty header", nameless(b"")),
        ("malformed", "a header that ends early", nameless(good[:-2])),
        ("malformed", "bytes after the map", nameless(good + b"\x00")),
        ("malformed", "the same key twice", nameless(twice)),
        ("malformed", "a bin", nameless(msgpack.packb({"type": "lines", "x": b"1"}, use_bin_type=True))),
        ("malformed", "an ext", nameless(msgpack.packb({"type": "lines", "x": msgpack.ExtType(5, b"1")}))),
        ("malformed", "an array for a header", nameless(msgpack.packb([1, 2]))),
        ("malformed", "a key that is a number", nameless(msgpack.packb({1: 2}))),
        ("oversize", "a header above 64 KiB", nameless(msgpack.packb({"k%d" % i: "v" * 4000 for i in range(20)}))),
        ("oversize", "a string above 4 KiB", lines(note="x" * 4097, seq=DROP)),
        ("oversize", "nine levels", lines(note=deep(8), seq=DROP)),
        ("oversize", "nine parts", lines(payloads=[PIXELS] * 8)),
        ("oversize", "a scan of 16385 px", start(scan_shape_px=[16385, 16])),
        ("oversize", "16385 channels", start(eds=[dict(START["eds"][0], n_channels=16385)])),
        ("bad_key", "no y0_px", lines(y0_px=DROP)),
        ("bad_key", "no frame", eds(U4(1), U2(1), frame=DROP)),
        ("bad_key", "no seq", lines(seq=DROP)),
        ("bad_type", "y0_px a string", lines(y0_px="0")),
        ("bad_type", "a float for a frame", lines(frame=0.0)),
        ("bad_type", "shape a number", lines(shape=W)),
        ("bad_value", "a dwell time that is no number", lines(dwell_us=float("nan"))),
        ("bad_value", "an infinite dwell time", lines(dwell_us=float("inf"))),
        ("bad_value", "a layout nobody knows", eds(U4(1), U2(1), layout="sparse")),
        ("bad_value", "a stop with a status nobody knows",
         lambda: raw.send("stop", "control", exit_status="perhaps", reason="", count={})),
        ("version", "a start of version 2", start(schema=[2, 0])),
        ("unknown_type", "a type nobody knows", lines(type="frobnicate")),
        ("other_session", "a session that is not open", lines(session="yesterday", seq=1)),
        ("undeclared", "a detector not declared", lambda: raw.send("lines", "BF", PIXELS, **LINE)),
        ("dtype", "another dtype than declared", lines(dtype="<u4", payloads=[IMAGE[0].astype("<u4").tobytes()])),
        ("dtype", "signed dense counts", eds(bytes(W * E * 2), layout="dense", dtype="<i2")),
        ("shape", "no rows", lines(shape=[0, W], payloads=[b""])),
        ("shape", "three sides", lines(shape=[1, W, 1])),
        ("payload_size", "too few bytes", lines(payloads=[PIXELS[:-1]])),
        ("payload_size", "too many bytes", lines(payloads=[PIXELS + b"\0"])),
        ("payload_size", "pairs of unequal length", eds(U4(1, 2), U2(1))),
        ("outside", "a line below the scan", lines(y0_px=H)),
        ("outside", "a line beyond its right side", lines(x0_px=1)),
        ("outside", "a negative origin", lines(y0_px=-1)),
        ("outside", "a frame beyond those planned", lines(frame=2)),
        ("outside", "photons below the scan", eds(U4(1), U2(1), y0_px=H)),
        ("photons", "a pixel beyond the rectangle", eds(U4(W), U2(1))),
        ("photons", "row pointers that fall", eds(U4(0, 2, 1, *[2] * (W - 2)), U2(1, 1), layout="csr")),
        ("photons", "row pointers that do not begin at 0", eds(U4(*[1] * (W + 1)), U2(1), layout="csr")),
        ("session_reused", "another start under the id of the open session",
         lambda: raw.send("start", "control", **dict(START, seq=1, sample="another"))),
    ]


def open_session(fly, raw, viewer):
    raw.send("start", "control", **START)
    for y in range(15):
        raw.lines("HAADF", IMAGE[y : y + 1], y)
        raw.send("eds", "EDS", U4(*range(W)), U2(*[y] * W), **dict(PHOTONS, y0_px=y))
    viewer.wait(lambda: (viewer.heartbeat or {}).get("last_seq", {}).get("EDS") == 15, 10 * SLOW)


def exact(control):
    return [control.map_get("fewshot", m, exact=True).labels.tobytes() for m in ("haadf", "eds", "ensemble")]


def one_by_one():
    """Which of them were not refused as they should be: each alone, which takes a heartbeat each."""
    wrong = []
    with Flyback(SETTINGS) as fly, fly.viewer() as viewer, Raw(fly, "monday") as raw:
        open_session(fly, raw, viewer)
        counters = Counters(viewer)
        counters.expect(raw.sent, {"pixels": 15 * W, "photons": 15 * W}, ("pixels", "photons"))
        for reason, what, how in refusals(raw):
            how()
            grown = counters.wait_messages(raw.sent)
            grown = {k: v for k, v in grown.items() if k.startswith("refused.") or k in DATA + Counters.ORDER}
            if grown != {"refused." + reason: 1}:
                wrong.append("%s: %s instead of %s" % (what, grown, reason))
    return wrong


def everything_wrong_is_refused_for_its_reason_and_the_session_goes_on():
    with Flyback(SETTINGS) as fly, fly.viewer() as viewer, Raw(fly, "monday") as raw, fly.controller() as control:
        open_session(fly, raw, viewer)
        control.support_add("a", [[0, 0]])
        control.support_add("b", [[0, 1]])
        before = exact(control)
        counters = Counters(viewer)
        counters.expect(raw.sent, {"lines": 15, "eds": 15, "pixels": 15 * W, "photons": 15 * W}, DATA)
        list_of = refusals(raw)
        for _, _, how in list_of:
            how()
        want = collections.Counter("refused." + reason for reason, _, _ in list_of)
        try:
            counters.expect(raw.sent, dict(want), DATA)
        except AssertionError as error:
            raise AssertionError("%s\n  %s" % (error, "\n  ".join(one_by_one())))
        assert exact(control) == before, "a refused message changed a map"

        # told by name, at most one a second and reason
        reasons = {reason for reason, _, _ in list_of}
        viewer.wait(lambda: reasons <= {e["code"] for e in viewer.events}, 10 * SLOW)
        for event in viewer.events:
            if event["code"] in reasons:
                assert event["level"] == "warning" and event["text"], event

        # their numbers are used up: nothing is missing, and the scan goes on to its end
        status = control.status()
        assert status["session"] == "monday" and status["state"] == "running", status
        for y in range(15, H):
            raw.lines("HAADF", IMAGE[y : y + 1], y)
            raw.send("eds", "EDS", U4(*range(W)), U2(*[y] * W), **dict(PHOTONS, y0_px=y))
        raw.send("stop", "control", exit_status="success", reason="", count=dict(raw.seq, control=raw.seq["control"] + 1))
        viewer.wait(lambda: viewer.stop, 20 * SLOW)
        assert viewer.stop["complete"] == 1.0, viewer.stop
        assert viewer.stop["counters"]["gap"] == 0, viewer.stop["counters"]
        wait_until(lambda: control.status()["durable_seq"].get("HAADF", raw.seq["HAADF"]) == raw.seq["HAADF"], 5, "durable_seq")
        return "%d ways, %d reasons" % (len(list_of), len(reasons))


def before_start_and_after_stop_there_is_no_session_to_speak_to():
    with Flyback(SETTINGS) as fly, fly.viewer() as viewer, Raw(fly, "tuesday") as raw:
        viewer.wait(lambda: viewer.heartbeat, 10 * SLOW)
        counters = Counters(viewer)
        counters.wait_messages(0)
        raw.send("lines", "HAADF", PIXELS, **LINE)
        raw.send("heartbeat", "control", last_seq={}, backlog=0, dropped={})
        raw.send("stop", "control", exit_status="success", reason="", count={})
        grown = counters.wait_messages(raw.sent)
        assert grown.get("refused.no_session") == 3, grown
        raw.seq.clear()
        open_session(fly, raw, viewer)
        raw.send("stop", "control", exit_status="success", reason="", count=dict(raw.seq, control=2))
        raw.lines("HAADF", IMAGE[15:16], 15)  # a number beyond what the stop counted
        viewer.wait(lambda: viewer.stop, 20 * SLOW)
        raw.lines("HAADF", IMAGE[16:17], 16)  # and one after it was drained
        grown = counters.wait_messages(raw.sent)
        assert grown.get("refused.after_stop") == 2, grown
        # until its file is closed the same start is still a repeat
        viewer.wait(lambda: viewer.heartbeat["state"] == "idle", 10 * SLOW)
        raw.send("start", "control", seq=1, **START)
        grown = counters.wait_messages(raw.sent)
        assert grown.get("refused.session_reused") == 1, grown


def a_flood_of_random_bytes_is_only_refused():
    rng = np.random.default_rng(5)
    with Flyback(SETTINGS) as fly, fly.viewer() as viewer, Raw(fly, "wednesday") as raw, fly.controller() as control:
        open_session(fly, raw, viewer)
        counters = Counters(viewer)
        counters.wait_messages(raw.sent)
        head = msgpack.packb(raw.head("lines", "HAADF", **LINE))
        raw.seq["HAADF"] -= 1
        sent = 0
        for i in range(2000):
            if i % 2:
                junk = bytearray(rng.integers(0, 256, int(rng.integers(0, 200)), dtype=np.uint8))
            else:  # a good header cut short
                junk = bytearray(head[: int(rng.integers(0, len(head) - 1))])
            raw.parts(junk, *[b"\x00" * int(rng.integers(0, 50)) for _ in range(int(rng.integers(0, 3)))])
            sent += 1
        grown = counters.wait_messages(raw.sent)
        refused = sum(v for k, v in grown.items() if k.startswith("refused."))
        assert refused == sent, "%d of %d refused: %s" % (refused, sent, grown)
        raw.lines("HAADF", IMAGE[15:16], 15)
        assert counters.wait_messages(raw.sent).get("lines") == 1
        assert control.status()["state"] == "running"


def junk_on_control_and_publish_harms_nobody():
    import zmq

    rng = np.random.default_rng(6)
    with Flyback(SETTINGS) as fly, Raw(fly, "thursday") as raw, fly.viewer() as viewer:
        open_session(fly, raw, viewer)
        with fly.controller() as control:
            for parts in ([b""], [b"x"], [b"", b""], [b"", b"\xc1"], [b"", msgpack.packb([1])], [b"", msgpack.packb({})],
                          [b"", msgpack.packb({"type": "request", "id": 1, "op": 5})], [b"junk"] * 12):
                control._socket.send_multipart(parts)
            for _ in range(200):
                control._socket.send_multipart([b"", bytes(rng.integers(0, 256, 50, dtype=np.uint8))])
            time.sleep(0.05)
            while control._socket.poll(100):
                control._socket.recv_multipart()
            assert control.status()["session"] == "thursday"
        odd = zmq.Context.instance().socket(zmq.XSUB)  # an XSUB may send what is no subscription
        odd.setsockopt(zmq.LINGER, 0)
        odd.connect(fly.publish)
        for junk in (b"", b"\x07", b"\x01" + b"t" * 2000, b"\x00never"):
            odd.send(junk)
        with fly.viewer() as late:
            late.wait(lambda: late.start and late.heartbeat, 5 * SLOW)
        odd.close()


run(
    everything_wrong_is_refused_for_its_reason_and_the_session_goes_on,
    before_start_and_after_stop_there_is_no_session_to_speak_to,
    a_flood_of_random_bytes_is_only_refused,
    junk_on_control_and_publish_harms_nobody,
    timeout_s=120,
)
