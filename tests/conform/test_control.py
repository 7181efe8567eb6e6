"""Every request of the protocol: what it answers, what it refuses, and with which words."""

import os
import sys

import msgpack
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from flyback_test import SLOW, TESTS, Case, Flyback, fc, run, same_map, wait_until  # noqa: E402

CASE = Case(os.path.join(TESTS, "golden", "a_tiny"))
MODALITIES = ("haadf", "eds", "ensemble")


class Session:
    """The case streamed whole, its session still open, and one that asks."""

    def __init__(self, lines=None, settings=None):
        self.fly = Flyback(dict(CASE.settings(), **(settings or {})))
        self.sender, self.control = self.fly.sender(), self.fly.controller()
        CASE.start(self.sender)
        CASE.send_raster(self.sender, 0, lines)
        self.sender.wait_durable()

    def __enter__(self):
        self.fly.__enter__()
        return self.fly, self.sender, self.control

    def __exit__(self, *wrong):
        self.sender.close()
        self.control.close()
        self.fly.__exit__(*wrong)


def refused(control, op, args, *words):
    """A request is refused with a message that has these words; the state goes on as before."""
    try:
        got = control.request(op, args)
    except fc.RequestError as error:
        missing = [w for w in words if w.lower() not in error.message.lower()]
        assert not missing, "%s %s: the message lacks %s: %s" % (op, args, missing, error)
        assert error.code, "%s: an error without a code" % op
        return error
    raise AssertionError("%s %s was taken: %s" % (op, args, got))


def exact(control, modality="haadf"):
    return control.map_get("fewshot", modality, exact=True)


def status_tells_what_is_going_on():
    with Flyback(CASE.settings()) as fly, fly.controller() as control:
        idle = control.status()
        for key in ("state", "session", "last_seq", "durable_seq", "grid_shape", "versions", "sockets", "config", "owner"):
            assert key in idle, "status has no %s" % key
        assert idle["state"] == "idle" and idle["session"] == "", idle
        assert idle["sockets"]["control"] == fly.control, idle["sockets"]
        assert idle["config"]["chip.size_px"] == CASE.params["chip"], idle["config"]
        with fly.sender() as sender:
            CASE.start(sender)
            CASE.send_raster(sender, 0, 20)
            sender.wait_durable()
            busy = control.status()
            assert busy["state"] == "running" and busy["session"] == sender.session, busy
            assert busy["grid_shape"] == [CASE.params["rows"], CASE.params["cols"]], busy["grid_shape"]
            assert busy["last_seq"]["HAADF"] == busy["durable_seq"]["HAADF"] == 20, busy
            sender.stop()
        wait_until(lambda: control.status()["state"] == "idle", 5, "an idle Flyback after the stop")


def support_comes_grows_moves_and_goes():
    with Session() as (_, _, control):
        (first, chips_1), (second, chips_2), _ = CASE.support()
        assert (exact(control).labels < 0).all(), "labels without a class"
        assert control.support_add(first, chips_1[:2])["class_id"] == 0
        assert (exact(control).labels == 0).all(), "one class must take all chips"
        assert control.support_add(second, chips_2)["class_id"] == 1
        assert control.support_add(first, chips_1)["class_id"] == 0, "adding to a class made another"
        two = exact(control)
        assert set(np.unique(two.labels)) == {0, 1}, np.unique(two.labels)
        assert [c["name"] for c in two.classes] == [first, second], two.classes
        for r, c in chips_1:
            assert two.labels[r, c] == 0

        # a chip that supports another class is an error that changes nothing, not even its fellows
        free = [5, 0] if [5, 0] not in chips_1 + chips_2 else [3, 3]
        refused(control, "support.add", {"class": second, "chips": [free, chips_1[0]]}, "class")
        same_map(exact(control), two, "after a refused support.add")

        control.class_rename(first, "substrate")
        named = exact(control)
        assert named.classes[0]["name"] == "substrate" and named.classes[0]["id"] == 0, named.classes
        same_map(named, two, "after a rename")

        control.support_remove(chips_2)
        control.class_remove(second)
        assert set(np.unique(exact(control).labels)) == {0}
        assert control.support_add("third", chips_2)["class_id"] == 2, "an id was used again"
        again = exact(control)
        assert np.array_equal(again.labels == 2, two.labels == 1), "the same chips under a new name"


