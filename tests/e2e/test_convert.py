"""flyback_convert.py: files that Flyback does not read become ones that it does, nothing turned, nothing shifted."""

import json
import os
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from flyback_test import ROOT, SLOW, TESTS, NotRun, flyback, run  # noqa: E402

SCRIPT = os.path.join(ROOT, "plugin", "clients", "python", "flyback_convert.py")
H, W, E, CHIP = 20, 28, 96, 4
rng = np.random.default_rng(31)
# nothing in it is symmetric: y, x and energy differ in length, and so does what lies at every place
CUBE = (rng.poisson(0.3, (H, W, E)) + (np.arange(H * W).reshape(H, W, 1) == 39) * (np.arange(E) == 40) * 70).astype("u2")
IMAGE = (np.arange(H)[:, None] * 100.0 + np.arange(W) + (np.arange(H)[:, None] == 1) * 7).astype("f4")


def need(*modules):
    for module in modules:
        try:
            __import__(module)
        except ImportError:
            raise NotRun("%s is not installed" % module)


def convert(*args, status=0, path=None):
    """What the script says on stdout and stderr."""
    environment = dict(os.environ, HYPERSPY_GUI="", MPLBACKEND="agg")
    if path:
        environment["PYTHONPATH"] = path
    done = subprocess.run([sys.executable, "-B", SCRIPT] + list(args), env=environment, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=120 * SLOW)
    assert done.returncode == status, (done.returncode, done.stdout[-1000:], done.stderr[-3000:])
    return done.stdout, done.stderr


