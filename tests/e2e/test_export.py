"""`flyback export` and `flyback session`: what leaves a recording, opened by those it is for.

The specimen is an asymmetric phantom: nothing in it looks the same after a turn, a mirror or a transposition.
"""

import csv
import glob
import hashlib
import html.parser
import json
import os
import shutil
import sys
import tempfile
import warnings
import xml.etree.ElementTree

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from flyback_test import NotRun, run  # noqa: E402
import flyback_test  # noqa: E402



def flyback(*args):
    return flyback_test.flyback(*args, status=None)


CHIP = 8
H, W = 48, 72  # 6 x 9 chips
NM = (0.04, 0.05)
EV, OFFSET, CHANNELS = 20.0, -200.0, 1024
FE_KEV, SR_KEV = 6.404, 14.165
FOLDER = tempfile.mkdtemp(prefix="fly_export.")


def phantom():
    """HAADF: dark, a bright L in the upper right; X-rays: iron within the L, strontium elsewhere."""
    rng = np.random.default_rng(5)
    image = rng.integers(95, 105, (H, W)).astype("<u2")
    inside = np.zeros((H, W), bool)
    inside[0:16, 40:72] = True  # the L's bar
    inside[16:40, 56:72] = True  # its leg
    image[inside] += 400
    cube = np.zeros((H, W, CHANNELS), "<u2")
    for kev, where in ((FE_KEV, inside), (SR_KEV, ~inside)):
        for y, x in np.argwhere(where):
            energies = rng.normal(kev * 1000, 60, rng.poisson(12))
            np.add.at(cube[y, x], np.round((energies - OFFSET) / EV).astype(int), 1)
    return image, cube, inside


IMAGE, CUBE, INSIDE = phantom()
RECORDING = os.path.join(FOLDER, "phantom.fly")
SETTINGS = ["--set", "chip.size_px=%d" % CHIP, "--set", "eds.elements=Fe,Sr", "--set", "tree.k=2"]
SUPPORT = os.path.join(FOLDER, "support.json")


def out(name):
    return os.path.join(FOLDER, name)


def export(*args, ok=True):
    done = flyback("export", RECORDING, *args, *SETTINGS, "--support", SUPPORT)
    assert (done.returncode == 0) == ok, done.stderr
    return done


def a_recording_is_made_of_the_phantom():
    np.save(out("haadf.npy"), IMAGE)
    np.save(out("cube.npy"), CUBE)
    with open(SUPPORT, "w") as file:
        json.dump({"iron, \"L\" <&>": [[0, 6], [1, 8], [3, 7]], "=rest": [[5, 0], [2, 1], [4, 3]]}, file)
    done = flyback("import", out("haadf.npy"), "--eds", out("cube.npy"), "--out", RECORDING, "--pixel-nm",
                   "%g,%g" % NM, "--ev-per-channel", str(EV), "--ev-offset", str(OFFSET))
    assert done.returncode == 0, done.stderr


def all_kinds_are_written_at_once_and_named_on_stdout():
    done = export("--hspy", out("p.hspy"), "--npy", out("npy"), "--png", out("p.png"), "--svg", out("p.svg"),
                  "--csv", out("p.csv"), "--report", out("p.html"))
    named = done.stdout.split("\n")[:-1]
    assert named == [out(n) for n in ("p.hspy", "npy", "p.png", "p.svg", "p.csv", "p.html")], named
    for name in named:
        assert os.path.exists(name), name
    assert not glob.glob(out("*.tmp"))
    with open(out("p.png"), "rb") as file:
        assert file.read(8) == b"\x89PNG\r\n\x1a\n"


