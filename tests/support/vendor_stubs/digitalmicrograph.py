"""DigitalMicrograph: a live image whose rows the beam overwrites, its tags, and a spectrum image that fills.

Arrays as GetNumArray gives them: DM's dimensions in reverse, (y, x) and (E, y, x).
"""

import numpy as np
from recorded import Call, Recorded, Tape

MODULES = ("DigitalMicrograph",)


def looks(frames, step, begin):
    """What is seen at each look: a picture of before, the beam in row `begin` of it, then frame after frame."""
    screen = np.zeros_like(frames[0])
    seen = []
    for k, frame in enumerate(frames):
        for y in range(begin if k == 0 else 0, frame.shape[0], step):
            screen[y : y + step] = frame[y : y + step]
            if y + step < frame.shape[0]:  # the beam itself is in the middle of the next row
                screen[y + step, : frame.shape[1] // 2] = frame[y + step, : frame.shape[1] // 2]
            seen.append(screen.copy())
    return seen


def tape(frames, rotation_deg, counts=None, times_s=(), step=6, begin=17, ids=(None, None)):
    """frames: the first is of before, and half over when the sender comes.
    counts: [(E, y, x), ...] at each look; times_s: [(live, real), ...] at each question."""
    made = Tape()
    image, si = Recorded(made, "image"), Recorded(made, "si")
    seen = looks(frames, step, begin)
    tags = {"DigiScan:Sample Time": (True, 8.0), "DigiScan:Flyback": (True, 500.0),
            "Microscope Info:Voltage": (True, 200000.0), "DigiScan:Rotation": (True, rotation_deg)}
    made.update({
        "image.GetNumArray": Call(*(((), {}, array) for array in seen), again=True),
        "image.GetTagGroup": Call(((), {}, Recorded(made, "tags"))),
        "image.GetDimensionCalibration": Call(*(((d, 0), {}, (0.0, 0.05, "nm")) for d in (1, 0))),
        "tags.GetTagAsFloat": Call(*(((name,), {}, value) for name, value in tags.items())),
    })
    if ids[0] is None:
        made["DigitalMicrograph.GetFrontImage"] = Call(((), {}, image))
    else:
        made["DigitalMicrograph.FindImageByID"] = Call(((ids[0],), {}, image), ((ids[1],), {}, si))
        made["si.GetNumArray"] = Call(*(((), {}, array) for array in counts), again=True)
        made["si.GetTagGroup"] = Call(((), {}, Recorded(made, "si_tags")))
        made["si.GetDimensionCalibration"] = Call(((2, 0), {}, (-0.2, 0.02, b"keV")))
        made["si_tags.GetTagAsFloat"] = Call(*(
            (("EDS:%s time" % name,), {}, (True, value)) for pair in times_s
            for name, value in zip(("Live", "Real"), pair)), again=True)
    made.install(*MODULES)
    return made
