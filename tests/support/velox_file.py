"""One Velox file: the groups and keys that version 10 writes, with an image and event streams of known content."""
import json

import h5py
import numpy as np

OUT = "."  # the folder of save()
MARK = 65535
rng = np.random.default_rng(7)


def column(document):
    """One metadata column: JSON padded with zeros."""
    raw = json.dumps(document).encode()
    cell = np.zeros(8000, "u1")
    cell[: len(raw)] = np.frombuffer(raw, "u1")
    return cell


def metadata(detector, height, width, *, field=4, area=True, pixel="3e-09", live="0.9", names=(), kind=None):
    """What Velox says of one image, stream or spectrum; all leaves are text."""
    scan = {"ScanSize": {"width": str(width * (field if area else 1)), "height": str(height * (field if area else 1))},
            "DwellTime": "2e-06", "LineTime": str(2e-6 * width + 1e-6), "FrameTime": str((2e-6 * width + 1e-6) * height)}
    if area:
        scan["ScanArea"] = {"left": "0.25", "right": str(0.25 + 1 / field), "top": "0.5", "bottom": str(0.5 + 1 / field)}
    detectors = {"Detector-0": {"DetectorName": "HAADF", "DetectorType": "ScanningDetector",
                                "CollectionAngleRange": {"begin": "0.05", "end": "0.2"}},
                 "Detector-1": {"DetectorName": "DF4", "DetectorType": "ScanningDetector"}}
    for i, name in enumerate(names):
        detectors[f"Detector-{i + 2}"] = {"DetectorName": name, "DetectorType": kind or "AnalyticalDetector",
                                          "Dispersion": "10", "OffsetEnergy": "-250", "LiveTime": live,
                                          "RealTime": "1.0", "ElevationAngle": "0.31415926999999999"}
    return {"Acquisition": {"AcquisitionStartDatetime": {"DateTime": "1700000000"}},
            "Optics": {"AccelerationVoltage": "300000", "BeamConvergence": "0.025"},
            "Sample": {"SampleId": "S-1", "SampleDescription": "garnet \u03b2"},
            "Scan": scan, "Detectors": detectors,
            "BinaryResult": {"Detector": detector, "PixelSize": {"width": pixel, "height": pixel},
                             "PixelUnitX": "m", "PixelUnitY": "m"}}


def words(cube):
    """The event stream of a (frames, H, W, channels) cube, and where its frames begin."""
    stream, table = [], []
    for frame in cube:
        table.append(len(stream))
        for spectrum in frame.reshape(-1, cube.shape[3]):
            photons = np.repeat(np.arange(cube.shape[3]), spectrum)
            rng.shuffle(photons)
            stream.extend(photons.tolist())
            stream.append(MARK)
    return np.array(stream, "u2"), np.array(table, "u8")


def add(parent, name, data, document, columns=1, **more):
    group = parent.create_group(name)
    group.create_dataset("Data", data=data, **more)
    group.create_dataset("Metadata", data=np.stack([column(document)] * columns, 1))
    return group


def text(parent, name, value):
    parent.create_dataset(name, data=np.array([value], object), dtype=h5py.string_dtype())


def save(path, frames=3, height=5, width=7, channels=64, *, names=("SuperXG21", "SuperXG22"), version="10",
         haadf=True, streams=True, table=True, area=True, edit=None, edit_cube=None, swap=False, image=None,
         spectra=True, pixel="3e-09", kind=None, extra=None, others=True):
    """edit(words) changes the stream after its sum was taken; edit_cube(cube) the truth itself."""
    stem = f"{OUT}/{path}"
    with h5py.File(stem + ".emd", "w") as f:
        text(f, "Version", json.dumps({"format": "Velox", "version": version}))
        data = f.create_group("Data")
        pictures = data.create_group("Image")
        if haadf:
            stack = rng.integers(0, 65536, (frames, height, width), dtype="u2") if image is None else image
            np.save(stem + ".haadf.npy", stack)
            stored = np.moveaxis(stack, 0, 2)
            if swap:
                stored = stored.transpose(1, 0, 2)
            add(pictures, "b" * 32, stored, metadata("HAADF", height, width, area=area, pixel=pixel, names=names),
                frames, chunks=stored.shape[:2] + (1,))
            if others:
                add(pictures, "a" * 32, rng.random((height, width, 1), dtype="f4"),
                    metadata("SuperXG2", height, width, area=area, names=names))
        if version != "10":
            f.create_group("Displays")
        else:
            operations = f.create_group("Operations/StemInputOperation")
            text(operations, "c" * 32, json.dumps({"dataPath": "/Data/Image/" + "b" * 32, "detector": "HAADF"}))
        for i, name in enumerate(names if streams else ()):
            cube = rng.poisson(0.08, (frames, height, width, channels)).astype("u4")
            if edit_cube:
                cube = edit_cube(name, cube)
            np.save(f"{stem}.{name}.npy", cube)
            stream, starts = words(cube)
            document = metadata(name, height, width, area=area, names=names, kind=kind)
            if edit:
                stream = edit(name, stream)
            group = add(data.require_group("SpectrumStream"), f"{9 - i:032x}", stream.reshape(-1, 1), document, frames,
                        chunks=(64, 1), maxshape=(None, 1))
            text(group, "AcquisitionSettings",
                 json.dumps({"bincount": str(channels), "StreamEncoding": "uint16",
                             "RasterScanDefinition": {"Width": str(width * 4), "Height": str(height * 4)}}))
            if table:
                group.create_dataset("FrameLocationTable", data=starts.reshape(-1, 1))
            if spectra:
                add(data.require_group("Spectrum"), f"{i:032x}",
                    cube.sum((0, 1, 2)).astype("u4").reshape(-1, 1), document)
        if extra:
            extra(f, data, names)
