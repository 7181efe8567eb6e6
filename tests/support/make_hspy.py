"""Write small HyperSpy files with known content, and that content as .npy, into a folder.

usage: make_hspy.py DIR

NAME.hspy has NAME.EXPERIMENT.npy beside it. Layout: that of HyperSpy 1.7 (file format 3.1).
"""
import sys

import h5py
import numpy as np

OUT = sys.argv[1]
rng = np.random.default_rng(11)
NM = {"units": "nm", "scale": 2.5}
EV = {"units": "eV", "scale": 10.0, "offset": -200.0}


def experiment(f, name, data, navigate, axes, signal_type="", title=None, **more):
    group = f.require_group("Experiments").create_group(name)
    group.create_dataset("data", data=data, **more)
    for i, axis in enumerate(axes):
        a = group.create_group(f"axis-{i}").attrs
        a["_type"] = "UniformDataAxis"
        a["name"] = "ayx"[i] if i < 3 else "e"
        a["units"] = axis.get("units", "<undefined>")
        a["scale"] = axis.get("scale", 1.0)
        a["offset"] = axis.get("offset", 0.0)
        a["size"] = axis.get("size", data.shape[i])
        a["navigate"] = np.bool_(i < navigate)
    meta = group.create_group("metadata")
    meta.create_group("Signal").attrs["signal_type"] = signal_type
    general = meta.create_group("General").attrs
    general["title"] = name if title is None else title
    general["date"] = "2020-02-03"
    general["time"] = "04:05:06"
    group.create_group("original_metadata")
    return group


def save(path, *experiments, **attrs):
    with h5py.File(f"{OUT}/{path}.hspy", "w") as f:
        f.attrs["file_format"] = attrs.get("file_format", "HyperSpy")
        f.attrs["file_format_version"] = "3.1"
        for name, data, *rest in experiments:
            more = rest[3] if len(rest) > 3 else {}
            group = experiment(f, name, data, *rest[:3], **more)
            np.save(f"{OUT}/{path}.{name.replace(' ', '_')}.npy", data)
            if rest[2:3] and str(rest[2]).startswith("EDS"):
                tem = group.create_group("metadata/Acquisition_instrument/TEM")
                tem.attrs["beam_energy"] = 200.0
                tem.attrs["beam_current"] = 0.77
                tem.attrs["magnification"] = np.int64(80000)
                tem.create_group("Detector/EDS").attrs["elevation_angle"] = 40.0
                sample = group.create_group("metadata/Sample")
                sample.attrs["description"] = "E7 \u03bc"
                sample.create_dataset("_list_elements", data=np.array(["Si", "O", "nonsense", "Si"], object),
                                      dtype=h5py.string_dtype())


def image(h=4, w=6, dtype="f4", axes=(NM, NM), title="HAADF image", **more):
    data = (rng.random((h, w)) * 200).astype(dtype)
    return ("picture", data, 0, axes, "", {"title": title, **more})


cube = rng.poisson(0.2, (4, 6, 90))

save("image", image())
save("pair", image(), ("spectra", cube.astype("u2"), 2, (NM, NM, EV), "EDS_TEM", {"chunks": (3, 4, 90), "compression": "gzip", "shuffle": True}))
save("cube_f4", ("spectra", cube.astype("f4"), 2, (NM, NM, EV), "EDS_TEM"))
save("cube_i8", ("spectra", cube.astype("i8"), 2, (NM, NM, EV), "EDS_SEM"))
save("cube_dense", ("spectra", (cube + 70).astype("u4"), 2, (NM, NM, EV), "EDS_TEM"))
save("cube_keV", ("spectra", cube.astype("u1"), 2, (NM, NM, {"units": "keV", "scale": 0.01, "offset": -0.2}), ""))
save("frames", ("spectra", rng.poisson(0.2, (2, 4, 6, 90)).astype("u4"), 3, ({}, NM, NM, EV), "EDS_TEM"),
     ("stack", rng.integers(0, 99, (3, 4, 6), dtype="i2"), 1, ({}, NM, NM), ""))
save("spectrum", ("point", rng.poisson(5, 90).astype("u4"), 0, (EV,), "EDS_TEM"))
save("line", ("scan", rng.poisson(1, (9, 90)).astype("u4"), 1, (NM, EV), "EDS_TEM"))
save("micron", image(axes=({"units": "\u00b5m", "scale": 0.01}, {"units": "\u03bcm", "scale": -0.02})))
save("angstrom", image(axes=({"units": "\u00c5", "scale": 3.0}, {"units": "A", "scale": 4.0})))
save("no_units", image(axes=({}, {})))
for kind in ("u1", "u2", "u4", "i1", "i2", "i4", "i8", "u8", "f2", "f8", ">u2", "?"):
    save("dtype_" + kind.replace(">", "be_").replace("?", "bool"), image(dtype=kind, title="ABF"))
save("big_i8", ("picture", np.full((4, 6), 1 << 60, "i8"), 0, (NM, NM), ""))
save("complex", image(dtype="c8"))
save("eels", ("loss", cube.astype("u4"), 2, (NM, NM, EV), "EELS"), image())
save("eels_alone", ("loss", cube.astype("u4"), 2, (NM, NM, EV), "EELS"))
save("diffraction", ("pattern", cube[:, :, 0].astype("u4"), 0, ({"units": "1/nm"}, {"units": "1/nm"}), ""))
half = cube.astype("f4")
half[2, 3, 4] = 0.5
save("fraction", ("spectra", half, 2, (NM, NM, EV), "EDS_TEM"))
negative = cube.astype("i4")
negative[1, 0, 89] = -1
save("negative", ("spectra", negative, 2, (NM, NM, EV), "EDS_TEM"))
save("nan_scale", image(axes=({"units": "nm", "scale": float("nan")}, NM)))
save("nan_energy", ("spectra", cube.astype("u4"), 2, (NM, NM, {"units": "eV", "scale": float("nan")}), "EDS_TEM"))
save("zero_energy", ("spectra", cube.astype("u4"), 2, (NM, NM, {"units": "eV", "scale": 0.0}), "EDS_TEM"))
save("no_energy_unit", ("spectra", cube.astype("u4"), 2, (NM, NM, {"scale": 1.0}), "EDS_TEM"))
save("wrong_size", image(axes=({"units": "nm", "scale": 1.0, "size": 5}, NM)))
save("other_shape", ("spectra", rng.poisson(1, (4, 7, 90)).astype("u4"), 2, (NM, NM, EV), "EDS_TEM"))
save("other_pixel", ("spectra", cube.astype("u4"), 2, ({"units": "nm", "scale": 3.0}, NM, EV), "EDS_TEM"))
save("nothing")
save("wide", image(2, 16385, axes=({}, {})))
with h5py.File(f"{OUT}/absurd.hspy", "w") as f:
    f.attrs["file_format"] = "HyperSpy"
    group = experiment(f, "spectra", np.zeros((1, 1, 1), "u4"), 2, (NM, NM, EV), "EDS_TEM")
    del group["data"]
    group.create_dataset("data", shape=(16384, 16384, 16384), dtype="u4", chunks=(1, 1, 16384))
    for i in range(3):
        group[f"axis-{i}"].attrs["size"] = 16384
with h5py.File(f"{OUT}/no_axis.hspy", "w") as f:
    f.attrs["file_format"] = "HyperSpy"
    del experiment(f, "picture", np.zeros((4, 6), "u1"), 0, (NM, NM))["axis-1"]
with open(f"{OUT}/pair.hspy", "rb") as whole, open(f"{OUT}/truncated.hspy", "wb") as cut:
    cut.write(whole.read()[:-600])