def support_chips_not_measured_yet_count_once_they_are():
    with Session(lines=30) as (_, sender, control):
        for name, chips in CASE.support():
            control.support_add(name, chips)
        part = exact(control)
        assert (part.labels[:2] == 2).all(), "of the top rows only the third class's chips are measured"
        assert (part.labels[2:] == -1).all(), "labels below the last line"
        CASE.send_raster(sender, 30)
        sender.stop()
        whole = exact(control)
        assert set(np.unique(whole.labels)) == {0, 1, 2}


def the_map_is_relabelled_at_once_on_the_air():
    with Session() as (fly, _, control), fly.viewer() as viewer:
        for name, chips in CASE.support():
            control.support_add(name, chips)
        want = exact(control)

        def shown():
            now = viewer.maps.get(("fewshot", "haadf"))
            return now is not None and np.array_equal(now.labels, want.labels)

        viewer.wait(shown, 5 * SLOW)


def params_set_takes_all_or_nothing():
    with Session() as (_, _, control):
        for name, chips in CASE.support():
            control.support_add(name, chips)
        before = exact(control, "ensemble")
        in_force = control.params_set({"fewshot.weights": [1.0, 0.0], "fewshot.temperature": 0.5})
        assert set(in_force) == {"fewshot.weights", "fewshot.temperature"}, in_force
        one_sided = exact(control, "ensemble")
        same_map(one_sided.labels, exact(control, "haadf").labels, "an ensemble of haadf alone")
        # refused whole
        refused(control, "params.set", {"fewshot.temperature": 1.0, "nonsense.key": 1}, "nonsense.key")
        refused(control, "params.set", {"fewshot.weights": [1.0, 1.0], "fewshot.temperature": -1}, "fewshot.temperature")
        refused(control, "params.set", {"fewshot.temperature": "warm"}, "fewshot.temperature")
        refused(control, "params.set", {"fewshot.weights": [0.0, 0.0]}, "fewshot.weights")
        refused(control, "params.set", {"fewshot.weights": [1.0]}, "fewshot.weights")
        # not a run-time key: says so, and which are
        refused(control, "params.set", {"chip.size_px": 20}, "chip.size_px", "fewshot.temperature")
        same_map(exact(control, "ensemble"), one_sided, "after refused params.set")
        control.params_set({"fewshot.weights": [1, 1], "fewshot.temperature": 1})
        same_map(exact(control, "ensemble"), before, "back to where it was")


def map_get_and_chip_get_agree():
    with Session() as (_, _, control):
        for name, chips in CASE.support():
            control.support_add(name, chips)
        maps = {m: exact(control, m) for m in MODALITIES}
        cols = CASE.params["cols"]
        side = CASE.params["chip"]
        for r, c in ((0, 0), (2, 3), (5, cols - 1)):
            chip = control.chip_get(r, c)
            for key in ("labels", "scores", "atomic_percent", "counts", "age", "similar"):
                assert key in chip, "chip.get has no %s" % key
            for modality in MODALITIES:
                assert chip["labels"][modality] == maps[modality].labels[r, c], (modality, chip["labels"])
            pixel, ch = CASE.photons(r * side, c * side, side, side)
            want = np.bincount(ch, minlength=CASE.params["n_ch"])
            assert np.array_equal(chip["spectrum"], want), "the spectrum of chip (%d, %d)" % (r, c)
            assert chip["counts"] == int(want.sum()), chip["counts"]
            scores = chip["scores"]["haadf"]
            values = list(scores.values()) if isinstance(scores, dict) else list(scores)
            assert abs(sum(values) - 1.0) < 1e-6, "scores %s do not add up to 1" % (scores,)


