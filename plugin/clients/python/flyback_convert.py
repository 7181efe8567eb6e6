#!/usr/bin/env python3
"""Files that Flyback does not read itself, made into one that it does, by RosettaSciIO or HyperSpy.

    python flyback_convert.py map.bcf                 # writes map.hspy beside it
    flyback import map.hspy

Bruker .bcf, EDAX .spd and .spc, Oxford .h5oina, Nion .ndata and .h5, JEOL .asw, Berkeley .emd, NeXus, Ripple .rpl:
whatever the library reads. Taken are EDS spectrum images and images of the same scan; positions, pixel size in nm
and the energy axis in keV are kept, and so are elements and beam energy. What is left is said.

    --out DIR     where the files go (default: beside the source)
    --npy         NumPy arrays in place of .hspy; the command to import them is printed

Needed: NumPy, h5py, and RosettaSciIO (pip install "rosettasciio[all]") or HyperSpy (pip install hyperspy, or
apt install python3-hyperspy). Exit codes: 0 done, 1 nothing was written, 2 wrong usage.
"""

import argparse
import os
import sys

LENGTHS_NM = {"m": 1e9, "cm": 1e7, "mm": 1e6, "\u00b5m": 1e3, "\u03bcm": 1e3, "um": 1e3, "micron": 1e3, "nm": 1.0,
              "\u00c5": 0.1, "\u212b": 0.1, "A": 0.1, "angstrom": 0.1, "Angstrom": 0.1, "pm": 1e-3}
ENERGIES_KEV = {"keV": 1.0, "eV": 1e-3, "KeV": 1.0, "kev": 1.0}


class Refused(Exception):
    """Words for the user."""


def say(text):
    print("flyback_convert: " + text, file=sys.stderr)


# ---- reading -------------------------------------------------------------------------------------


def find_reader():
    """(name and version, function path -> list of signals). HyperSpy first: it knows best what is a spectrum."""
    try:
        import hyperspy
        import hyperspy.api as hs

        return "HyperSpy %s" % hyperspy.__version__ if hasattr(hyperspy, "__version__") else "HyperSpy", lambda path: by_hyperspy(hs, path)
    except ImportError:
        pass
    try:
        import rsciio

        return "RosettaSciIO %s" % getattr(rsciio, "__version__", ""), lambda path: by_rosettasciio(rsciio, path)
    except ImportError:
        pass
    raise Refused("neither HyperSpy nor RosettaSciIO can be imported by %s; install one of them:\n"
                  "    %s -m pip install \"rosettasciio[all]\"\n"
                  "or, on Debian, apt install python3-hyperspy, and run this file with /usr/bin/python3"
                  % (sys.executable, sys.executable))


def by_hyperspy(hs, path):
    loaded = hs.load(path)
    signals = []
    for s in loaded if isinstance(loaded, (list, tuple)) else [loaded]:
        axes = [{"name": str(a.name), "units": "" if "undefined" in str(a.units) else str(a.units), "scale": float(a.scale),
                 "offset": float(a.offset), "navigate": bool(a.navigate)} for a in s.axes_manager._axes]
        signals.append((s.data, axes, s.metadata.as_dictionary()))
    return signals


def by_rosettasciio(rsciio, path):
    """The first plugin that takes the file's ending and reads it; several share some endings (.h5, .emd)."""
    import importlib

    ending = os.path.splitext(path)[1].lower().lstrip(".")
    errors = []
    for plugin in rsciio.IO_PLUGINS:
        if ending not in [e.lower() for e in plugin["file_extensions"]]:
            continue
        try:
            read = importlib.import_module(plugin["api"]).file_reader(path)
        except Exception as error:  # whatever a foreign reader stumbles over
            errors.append("%s: %s" % (plugin["name"], error))
            continue
        signals = []
        for one in read:
            axes = sorted(one["axes"], key=lambda a: a.get("index_in_array", 0) or 0)
            signals.append((one["data"], [{"name": str(a.get("name", "")), "units": str(a.get("units") or ""), "scale": float(a.get("scale", 1)),
                                           "offset": float(a.get("offset", 0)), "navigate": bool(a.get("navigate", False))} for a in axes],
                            one.get("metadata", {})))
        return signals
    raise Refused("; ".join(errors) if errors else "no plugin for files that end in .%s" % ending)


# ---- understanding -------------------------------------------------------------------------------


def leaf(tree, *keys):
    for key in keys:
        if not isinstance(tree, dict) or key not in tree:
            return None
        tree = tree[key]
    return tree


