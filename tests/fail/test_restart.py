"""A plugin that was killed goes on as if it had not been, whatever came in between.

Each claim here was once untrue; it says what went wrong.
"""

import json
import os
import sys
import tempfile

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from flyback_test import TESTS, Case, Flyback, Raw, fc, flyback, run, same_map, wait_until  # noqa: E402

CASE = Case(os.path.join(TESTS, "golden", "a_tiny"))


def image(h=64, w=64):
    return np.random.default_rng(1).integers(0, 60000, (h, w)).astype("<u2")


def state(fly):
    with fly.controller() as control:
        return control.status()


def exact(fly, modality="haadf"):
    with fly.controller() as control:
        return control.map_get(modality=modality, exact=True)


def requests_among_large_messages_are_read_back():
    """A request that was due while the queue was full was given back over the message that it had pushed aside,
    and the process died of it, at every start."""
    channels, width, height = 512, 256, 96
    with Flyback({"chip.size_px": 16, "ingest.queue_mib": 1}) as fly, fly.sender(auto_resend=False) as sender:
        sender.start([height, width], [("H", "<u2")],
                     [{"name": "E", "n_channels": channels, "ev_per_channel": 10.0, "ev_offset": 0.0}])
        counts = (np.random.default_rng(0).random((1, width, channels)) < 0.01).astype("<u2")
        for y in range(height):
            sender.eds_dense("E", counts, y)
            if y % 16 == 8:
                sender.wait_durable()
                sender.control.support_add("c%d" % y, [[y // 16, 0]])
        sender.wait_durable()
        for _ in range(2):
            fly.kill()
            fly.start()
            now = state(fly)
            assert now["session"] == sender.session and now["durable_seq"]["E"] == height, now


def requests_after_a_restart_wait_for_the_recorded_ones():
    """The first request of the new life overtook recorded ones that still waited, took their class ids, and the
    next restart gave them back differently."""
    with Flyback({"chip.size_px": 64}) as fly:
        sender = fly.sender(auto_resend=False)
        rows, width = 2048, 4096
        sender.start([rows, width], [], [{"name": "E", "n_channels": 4096, "ev_per_channel": 10.0, "ev_offset": 0.0}])
        rng = np.random.default_rng(0)
        pixel, channel = rng.integers(0, width, 8000), rng.integers(0, 4096, 8000)
        for y in range(rows):
            sender.eds_pairs("E", pixel, channel, y, 0, [1, width])
        sender.wait_durable()
        assert sender.control.support_add("A", [[0, 0]])["class_id"] == 0
        lives = []
        for n in range(2):
            fly.kill()
            fly.start(wait=False)
            with fc.Control(fly.control, timeout_s=60) as control:
                told = control.support_add("B", [[5, 3 + n]])
            lives.append([(c["id"], c["name"]) for c in told["classes"]])
        sender.close()
    assert lives == [[(0, "A"), (1, "B")]] * 2, lives


def a_session_goes_on_with_the_settings_it_began_with():
    """The embedder was that of the new process, and the support file was read again: gone or changed by then."""
    with tempfile.TemporaryDirectory() as folder:
        support = os.path.join(folder, "support.json")
        with open(support, "w") as file:
            json.dump({"a": [[0, 0]], "b": [[3, 3]]}, file)
        with Flyback({"chip.size_px": 16, "fewshot.support": support}) as fly, Raw(fly, "A") as raw:
            raw.send("start", "control", schema=[1, 0], scan_shape_px=[64, 64], detectors=[{"name": "H", "dtype": "<u2"}])
            for y, line in enumerate(image()):
                raw.lines("H", line[None], y)
            wait_until(lambda: state(fly)["durable_seq"].get("H") == 64, 10, "the scan on disk")
            before = exact(fly)
            assert sorted(np.unique(before.labels)) == [0, 1]
            fly.kill()
            os.unlink(support)
            del fly.settings["fewshot.support"]
            fly.settings["chip.size_px"] = 8
            fly.start()
            same_map(exact(fly), before, "after a restart with other settings")
            told = state(fly)
            assert told["config"]["chip.size_px"] == 16 and told["embedder"].startswith("spectral"), told
            # The files alone give the same, too.
            fly.end()
            out = os.path.join(folder, "out")
            flyback("analyze", fly.recording("A"), "--no-pictures", "--out", out)
            same_map(np.load(out + "/fs_label_emb.npy").reshape(before.labels.shape), before.labels, "analyze")


def published_numbers_go_on_from_where_they_were():
    """They began at 1 again in the same session: a client that ignores numbers it has, heard nothing more."""
    with Flyback({"chip.size_px": 16}) as fly, fly.viewer(ask=False) as viewer, Raw(fly, "A") as raw:
        raw.send("start", "control", schema=[1, 0], scan_shape_px=[64, 64], detectors=[{"name": "H", "dtype": "<u2"}])
        for y, line in enumerate(image()):
            raw.lines("H", line[None], y)
        viewer.wait(lambda: viewer.maps and viewer.heartbeat and viewer.heartbeat["durable_seq"].get("H") == 64)
        last = {"map": viewer.maps["fewshot", "haadf"].seq, "heartbeat": viewer.heartbeat["seq"], "start": viewer.start["seq"]}
        fly.kill()
        fly.start()
        viewer.wait(lambda: viewer.start["resumed"])
        # Before the session is there again, heartbeats of no session count for themselves.
        viewer.wait(lambda: viewer.maps and viewer.heartbeat["session"] == "A" and
                    viewer.heartbeat["seq"] != last["heartbeat"])
        now = {"map": viewer.maps["fewshot", "haadf"].seq, "heartbeat": viewer.heartbeat["seq"], "start": viewer.start["seq"]}
        assert all(now[k] > last[k] for k in last), (last, now)


def the_journal_is_followed_past_a_restart():
    """The new life embeds again what the old one had; the follower, which had it, stopped there with an error."""
    with tempfile.TemporaryDirectory() as folder:
        with Flyback(CASE.settings()) as fly:
            with fly.sender(session="twice", auto_resend=False) as sender, fly.viewer() as viewer:
                CASE.start(sender)
                half = CASE.shape[0] // 2
                for name, chips in CASE.support():
                    sender.control.support_add(name, chips)
                CASE.send_raster(sender, 0, half)
                sender.wait_durable()
                viewer.wait(lambda: viewer.maps)
                fly.kill()
                fly.start()
                sender.resend()
                CASE.send_raster(sender, half)
                sender.stop()
            final = {m: exact(fly, m) for m in ("haadf", "eds", "ensemble")}
            assert fly.end() == 0
            recording = fly.recording("twice")
            files = []
            for threads in (1, 2):
                out = os.path.join(folder, str(threads))
                flyback("analyze", recording, "--epochs", "--no-pictures", "--out", out,
                        "--set", "engine.threads=%d" % threads)
                names = sorted(n for n in os.listdir(out) if n.endswith(".npy"))
                contents = []
                for name in names:
                    with open(os.path.join(out, name), "rb") as file:
                        contents.append(file.read())
                files.append((names, contents))
        assert files[0] == files[1]
        epochs = [n for n in files[0][0] if n.startswith("epoch_") and n.count("_") == 2 and n.endswith("_haadf.npy")]
        assert len(epochs) >= 2, epochs
        for modality, got in final.items():
            last = files[0][1][files[0][0].index(epochs[-1].replace("haadf", modality))]
            assert got.labels.astype("<i4").tobytes() == last[-4 * got.labels.size:], modality
    return "%d epochs over two lives" % len(epochs)


run(
    requests_among_large_messages_are_read_back,
    requests_after_a_restart_wait_for_the_recorded_ones,
    a_session_goes_on_with_the_settings_it_began_with,
    published_numbers_go_on_from_where_they_were,
    the_journal_is_followed_past_a_restart,
)
