"""How long it takes from the published epoch to a command on the wire.

A plugin of its own, 51 x 51 chips of an image and X-rays, the mode auto, and this script as its guard: it measures what is
asked for and sends the data back. For each command: from the moment when all was there that it waits for to its arrival
here. That is the latest of: `t_ns` of the first map of the epoch that it was made from (the same `as_of`); the end of the
command before it; the least time between two commands. Commands of an epoch that changed no map are counted apart. To be
run on a machine that does nothing else.

    /usr/bin/python3 -B tests/bench/command_latency.py [COMMANDS]     FLYBACK=path/to/flyback
"""

import json
import os
import sys
import threading
import time

import msgpack
import numpy as np
import zmq

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from flyback_test import Flyback  # noqa: E402

CHIP, ROWS, COLS, CHANNELS, CYCLE_MS = 10, 51, 51, 1024, 100
SHAPE = (CHIP * ROWS, CHIP * COLS)
RNG = np.random.default_rng(1)
_Y, _X = np.mgrid[: SHAPE[0], : SHAPE[1]]
PHASE = (_X > SHAPE[1] // 2 + 30 * np.sin(_Y / 40)).astype(int)
CLEAN = np.where(PHASE, np.cos(2 * np.pi * _X / 3.1), np.cos(2 * np.pi * _X / 5) * np.cos(2 * np.pi * _Y / 5))


def send(sender, y0, x0, h, w, dwell_us, **more):
    """What the detectors see of a rectangle."""
    clean = CLEAN[y0 : y0 + h, x0 : x0 + w]
    image = np.clip(30000 + 1500 * clean + RNG.normal(0, 12000 / np.sqrt(dwell_us), clean.shape), 0, 65535)
    sender.lines("HAADF", image.astype("<u2"), y0, x0, dwell_us=dwell_us, **more)
    pixel = np.repeat(np.arange(h * w), RNG.poisson(0.1 * dwell_us, h * w))
    iron = np.where(PHASE[y0 : y0 + h, x0 : x0 + w].ravel()[pixel], 0.55, 0.45)
    ev = RNG.normal(np.where(RNG.random(pixel.size) < iron, 6400, 4510), 60)
    sender.eds_pairs("EDS", pixel, (ev / 10).astype(int), y0, x0, [h, w], dwell_us=dwell_us, **more)


class Published(threading.Thread):
    """When the first map of each epoch was published, by its as_of."""

    def __init__(self, fly):
        super().__init__(daemon=True)
        self.at = {}
        self.socket = zmq.Context.instance().socket(zmq.SUB)
        self.socket.connect(fly.publish)
        self.socket.subscribe(b"map")

    def run(self):
        while True:
            header = msgpack.unpackb(self.socket.recv_multipart()[1])
            self.at.setdefault(tuple(sorted(header["as_of"].items())), header["t_ns"])


def steer(fly, sender, published, wanted):
    """Be the guard; the latencies in ms, and how many commands had no new map."""
    guard = zmq.Context.instance().socket(zmq.DEALER)
    guard.setsockopt(zmq.LINGER, 0)
    guard.connect(fly.control)

    def say(**header):
        guard.send_multipart([b"", msgpack.packb(header)])

    say(type="request", id=1, op="steer.attach", args={"mode": "auto", "as": "guard"})
    commands, asked, free_ns = [], time.monotonic(), 0
    while len(commands) < wanted:
        if time.monotonic() - asked > 1.0:
            asked = time.monotonic()
            say(type="request", id=2, op="status", args={})
        if not guard.poll(100):
            continue
        header = msgpack.unpackb(guard.recv_multipart()[1])
        now_ns = time.time_ns()
        if header["type"] == "reply":
            assert header["ok"], header
        elif header["kind"] == "box":
            commands.append((now_ns, tuple(sorted(header["as_of"].items())), free_ns))
            say(type="ack", cmd_id=header["cmd_id"], status="started")
            for target in header["targets"]:
                send(sender, *(int(v) for v in target["px"]), target["dwell_us"], frame=header["frame"],
                     cmd_id=header["cmd_id"])
            say(type="ack", cmd_id=header["cmd_id"], status="done")
            free_ns = max(time.time_ns(), now_ns + int(1e6 * CYCLE_MS))
    time.sleep(0.5)
    known = [(now_ns, published.at[as_of], free) for now_ns, as_of, free in commands if as_of in published.at]
    return np.array([(now_ns - max(at, free)) / 1e6 for now_ns, at, free in known]), len(commands) - len(known)


def main():
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    settings = {"chip.size_px": CHIP, "steer.cycle_ms": CYCLE_MS, "steer.target_error": 0, "steer.dose_cap": 1e6,
                "steer.tiles": 128}
    with Flyback(settings) as fly, fly.sender() as sender:
        published = Published(fly)
        published.start()
        sender.start(SHAPE, [("HAADF", "<u2")],
                     [{"name": "EDS", "n_channels": CHANNELS, "ev_per_channel": 10.0, "ev_offset": 0.0}],
                     pixel_nm=[0.05, 0.05], beam_current_na=0.05, pixel_time_us=1.0, elements=["Ti", "Fe"])
        sender.control.support_add("a", [[5, 5], [20, 10], [40, 3], [30, 12]])
        sender.control.support_add("b", [[5, 45], [20, 40], [40, 48], [30, 42]])
        for y in range(SHAPE[0]):
            send(sender, y, 0, 1, SHAPE[1], 1.0, frame=0)
        ms, apart = steer(fly, sender, published, wanted)
        sender.stop("abort", wait=False)
    print(json.dumps({"chips": ROWS * COLS, "commands": int(ms.size), "without_a_new_map": apart,
                      **{name: round(float(np.percentile(ms, q)), 3) for name, q in
                         (("p50_ms", 50), ("p90_ms", 90), ("p99_ms", 99), ("max_ms", 100))}}))


if __name__ == "__main__":
    main()
