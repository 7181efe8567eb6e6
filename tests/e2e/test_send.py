"""flyback_send.py: each vendor's adapter on recorded answers, and what happens when things go wrong.

The specimen is an F of two textures. The stubs scan it as the vendor would, turned by a scan rotation in the
vendor's own count; the map that Flyback publishes must be the scan's, and turned back by the rotation_rad that
its `start` tells it must be the upright F.
"""

import contextlib
import glob
import io
import json
import os
import subprocess
import sys
import tempfile

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
sys.path.insert(0, os.path.join(HERE, "..", "support", "vendor_stubs"))
from flyback_test import ROOT, SLOW, Flyback, flyback, run  # noqa: E402
from phantom import CHIP, SETTINGS, labels, phantom, support, upright  # noqa: E402

import autoscript  # noqa: E402
import digitalmicrograph  # noqa: E402
import flyback_send as fs  # noqa: E402
import nion  # noqa: E402
import pyjem  # noqa: E402
import recorded  # noqa: E402

SEND = os.path.join(ROOT, "plugin", "clients", "python", "flyback_send.py")
STUBS = autoscript.MODULES + nion.MODULES + digitalmicrograph.MODULES + pyjem.MODULES


def send(fly, adapter, *args, status=0, quarters=0):
    """Run the sender in this process, where the stubs are; what it said. Support chips in the scan's own frame."""
    said = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(said):
        path = os.path.join(folder, "support.json")
        with open(path, "w") as file:
            json.dump(support(quarters), file)
        code = fs.main(["--adapter", adapter, "--support", path, "--timeout-s", str(20 * SLOW), "--ingest", fly.ingest,
                        "--publish", fly.publish, "--control", fly.control] + [str(a) for a in args])
    recorded.remove(*STUBS)
    assert code == status, "%s ended with %s:\n%s" % (adapter, code, said.getvalue())
    return said.getvalue()


def seen(fly):
    """The published start, and the final few-shot map of the image, of the last session."""
    with fly.viewer() as viewer:
        viewer.wait(lambda: viewer.start and viewer.stop and ("fewshot", "haadf") in viewer.maps, 10 * SLOW)
        return viewer.start, viewer.maps["fewshot", "haadf"], viewer.stop


def assert_upright(fly, quarters):
    start, final, stop = seen(fly)
    assert final.final and stop["complete"] == 1, stop
    counters = stop["counters"]
    # after a restart some of what is sent again may come when all is complete
    assert not counters["conflict"] and set(counters["refused"]) <= {"after_stop"}, counters
    assert np.array_equal(final.labels, np.rot90(labels(), -quarters)), final.labels
    assert np.array_equal(upright(final.labels, start["rotation_rad"]), labels()), start["rotation_rad"]
    return start


def frames_of(n, quarters):
    return [phantom(seed, quarters) for seed in range(1, n + 1)]


def autoscript_frames_arrive_upright_with_the_profiles_sign_of_rotation():
    with Flyback(SETTINGS) as fly, tempfile.TemporaryDirectory() as folder:
        for sign, quarters in ((1, 1), (-1, 1), (1, 2)):
            profile = os.path.join(folder, "p.yaml")
            with open(profile, "w") as file:
                file.write('instrument:\n  name: "Themis Z" # ours\n  rotation_sign: %d\n  pixel_time_us: 2\n'
                           '  flyback_time_us: 40.5\n  detectors: "HAADF:uint16"\n' % sign)
            frames = frames_of(2, quarters)
            tape = autoscript.tape([[f] for f in frames], sign * quarters * np.pi / 2)
            send(fly, "autoscript", "--profile", profile, "--frames", 2, "--size", frames[0].shape[1],
                 quarters=quarters)
            tape.all_played()
            start = assert_upright(fly, quarters)
            assert start["pixel_time_us"] == 2 and start["flyback_time_us"] == 40.5, start
            assert np.allclose(start["pixel_nm"], 0.05) and start["frames_planned"] == 2, start


def nion_rows_arrive_as_the_beam_goes_and_upright():
    with Flyback(SETTINGS) as fly:
        for quarters in (1, 3):
            tape = nion.tape([f.astype("<f4") for f in frames_of(2, quarters)], -quarters * np.pi / 2)
            send(fly, "nion", "--frames", 2, quarters=quarters)
            tape.all_played()
            start = assert_upright(fly, quarters)
            assert start["detectors"] == [{"name": "HAADF", "dtype": "<f4"}], start
            assert start["pixel_time_us"] == 4 and start["flyback_time_us"] == 30, start


