"""flyback watch-folder: a saved file becomes a session and a map, once, and what is wrong is told."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import h5py
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from flyback_test import BINARY, SLOW, TESTS, Flyback, flyback, run, shared, wait_until  # noqa: E402
from phantom import SETTINGS, labels, phantom, support  # noqa: E402

class Watch:
    """`flyback watch-folder` on a folder of its own."""

    def __init__(self, fly, folder, *args):
        self.folder = folder
        where = ["--ingest", fly.ingest, "--publish", fly.publish, "--control", fly.control] if fly else []
        self.err = open(os.path.join(folder, ".err"), "ab+")
        self.process = subprocess.Popen(
            [BINARY, "watch-folder", folder, "--settle-s", "0.2", "--poll-s", "0.2"] + where + [str(a) for a in args],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.err, text=True)

    def said(self):
        with open(os.path.join(self.folder, ".err"), errors="replace") as file:
            return file.read()

    def wait_said(self, words, timeout_s=15):
        def there():
            if self.process.poll() is not None and words not in self.said():
                raise AssertionError("ended with %s, never said %r:\n%s"
                                     % (self.process.returncode, words, self.said()))
            return words in self.said()

        wait_until(there, timeout_s, "watch-folder to say %r" % words)

    def sent(self):
        """The report of the next file that is sent."""
        line = self.process.stdout.readline()
        assert line, "no report:\n%s" % self.said()
        return json.loads(line)

    def end(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(15 * SLOW)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if kind is not None:
            print("---- watch-folder said\n%s----" % self.said()[-4000:])
        self.process.stdout.close()
        self.err.close()


def support_file(folder):
    path = os.path.join(folder, "support.json")
    with open(path, "w") as file:
        json.dump(support(), file)
    return path


def save_hspy(path, array):
    """As HyperSpy 1.7 writes an image."""
    with h5py.File(path, "w") as file:
        file.attrs["file_format"], file.attrs["file_format_version"] = "HyperSpy", "3.1"
        group = file.create_group("Experiments/HAADF")
        group["data"] = array
        for i in range(2):
            axis = {"name": "yx"[i], "units": "nm", "scale": 0.05, "offset": 0.0, "size": array.shape[i]}
            group.create_group("axis-%d" % i).attrs.update(axis, navigate=np.bool_(False))
        group.create_group("metadata/Signal").attrs["signal_type"] = ""
        group.create_group("metadata/General").attrs["title"] = "HAADF"
        group.create_group("original_metadata")


def a_saved_file_becomes_a_map_with_its_support_set_and_the_right_way_up():
    with tempfile.TemporaryDirectory() as folder, Flyback(SETTINGS) as fly, fly.controller() as control:
        save_hspy(os.path.join(folder, "old.hspy"), phantom(7))  # there before: to be left
        with Watch(fly, folder, "--support", support_file(folder)) as watch:
            watch.wait_said("watching")
            with open(os.path.join(folder, "scan.npy.part"), "wb") as file:  # as browsers and vendors do
                np.save(file, phantom())
            os.rename(os.path.join(folder, "scan.npy.part"), os.path.join(folder, "scan.npy"))
            report = watch.sent()
            assert report["file"] == "scan.npy", report
            final = control.map_get("fewshot", "haadf")
            assert final.session == report["session"]
            assert final.final and [c["name"] for c in final.classes] == ["dark", "bright"], final.header
            assert np.array_equal(final.labels, labels()), final.labels

            save_hspy(os.path.join(folder, "second.hspy"), phantom(2))
            second = watch.sent()
            assert second["file"] == "second.hspy" and second["session"] != report["session"]
            assert np.array_equal(control.map_get("fewshot", "haadf").labels, labels())
            assert watch.end() == 130
            assert "old.hspy" not in watch.said()
        left = sorted(os.listdir(os.path.join(folder, ".flyback")))
        assert left == ["sent.tsv"], "working files were left: %s" % left


def a_dm4_file_becomes_a_session_with_its_photons():
    with tempfile.TemporaryDirectory() as made, tempfile.TemporaryDirectory() as folder, \
            Flyback({"chip.size_px": 4}) as fly, fly.controller() as control:
        subprocess.run([sys.executable, os.path.join(TESTS, "support", "make_dm.py"), made], check=True,
                       stdout=subprocess.DEVNULL)
        with Watch(fly, folder, "--once") as watch:
            watch.wait_said("watching")
            shutil.copyfile(os.path.join(made, "big_map.dm4"), os.path.join(folder, "map.dm4"))
            assert watch.sent()["file"] == "map.dm4"
        counts = np.load(os.path.join(made, "big_map.EDS.npy"))
        assert np.array_equal(control.chip_get(0, 0)["spectrum"], counts[:4, :4].sum((0, 1)))


def a_velox_file_of_a_microscope_becomes_a_session_with_its_photons():
    emd = shared("data", "velox", "velox11_themisZ_300kV_SI_16x16.emd")
    with tempfile.TemporaryDirectory() as folder, Flyback({"chip.size_px": 4}) as fly, fly.controller() as control:
        with Watch(fly, folder, "--once") as watch:
            watch.wait_said("watching")
            shutil.copyfile(emd, os.path.join(folder, "si.emd"))  # made anew, and filled after
            report = watch.sent()
            assert watch.process.wait(15 * SLOW) == 0
        assert control.map_get("community", "eds").session == report["session"]
        photons = sum(int(control.chip_get(r, c)["spectrum"].sum()) for r in range(4) for c in range(4))
        assert photons > 1000, photons


def a_file_is_sent_once_over_restarts_also_under_a_new_time():
    with tempfile.TemporaryDirectory() as folder, Flyback(SETTINGS) as fly:
        path = os.path.join(folder, "a.npy")
        np.save(path, phantom())
        with Watch(fly, folder, "--existing", "--once") as watch:
            first = watch.sent()
            assert watch.process.wait(15 * SLOW) == 0
        os.utime(path, (1, 1))  # copied back, say: other times, the same content
        with Watch(fly, folder, "--existing") as watch:
            watch.wait_said("was sent before, as session %s" % first["session"])
            np.save(os.path.join(folder, "b.npy"), phantom(3))
            assert watch.sent()["file"] == "b.npy"
            assert watch.end(signal.SIGINT) == 130
        # the state is lost, Flyback's recording is not
        shutil.rmtree(os.path.join(folder, ".flyback"))
        with Watch(fly, folder, "--existing") as watch:
            watch.wait_said("Flyback has session %s already" % first["session"])
            watch.wait_said("b.npy: Flyback has session")
            assert watch.end() == 130


def a_file_that_grows_is_waited_for():
    with tempfile.TemporaryDirectory() as folder, Flyback(SETTINGS) as fly:
        np.save(os.path.join(folder, "whole.tmp.npy"), phantom())
        with open(os.path.join(folder, "whole.tmp.npy"), "rb") as file:
            whole = file.read()
        os.unlink(os.path.join(folder, "whole.tmp.npy"))
        with Watch(fly, folder, "--settle-s", 1.0 * SLOW) as watch:
            watch.wait_said("watching")
            with open(os.path.join(folder, "slow.npy"), "wb") as file:
                for at in range(0, len(whole), len(whole) // 12 + 1):  # in all longer than it takes to settle
                    file.write(whole[at : at + len(whole) // 12 + 1])
                    file.flush()
                    time.sleep(0.1 * SLOW)
            assert watch.sent()["file"] == "slow.npy"
            assert "flyback watch-folder:" not in watch.said(), watch.said()
            watch.end()


def what_is_wrong_is_told_and_the_next_file_taken():
    with tempfile.TemporaryDirectory() as folder, Flyback(SETTINGS) as fly:
        with Watch(fly, folder) as watch:
            watch.wait_said("watching")
            for name, content in (("text.emd", b"not a microscope's file at all"), ("empty.tif", b"")):
                with open(os.path.join(folder, name), "wb") as file:
                    file.write(content)
            watch.wait_said("flyback watch-folder: %s/text.emd: " % folder)
            watch.wait_said("empty.tif: the file is empty")
            np.save(os.path.join(folder, "small.npy"), phantom()[:4, :4])  # no chip fits
            watch.wait_said("small.npy: Flyback does not take it: message refused")
            np.save(os.path.join(folder, "good.npy"), phantom())
            assert watch.sent()["file"] == "good.npy"
            # a file that was mended is a new one
            np.save(os.path.join(folder, "x.npy"), phantom(5))
            os.replace(os.path.join(folder, "x.npy"), os.path.join(folder, "text.emd"))
            assert watch.sent()["file"] in ("text.emd", "x.npy")
            watch.end()


def an_open_measurement_is_not_broken_off():
    with tempfile.TemporaryDirectory() as folder, Flyback(SETTINGS) as fly, fly.controller() as control:
        with fly.sender(session="live") as sender:
            sender.start([40, 64], [("HAADF", "<u2")], frames_planned=1)
            np.save(os.path.join(folder, "a.npy"), phantom())
            with Watch(fly, folder, "--existing", "--once") as watch:
                watch.wait_said("Flyback is running with session live")
                assert control.status()["session"] == "live"
                sender.lines("HAADF", phantom(), 0)
                sender.stop()
                assert sender.drained
                assert watch.sent()["file"] == "a.npy"


def without_a_flyback_it_waits_or_gives_up_in_words():
    with tempfile.TemporaryDirectory() as folder:
        np.save(os.path.join(folder, "a.npy"), phantom())
        nowhere = ["--control", "ipc://%s/.none" % folder, "--ingest", "ipc://%s/.in" % folder,
                   "--publish", "ipc://%s/.pub" % folder]
        done = flyback("watch-folder", folder, "--existing", "--once", "--settle-s", "0.1", "--wait-s", "0.5", *nowhere,
                       status=1)
        assert "no Flyback answers at" in done.stderr and "given up after 0.5 s" in done.stderr, done.stderr
        with Watch(None, folder, "--existing", *nowhere) as watch:
            watch.wait_said("waiting for it (start it with `flyback run`)")
            assert watch.end(signal.SIGINT) == 130


def wrong_words_get_a_sentence():
    with tempfile.TemporaryDirectory() as folder:
        bad = os.path.join(folder, "bad.json")
        with open(bad, "w") as file:
            file.write('{"a": [[1]]}')
        for args, status, words in (
            ([], 2, "one folder is expected"),
            ([folder, "--settle", "x"], 2, "--settle"),
            (["--settle-s", "9999999", folder], 2, "--settle-s 9999999"),
            ([folder + "/none"], 1, "No such file or directory"),
            ([folder, "--support", bad], 1, 'class "a", chip 0: two whole numbers are needed'),
            ([folder, "--work", "/proc/none"], 1, "--work"),
        ):
            done = flyback("watch-folder", *args, status=status)
            assert words in done.stderr, (args, done.stderr)
        assert not os.path.exists(folder + "/none")


run(
    a_saved_file_becomes_a_map_with_its_support_set_and_the_right_way_up,
    a_dm4_file_becomes_a_session_with_its_photons,
    a_velox_file_of_a_microscope_becomes_a_session_with_its_photons,
    a_file_is_sent_once_over_restarts_also_under_a_new_time,
    a_file_that_grows_is_waited_for,
    what_is_wrong_is_told_and_the_next_file_taken,
    an_open_measurement_is_not_broken_off,
    without_a_flyback_it_waits_or_gives_up_in_words,
    wrong_words_get_a_sentence,
)
