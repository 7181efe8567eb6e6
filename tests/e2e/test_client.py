"""The client's command line, as its README shows it."""

import json
import os
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from flyback_test import ROOT, SLOW, TESTS, Case, Flyback, run, same_map  # noqa: E402

CASE = Case(os.path.join(TESTS, "golden", "a_tiny"))
CLIENT = os.path.join(ROOT, "plugin", "clients", "python", "flyback_client.py")


def client(fly, command, *args, status=0):
    where = ["--ingest", fly.ingest, "--publish", fly.publish, "--control", fly.control] if fly else []
    done = subprocess.run([sys.executable, CLIENT, command] + where + [str(a) for a in args], timeout=60 * SLOW,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert done.returncode == status, "%s %s ended with %d:\n%s%s" % (command, args, done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def files(folder):
    paths = {name: os.path.join(CASE.folder, name + ".npy") for name in ("haadf", "ev_y", "ev_x", "ev_ch")}
    paths["support"] = os.path.join(folder, "support.json")
    with open(paths["support"], "w") as file:
        json.dump(dict(CASE.support()), file)
    return paths


def a_scan_sent_from_the_shell_is_watched_and_asked_about():
    with tempfile.TemporaryDirectory() as folder, Flyback(CASE.settings()) as fly:
        paths = files(folder)
        saved = os.path.join(folder, "maps")
        watch = subprocess.Popen([sys.executable, CLIENT, "watch", "--publish", fly.publish, "--control", fly.control,
                                  "--until-stop", "--save", saved], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        sent = client(fly, "send", "--haadf", paths["haadf"], "--events",
                      "%(ev_y)s,%(ev_x)s,%(ev_ch)s" % paths, "--support", paths["support"], "--n-channels",
                      CASE.params["n_ch"], "--session", "from-the-shell", "--pixel-nm", 0.05, "--lines-per-message", 4)
        assert "from-the-shell" in sent.stderr, sent.stderr
        out, err = watch.communicate(timeout=30 * SLOW)
        assert watch.returncode == 0, err
        for word in ("start from-the-shell", "map fewshot/ensemble", "final", "stop from-the-shell: success"):
            assert word in out, "watch never said %r:\n%s%s" % (word, out, err)

        status = json.loads(client(fly, "request", "status").stdout)
        assert status["state"] == "idle", status
        told = json.loads(client(fly, "request", "map.get", "method=fewshot", "modality=haadf", "exact=true").stdout)
        with tempfile.TemporaryDirectory() as results:
            batch = CASE.analyze(CASE.settings(), results)
        for modality in ("haadf", "eds", "ensemble"):
            same_map(np.load(os.path.join(saved, "fewshot_%s.npy" % modality)), batch[modality], modality)
        same_map(np.array(told["labels"]), batch["haadf"], "request map.get")

        again = client(fly, "send", "--haadf", paths["haadf"], "--session", "from-the-shell", status=1)
        assert "session_reused" in again.stderr, again.stderr


def a_cube_is_sent_in_every_layout():
    cube = np.zeros(CASE.shape + (64,), dtype=np.uint8)
    keep = CASE.ch < 64
    np.add.at(cube, (CASE.y[keep], CASE.x[keep], CASE.ch[keep]), 1)
    with tempfile.TemporaryDirectory() as folder, Flyback(CASE.settings()) as fly, fly.controller() as control:
        np.save(os.path.join(folder, "cube.npy"), cube)
        spectra = []
        for layout in ("pairs", "csr", "dense"):
            client(fly, "send", "--eds", os.path.join(folder, "cube.npy"), "--eds-layout", layout, "--lines-per-message", 8)
            spectra.append(control.chip_get(2, 2)["spectrum"])
        want = cube[30:45, 30:45].sum((0, 1), dtype=int)
        for spectrum in spectra:
            assert np.array_equal(spectrum, want)


def wrong_words_get_a_sentence_not_a_traceback():
    with Flyback(CASE.settings()) as fly:
        for args, word in (
            (["send"], "--haadf"),
            (["send", "--haadf", "/nowhere.npy"], "/nowhere.npy"),
            (["send", "--haadf", CASE.folder + "/ev_y.npy"], "(H, W)"),
            (["send", "--haadf", CASE.folder + "/haadf.npy", "--session", "a b"], "session"),
            (["send", "--haadf", CASE.folder + "/haadf.npy", "--support", CASE.folder + "/haadf.npy"], "--support"),
            (["request", "frobnicate"], "frobnicate"),
            (["request", "support.add", "class=a", "chips=[[99,99]]"], "session"),
            (["request", "status", "nonsense"], "key=value"),
        ):
            done = client(fly, *args, status=1)
            assert word in done.stderr, (args, done.stderr)


def the_example_of_the_readme_is_python():
    with open(os.path.join(os.path.dirname(CLIENT), "README.md")) as file:
        example = file.read().split("```python")[1].split("```")[0]
    compile(example, "README.md", "exec")
    lines = [line for line in example.strip().splitlines() if line.strip()]
    assert len(lines) <= 42, "the 40-line example has %d" % len(lines)


run(
    a_scan_sent_from_the_shell_is_watched_and_asked_about,
    a_cube_is_sent_in_every_layout,
    wrong_words_get_a_sentence_not_a_traceback,
    the_example_of_the_readme_is_python,
)
