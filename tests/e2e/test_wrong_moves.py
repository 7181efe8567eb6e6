"""What people do wrong, and the sentence that each gets: it names what, where, and what is allowed or what to do."""

import json
import os
import shutil
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import flyback_test  # noqa: E402
from flyback_test import BINARY, SLOW, Flyback, NotRun, fc, run, wait_until  # noqa: E402

FOLDER = tempfile.mkdtemp(prefix="fly_moves.")


def out(name):
    return os.path.join(FOLDER, name)


def says(args, *words, status=(1, 2)):
    """The command fails, and says these words on stderr; the sentence."""
    done = flyback_test.flyback(*args, status=None)
    assert done.returncode in status, (args, done.returncode, done.stderr)
    for word in words:
        assert word in done.stderr, "%s: '%s' is not in: %s" % (" ".join(map(str, args)), word, done.stderr)
    return done.stderr.strip().split("\n")[-1]


def starting(settings, *words):
    """`flyback run` with these settings does not come up, and says why."""
    sockets = ["--set", "sockets.ingest=ipc://%s" % out("i"), "--set", "sockets.publish=ipc://%s" % out("p"),
               "--set", "sockets.control=ipc://%s" % out("c"), "--set", "page.listen="]
    return says(["run", *sockets, *sum((["--set", s] for s in settings), [])], *words)


def a_file_that_is_something_else_is_called_what_it_is():
    with open(out("notes.emd"), "w") as file:
        file.write("not a microscope's file, but long enough to be looked into\n")
    return says(["import", out("notes.emd")], "notes.emd", "HDF5")


def a_file_that_is_not_there_is_named():
    return says(["import", out("nowhere.hspy")], "nowhere.hspy", "No such file")


def weights_that_are_missing_are_named_with_what_to_do():
    return starting(["embed.model=vgg16", "embed.weights=" + out("vgg16.safetensors")], "embed.weights",
                    "vgg16.safetensors")


def a_key_that_is_misspelt_gets_its_likeness():
    return starting(["chip.sise_px=15"], "chip.sise_px", "chip.size_px")


def a_number_out_of_range_is_told_what_is_allowed():
    return starting(["chip.size_px=4000"], "chip.size_px", "1024")


def a_port_in_use_is_named():
    with Flyback() as fly:
        return says(["run", "--set", "sockets.ingest=" + fly.ingest, "--set", "sockets.publish=ipc://%s" % out("p2"),
                     "--set", "sockets.control=ipc://%s" % out("c2"), "--set", "page.listen=",
                     "--set", "recording.dir=" + out("rec")], "sockets.ingest", "use")


def a_folder_that_may_not_be_written_is_named():
    if os.getuid() == 0 and not shutil.which("setpriv"):
        raise NotRun("as root everything may be written")
    os.makedirs(out("locked"), mode=0o555)
    os.chmod(FOLDER, 0o755)
    np.save(out("image.npy"), np.zeros((40, 40), "<u2"))
    prefix = ["setpriv", "--reuid", "65534", "--clear-groups"] if os.getuid() == 0 else []
    done = subprocess.run(prefix + [BINARY, "import", out("image.npy"), "--out", out("locked/a.fly")],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60 * SLOW)
    if "setpriv" in done.stderr or "exec" in done.stderr:
        raise NotRun(done.stderr.strip())
    assert done.returncode == 1 and "locked/a.fly" in done.stderr and "ermission" in done.stderr, done.stderr
    return done.stderr.strip()


def asking_before_there_are_data_is_answered():
    with Flyback() as fly:
        control = fc.Control(fly.control)
        try:
            control.map_get("fewshot", "haadf")
        except fc.RequestError as why:
            return str(why)
        finally:
            control.close()
        raise AssertionError("a map was given before any data")


def a_k_factor_without_a_line_names_what_a_line_is():
    return starting(["eds.k_factors=Fe:1.2"], "eds.k_factors", "Fe")


def an_element_that_is_none_is_named():
    return starting(["eds.elements=Fe,Xq"], "Xq")


def a_support_chip_outside_the_grid_is_told_the_grid():
    with open(out("support.json"), "w") as file:
        json.dump({"film": [[2, 2], [99, 3]]}, file)
    return says(["check", "--grid", "33x33", out("support.json")], "99", "0 .. 32")


def a_support_file_that_is_no_json_names_the_line():
    with open(out("bad.json"), "w") as file:
        file.write('{"film": [[1, 2],\n [3 4]]}')
    return says(["check", out("bad.json")], "bad.json:2")


def a_chip_larger_than_the_scan_is_told_both():
    np.save(out("small.npy"), np.zeros((20, 30), "<u2"))
    return says(["analyze", "--haadf", out("small.npy"), "--set", "chip.size_px=64", "--out", out("small")], "64", "20")


def a_torn_recording_says_where():
    np.save(out("whole.npy"), np.arange(6400, dtype="<u2").reshape(80, 80))
    done = flyback_test.flyback("import", out("whole.npy"), "--out", out("whole.fly"))
    assert done.returncode == 0
    with open(out("whole.fly"), "rb") as file:
        data = file.read()
    with open(out("torn.fly"), "wb") as file:
        file.write(data[:-190])
    return says(["check", out("torn.fly")], "torn.fly", "torn at byte")


def a_page_address_beyond_this_machine_is_refused_with_a_way():
    return starting(["page.listen=0.0.0.0:5580"], "page.listen", "ssh")


try:
    run(
        a_file_that_is_something_else_is_called_what_it_is,
        a_file_that_is_not_there_is_named,
        weights_that_are_missing_are_named_with_what_to_do,
        a_key_that_is_misspelt_gets_its_likeness,
        a_number_out_of_range_is_told_what_is_allowed,
        a_port_in_use_is_named,
        a_folder_that_may_not_be_written_is_named,
        asking_before_there_are_data_is_answered,
        a_k_factor_without_a_line_names_what_a_line_is,
        an_element_that_is_none_is_named,
        a_support_chip_outside_the_grid_is_told_the_grid,
        a_support_file_that_is_no_json_names_the_line,
        a_chip_larger_than_the_scan_is_told_both,
        a_torn_recording_says_where,
        a_page_address_beyond_this_machine_is_refused_with_a_way,
    )
finally:
    shutil.rmtree(FOLDER, ignore_errors=True)
