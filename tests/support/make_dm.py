"""Write small Gatan DM3 and DM4 files with known content, and that content as .npy, into a folder.

usage: make_dm.py DIR            files for the tests
       make_dm.py DIR --check    and compare what HyperSpy makes of them (skipped with 77 without HyperSpy)

The layout is that of the public description of the format (see sim/read_dm.h).
"""
import struct
import sys

import numpy as np

OUT = sys.argv[1]
rng = np.random.default_rng(23)
CODES = {"i2": 2, "i4": 3, "u2": 4, "u4": 5, "f4": 6, "f8": 7, "?": 8, "i1": 9, "u1": 10, "i8": 11, "u8": 12}
PIXELS = {"i2": 1, "f4": 2, "c8": 3, "u1": 6, "i4": 7, "i1": 9, "u2": 10, "u4": 11, "f8": 12, "?": 14, "i8": 39, "u8": 40}


class File:
    """A DM file: version 3 or 4, values little-endian or big."""

    def __init__(self, version=3, little=True):
        self.version, self.order = version, "<" if little else ">"

    def size(self, n):
        return struct.pack(">Q" if self.version == 4 else ">I", n)

    def value(self, what):
        """(codes, bytes) of a number, a text, an array or a (dtype, number) pair."""
        if isinstance(what, str):
            what = np.frombuffer(what.encode("utf-16-le"), "<u2")
        if isinstance(what, np.ndarray):
            kind = what.dtype.str[1:]
            if kind == "c8":
                codes = [20, 15, 0, 2, 0, 6, 0, 6, what.size]
                return codes, what.astype(self.order + "c8").tobytes()
            return [20, CODES["?" if kind == "b1" else kind], what.size], what.astype(what.dtype.newbyteorder(self.order)).tobytes()
        if isinstance(what, list):  # a struct of floats
            codes = [15, 0, len(what)]
            for _ in what:
                codes += [0, 6]
            return codes, np.array(what, self.order + "f4").tobytes()
        kind, number = what if isinstance(what, tuple) else ("f4" if isinstance(what, float) else "i4", what)
        return [CODES[kind]], np.array(number, self.order + kind.replace("?", "u1")).tobytes()

    def tag(self, name, what):
        name = name.encode("latin-1")
        if isinstance(what, dict):
            kind, body = 20, self.group(what)
        else:
            codes, data = self.value(what)
            kind, body = 21, b"%%%%" + self.size(len(codes)) + b"".join(map(self.size, codes)) + data
        return struct.pack(">BH", kind, len(name)) + name + (struct.pack(">Q", len(body)) if self.version == 4 else b"") + body

    def group(self, tags):
        """Names that are numbers are members of a list: they have no name in the file."""
        return (b"\x01\x00" + self.size(len(tags)) +
                b"".join(self.tag("" if isinstance(name, int) else name, what) for name, what in tags.items()))

    def bytes(self, tags):
        body = self.group(tags)
        head = struct.pack(">I", self.version) + self.size(len(body) + 8) + struct.pack(">I", self.order == "<")
        return head + body + bytes(8)


def axis(scale, units, origin=0.0):
    return {"Origin": float(origin), "Scale": float(scale), "Units": units}


def image(data, axes, name="", tags=None):
    """data in C order; axes of its dimensions, the slowest first. In the file the fastest stands first."""
    kind = "?" if data.dtype == bool else data.dtype.str[1:]
    return {"ImageData": {"Calibrations": {"Brightness": axis(1, ""), "DisplayCalibratedUnits": ("?", 1),
                                           "Dimension": dict(enumerate(axes[::-1]))},
                          "Data": data.ravel(), "DataType": PIXELS[kind],
                          "Dimensions": {i: ("u4", n) for i, n in enumerate(data.shape[::-1])},
                          "PixelDepth": data.dtype.itemsize},
            "ImageTags": tags or {}, "Name": name, "UniqueID": {i: ("u4", i) for i in range(4)}}


