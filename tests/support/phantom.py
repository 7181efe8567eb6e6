"""A specimen that is unlike all its turns and mirror images: two textures in the shape of an F."""

import numpy as np

CHIP = 8
SETTINGS = {"chip.size_px": CHIP, "fewshot.weights": "1,0", "profile": "paper"}
PICTURE = ["..####..", "..#.....", "..###...", "..#.....", "..#....."]


def labels():
    """(5, 8): 1 in the F, 0 around it."""
    return np.array([[1 if c == "#" else 0 for c in row] for row in PICTURE])


def phantom(seed=1, quarters=0):
    """What a detector sees of it, (40, 64) of 16 bits with noise of its own; the scan turned counter-clockwise by so
    many quarters of a turn, so that the specimen appears turned the other way."""
    rng = np.random.default_rng(seed)
    bright = np.kron(labels(), np.ones((CHIP, CHIP), int))
    y, x = np.mgrid[: bright.shape[0], : bright.shape[1]]
    stripes = 1000 * ((x // 2 + y) % 2)
    picture = np.where(bright, 20000 + 4 * stripes, 3000) + rng.integers(0, 300, bright.shape)
    return np.ascontiguousarray(np.rot90(picture, -quarters).astype("<u2"))


def support(quarters=0):
    """A support set of a few chips, in the scan's own rows and columns."""
    where = np.rot90(np.arange(labels().size).reshape(labels().shape), -quarters)
    named = {"dark": [0, 8, 16], "bright": [2, 3, 18]}
    return {name: [[int(v) for v in np.argwhere(where == k)[0]] for k in chips] for name, chips in named.items()}


def upright(found, rotation_rad):
    """A map of a scan, turned back by the rotation that its start tells: as the specimen lies."""
    return np.rot90(found, int(round(rotation_rad / (np.pi / 2))))
