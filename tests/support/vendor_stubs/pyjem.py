"""PyJEM: attached detectors, their settings, raw snapshots; TEM3 for the rotation and the voltage."""

from recorded import Call, Recorded, Tape

MODULES = ("PyJEM", "PyJEM.detector", "PyJEM.TEM3")


def tape(frames, rotation_deg, name="ADF1"):
    made = Tape()
    setting = {"ImagingArea": {"Width": frames[0].shape[1], "Height": frames[0].shape[0], "X": 0, "Y": 0},
               "ExposureTimeValue": 10, "GainIndex": 100, "ScanRotation": rotation_deg}
    made.update({
        "PyJEM.TEM3.connect": Call(((), {}, None)),
        "PyJEM.TEM3.Scan3": Call(((), {}, Recorded(made, "scan3"))),
        "PyJEM.TEM3.HT3": Call(((), {}, Recorded(made, "ht3"))),
        "scan3.GetRotationAngle": Call(((), {}, rotation_deg)),
        "ht3.GetHtValue": Call(((), {}, 200000)),
        "PyJEM.detector.get_attached_detector": Call(((), {}, ["ADF1", "BF"])),
        "PyJEM.detector.Detector": Call(((name,), {}, Recorded(made, "detector"))),
        "detector.get_detectorsetting": Call(((), {}, setting)),
        "detector.snapshot_rawdata": Call(*(((), {}, frame.astype("<u2").tobytes()) for frame in frames)),
    })
    made.install(*MODULES)
    return made
