"""Write small Velox files with known content, and that content as .npy, into a folder.

usage: make_velox.py DIR

NAME.emd has NAME.SEGMENT.npy (frames, H, W, channels) and NAME.haadf.npy (frames, H, W) beside it
where a test compares them. Layout: the groups and keys that Velox 10 and 11 write, and layoutN.emd for N = 4 .. 13: of the
others what public readers tell.
"""
import json
import sys

import h5py
import numpy as np

import velox_file
from velox_file import MARK, add, column, metadata, rng, save, text, words

OUT = velox_file.OUT = sys.argv[1]


def without(document, *keys):
    """The document less BinaryResult's keys."""
    for key in keys:
        document["BinaryResult"].pop(key, None)
    return document


def without_last_mark(name, stream):
    return stream[:-1]


def second_empty(name, cube):
    return cube if name.endswith("21") else cube * 0


def drop_second(name, stream):
    return stream if name.endswith("21") else stream[:0]


def cut_short(name, stream):
    """The third frame ends after 2 lines and 3 pixels."""
    marks = np.flatnonzero(stream == MARK)
    return stream[: marks[2 * 35 + 2 * 7 + 2] + 1]


def cut_truth(name, cube):
    cube[2, 2, 3:] = 0
    cube[2, 3:] = 0
    return cube


def flip_one(name, stream):
    photons = np.flatnonzero(stream != MARK)
    stream[photons[10]] = (stream[photons[10]] + 1) % 64
    return stream


def too_many_marks(name, stream):
    return np.append(stream, np.array([MARK, 3, MARK], "u2"))


def part_sum(f, data, names):
    """Velox's sum taken over a part of the frames."""
    for group in data["Spectrum"].values():
        group["Data"][...] = group["Data"][...] // 2


def with_df4(f, data, names):
    stack = rng.integers(0, 60000, (5, 7, 3), dtype="u2")
    np.save(f"{OUT}/v11.df4.npy", np.moveaxis(stack, 2, 0))
    add(data["Image"], "d" * 32, stack, metadata("DF4", 5, 7, names=names), 3)
    add(data["Image"], "0" * 32, rng.integers(0, 9, (11, 13, 1), dtype="u2"), metadata("HAADF", 11, 13, names=names))


def with_eels(f, data, names):
    document = metadata("EELS-1", 5, 7, names=("EELS-1",), kind="SpectrometerDetector")
    add(data["SpectrumStream"], "e" * 32, np.zeros((4, 1), "u2"), document)
    data.create_group("EelsSpectrumImage")


def pruned(f, data, names):
    group = add(data.require_group("SpectrumImage"), "e" * 32, np.zeros((9, 1), "u1"), metadata("SuperXG2", 5, 7))
    text(group, "SpectrumImageSettings", json.dumps({"startFramePosition": "1", "endFramePosition": "3"}))


def twice(f, data, names):
    data["SpectrumStream"].copy(f"{9:032x}", data["SpectrumStream"], "f" * 32)


def absurd_image(f, data, names):
    """A shape far beyond what the file stores."""
    group = data["Image"].create_group("f" * 32)
    group.create_dataset("Data", shape=(16000, 16000, 50000), dtype="u2", chunks=(64, 64, 1))
    group.create_dataset("Metadata", data=column(metadata("HAADF", 16000, 16000)).reshape(-1, 1))


def absurd_stream(f, data, names):
    stream = data["SpectrumStream"][f"{9:032x}"]["Data"]
    stream.resize((1 << 44, 1))


def no_metadata(f, data, names):
    del data["SpectrumStream"][f"{9:032x}"]["Metadata"]


def bad_json(f, data, names):
    cell = data["SpectrumStream"][f"{9:032x}"]["Metadata"]
    cell[...] = ord("{")


def nan_dispersion(f, data, names):
    group = data["SpectrumStream"][f"{9:032x}"]
    document = json.loads(bytes(group["Metadata"][:, 0]).split(b"\0")[0])
    for detector in document["Detectors"].values():
        if "Dispersion" in detector:
            detector["Dispersion"] = "nan"
    group["Metadata"][:, 0] = column(document)