def digitalmicrograph_rows_arrive_once_the_beam_has_passed_and_upright():
    with Flyback(SETTINGS) as fly:
        # quarters of a scan that turns clockwise with DM's number: -1
        tape = digitalmicrograph.tape(frames_of(4, 1), -90.0)
        said = send(fly, "digitalmicrograph", "--frames", 3, "--quiet-s", 0.1, "--rotation-sign", -1, quarters=1)
        start = assert_upright(fly, 1)
        assert "counts is not known" not in said
        assert start["pixel_time_us"] == 8 and start["flyback_time_us"] == 500 and start["beam_energy_kev"] == 200
        for path in ("tags.GetTagAsFloat", "image.GetDimensionCalibration"):
            assert tape[path].at == len(tape[path].answers), path


def photons_of_a_spectrum_image_arrive_in_their_pixels_and_none_is_lost():
    rng = np.random.default_rng(5)
    frames = frames_of(3, 0)
    looks = len(digitalmicrograph.looks(frames, 6, 17)) + 4
    before = rng.poisson(0.3, (16,) + frames[0].shape)  # was there when the sender came: of no frame of ours
    total = np.array(before)
    counts = [np.array(total, "<u4"), np.array(total, "<u4")]
    for _ in range(looks):
        total += rng.poisson(0.02 * (1 + np.arange(16)[:, None, None] * (np.kron(labels(), np.ones((8, 8))) > 0)))
        counts.append(np.array(total, "<u4"))
    times = [(1.0 + 0.2 * k, 1.0 + 0.8 * k) for k in range(60)]  # 3 of 4 photons find the counter busy
    with Flyback(dict(SETTINGS, **{"eds.line_table": "golden"})) as fly, fly.controller() as control:
        tape = digitalmicrograph.tape(frames, 0.0, counts, times, ids=(42, 43))
        said = send(fly, "digitalmicrograph", "--frames", 2, "--quiet-s", 0.1, "--image", 42, "--eds-image", 43)
        assert "dead time is 75 %" in said and "dead time of the X-ray detector: 75 %" in said, said
        start, _, _ = seen(fly)
        assert start["eds"] == [{"name": "EDS", "n_channels": 16, "ev_per_channel": 20.0, "ev_offset": -200.0}], start
        photons = np.array(counts[tape["si.GetNumArray"].at - 1], int) - before  # at the last look
        chips = photons.transpose(1, 2, 0).reshape(5, CHIP, 8, CHIP, 16).sum((1, 3))
        for r, c in ((0, 2), (4, 7), (2, 5)):
            got = control.chip_get(r, c)["spectrum"]
            assert np.array_equal(got, chips[r, c]), (r, c, got, chips[r, c])


def pyjem_snapshots_arrive_upright():
    with Flyback(SETTINGS) as fly:
        tape = pyjem.tape(frames_of(2, 3), 270)
        send(fly, "pyjem", "--frames", 2, "--rotation-sign", 1, "--pixel-nm", 0.1, quarters=3)
        tape.all_played()
        start = assert_upright(fly, 3)
        told = start["pixel_nm"], start["beam_energy_kev"], start["pixel_time_us"]
        assert told == ([0.1, 0.1], 200, 10), told


def an_unknown_sign_of_rotation_is_told_and_no_rotation_sent():
    with Flyback(SETTINGS) as fly:
        pyjem.tape(frames_of(1, 1), 90)
        said = send(fly, "pyjem", quarters=1)
        assert "scan rotation 90.0 degrees is left out" in said, said
        assert "rotation_rad" not in seen(fly)[0]


def a_restart_of_flyback_in_the_middle_loses_nothing():
    resent, resend = [], fs.client.Sender.resend
    # nothing but the start is acknowledged when it dies
    with Flyback(dict(SETTINGS, **{"recording.sync_ms": 500})) as fly:

        def restart():
            fly.kill()
            fly.start()

        fs.client.Sender.resend = lambda self: resent.append(resend(self))
        try:
            autoscript.tape([[f] for f in frames_of(3, 0)], 0.0, before={1: restart})
            said = send(fly, "autoscript", "--frames", 3, "--dwell-us", 2, "--size", 64, "--session", "twice-alive")
        finally:
            fs.client.Sender.resend = resend
        start = assert_upright(fly, 0)
        assert start["session"] == "twice-alive" and start["resumed"], start
        assert resent and resent[0] > 0, resent
        assert "all of it is at Flyback" in said, said