def in_chips(counts):
    """Photons of each chip of CHIP x CHIP pixels."""
    return counts.reshape(H // CHIP, CHIP, W // CHIP, CHIP).sum((1, 3))


def totals(recording, folder):
    """The same as `flyback analyze` sees it in a recording."""
    out = os.path.join(folder, "out")
    flyback("analyze", recording, "--no-pictures", "--out", out, "--set", "chip.size_px=%d" % CHIP)
    return np.load(out + "/spec_chip_total.npy").reshape(H // CHIP, W // CHIP)


def same_as_phantom(path, energy=(0.01, -0.2), pixel_nm=(2.5, 1.5), folder=None, image=False):
    """The .hspy holds the phantom in place, and so does the session that flyback import makes of it."""
    import h5py

    with h5py.File(path) as f:
        found = {}
        for group in f["Experiments"].values():
            axes = [group["axis-%d" % i].attrs for i in range(group["data"].ndim)]
            found["EDS" if group["data"].ndim == 3 else "image"] = group["data"][...], [
                (a["units"], round(float(a["scale"]), 9), round(float(a["offset"]), 9)) for a in axes], axes
        data, axes, raw = found["EDS"]
        assert (data == CUBE).all(), "the cube is not what it was"
        assert axes[2] == ("keV",) + tuple(energy), axes
        assert [a[:2] for a in axes[:2]] == [("nm", pixel_nm[0]), ("nm", pixel_nm[1])], axes
        assert [bool(a["navigate"]) for a in raw] == [True, True, False]
        assert ("image" in found) == image and (not image or (found["image"][0] == IMAGE).all())
    recording = os.path.join(folder, "session.fly")
    report = flyback("import", path, "--out", recording).stdout
    assert '"scan_shape_px":[%d,%d]' % (H, W) in report, report
    assert (totals(recording, folder) == in_chips(CUBE.sum(2))).all(), "photons lie elsewhere in the session"
    os.unlink(recording)


def eds_signal(hs):
    s = hs.signals.Signal1D(CUBE.copy())
    s.set_signal_type("EDS_TEM")
    for i, (name, scale, units) in enumerate((("x", 1.5, "nm"), ("y", 2.5, "nm"))):
        s.axes_manager.navigation_axes[i].name, s.axes_manager.navigation_axes[i].scale = name, scale
        s.axes_manager.navigation_axes[i].units = units
    axis = s.axes_manager.signal_axes[0]
    axis.name, axis.units, axis.scale, axis.offset = "Energy", "keV", 0.01, -0.2
    s.metadata.set_item("Acquisition_instrument.TEM.beam_energy", 200.0)
    s.metadata.set_item("Sample.elements", ["Fe", "O"])
    s.metadata.General.title = "phantom"
    return s


def a_ripple_map_keeps_place_and_energy():
    need("hyperspy", "h5py")
    import hyperspy.api as hs

    with tempfile.TemporaryDirectory() as folder:
        eds_signal(hs).save(os.path.join(folder, "phantom.rpl"), encoding="utf8")
        out, err = convert(os.path.join(folder, "phantom.rpl"))
        assert out.strip() == "flyback import %s" % os.path.join(folder, "phantom.hspy"), out
        same_as_phantom(os.path.join(folder, "phantom.hspy"), folder=folder)
        # the same as arrays, imported by the very command that is printed
        out, err = convert(os.path.join(folder, "phantom.rpl"), "--npy", "--out", os.path.join(folder, "arrays"))
        words = out.split()
        assert words[:2] == ["flyback", "import"] and "--eds" in words, out
        image = os.path.join(folder, "image.npy")
        np.save(image, IMAGE)
        recording = os.path.join(folder, "arrays.fly")
        flyback("import", image, *words[2:], "--out", recording)
        assert (totals(recording, folder) == in_chips(CUBE.sum(2))).all()
        return out.split("arrays/")[1].strip()


def a_gatan_map_with_its_image_comes_as_one_file():
    """The same file by both ways: by HyperSpy and this script, and by Flyback's own reader."""
    need("hyperspy", "h5py")
    import h5py

    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-B", os.path.join(TESTS, "support", "make_dm.py"), folder], check=True, timeout=60 * SLOW)
        source = os.path.join(folder, "image_map.dm4")
        convert(source, "--out", os.path.join(folder, "made"))
        made = os.path.join(folder, "made", "image_map.hspy")
        with h5py.File(made) as f:
            found = {group["data"].ndim: group["data"][...] for group in f["Experiments"].values()}
        cube, image = (np.load(os.path.join(folder, "image_map.%s.npy" % name)) for name in ("EDS", "HAADF"))
        assert (found[3] == cube).all() and (found[2] == image).all()
        reports = [json.loads(flyback("import", path, "--out", os.path.join(folder, "x%d.fly" % i)).stdout)
                   for i, path in enumerate((source, made))]
        for key in ("scan_shape_px", "frames", "images"):
            assert reports[0][key] == reports[1][key], reports
        assert [d["events"] for r in reports for d in r["detectors"]] == [int(cube.sum())] * 2, reports
    return "%d photons by both ways" % cube.sum()


STUB = '''
IO_PLUGINS = [{"name": "Broken", "file_extensions": ["bcf"], "api": "rsciio.broken"},
              {"name": "Phantom", "file_extensions": ["bcf", "h5oina"], "api": "rsciio.phantom"}]
'''
# What RosettaSciIO's readers hand out, with energy first in the array and its axes in another order.
PHANTOM = '''
import numpy as np
def axis(index, name, units, scale, offset, size, navigate):
    return dict(index_in_array=index, name=name, units=units, scale=scale, offset=offset, size=size, navigate=navigate)
def file_reader(path):
    cube, image = np.load("%s"), np.load("%s")
    h, w, e = cube.shape
    return [
        dict(data=np.moveaxis(cube, 2, 0), metadata={"General": {"title": "EDX"}, "Signal": {"signal_type": "EDS_TEM"}},
             axes=[axis(1, "y", "\\u00b5m", 0.0025, 0, h, True), axis(2, "x", "\\u00b5m", 0.0015, 0, w, True),
                   axis(0, "Energy", "eV", 10.0, -200.0, e, False)]),
        dict(data=image, metadata={"General": {"title": "HAADF"}, "Signal": {"signal_type": ""}},
             axes=[axis(0, "y", "\\u00b5m", 0.0025, 0, h, False), axis(1, "x", "\\u00b5m", 0.0015, 0, w, False)]),
        dict(data=image[:3], metadata={"General": {"title": "overview"}}, axes=[axis(0, "y", "nm", 9, 0, 3, False), axis(1, "x", "nm", 9, 0, w, False)]),
        dict(data=cube[0, 0], metadata={"General": {"title": "point"}, "Signal": {"signal_type": "EDS_TEM"}},
             axes=[axis(0, "Energy", "keV", 0.01, -0.2, e, False)]),
        dict(data=cube * 0.5, metadata={"General": {"title": "scaled"}, "Signal": {"signal_type": "EDS_TEM"}},
             axes=[axis(0, "y", "nm", 1, 0, h, True), axis(1, "x", "nm", 1, 0, w, True), axis(2, "Energy", "keV", 0.01, -0.2, e, False)]),
    ]
'''


def a_module(folder, files):
    """Modules for a script's own path; {name: text}."""
    for name, text in files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)
    return folder


def rosettasciio_alone_is_enough():
    """Stands in for RosettaSciIO, by what its documentation says that readers hand out."""
    need("h5py")
    absent = "raise ImportError('not here')\n"
    with tempfile.TemporaryDirectory() as folder:
        cube, image = os.path.join(folder, "cube.npy"), os.path.join(folder, "image.npy")
        np.save(cube, CUBE)
        np.save(image, IMAGE)
        stub = a_module(os.path.join(folder, "stub"), {
            "hyperspy/__init__.py": absent, "rsciio/__init__.py": STUB, "rsciio/phantom.py": PHANTOM % (cube, image),
            "rsciio/broken.py": "def file_reader(path):\n    raise ValueError('not mine')\n"})
        source = os.path.join(folder, "map.bcf")
        open(source, "wb").close()
        out, err = convert(source, path=stub)
        for words in ("overview: 3 x 28 px, of another scan than EDX: left", "point: spectra of 0 dimensions in space",
                      "scaled: spectra that are no counts"):
            assert words in err, err
        same_as_phantom(os.path.join(folder, "map.hspy"), folder=folder, image=True)
        odd = os.path.join(folder, "odd.xyz")
        open(odd, "wb").close()
        out, err = convert(odd, path=stub, status=1)
        assert "no plugin for files that end in .xyz" in err and out == "", (out, err)


def without_a_library_it_says_what_to_install():
    absent = "raise ImportError('not here')\n"
    with tempfile.TemporaryDirectory() as folder:
        stub = a_module(folder, {"hyperspy/__init__.py": absent, "rsciio/__init__.py": absent})
        out, err = convert(os.path.join(folder, "map.bcf"), path=stub, status=1)
    assert out == "" and "neither HyperSpy nor RosettaSciIO can be imported" in err and "pip install" in err, err


def what_cannot_be_read_is_refused_in_words():
    need("hyperspy", "h5py")
    import hyperspy.api as hs

    with tempfile.TemporaryDirectory() as folder:
        broken = os.path.join(folder, "broken.bcf")
        with open(broken, "wb") as f:
            f.write(b"AAMVHFSS" + bytes(64))
        point, there = os.path.join(folder, "point.rpl"), os.path.join(folder, "phantom.hspy")
        eds_signal(hs).inav[0, 0].save(point, encoding="utf8")
        eds_signal(hs).save(there)
        out, err = convert(os.path.join(folder, "none.bcf"), broken, point, there, status=1)
        assert out == ""
        for words in ("none.bcf: no such file", "broken.bcf: HyperSpy", "cannot read it", "nothing in it for Flyback", "it is a .hspy already"):
            assert words in err, (words, err)
        # and flyback import, given the file itself, sends people here
        told = flyback("import", broken, status=1).stderr
        assert "a Bruker .bcf" in told and "flyback_convert.py" in told, told


run(a_ripple_map_keeps_place_and_energy, a_gatan_map_with_its_image_comes_as_one_file, rosettasciio_alone_is_enough,
    without_a_library_it_says_what_to_install, what_cannot_be_read_is_refused_in_words, timeout_s=200)