save("plain")
save("nolast", edit=without_last_mark)
save("notable", table=False, edit=without_last_mark)
save("one_empty", edit_cube=second_empty, edit=drop_second)
save("v11", version="11", extra=with_df4)
save("point", 1, 1, 1, 512, haadf=False, table=False, edit=lambda name, stream: stream[stream != MARK],
     edit_cube=lambda name, cube: cube + np.uint32(20))
save("swapped", swap=True)
save("no_area", area=False)
save("no_image", haadf=False, others=False)
save("short", edit=cut_short, edit_cube=cut_truth)
save("eels", extra=with_eels)
save("part_sum", extra=part_sum)
save("wide", 2, 3, 300)
save("damaged", edit=flip_one)
save("lost", edit=lambda name, stream: np.delete(stream, np.flatnonzero(stream != MARK)[5]))
save("too_many_marks", edit=too_many_marks)
save("pruned", streams=False, extra=pruned)
save("haadf_alone", streams=False, spectra=False, others=False)
save("misfit", image=rng.integers(0, 9, (3, 5, 8), dtype="u2"))  # the metadata say 5 x 7
save("twice", extra=twice)
save("nan_pixel", pixel="nan")
save("nan_dispersion", extra=nan_dispersion)
save("absurd_image", extra=absurd_image)
save("absurd_stream", extra=absurd_stream)
save("no_metadata", extra=no_metadata)
save("bad_json", extra=bad_json)
with open(f"{OUT}/plain.emd", "rb") as whole, open(f"{OUT}/truncated.emd", "wb") as cut:
    cut.write(whole.read()[:20000])
with h5py.File(f"{OUT}/foreign.emd", "w") as other:
    other.create_group("version_1/data")


# ---- what changes from one layout to the next: where things are told, never what ------------------


def beside(f, version, labels, elements):
    """labels {image id: (detector or None, label)}, told where this version of Velox tells them."""
    if version <= 10:
        for i, (image, (detector, label)) in enumerate(labels.items()):
            at = "/Data/Image/" + image
            if detector:
                text(f.require_group("Operations/StemInputOperation"), f"{i:032x}", json.dumps({"dataPath": at, "detector": detector}))
            elif label == "iDPC":
                text(f.require_group("Operations/SurfaceReconstructionOperation"), f"{i:032x}",
                     json.dumps({"dataPath": "/Data/Image/" + "9" * 32, "unfilteredDataPath": at, "integrationMode": "true", "enableFilter": "true"}))
            elif label == "A-C":
                text(f.require_group("Operations/MathematicsOperation"), f"{i:032x}",
                     json.dumps({"dataPath": at, "outputs": [{"inputIndex": "0"}, {"inputIndex": "2"}]}))
            text(f.require_group("Presentation/Displays/ImageDisplay"), f"{i:032x}",
                 json.dumps({"dataPath": at, "display": {"label": label}}))
        text(f.require_group("Operations/ImageQuantificationOperation"), "0" * 32,
             json.dumps({"elementSelection": [str(z) for z in elements]}))
        return
    for i, (image, (detector, label)) in enumerate(labels.items()):
        text(f.require_group("SharedProperties/ImageSeriesDataReference"), f"{i:032x}",
             json.dumps({"dataPath": "/Data/Image/" + image, "frameIndex": 0}))
        text(f.require_group("Displays/ImageDisplay"), f"{i:032x}",
             json.dumps({"data": f"/SharedProperties/ImageSeriesDataReference/{i:032x}", "id": label, "title": label}))
    text(f.require_group("SharedProperties/EDSSpectrumQuantificationSettings"), "0" * 32,
         json.dumps({"elementSelection": elements}))
    text(f.require_group("Features/SIFeature"), "0" * 32, json.dumps({"eds": {"detectors": []}}))