def a_scan_that_changes_is_told_and_the_session_closed_with_the_reason():
    with Flyback(SETTINGS) as fly:
        autoscript.tape([[phantom()], [phantom()[:, :60]]], 0.0)
        said = send(fly, "autoscript", "--frames", 2, "--dwell-us", 2, "--size", 64, status=1)
        assert "came as 40 rows of 60 px at row 0, the scan has 40 x 64 px" in said, said
        _, _, stop = seen(fly)
        assert stop["exit_status"] == "abort" and "60 px" in stop["reason"], stop

        pyjem.tape([phantom()], 0)["detector.snapshot_rawdata"].answers[0] = ((), {}, b"short")
        assert "a snapshot of 5 bytes, 40 x 64 px of 16 bits are 5120" in send(fly, "pyjem", status=1)


def what_the_vendors_software_throws_is_passed_on_in_its_words():
    with Flyback(SETTINGS) as fly:

        def broken():
            raise RuntimeError("column valves are closed")

        autoscript.tape([[phantom()], [phantom()]], 0.0, before={1: broken})
        said = send(fly, "autoscript", "--frames", 2, "--dwell-us", 2, "--size", 64, status=1)
        assert "RuntimeError: column valves are closed" in said, said
        assert seen(fly)[2]["exit_status"] == "fail"


def the_stubs_fail_on_calls_that_were_not_recorded():
    tape = autoscript.tape([[phantom()]], 0.0)
    scope = recorded.Recorded(tape, "scope")
    for wrong in (lambda: scope.optics.beam_shift, lambda: scope.connect("10.0.0.1"), lambda: scope.vacuum,
                  lambda: setattr(scope.optics, "scan_rotation", 1.0)):
        try:
            wrong()
        except recorded.Unknown:
            continue
        raise AssertionError("a call that is not in the recording was answered")
    scope.connect()
    try:
        scope.connect()
        raise AssertionError("a second connect was answered, one was recorded")
    except recorded.Unknown:
        recorded.remove(*STUBS)


def where_something_is_missing_a_sentence_says_what():
    shown = subprocess.run([sys.executable, SEND, "--help"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, text=True, timeout=30 * SLOW)
    assert shown.returncode == 0 and "examples:" in shown.stdout and "--adapter nion" in shown.stdout
    with tempfile.TemporaryDirectory() as folder:
        bad, nowhere = os.path.join(folder, "bad.yaml"), "ipc://%s/none" % folder

        def refused(*args):
            said = io.StringIO()
            with contextlib.redirect_stderr(said):
                code = fs.main(list(args) + ["--timeout-s", "0.3", "--control", nowhere, "--ingest", nowhere,
                                             "--publish", nowhere])
            assert code == 1, (args, code, said.getvalue())
            return said.getvalue()

        with open(bad, "w") as file:
            file.write("instrument: {name: x}\n")
        for args, words in (
            (["--adapter", "nion"], "Nion Swift is not here"),
            (["--adapter", "digitalmicrograph"], "GMS 3"),
            (["--adapter", "pyjem"], "TEMCenter"),
            (["--adapter", "autoscript"], "AutoScript TEM is not here"),
            (["--adapter", "nion", "--frames", "0"], "--frames"),
            (["--adapter", "nion", "--profile", folder + "/none.yaml"], "No such file"),
            (["--adapter", "nion", "--profile", bad], "bad.yaml:1"),
            (["--adapter", "nion", "--detector", "HAADF:uint99"], "instrument.detectors"),
        ):
            assert words in refused(*args), args
        pyjem.tape(frames_of(1, 0), 0)
        said = refused("--adapter", "pyjem")
        recorded.remove(*STUBS)
        assert "is Flyback running there?" in said, said


def profiles_that_ship_are_right_and_read_alike_by_both():
    shipped = sorted(glob.glob(os.path.join(ROOT, "configs", "microscope-*.yaml")))
    assert len(shipped) >= 5, shipped
    for path in shipped:
        assert "a configuration of" in flyback("check", path).stdout
        with open(path) as file:
            assert "Where the n" in file.read(), "%s does not say where its numbers come from" % path
        theirs = fs.read_profile(path)
        with tempfile.TemporaryDirectory() as folder:
            page = os.path.join(folder, "all.yaml")
            with open(page, "w") as file:
                file.write(flyback("run", "--config", path, "--print-config").stdout)
            ours = fs.read_profile(page)
        assert theirs and {k: ours[k] for k in theirs} == theirs, (path, theirs)
        fs.detectors_of(str(ours["instrument.detectors"]))


def a_profile_fills_what_a_start_leaves_out_and_warns_of_dwell_times_that_cannot_be():
    profile = {"instrument.name": "Themis Z", "instrument.pixel_time_us": 2, "instrument.flyback_time_us": 40,
               "instrument.dwell_floor_us": 0.5}
    with Flyback(dict(SETTINGS, **profile)) as fly:
        for session, facts, told in (("plain", {}, {"pixel_time_us": 2, "flyback_time_us": 40}),
                                     ("fast", {"pixel_time_us": 0.1}, {"pixel_time_us": 0.1, "flyback_time_us": 40})):
            with fly.viewer() as viewer, fly.sender(session=session) as sender:
                viewer.poll(0.2)
                sender.start([40, 64], [("HAADF", "<u2")], **facts)
                viewer.wait(lambda: viewer.start and viewer.start["session"] == session, 10 * SLOW)
                assert viewer.start["instrument"] == "Themis Z", viewer.start
                assert {k: viewer.start[k] for k in told} == told, viewer.start
                sender.lines("HAADF", phantom(), 0)
                sender.stop()
                codes = [e["code"] for e in sender.events]
                assert ("dwell_below_floor" in codes) == (session == "fast"), codes
                text = [e["text"] for e in sender.events if e["code"] == "dwell_below_floor"]
                assert all("0.5 us that Themis Z can do" in t for t in text), text
    for line, words in (("dwell_floor_us: 3\n  pixel_time_us: 1", "is below instrument.dwell_floor_us"),
                        ("rotation_sign: 2", "rotation_sign"), ('detectors: "HAADF:uint17"', "is not NAME:TYPE"),
                        ("dwel_floor_us: 1", "did you mean instrument.dwell_floor_us")):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "p.yaml")
            with open(path, "w") as file:
                file.write("instrument:\n  %s\n" % line)
            assert words in flyback("check", path, status=1).stderr, line