def wrong_requests_are_told_what_is_wrong():
    with Session() as (_, _, control):
        control.support_add("a", [[0, 0]])
        errors = [
            refused(control, "frobnicate", {}, "frobnicate"),
            refused(control, "support.add", {}, "class"),
            refused(control, "support.add", {"class": "a"}, "chips"),
            refused(control, "support.add", {"class": 5, "chips": [[0, 1]]}, "class"),
            refused(control, "support.add", {"class": "", "chips": [[0, 1]]}, "class"),
            refused(control, "support.add", {"class": "x" * 5000, "chips": [[0, 1]]}),
            refused(control, "support.add", {"class": "a", "chips": "all"}, "chips"),
            refused(control, "support.add", {"class": "a", "chips": [[0]]}, "chips"),
            refused(control, "support.add", {"class": "a", "chips": [[0, 1.5]]}, "chips"),
            refused(control, "support.add", {"class": "a", "chips": [[99, 0]]}, "chips", "99"),
            refused(control, "support.add", {"class": "a", "chips": [[-1, 0]]}, "chips"),
            refused(control, "support.remove", {"chips": [[3, 3]]}),
            refused(control, "class.rename", {"class": "nobody", "to": "b"}, "nobody"),
            refused(control, "class.rename", {"class": "a"}, "to"),
            refused(control, "class.remove", {"class": "nobody"}, "nobody"),
            refused(control, "params.set", {}, "args"),
            refused(control, "map.get", {"method": "magic", "modality": "haadf"}, "method"),
            refused(control, "map.get", {"method": "fewshot", "modality": "sound"}, "modality"),
            refused(control, "map.get", {"method": "fewshot"}, "modality"),
            refused(control, "map.get", {"method": "fewshot", "modality": "haadf", "exact": "yes"}, "exact"),
            refused(control, "chip.get", {"r": 0}, "c"),
            refused(control, "chip.get", {"r": 6, "c": 0}, "r"),
            refused(control, "chip.get", {"r": "0", "c": 0}, "r"),
        ]
        assert control.status()["state"] == "running"
        return "%d requests, codes %s" % (len(errors), ", ".join(sorted({e.code for e in errors})))


def malformed_requests_get_an_error_too():
    with Session(lines=15) as (_, _, control):
        def ask(header):
            control._socket.send_multipart([b"", header if isinstance(header, bytes) else msgpack.packb(header)])
            assert control._socket.poll(int(5000 * SLOW)), "no reply to %r" % (header,)
            return msgpack.unpackb(control._socket.recv_multipart()[1], raw=False)

        for header in ({"type": "request", "id": 7, "args": {}},
                       {"type": "request", "id": 7, "op": 5, "args": {}},
                       {"type": "request", "id": 7, "op": "status", "args": [1]}):
            reply = ask(header)
            assert reply["type"] == "reply" and reply["ok"] is False, reply
            assert reply["id"] == 7, "the id was lost: %s" % reply
            assert reply["error"]["code"] and reply["error"]["message"], reply
        # ids come back as they went
        for one in (0, -5, "abc", [1, "x"], None, {"k": 1.5}):
            reply = ask({"type": "request", "id": one, "op": "status", "args": {}})
            assert reply["ok"] is True and reply["id"] == one, (one, reply["id"])


def a_plain_req_socket_is_served():
    import zmq

    with Flyback(CASE.settings()) as fly:
        req = zmq.Context.instance().socket(zmq.REQ)
        req.setsockopt(zmq.LINGER, 0)
        req.connect(fly.control)
        req.send(msgpack.packb({"args": {}, "op": "status", "id": "q", "type": "request"}))
        assert req.poll(int(5000 * SLOW)), "no reply"
        reply = msgpack.unpackb(req.recv_multipart()[0], raw=False)
        assert reply["ok"] is True and reply["id"] == "q", reply
        req.close()


def requests_answer_after_stop_until_the_next_start():
    with Session() as (fly, sender, control):
        for name, chips in CASE.support():
            control.support_add(name, chips)
        before = exact(control)
        sender.stop()
        after = exact(control)
        same_map(after, before, "exact before and after stop")
        last = control.map_get("fewshot", "haadf")
        assert last.final is True and last.seq, last.header
        with fly.sender() as other:
            CASE.start(other)
            assert control.status()["session"] == other.session
            assert (exact(control).labels == -1).all(), "the map of the old session in the new one"


def a_change_survives_a_kill_once_it_was_answered():
    with Session(lines=50) as (fly, sender, control):
        for name, chips in CASE.support()[:2]:
            control.support_add(name, chips)
        control.class_rename(CASE.classes[0], "substrate")
        control.params_set({"fewshot.temperature": 0.25})
        before = {m: exact(control, m) for m in MODALITIES}
        fly.kill()
        fly.start()
        wait_until(lambda: control.status()["session"] == sender.session, 10, "the session to be open again")
        for modality in MODALITIES:
            again = exact(control, modality)
            same_map(again, before[modality], modality)
            assert again.classes == before[modality].classes, again.classes


run(
    status_tells_what_is_going_on,
    support_comes_grows_moves_and_goes,
    support_chips_not_measured_yet_count_once_they_are,
    the_map_is_relabelled_at_once_on_the_air,
    params_set_takes_all_or_nothing,
    map_get_and_chip_get_agree,
    wrong_requests_are_told_what_is_wrong,
    malformed_requests_get_an_error_too,
    a_plain_req_socket_is_served,
    requests_answer_after_stop_until_the_next_start,
    a_change_survives_a_kill_once_it_was_answered,
)