def layout(version):
    """A scan of 3 frames with HAADF, BF, DF4, iDPC, a difference of quadrants and a map of Fe."""
    names = {4: ("SuperX1", "SuperX2"), 5: ("SuperX1", "SuperX2"), 6: ("DualX1", "DualX2"), 12: ("UltraX1", "UltraX2")}.get(
        version, ("SuperXG21", "SuperXG22"))
    h, w, frames, stem = 4, 5, 3, f"{OUT}/layout{version}"
    channels = 4096 if version <= 5 else 64
    images = {"1": ("HAADF", "HAADF", "u2"), "2": ("BF", "BF", "u2"), "3": ("DF4", "DF4", "u2"),
              "4": (None, "iDPC", "f4"), "5": (None, "A-C", "f4"), "6": (None, "Fe", "f4")}
    with h5py.File(stem + ".emd", "w") as f:
        text(f, "Version", json.dumps({"format": "Velox", "version": str(version)}))
        data = f.create_group("Data")
        for digit, (detector, label, kind) in images.items():
            n = frames if kind == "u2" else 1
            stack = rng.integers(0, 60000, (n, h, w)).astype(kind)
            np.save(f"{stem}.{label}.npy", stack)
            document = metadata(detector or ("SuperXG2" if label == "Fe" else "DF4"), h, w, names=names)
            document["Detectors"]["Detector-9"] = {"DetectorName": "BF", "DetectorType": "ScanningDetector"}
            if version <= 5:
                without(document, "Detector")
            elif version <= 8 and detector:
                index = {"HAADF": 0, "DF4": 1, "BF": 9}[detector]
                without(document, "Detector")["BinaryResult"]["DetectorIndex"] = index if version == 8 else str(index)
            group = add(data.require_group("Image"), digit * 32, np.moveaxis(stack, 0, 2), document, n)
            if version == 12:
                del group["Metadata"]
                text(group, "Metadata", json.dumps(document))
        for i, name in enumerate(names):
            cube = rng.poisson(0.001 if channels == 4096 else 0.08, (frames, h, w, channels)).astype("u4")
            np.save(f"{stem}.{name}.npy", cube)
            stream, starts = words(cube)
            documents = [metadata(name, h, w, names=names, live=str(0.9 - 0.1 * f)) for f in range(frames)]
            for document in documents:
                if version <= 8:
                    without(document, "Detector")["BinaryResult"]["DetectorIndex"] = str(2 + i)
                elif version == 9:
                    document["BinaryResult"].update(Detector="SuperXG2", DetectorIndex=2 + i)
            group = data.require_group("SpectrumStream").create_group(f"{9 - i:032x}")
            group.create_dataset("Data", data=stream.reshape(-1, 1))
            cells = np.stack([column(document) for document in documents], 1)
            if version == 13:
                cells[:, 1:] = 0  # written whole for the first frame only
            if version == 7:
                cells = cells[:, 0]
            group.create_dataset("Metadata", data=cells)
            if version > 5:
                text(group, "AcquisitionSettings", json.dumps({"bincount": str(channels), "StreamEncoding": "uint16"} if version > 6
                                                              else {"bincount": channels, "encoding": "uint16"}))
            if version > 6:
                group.create_dataset("FrameLocationTable", data=starts.reshape(-1, 1) if version != 8 else starts)
        beside(f, version, {digit * 32: image[:2] for digit, image in images.items()}, [26, 8, 26])


for number in range(4, 14):
    layout(number)


def unequal(f, data, names):
    """The second segment counts in other steps, from another energy, into more channels."""
    group = data["SpectrumStream"][f"{8:032x}"]
    for at in [group, data["Spectrum"][f"{1:032x}"]]:
        document = json.loads(bytes(at["Metadata"][:, 0]).split(b"\0")[0])
        for detector in document["Detectors"].values():
            if detector["DetectorName"].endswith("22"):
                detector.update(Dispersion="5", OffsetEnergy="-100")
        del at["Metadata"]
        at.create_dataset("Metadata", data=column(document).reshape(-1, 1))
    del group["AcquisitionSettings"]
    text(group, "AcquisitionSettings", json.dumps({"bincount": "128", "StreamEncoding": "uint16"}))
    cube = np.load(f"{OUT}/unequal.SuperXG22.npy")
    np.save(f"{OUT}/unequal.SuperXG22.npy", np.concatenate([cube, np.zeros_like(cube)], 3))