def a_dwell_time_from_the_profile_weighs_as_a_told_one_live_and_replayed():
    def weighed(folder, settings, **facts):
        """Two frames, of which one alone tells its dwell: confidences of the live map, and scores of analyze."""
        with Flyback(dict(SETTINGS, **settings), folder=folder) as fly:
            with fly.sender(session="weighed") as sender:
                sender.start([40, 64], [("HAADF", "<u2")], frames_planned=2, **facts)
                for name, chips in support().items():
                    sender.control.support_add(name, chips)
                sender.lines("HAADF", phantom(1), 0)
                sender.lines("HAADF", phantom(2), 0, frame=1, dwell_us=6.0)
                sender.stop()
                live = sender.control.map_get("fewshot", "haadf").confidence
        # ended: all of the recording is on disk
        flyback("analyze", fly.recording("weighed"), "--no-pictures", "--out", os.path.join(folder, "out"))
        return live, np.load(os.path.join(folder, "out", "fs_score_emb.npy")).max(1)

    made = []
    for settings, facts in (({}, {"pixel_time_us": 2}), ({"instrument.pixel_time_us": 2}, {}),
                            ({"instrument.pixel_time_us": 60}, {})):
        with tempfile.TemporaryDirectory(prefix="fly.") as folder:
            made.append(weighed(folder, settings, **facts))
    told, filled, other = made
    assert told[0].tobytes() == filled[0].tobytes() and told[1].tobytes() == filled[1].tobytes()
    assert told[0].tobytes() != other[0].tobytes() and told[1].tobytes() != other[1].tobytes()


run(
    autoscript_frames_arrive_upright_with_the_profiles_sign_of_rotation,
    nion_rows_arrive_as_the_beam_goes_and_upright,
    digitalmicrograph_rows_arrive_once_the_beam_has_passed_and_upright,
    photons_of_a_spectrum_image_arrive_in_their_pixels_and_none_is_lost,
    pyjem_snapshots_arrive_upright,
    an_unknown_sign_of_rotation_is_told_and_no_rotation_sent,
    a_restart_of_flyback_in_the_middle_loses_nothing,
    a_scan_that_changes_is_told_and_the_session_closed_with_the_reason,
    what_the_vendors_software_throws_is_passed_on_in_its_words,
    the_stubs_fail_on_calls_that_were_not_recorded,
    where_something_is_missing_a_sentence_says_what,
    profiles_that_ship_are_right_and_read_alike_by_both,
    a_profile_fills_what_a_start_leaves_out_and_warns_of_dwell_times_that_cannot_be,
    a_dwell_time_from_the_profile_weighs_as_a_told_one_live_and_replayed,
)
