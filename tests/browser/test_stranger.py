"""A stranger's path: two commands and the page, from a saved Velox file and from the Python sender, to a labelled map, an
element map, a region's spectrum and an exported figure.
"""

import glob
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import browser  # noqa: E402
from browser import Keys, Page, Scene, free_port  # noqa: E402

import numpy as np  # noqa: E402
import velox_file  # noqa: E402 (browser.py put its folder in the path)
from flyback_test import BINARY, ROOT, SLOW, Flyback, run, wait_until  # noqa: E402

LEFT, RIGHT = [(2, 2), (6, 3), (9, 1)], [(2, 9), (6, 8), (9, 10)]
VELOX_OFFSET = 25  # channels: a Velox axis begins at -250 eV


def plugin(port):
    """The first command: flyback run."""
    return Flyback({"page.listen": "127.0.0.1:%d" % port, "chip.size_px": Scene.CHIP, "eds.elements": "O,Ti,Fe",
                    "engine.threads": 1})


def finished(command):
    """The second command, to its end; what it wrote."""
    done = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=60 * SLOW)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def teach(page):
    page.click("#method [data-value=fewshot]")
    page.click("#modality [data-value=ensemble]")
    for name, chips in (("titanate", LEFT), ("ferrite", RIGHT)):
        page.keys("n")
        page.keys(name, Keys.ENTER)
        for k, (r, c) in enumerate(chips):
            page.click_chip(r, c)
            page.wait("!pending && supportNamed('%s') && supportNamed('%s').chips.length === %d" % (name, name, k + 1),
                      "chip %d, %d in %s" % (r, c, name))
    page.keys(Keys.ESCAPE)


def walk(page, scene, shift):
    """What the stranger does on the page; shift: channels that the file's axis begins earlier."""
    truth = np.broadcast_to(np.arange(scene.grid[1]) >= scene.grid[1] // 2, scene.grid)
    page.wait("state.start && state.start.session", "a session", 15)
    page.click("#method [data-value=community]")
    page.click("#modality [data-value=haadf]")
    page.wait("state.maps['community/haadf']", "a map that nobody taught")
    teach(page)

    def right():
        labels = page.labels("fewshot/ensemble")
        return 0.0 if labels is None else np.mean(labels == truth)

    try:
        wait_until(lambda: right() >= 0.95, 10, "the labelled map")
    except AssertionError:
        raise AssertionError("the map is right in %.0f %% of the chips:\n%s" % (100 * right(), page.labels("fewshot/ensemble")))
    page.wait("state.elements !== null", "element maps")
    page.keys("e")
    page.set("#element", "Fe")
    page.wait("state.layer === 'element' && overlay.bar && overlay.bar.words.startsWith('Fe')", "the map of iron")
    page.keys(".", "b")
    page.drag((1, 7), (4, 10))
    page.wait("spectrum.main && spectrum.main.words.startsWith('Region')", "the spectrum of a region")
    chips = [tuple(chip) for chip in page.js("return state.target.chips")]
    known = scene.spectrum(chips)
    page.wait_spectrum(np.concatenate([np.zeros(shift, known.dtype), known[: len(known) - shift]]), "its photons")
    page.keys("v", "x")
    png = page.downloaded("*.png")
    assert png[:8] == b"\x89PNG\r\n\x1a\n" and len(png) > 5000
    return "%d photons in the region, a figure of %d bytes" % (known.sum(), len(png))


def from_a_saved_velox_file():
    scene, port = Scene(seed=11), free_port()
    with tempfile.TemporaryDirectory(prefix="fly.saved.") as folder, plugin(port) as fly:
        velox_file.OUT = folder
        shifted = np.zeros((1,) + scene.spectra.shape, "u4")
        shifted[0, :, :, VELOX_OFFSET:] = scene.spectra[:, :, :-VELOX_OFFSET]
        h, w = Scene.SHAPE
        velox_file.save("saved", 1, h, w, Scene.CHANNELS, names=("SuperXG21",), image=scene.image[None], others=False,
                        edit_cube=lambda name, cube: shifted)
        for beside in glob.glob(os.path.join(folder, "*.npy")):
            os.unlink(beside)  # what save() leaves for tests that compare
        with Page("http://127.0.0.1:%d/" % port) as page:
            finished([BINARY, "watch-folder", folder, "--existing", "--once", "--settle-s", "0.1", "--ingest", fly.ingest,
                      "--publish", fly.publish, "--control", fly.control])
            assert abs(page.wait("state.start && state.start.pixel_nm && state.start.pixel_nm[0]", "the pixel size") - 3.0) < 1e-6
            return walk(page, scene, VELOX_OFFSET)


def from_the_python_sender():
    scene, port = Scene(seed=12), free_port()
    with tempfile.TemporaryDirectory(prefix="fly.sent.") as folder, plugin(port) as fly:
        image, cube = os.path.join(folder, "image.npy"), os.path.join(folder, "cube.npy")
        np.save(image, scene.image)
        np.save(cube, scene.spectra)
        with Page("http://127.0.0.1:%d/" % port) as page:
            finished([sys.executable, "-B", os.path.join(ROOT, "plugin", "clients", "python", "flyback_client.py"), "send",
                      "--haadf", image, "--eds", cube, "--pixel-nm", Scene.NM, "--ingest", fly.ingest, "--publish",
                      fly.publish, "--control", fly.control])
            told = walk(page, scene, 0)
            status = finished([sys.executable, "-B", os.path.join(ROOT, "plugin", "clients", "python", "flyback_client.py"),
                               "request", "status", "--control", fly.control])
            assert json.loads(status)["session"], status
            return told


if __name__ == "__main__":
    if browser.missing():
        print("NOT RUN: the page needs a browser; absent: %s" % browser.missing())
        sys.exit(77)
    run(from_a_saved_velox_file, from_the_python_sender, timeout_s=90)