class Signal:
    """An image (frames?, y, x) or a spectrum image (frames?, y, x, energy), axes in nm and keV."""

    def __init__(self, data, axes, metadata):
        import numpy as np

        if hasattr(data, "compute"):  # dask
            data = data.compute()
        if hasattr(data, "todense"):  # sparse
            data = data.todense()
        self.data, self.title = np.asarray(data), str(leaf(metadata, "General", "title") or "signal")
        self.kind = str(leaf(metadata, "Signal", "signal_type") or "")
        self.metadata = metadata
        if len(axes) != self.data.ndim:
            raise Refused("%s: %d axes for an array of %d dimensions" % (self.title, len(axes), self.data.ndim))
        energy = [i for i, a in enumerate(axes) if a["units"] in ENERGIES_KEV]
        if self.kind.startswith("EELS"):
            raise Refused("%s: electron energy loss; Flyback takes STEM images and EDS" % self.title)
        if not energy and self.kind.startswith("EDS"):
            raise Refused("%s: an EDS signal whose energy axis is not in keV or eV" % self.title)
        if len(energy) > 1:
            raise Refused("%s: two axes of energy" % self.title)
        self.is_eds = bool(energy)
        # frames and positions in the array's own order, energy last
        order = [i for i in range(len(axes)) if i not in energy] + energy
        self.data = self.data.transpose(order)
        self.axes = [self.axis(axes[i]) for i in order]
        space = self.data.ndim - len(energy)
        if space not in (2, 3):
            raise Refused("%s: %s of %d dimensions in space; taken are maps and stacks of maps"
                          % (self.title, "spectra" if self.is_eds else "an array", space))
        if self.is_eds:
            self.data = self.counts()
        elif self.data.dtype.kind not in "uif" or self.data.dtype.names:
            raise Refused("%s: pixels of type %s, not grey values" % (self.title, self.data.dtype))

    def axis(self, a):
        units, scale, offset = a["units"], a["scale"], a["offset"]
        if units in LENGTHS_NM:
            return dict(a, units="nm", scale=scale * LENGTHS_NM[units], offset=offset * LENGTHS_NM[units])
        if units in ENERGIES_KEV:
            return dict(a, units="keV", scale=scale * ENERGIES_KEV[units], offset=offset * ENERGIES_KEV[units])
        if "/" in units or "rad" in units:
            raise Refused("%s: a pattern in %s, not an image of the specimen" % (self.title, units))
        return dict(a)

    def counts(self):
        import numpy as np

        if self.data.dtype.kind == "f":
            whole = np.rint(self.data)
            if not np.array_equal(whole, self.data):
                raise Refused("%s: spectra that are no counts (fractions); export them before they are scaled" % self.title)
            self.data = whole
        if self.data.size and (self.data.min() < 0 or self.data.max() > 0xFFFFFFFF):
            raise Refused("%s: counts below 0 or above 2^32 - 1" % self.title)
        return self.data.astype("u4" if self.data.size and self.data.max() > 0xFFFF else "u2")

    @property
    def shape(self):
        return self.data.shape[-3:-1] if self.is_eds else self.data.shape[-2:]


def understand(read):
    """Signals of one scan: that of the first spectrum image, or else of the first image. The rest is told."""
    signals, why = [], "it holds no signals"
    for data, axes, metadata in read:
        try:
            signals.append(Signal(data, axes, metadata))
        except Refused as refused:
            why = str(refused)
            say("%s: left" % why)
    if not signals:
        raise Refused("nothing in it for Flyback: %s" % why)
    first = next((s for s in signals if s.is_eds), signals[0])
    for s in signals:
        if s.shape != first.shape:
            say("%s: %d x %d px, of another scan than %s: left" % (s.title, s.shape[0], s.shape[1], first.title))
    return [s for s in signals if s.shape == first.shape]


# ---- writing -------------------------------------------------------------------------------------


def put_attributes(group, values):
    for key, value in values.items():
        if value is not None:
            group.attrs[key] = value