TAGS = {"Microscope Info": {"Voltage": 200000.0, "Indicated Magnification": ("f8", 80000.0), "Probe Current (nA)": 0.25,
                            "Illumination Mode": "STEM NANOPROBE"},
        "DigiScan": {"Sample Time": ("f8", 12.0), "Rotation": ("f8", 0.0)},
        "DataBar": {"Acquisition Date": "2/29/2024", "Acquisition Time": "7:58:04 PM", "Device Name": "DigiScan", "Signal Name": "HAADF"},
        "Session Info": {"Specimen": "garnet \u03b2"}, "odd": [1.0, 2.0, 3.0]}
XRAY = {"Meta Data": {"Format": "Spectrum image", "Signal": "X-ray"},
        "EDS": {"Live_time": ("f8", 0.9), "Real_time": ("f8", 1.2), "Detector Info": {"Elevation angle": ("f8", 22.0)}},
        "SI": {"Acquisition": {"Pixel time (s)": ("f8", 0.05), "Date": "2/29/2024", "Start time": "7:58:04 PM"}}}
THUMBNAIL = image(np.zeros((3, 3), "u1"), [axis(1, ""), axis(1, "")], "thumbnail")
NM = [axis(0.5, "nm"), axis(0.25, "nm")]


def save(path, *images, version=3, little=True, thumbnail=True, truth=(), cut=None, change=None):
    everything = ((THUMBNAIL,) if thumbnail else ()) + images
    tags = {"ApplicationBounds": [0.0, 0.0, 1.0, 1.0], "ImageList": dict(enumerate(everything)), "InImageMode": ("?", 1)}
    if thumbnail:
        tags["Thumbnails"] = {0: {"ImageIndex": ("u4", 0), "SourceSize_Pixels": [3.0, 3.0]}}
    raw = File(version, little).bytes(tags)
    if change:
        raw = change(raw)
    with open(f"{OUT}/{path}.dm{version}", "wb") as out:
        out.write(raw[:cut])
    for name, data in truth:
        np.save(f"{OUT}/{path}.{name}.npy", data)


