"""AutoScript TEM: connect, look at the detectors, acquire frames, let go."""

from types import SimpleNamespace as Object

from recorded import Call, Recorded, Tape

MODULES = ("autoscript_tem_microscope_client", "autoscript_tem_microscope_client.structures")


def tape(frames, turn_rad, dwell_us=2.0, names=("HAADF",), before=None):
    """frames: [[array of each detector], ...]; before: {frame: what happens when it is asked for}"""
    made, settings = Tape(), Object(name="StemAcquisitionSettings")

    def answer(k):
        def give(_):
            (before or {}).get(k, lambda: None)()
            return [Object(data=array) for array in frames[k]]

        return give

    scope = Recorded(made, "scope")
    size = frames[0][0].shape[1]
    made.update({
        "autoscript_tem_microscope_client.TemMicroscopeClient": Call(((), {}, scope)),
        "autoscript_tem_microscope_client.structures.StemAcquisitionSettings": Call(
            ((), {"dwell_time": dwell_us * 1e-6, "detector_types": list(names), "size": size}, settings)),
        "scope.connect": Call(((), {}, None)),
        "scope.detectors.scanning_detectors": ["BF-S", "DF-S", "HAADF"],
        "scope.acquisition.acquire_stem_images_advanced": Call(
            *(((settings,), {}, answer(k)) for k in range(len(frames)))),
        "scope.optics.scan_rotation": turn_rad,
        "scope.optics.scan_field_of_view": 1e-9 * 0.05 * size,  # metres: 0.05 nm a pixel
        "scope.disconnect": Call(((), {}, None)),
    })
    made.install(*MODULES)
    return made
