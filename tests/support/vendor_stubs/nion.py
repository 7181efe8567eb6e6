"""Nion Swift: the registry, the scan device, and a data channel that tells of rows while the beam moves."""

import threading
from types import SimpleNamespace as Object

import numpy as np
from recorded import Call, Recorded, Tape

MODULES = ("nion", "nion.utils", "nion.utils.Registry")


class Channel:
    """Plays its pictures to whoever listens, some rows at a time, out of one buffer that is used again."""

    def __init__(self, name):
        self.name, self.listeners = name, []
        self.data_channel_updated_event = Object(listen=self.listen)

    def listen(self, hear):
        self.listeners.append(hear)
        return Object(close=lambda: self.listeners.remove(hear))

    def play(self, frames, step):
        for frame in frames:
            buffer = np.zeros(frame.shape, frame.dtype)
            for valid in list(range(step, frame.shape[0], step)) + [frame.shape[0]]:
                buffer[:valid] = frame[:valid]
                axis = Object(scale=0.05, units="nm")
                told = {"hardware_source": {"valid_rows": valid}, "scan": {"valid_rows": valid}}
                xdata = Object(data=buffer, metadata=told, dimensional_calibrations=[axis, axis])
                for hear in list(self.listeners):
                    hear(xdata)
                buffer[:] = -1  # whoever did not copy has lost it


def tape(frames, rotation_rad, step=7, stops=True):
    made, parameters = Tape(), {"pixel_time_us": 4.0, "rotation_rad": rotation_rad, "flyback_time_us": 30.0}
    channel = Channel("HAADF")
    scan = Recorded(made, "scan")
    playing = threading.Thread(target=channel.play, args=(frames, step), daemon=True)
    made.update({
        "nion.utils.Registry.get_component": Call((("stem_controller",), {}, Object(scan_controller=scan))),
        "scan.get_current_frame_parameters": Call(((), {}, parameters)),
        "scan.data_channels": [channel, Channel("MAADF")],
        "scan.is_playing": False,
        "scan.start_playing": Call(((parameters,), {}, lambda _: playing.start())),
    })
    if stops:
        made["scan.stop_playing"] = Call(((), {}, None))
    made.install(*MODULES)
    return made