def phantom(shape=(4, 6), kind="f4"):
    """Nothing in it is symmetric."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    return (y * 10 + x + (y == 1) * 3).astype(kind)


cube = rng.poisson(0.4, (4, 6, 90)).astype("u2")  # y, x, energy
cube[1, 2, 30] = 50
planes = np.moveaxis(cube, 2, 0).copy()
KEV = axis(0.01, "keV", 20)
COMPARE = []

for version in (3, 4):
    for little in (True, False):
        name = "image" if little else "big"
        save(name, image(phantom(), NM, "SI HAADF Image", TAGS), version=version, little=little, truth=[("HAADF", phantom())])
        save(name + "_map", image(phantom(), NM, "survey HAADF"), image(planes, [KEV] + NM, "X-ray map", XRAY), version=version,
             little=little, truth=[("EDS", cube), ("HAADF", phantom())])
        COMPARE += [(f"{name}.dm{version}", 0, phantom(), NM), (f"{name}_map.dm{version}", 1, cube, NM + [KEV])]
for kind in PIXELS:
    if kind == "c8":
        continue
    data = phantom(kind=kind) if kind != "?" else phantom() > 21
    save("dtype_" + kind.replace("?", "bool"), image(data, NM), truth=[("HAADF", data.astype("u1") if kind == "?" else data)])
save("energy_fast", image(cube, NM + [axis(10, "eV", 25)], "map", XRAY), version=4, truth=[("EDS", cube)])
save("energy_untold", image(planes, [axis(1, "")] + NM, "map", XRAY))
save("ev_untold", image(planes, [axis(10, "eV", 25)] + NM, "map"))
save("kev_untold", image(planes, [KEV] + NM, "map"), truth=[("EDS", cube)])
save("float_counts", image(planes.astype("f4"), [KEV] + NM, "map", XRAY), truth=[("EDS", cube)])
half = planes.astype("f4")
half[4, 2, 3] = 0.5
save("fraction", image(half, [KEV] + NM, "map", XRAY))
save("line", image(cube[1].T.copy(), [KEV, NM[1]], "line", XRAY), truth=[("EDS", cube[1:2])])
stack = rng.integers(-9, 99, (3, 4, 6), dtype="i2")
save("stack", image(stack, [axis(1, "")] + NM, "ABF stack"), truth=[("ABF", stack)])
save("micron", image(phantom(), [axis(0.001, "\u00b5m"), axis(0.002, "\u00b5m", 3)]))
save("no_units", image(phantom(), [axis(1, ""), axis(1, "")]), thumbnail=False, truth=[("HAADF", phantom())])
save("pair", image(phantom(), NM, "HAADF"), image(phantom() * 2, NM, "BF image"), truth=[("HAADF", phantom()), ("BF", phantom() * 2)])
save("other_scan", image(phantom((7, 3)), NM, "overview"), image(planes, [KEV] + NM, "map", XRAY), truth=[("EDS", cube)])
save("spectrum", image(cube[0, 0], [KEV], "spectrum", XRAY))
save("eels", image(planes, [axis(0.5, "eV", -100)] + NM, "loss", {"Meta Data": {"Format": "Spectrum image", "Signal": "EELS"}}),
     image(phantom(), NM, "HAADF"), truth=[("HAADF", phantom())])
save("eels_alone", image(planes, [axis(0.5, "eV", -100)] + NM, "loss", {"Meta Data": {"Format": "Spectrum image", "Signal": "EELS"}}))
save("complex", image(phantom().astype("c8"), NM, "FFT"))
save("pattern", image(phantom(), [axis(0.1, "1/nm"), axis(0.1, "1/nm")], "diffraction"))
save("four", image(np.zeros((2, 2, 3, 3), "u2"), [axis(1, "nm")] * 4, "4D"))
save("six", image(np.zeros((2, 2, 1, 1, 3, 3), "u2"), [axis(1, "nm")] * 6, "6D"))
save("nan_scale", image(phantom(), [axis(float("nan"), "nm"), NM[1]]))
save("zero_energy", image(planes, [axis(0, "keV")] + NM, "map", XRAY))
save("nothing", thumbnail=False)
save("only_thumbnail")
save("truncated", image(phantom(), NM), cut=600)
save("cut_data", image(planes, [KEV] + NM, "map", XRAY), cut=2500)
save("no_mark", image(phantom(), NM), change=lambda raw: raw.replace(b"%%%%", b"%%%&", 3))
short = image(phantom(), NM)
short["ImageData"]["Dimensions"][1] = ("u4", 4000)
save("short", short)
deep = {}
for _ in range(80):
    deep = {"deeper": deep}
save("deep", image(phantom(), NM, "", deep))
absurd = image(phantom(), NM)
absurd["ImageData"]["Dimensions"] = {0: ("u4", 0xFFFFFFFF), 1: ("u4", 0xFFFFFFFF)}
save("absurd", absurd)


def check():
    """What HyperSpy reads of the same files must be what went in: this writer and our reader do not share an error."""
    try:
        import hyperspy.api as hs
    except ImportError:
        print("HyperSpy is not installed")
        return 77
    for path, place, data, axes in COMPARE:
        signals = hs.load(f"{OUT}/{path}")
        signal = signals[place] if isinstance(signals, list) else signals
        assert signal.data.shape == data.shape, (path, signal.data.shape, data.shape)
        # HyperSpy 1.7.3 heeds the file's byte order in its tags but not in its pixels
        pixels = signal.data.byteswap() if path.startswith("big") else signal.data
        assert (pixels == data).all(), path
        ours = {(round(a["Scale"], 9), a["Units"], round(-a["Origin"] * a["Scale"], 9)) for a in axes}
        theirs = {(round(float(a.scale), 6), str(a.units), round(float(a.offset), 6)) for a in signal.axes_manager._axes}
        assert ours == theirs, (path, ours, theirs)
        tem = signal.metadata.get_item("Acquisition_instrument.TEM")
        if place == 0:
            assert tem.beam_energy == 200.0 and tem.magnification == 80000, tem
            assert signal.metadata.General.date == "2024-02-29", signal.metadata.General
    print(len(COMPARE), "signals read the same by HyperSpy")
    return 0


if "--check" in sys.argv:
    sys.exit(check())