def subset(f, data, names):
    group = data.create_group("SpectrumImage/" + "e" * 32)
    text(group, "SpectrumImageSettings", json.dumps({"startFramePosition": "2", "endFramePosition": "3"}))


def other_encoding(f, data, names):
    for group in data["SpectrumStream"].values():
        del group["AcquisitionSettings"]
        text(group, "AcquisitionSettings", json.dumps({"bincount": "64", "StreamEncoding": "packed12"}))


def camera(f, data, names):
    document = metadata("BM-Ceta", 5, 7)
    document["Detectors"]["Detector-0"] = {"DetectorName": "BM-Ceta", "DetectorType": "ImagingDetector"}
    add(data["Image"], "a" * 32, rng.integers(0, 9, (5, 7, 1), dtype="u2"), document)


def bright_field(f, data, names):
    document = metadata("BF", 5, 7, names=names)
    document["Detectors"]["Detector-9"] = {"DetectorName": "BF", "DetectorType": "ScanningDetector",
                                           "CollectionAngleRange": {"begin": "0", "end": "0.01"}}
    stack = rng.integers(0, 60000, (5, 7, 3), dtype="u2")
    np.save(f"{OUT}/no_haadf.bf.npy", np.moveaxis(stack, 2, 0))
    add(data["Image"], "a" * 32, stack, document, 3)


def eels_map(f, data, names):
    data.create_group("EelsSpectrumImage/" + "e" * 32)
    data.create_group("SpectrumImage/" + "e" * 32)


def set_version(value):
    def edit(f, data, names):
        del f["Version"]
        if value is not None:
            text(f, "Version", value)
    return edit


def with_fft(f, data, names):
    pairs = np.zeros((5, 4, 1), [("realFloatHalfEven", "<f4"), ("imagFloatHalfEven", "<f4")])
    add(data["Image"], "1" * 32, pairs, metadata("HAADF", 5, 7, names=names))


save("fft", extra=with_fft)
save("unequal", extra=unequal)
save("subset", extra=subset)
save("encoding", extra=other_encoding)
save("camera", haadf=False, streams=False, spectra=False, extra=camera)
save("no_haadf", haadf=False, others=False, extra=bright_field)
save("eels_map", streams=False, spectra=False, others=False, extra=eels_map)
save("v14", version="14")
save("v3", version="3", extra=set_version('{"format": "Velox", "version": 3}'))
save("no_version", extra=set_version(None))
save("odd_version", extra=set_version("Velox"))
for name, groups, attrs in (("oxford", ("1/EDS", "Manufacturer"), {}), ("nexus", ("entry",), {"default": "entry"}),
                            ("py4dstem", ("4DSTEM_experiment",), {}), ("nion", ("data",), {}), ("strange", ("x",), {})):
    with h5py.File(f"{OUT}/{name}.h5", "w") as other:
        for group in groups:
            other.create_group(group)
        other.attrs.update(attrs)
for name, head in (("bcf", b"AAMVHFSS"), ("spd", b"MAPSPECTRA_DATA\0"), ("ser", b"II\x97\x01"), ("ndata", b"PK\x03\x04"),
                   ("blo", b"IMGBLO"), ("gz", b"\x1f\x8b\x08"), ("fly", b"\x89FLY\r\n\x1a\n"), ("msa", b"#FORMAT      : EMSA/MAS"),
                   ("mat", b"MATLAB 5.0 MAT-file"), ("xyz", b"nothing known"), ("EMD", b"text")):
    with open(f"{OUT}/foreign.{name}", "wb") as other:
        other.write(head + bytes(100))