def write_hspy(path, signals):
    """The layout of HyperSpy 1.7 and 2 (file format 3.1): one experiment for each signal."""
    import h5py
    import numpy as np

    with h5py.File(path + ".tmp", "w") as f:
        f.attrs["file_format"], f.attrs["file_format_version"] = "HyperSpy", "3.1"
        for number, s in enumerate(signals):
            group = f.create_group("Experiments/%02d %s" % (number, "".join(c if c.isalnum() else "_" for c in s.title)[:40]))
            group.create_dataset("data", data=s.data, compression="gzip" if s.is_eds else None, shuffle=s.is_eds or None)
            navigate = s.data.ndim - (1 if s.is_eds else 2)
            for i, a in enumerate(s.axes):
                put_attributes(group.create_group("axis-%d" % i),
                               {"_type": "UniformDataAxis", "name": a["name"], "units": a["units"], "scale": a["scale"], "offset": a["offset"],
                                "size": s.data.shape[i], "navigate": np.bool_(i < navigate), "is_binned": np.bool_(s.is_eds and i == navigate)})
            meta = group.create_group("metadata")
            put_attributes(meta.create_group("General"), {k: v for k, v in (leaf(s.metadata, "General") or {}).items()
                                                          if k in ("title", "date", "time") and isinstance(v, str)})
            put_attributes(meta.create_group("Signal"), {"signal_type": (s.kind or "EDS_TEM") if s.is_eds else ""})
            group.create_group("original_metadata")
            write_instrument(meta, s)
    os.replace(path + ".tmp", path)


def write_instrument(meta, s):
    import h5py
    import numpy as np

    for kind in ("TEM", "SEM"):
        told = leaf(s.metadata, "Acquisition_instrument", kind)
        if not isinstance(told, dict):
            continue
        group = meta.create_group("Acquisition_instrument/" + kind)
        put_attributes(group, {k: float(told[k]) for k in ("beam_energy", "beam_current", "magnification", "convergence_angle")
                               if isinstance(told.get(k), (int, float))})
        eds = leaf(told, "Detector", "EDS") or {}
        put_attributes(group.create_group("Detector/EDS"), {k: float(eds[k]) for k in ("elevation_angle", "azimuth_angle", "live_time", "real_time",
                                                                                       "energy_resolution_MnKa") if isinstance(eds.get(k), (int, float))})
    elements = leaf(s.metadata, "Sample", "elements")
    description = leaf(s.metadata, "Sample", "description")
    if elements or description:
        sample = meta.create_group("Sample")
        if isinstance(description, str):
            sample.attrs["description"] = description
        if elements:
            sample.create_dataset("_list_elements", data=np.array(list(elements), object), dtype=h5py.string_dtype())


def write_npy(stem, signals):
    """Arrays, and the command that imports them."""
    import numpy as np

    command = ["flyback", "import"]
    for number, s in enumerate(sorted(signals, key=lambda s: s.is_eds)):
        path = "%s.%d.npy" % (stem, number)
        np.save(path, s.data)
        command += ["--eds", path] if s.is_eds else [path]
    eds = [s.axes[-1] for s in signals if s.is_eds][:1]
    for a in eds:
        command += ["--ev-per-channel", repr(round(a["scale"] * 1e3, 9)), "--ev-offset", repr(round(a["offset"] * 1e3, 9))]
    y, x = signals[0].axes[-3:-1] if signals[0].is_eds else signals[0].axes[-2:]
    if y["units"] == x["units"] == "nm":
        command += ["--pixel-nm", "%r,%r" % (abs(y["scale"]), abs(x["scale"]))]
    return " ".join(command)


def convert(path, read, out, as_npy):
    stem = os.path.join(out or os.path.dirname(path) or ".", os.path.splitext(os.path.basename(path))[0])
    signals = understand(read(path))
    if as_npy:
        return write_npy(stem, signals)
    target = stem + ".hspy"
    if os.path.exists(target) and os.path.samefile(target, path):
        raise Refused("it is a .hspy already: flyback import takes it as it is")
    write_hspy(target, signals)
    return "flyback import %s" % target


def main(argv=None):
    parser = argparse.ArgumentParser(prog="flyback_convert.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--out", metavar="DIR")
    parser.add_argument("--npy", action="store_true")
    options = parser.parse_args(argv)
    wrong = 0
    try:
        name, read = find_reader()
        import h5py  # noqa: F401: both libraries need it for most formats, and we for ours
    except Refused as refused:
        say(str(refused))
        return 1
    except ImportError:
        say("h5py cannot be imported by %s; install it with pip install h5py" % sys.executable)
        return 1
    if options.out:
        os.makedirs(options.out, exist_ok=True)
    for path in options.files:
        try:
            if not os.path.isfile(path):
                raise Refused("no such file")
            print(convert(path, read, options.out, options.npy))
        except Refused as refused:
            say("%s: %s" % (path, refused))
            wrong = 1
        except Exception as error:  # a foreign reader's: its words are all there is
            say("%s: %s cannot read it: %s: %s" % (path, name, type(error).__name__, error))
            wrong = 1
    return wrong


if __name__ == "__main__":
    sys.exit(main())
