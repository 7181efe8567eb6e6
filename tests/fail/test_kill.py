"""kill -9 at named points and at random times: the final maps are those of an undisturbed run, to the bit.

`flyback run --crash-at POINT:N` kills itself the N-th time it passes a point: `arrival` (a message is there, not
recorded), `recorded` (handed to the recorder, not yet to the engine), `embedded` (between embedding and labels),
`published` (maps are out). What the restarted process says it has shows where the kill fell.
"""

import os
import signal
import sys
import threading
import time

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from flyback_test import (  # noqa: E402
    MAPS, MODALITIES, SLOW, TESTS, Case, Flyback, all_final, fc, run, same_map, same_partition, wait_until)

CASE = Case(os.path.join(TESTS, "golden", "a_tiny"))
SIDE = CASE.params["chip"]
ROWS = CASE.params["rows"]
MESSAGES = 2 * CASE.shape[0]  # a line and its photons
KILLS = 20
SEED = 20


class Killed(Exception):
    """Flyback is gone: what was being waited for will not come."""


def dead(fly):
    return fly.process.poll() is not None


def send_scan(fly, sender, from_y, to_y=None):
    """Lines and photons in raster order; after each chip row wait for its labels, so that every point between
    arrival and publication is passed in every row. Killed, with the next line to send, when Flyback dies."""
    with fly.viewer(ask=False) as viewer:
        for y in range(from_y, CASE.shape[0] if to_y is None else to_y):
            sender.lines("HAADF", CASE.haadf[y], y)
            CASE.send_eds(sender, y, 0, 1, CASE.shape[1])
            if y % SIDE == SIDE - 1 and y // SIDE < ROWS:
                def labelled():
                    viewer.poll(0.005)
                    now = viewer.maps.get(("fewshot", "ensemble"))
                    return dead(fly) or (now is not None and (now.labels[y // SIDE] >= 0).all())

                wait_until(labelled, 20, "labels of chip row %d" % (y // SIDE))
                if y // SIDE in (1, 3):
                    # some of the scan is on disk and acknowledged when the kill comes, some is not
                    wait_until(lambda: (sender.poll(0.005), dead(fly) or sender.durable_seq["EDS"] == y + 1)[1], 10,
                               "line %d on disk" % y)
            if dead(fly):
                raise Killed(y + 1)


def add_support(fly, sender, todo):
    """Name the classes that are still to be named; Killed when Flyback dies meanwhile."""
    while todo:
        try:
            sender.control.request("support.add", {"class": todo[0][0], "chips": todo[0][1]}, timeout_s=0.5 * SLOW)
        except fc.FlybackTimeout:
            if dead(fly):
                raise Killed(0)
            continue  # asked again: the same chips in the same class change nothing
        todo.pop(0)


def finish(fly, sender):
    """Stop: the exact maps of everything, and the counters of this process."""
    sender.stop()
    with fly.controller() as control, fly.viewer() as viewer:
        maps = {}
        for method, modality in MAPS:
            exact, last = (control.map_get(method, modality, exact=how) for how in (True, False))
            maps[method, modality] = exact
            if method == "fewshot":
                same_map(exact, last, modality)
            else:  # the ids that are shown hang on what was shown before, the exact ones do not
                same_partition(exact, last, modality)
        viewer.wait(lambda: viewer.stop, 10 * SLOW)
        assert viewer.stop["complete"] == 1.0, viewer.stop
        counters = viewer.stop["counters"]
        assert not counters["conflict"], counters
    return maps, counters


def undisturbed():
    if not hasattr(undisturbed, "maps"):
        with Flyback(CASE.settings()) as fly, fly.sender() as sender:
            CASE.start(sender)
            add_support(fly, sender, CASE.support())
            send_scan(fly, sender, 0)
            undisturbed.maps, counters = finish(fly, sender)
            assert counters["lines"] + counters["eds"] == MESSAGES, counters
            for modality in MODALITIES:
                labels = undisturbed.maps["fewshot", modality].labels
                assert set(np.unique(labels)) == {0, 1, 2}, labels
            assert undisturbed.maps["community", "eds"].labels.max() >= 1, undisturbed.maps["community", "eds"].labels
    return undisturbed.maps


def compare(maps, what):
    for key in MAPS:
        same_map(maps[key], undisturbed()[key], "%s: %s %s" % (what, *key))
        assert maps[key].classes == undisturbed()[key].classes, what


def kept_what_was_acknowledged(sender, acknowledged):
    """The status, once nothing that was acknowledged is missing in it."""
    now = sender.control.status()
    return now if all(now["durable_seq"].get(k, 0) >= seq for k, seq in acknowledged.items()) else None


def killed_at(point, nth):
    """One life, one kill, one resurrection. How many data messages were there at the kill and after."""
    what = "%s:%d" % (point, nth)
    with Flyback(CASE.settings(), crash_at=what) as fly, fly.sender(auto_resend=False) as sender:
        CASE.start(sender)
        todo, next_y = CASE.support(), 0
        try:
            add_support(fly, sender, todo)
            send_scan(fly, sender, 0)
            raise AssertionError("%s was never passed" % what)
        except Killed as killed:
            next_y = killed.args[0]
        status = fly.process.wait()
        assert status == -signal.SIGKILL, "ended with %s" % status
        acknowledged = dict(sender.durable_seq)

        began = time.monotonic()
        fly.start()
        back_s = time.monotonic() - began
        # it answers while it still reads its recording; what was acknowledged must come back
        now = wait_until(lambda: kept_what_was_acknowledged(sender, acknowledged), 10,
                         "%s: what was acknowledged, %s" % (what, acknowledged))
        if acknowledged["control"]:
            assert now["session"] == sender.session, "%s: session %r after the restart" % (what, now["session"])
        resent = sender.resend()
        wait_until(lambda: sender.control.status()["session"] == sender.session, 5, "the session to be open again")
        add_support(fly, sender, todo)
        send_scan(fly, sender, next_y)
        maps, counters = finish(fly, sender)
        compare(maps, what)

        # The process that went on counts what was new to it: all but what the first one had brought to disk.
        # So the counters show on which side of the point the kill fell.
        kept = MESSAGES - counters["lines"] - counters["eds"]
        least = acknowledged["HAADF"] + acknowledged["EDS"]
        most = {"arrival": nth - 1, "recorded": nth}.get(point, MESSAGES - 1)
        assert least <= kept <= most, "%s: %d messages survived, %d were acknowledged, %d had passed the point" % (
            what, kept, least, most)
    return kept, resent, back_s


def maps_after_a_kill_at_any_point_are_those_of_an_undisturbed_run():
    rng = np.random.default_rng(SEED)
    slowest = 0.0
    for i in range(KILLS):
        point = ("arrival", "recorded", "embedded", "published")[i % 4]
        nth = int(rng.integers(1, MESSAGES - 20 if i % 4 < 2 else ROWS))
        kept, resent, back_s = killed_at(point, nth)
        slowest = max(slowest, back_s)
        print("        %s:%d: %d of %d messages were on disk, %d sent again, ready in %.2f s" % (
            point, nth, kept, MESSAGES, resent, back_s))
    return "%d kills, ready again within %.2f s" % (KILLS, slowest)


def a_client_left_alone_brings_everything_through_random_kills():
    """The client notices by itself, and sends again what it must."""
    rng = np.random.default_rng(SEED + 1)
    kills = 4 if SLOW == 1 else 2
    for i in range(2 if SLOW == 1 else 1):
        with Flyback(CASE.settings()) as fly, fly.sender() as sender:
            CASE.start(sender)
            add_support(fly, sender, CASE.support())
            delays = rng.uniform(0.02, 0.25, kills)
            wrong = []

            def killer():
                try:
                    for delay in delays:
                        time.sleep(delay)
                        fly.kill()
                        fly.start()
                except Exception as error:  # told by the test's own thread
                    wrong.append(error)

            thread = threading.Thread(target=killer)
            thread.start()
            for y in range(CASE.shape[0]):
                sender.lines("HAADF", CASE.haadf[y], y)
                CASE.send_eds(sender, y, 0, 1, CASE.shape[1])
                end = time.monotonic() + 0.01
                while time.monotonic() < end:
                    sender.poll(0.002)
            while thread.is_alive():
                sender.poll(0.01)
            thread.join()
            assert not wrong, wrong
            compare(finish(fly, sender)[0], "random kills %d" % i)
            assert sender.resent, "no kill cost a message: none of them hit"


def a_session_whose_stop_is_on_disk_is_drained_by_the_next_process():
    with Flyback(dict(CASE.settings(), **{"ingest.stop_wait_s": 30})) as fly, fly.sender(auto_resend=False) as sender:
        CASE.start(sender)
        add_support(fly, sender, CASE.support())
        send_scan(fly, sender, 0)
        sender.last_seq["HAADF"] += 1  # a message that never comes keeps it waiting
        sender.stop(wait=False)
        wait_until(lambda: (sender.poll(0.01), sender.durable_seq["control"] == sender.last_seq["control"])[1], 10,
                   "the stop to be on disk")
        assert not sender.drained
        fly.kill()
        fly.settings["ingest.stop_wait_s"] = 0.1
        fly.start()
        with fly.viewer() as viewer:
            viewer.wait(lambda: viewer.stop, 20 * SLOW)
            assert viewer.stop["session"] == sender.session and viewer.stop["exit_status"] == "success", viewer.stop
            viewer.wait(lambda: all_final(viewer), 10 * SLOW)
            for key in MAPS:
                same = same_map if key[0] == "fewshot" else same_partition
                same(viewer.maps[key], undisturbed()[key], "drained by the next process: %s %s" % key)
            compare({key: sender.control.map_get(*key, exact=True) for key in MAPS}, "drained by the next process")
        assert sender.control.status()["state"] == "idle"


def a_recording_that_ends_in_the_middle_of_a_record_is_resumed():
    with Flyback(CASE.settings()) as fly, fly.sender(auto_resend=False) as sender:
        CASE.start(sender)
        add_support(fly, sender, CASE.support())
        send_scan(fly, sender, 0, 50)
        fly.kill()
        with open(fly.recording(sender.session), "ab") as file:
            file.write(os.urandom(333))  # a write that the kill cut off
        fly.start()
        sender.resend()
        send_scan(fly, sender, 50)
        compare(finish(fly, sender)[0], "torn tail")


run(
    maps_after_a_kill_at_any_point_are_those_of_an_undisturbed_run,
    a_client_left_alone_brings_everything_through_random_kills,
    a_session_whose_stop_is_on_disk_is_drained_by_the_next_process,
    a_recording_that_ends_in_the_middle_of_a_record_is_resumed,
    timeout_s=200,
)