def chips_inside():
    return INSIDE.reshape(H // CHIP, CHIP, W // CHIP, CHIP).all(axis=(1, 3))


def hyperspy_loads_positions_units_and_energies_as_they_were():
    try:
        warnings.filterwarnings("ignore")
        import hyperspy.api as hs
    except ImportError:
        raise NotRun("HyperSpy is not installed")
    signals = {s.metadata.General.title: s for s in hs.load(out("p.hspy"))}
    haadf = signals["haadf"]
    assert np.array_equal(haadf.data, IMAGE.astype("f4"))
    y, x = haadf.axes_manager["y"], haadf.axes_manager["x"]
    assert (y.units, x.units) == ("nm", "nm") and np.isclose(y.scale, NM[0]) and np.isclose(x.scale, NM[1])
    # The brightest column by position: HyperSpy's own indexing in nm.
    corner = haadf.isig[41 * NM[1]:71 * NM[1], 0.0:15 * NM[0]]
    assert corner.data.min() > 400, "the L's bar is not in the upper right"
    labels = signals["map_fewshot_ensemble"]
    classes = labels.data
    assert np.array_equal(classes == 0, chips_inside()), classes
    cx = labels.axes_manager["x"]
    assert np.isclose(cx.scale, CHIP * NM[1]) and np.isclose(cx.offset, 3.5 * NM[1])
    spectra = signals["chip_spectra"]
    assert spectra.metadata.Signal.signal_type == "EDS_TEM" and spectra.axes_manager.navigation_shape == (9, 6)
    assert np.array_equal(spectra.data, CUBE.reshape(6, CHIP, 9, CHIP, CHANNELS).sum(axis=(1, 3)))
    energy = spectra.axes_manager[-1]
    assert energy.units == "keV" and np.isclose(energy.scale, EV / 1000) and np.isclose(energy.offset, OFFSET / 1000)
    assert energy.is_binned
    iron = spectra.inav[7, 0].isig[6.2:6.6].data.sum()
    assert iron > 0.9 * CUBE[0:8, 56:64].sum(), "the iron peak is not where its energy is"
    assert spectra.metadata.Sample.elements == ["Fe", "Sr"]
    fe = signals["atomic_percent_Fe"].data
    assert fe[chips_inside()].min() > 90 and fe[~chips_inside()].max() < 10
    regions = signals["spectra_fewshot_ensemble"]
    order = [int(word.split()[0]) for word in regions.metadata.Flyback.labels]
    inside = regions.inav[order.index(0)].data
    assert np.array_equal(inside, CUBE[INSIDE].sum(axis=0))
    provenance = json.loads(signals["haadf"].metadata.Flyback.provenance)
    with open(RECORDING, "rb") as file:
        assert provenance["recording_sha256"] == hashlib.sha256(file.read()).hexdigest()
    plot_all(signals)


def plot_all(signals):
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    for name in ("haadf", "map_fewshot_ensemble", "spectra_fewshot_ensemble", "chip_spectra"):
        signals[name].plot()
        plt.savefig(out("plot.png"))
        plt.close("all")
        assert os.path.getsize(out("plot.png")) > 2000, name


def arrays_say_what_their_axes_are():
    with open(out("npy/export.json")) as file:
        told = json.load(file)
    for name, axes in told["arrays"].items():
        array = np.load(out("npy/%s.npy" % name))
        assert array.ndim == len(axes), name
    assert told["elements"] == ["Fe", "Sr"]
    assert told["axes"]["chip_column"] == {"offset": 3.5 * NM[1], "scale": CHIP * NM[1], "units": "nm"}
    assert np.array_equal(np.load(out("npy/haadf.npy")), IMAGE)
    assert np.array_equal(np.load(out("npy/map_fewshot_haadf.npy")) == 0, chips_inside())
    assert np.isnan(np.load(out("npy/dose_us.npy"))).all(), "nothing told the dwell"
    assert told["labels"]["map_fewshot_haadf"]["0"] == 'iron, "L" <&>'


def tables_are_read_back_whatever_the_names_hold():
    with open(out("p.csv"), newline="") as file:
        rows = list(csv.DictReader(file))
    iron = [r for r in rows if (r["method"], r["modality"], r["id"]) == ("fewshot", "ensemble", "0")]
    assert len(iron) == 1 and iron[0]["name"] == 'iron, "L" <&>' and int(iron[0]["chips"]) == chips_inside().sum()
    assert np.isclose(float(iron[0]["area_nm2"]), chips_inside().sum() * CHIP * CHIP * NM[0] * NM[1])
    assert float(iron[0]["Fe_at_percent"]) > 95 and 0 < float(iron[0]["Fe_sigma"]) < 3
    rest = [r for r in rows if r["name"].endswith("=rest")]
    assert rest and all(r["name"] == "'=rest" for r in rest), "a spreadsheet would run it"
    with open(out("p_chips.csv"), newline="") as file:
        chips = list(csv.DictReader(file))
    assert len(chips) == 54 and np.isclose(float(chips[10]["x_nm"]), (3.5 + CHIP) * NM[1])
    got = np.array([int(c["fewshot_ensemble"]) for c in chips]).reshape(6, 9)
    assert np.array_equal(got == 0, chips_inside())


def the_vector_picture_is_xml_and_its_bar_is_as_long_as_it_says():
    root = xml.etree.ElementTree.parse(out("p.svg")).getroot()
    name = "{http://www.w3.org/2000/svg}"
    paths = {p.get("data-label"): p for p in root.iter(name + "path") if p.get("data-label")}
    assert set(paths) == {"0", "1"}, set(paths)
    assert paths["0"].get("d").startswith("M40 0h32v8h-32z"), paths["0"].get("d")[:40]
    bar = next(g for g in root.iter(name + "g") if g.get("id") == "scale-bar")
    scale = 720.0 / W  # px of the picture a pixel of the scan
    assert np.isclose(float(bar.find(name + "rect").get("width")),
                      float(bar.get("data-length")) / NM[1] * scale, atol=0.01)
    assert any('iron, "L" <&>' in (t.text or "") for t in root.iter(name + "text"))


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.words, self.outside, self.images = [], [], 0

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        for key in ("src", "href"):
            if key in attrs and not attrs[key].startswith("data:"):
                self.outside.append(attrs[key])
        self.images += tag == "img"
        assert tag != "script"

    def handle_data(self, data):
        self.words.append(data)


def the_report_needs_no_other_file_and_tells_where_it_is_from():
    page = Page()
    with open(out("p.html"), encoding="utf-8") as file:
        page.feed(file.read())
    text = " ".join(page.words)
    assert not page.outside, page.outside
    assert page.images == 5, page.images
    with open(RECORDING, "rb") as file:
        assert hashlib.sha256(file.read()).hexdigest() in text
    for word in ('iron, "L" <&>', "spectral", "robust", "chip.size_px", "Agreement"):
        assert word in text, word


def one_map_can_be_chosen_and_what_is_not_there_is_refused():
    export("--svg", out("w.svg"), "--map", "ward/haadf")
    assert b"Ward, HAADF" in open(out("w.svg"), "rb").read()
    for args, word in ((["--svg", out("x.svg"), "--map", "ward/xrays"], "ensemble"), ([], "nothing to write"),
                       (["--svg", out("nowhere/x.svg")], "nowhere"), (["--hspy", out("nowhere/x.hspy")], "nowhere"),
                       (["--png", out("a.png"), "--nonsense"], "nonsense")):
        done = export(*args, ok=False)
        assert word in done.stderr, (args, done.stderr)
    assert not glob.glob(out("x.*"))
    done = flyback("export", RECORDING, "--hspy")
    assert done.returncode == 2 and "value" in done.stderr, done.stderr
    done = flyback("export", out("haadf.npy"), "--csv", out("y.csv"))
    assert done.returncode in (1, 2) and "haadf.npy" in done.stderr, done.stderr


def a_full_disk_leaves_what_was_there_before():
    if not os.path.exists("/dev/full"):
        raise NotRun("/dev/full is absent")
    for kind in ("--hspy", "--csv"):
        path = out("full")
        with open(path, "w") as file:
            file.write("before")
        os.symlink("/dev/full", path + ".tmp")
        done = export(kind, path, ok=False)
        assert "full" in done.stderr, done.stderr
        assert open(path).read() == "before"
        if os.path.lexists(path + ".tmp"):
            os.unlink(path + ".tmp")


def sessions_are_listed_the_newest_last():
    folder = out("several")
    os.makedirs(folder)
    shutil.copy(RECORDING, folder + "/a.fly")
    done = flyback("session", "ls", "--json", folder)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 1 and rows[0]["scan_shape_px"] == [H, W] and rows[0]["finished"] is True, rows
    with open(folder + "/b.fly", "wb") as file:
        file.write(b"no recording at all, but long enough to be looked at")
    done = flyback("session", "ls", "--set", "recording.dir=" + folder)
    assert done.returncode == 1 and "b.fly" in done.stderr and "a.fly" in done.stdout
    assert flyback("session", "ls", out("not there")).returncode == 1
    assert flyback("session").returncode == 2
    assert flyback("session", "verify").returncode == 2


def a_whole_recording_is_whole_a_torn_one_torn_and_a_flipped_bit_is_found():
    done = flyback("session", "verify", RECORDING)
    assert done.returncode == 0 and "whole" in done.stdout, done.stdout
    with open(RECORDING, "rb") as file:
        data = bytearray(file.read())
    torn = out("torn.fly")
    with open(torn, "wb") as file:
        file.write(data[:-190])
    done = flyback("session", "verify", "--json", torn)
    told = json.loads(done.stdout)
    assert done.returncode == 1 and not told["ok"] and "torn at byte" in told["wrong"], told
    data[len(data) // 2] ^= 4
    flipped = out("flipped.fly")
    with open(flipped, "wb") as file:
        file.write(data)
    done = flyback("session", "verify", RECORDING, flipped)
    assert done.returncode == 1 and "WRONG" in done.stdout and "whole" in done.stdout, done.stdout


try:
    run(
        a_recording_is_made_of_the_phantom,
        all_kinds_are_written_at_once_and_named_on_stdout,
        hyperspy_loads_positions_units_and_energies_as_they_were,
        arrays_say_what_their_axes_are,
        tables_are_read_back_whatever_the_names_hold,
        the_vector_picture_is_xml_and_its_bar_is_as_long_as_it_says,
        the_report_needs_no_other_file_and_tells_where_it_is_from,
        one_map_can_be_chosen_and_what_is_not_there_is_refused,
        a_full_disk_leaves_what_was_there_before,
        sessions_are_listed_the_newest_last,
        a_whole_recording_is_whole_a_torn_one_torn_and_a_flipped_bit_is_found,
    )
finally:
    shutil.rmtree(FOLDER, ignore_errors=True)
