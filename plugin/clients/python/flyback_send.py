#!/usr/bin/env python3
"""Send what a microscope scans to Flyback, while it scans: AutoScript TEM, Nion Swift, DigitalMicrograph, PyJEM.

It runs where the vendor's Python runs (Windows or Linux, Python 3.8 or newer) and needs pyzmq, msgpack,
numpy and flyback_client.py beside it. All calls of a vendor's stand in that vendor's class below, and
nowhere else:

    AutoScript         whole STEM frames of several detectors (Thermo Fisher Scientific)
    NionSwift          rows of a scan as its data channels tell of them (Nion)
    DigitalMicrograph  rows of a live image as the beam passes, and of a spectrum image (Gatan)
    PyJem              snapshots of STEM detectors (JEOL)

A class says what the scan is (scan()) and hands out blocks of it (blocks()); the rest is shared. Pixels go out
as (y, x), photons as (y, x, energy), whatever the vendor's order. Scan rotation goes out as the protocol has it,
radians by which the scan is turned counter-clockwise; which way a vendor counts is `rotation_sign` in its
class where the vendor's own public source says so, else in a microscope's profile (configs/microscope-*.yaml).

From a script inside Swift or DigitalMicrograph:

    import flyback_send
    flyback_send.main(["--adapter", "nion", "--frames", "10"])
"""

import argparse
import collections
import concurrent.futures
import importlib
import json
import os
import queue
import re
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import flyback_client as client  # noqa: E402 (found by the line above)
from flyback_client import FlybackError, wire_dtype  # noqa: E402

import numpy as np  # noqa: E402 (flyback_client has said what is missing)

BAND_BYTES = 1 << 20  # a message of lines is not larger: maps grow while a frame is on its way
# A paralysable counter counts most at a dead time of 1 - 1/e; beyond, more beam gives fewer counts.
DEAD_MOST = 0.63

# pixels (h, w), or counts (h, w, channels); live and real time, in us, of this block alone, or None
Block = collections.namedtuple("Block", "stream frame y0 pixels live_us real_us")
Block.__new__.__defaults__ = (None, None)

# turn_rad: scan rotation as the vendor counts it, None: it does not say
Scan = collections.namedtuple("Scan", "shape detectors eds turn_rad facts")


def vendor(module, product, where):
    """Import a vendor's module, or say in words where it is to be found."""
    try:
        return importlib.import_module(module)
    except ImportError as wrong:
        raise FlybackError("%s is not here (%s): run this with the Python of %s" % (product, wrong, where))


def beside(call):
    """A vendor's call that takes as long as a frame: yields None meanwhile, its result at the end."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(call)
        while not future.done():
            concurrent.futures.wait([future], 0.02)
            yield None
        yield future.result()


# ---- a microscope's profile --------------------------------------------------------------------------


def _scalar(text, where):
    if text[:1] in "\"'" and len(text) > 1 and text[-1] == text[0]:
        return text[1:-1]
    if text[:1] == "[" and text[-1:] == "]":
        return [_scalar(item.strip(), where) for item in text[1:-1].split(",") if item.strip()]
    if text[:1] in "[{&*!|>%@`\"'":
        raise FlybackError("%s: %s: plain values and lists in one line are read here" % (where, text))
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return {"true": True, "false": False}.get(text, text)


def read_profile(path):
    """{"instrument.pixel_time_us": 2.0, ...} of a configuration in YAML: sections, keys and plain values.

    `flyback check FILE` judges keys and ranges; here is read what a sender needs of it.
    """
    values, sections = {}, []
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except OSError as wrong:
        raise FlybackError("--profile %s: %s" % (path, wrong.strerror))
    for number, line in enumerate(lines, 1):
        where = "--profile %s:%d" % (path, number)
        line = re.sub(r"(^|\s)#.*", "", line).rstrip()
        if not line.strip():
            continue
        indent = len(line) - len(line.lstrip(" "))
        key, colon, text = line.strip().partition(":")
        if not colon or not re.match(r"[A-Za-z0-9_.]+\Z", key):
            raise FlybackError("%s: %s: `key: value` is needed" % (where, line.strip()))
        while sections and sections[-1][0] >= indent:
            sections.pop()
        name = ".".join([s[1] for s in sections] + [key])
        if text.strip():
            values[name] = _scalar(text.strip(), where)
        else:
            sections.append((indent, key))
    return values


def detectors_of(words):
    """[(name, numpy type or None), ...] of "HAADF:uint16, BF"."""
    found = []
    for word in words.replace(",", " ").split():
        name, _, kind = word.partition(":")
        found.append((name, np.dtype(kind) if kind else None))
    return found


# ---- the vendors -------------------------------------------------------------------------------------


class AutoScript:
    """Thermo Fisher AutoScript TEM: frames as acquire_stem_images_advanced gives them, all detectors of one at once.

    Its EDS interface takes spectra of single points, no maps: those come with Velox's file (flyback watch-folder).
    """

    rotation_sign = 0  # not said in public: measure

    def __init__(self, o):
        place = "AutoScript, on the microscope's or its support PC"
        package = vendor("autoscript_tem_microscope_client", "AutoScript TEM", place)
        structures = vendor("autoscript_tem_microscope_client.structures", "AutoScript TEM", place)
        if o.dwell_us is None:
            raise FlybackError("AutoScript takes the frames that it is asked for: --dwell-us is needed, or a profile "
                               "with instrument.pixel_time_us")
        self.o, self.scope = o, package.TemMicroscopeClient()
        self.scope.connect(*([o.host] if o.host else []))
        self.names = [name for name, _ in o.detectors or [("HAADF", None)]]
        there = list(self.scope.detectors.scanning_detectors)
        for name in self.names:
            if name not in there:
                raise FlybackError("detector %s is not among %s" % (name, ", ".join(there)))
        self.settings = structures.StemAcquisitionSettings(
            dwell_time=o.dwell_us * 1e-6, detector_types=self.names, size=o.size)
        self.first = None

    def _grab(self):
        images = self.scope.acquisition.acquire_stem_images_advanced(self.settings)
        images = images if isinstance(images, (list, tuple)) else [images]
        if len(images) != len(self.names):
            raise FlybackError("AutoScript gave %d images for %d detectors" % (len(images), len(self.names)))
        return [np.asarray(image.data) for image in images]

    def scan(self):
        self.first = self._grab()  # tells the types
        optics, shape = self.scope.optics, self.first[0].shape
        return Scan(shape, [(n, a.dtype) for n, a in zip(self.names, self.first)], [], float(optics.scan_rotation), {
            "pixel_nm": [1e9 * float(optics.scan_field_of_view) / shape[1]] * 2,
            "pixel_time_us": self.o.dwell_us,
        })

    def blocks(self):
        for frame in range(self.o.frames):
            arrays = self.first
            if frame:
                for arrays in beside(self._grab):
                    if arrays is None:
                        yield None
            for name, array in zip(self.names, arrays):
                yield Block(name, frame, 0, array)

    def close(self):
        self.scope.disconnect()


class NionSwift:
    """Nion Swift: rows as the scan's data channels tell of them, from a script that runs in Swift.

    A channel's event brings the picture so far and in its metadata how many rows of it are this frame's (valid_rows).
    A scan that does not run is started with its present parameters, and stopped at the end.
    """

    # Swift's simulator turns probe positions by rotation_rad with y down: clockwise on the screen
    # (nionswift-usim, ScanDevice.py; nionutils, Geometry.py).
    rotation_sign = -1

    def __init__(self, o):
        registry = vendor("nion.utils.Registry", "Nion Swift", "Nion Swift (Run Script)")
        controller = registry.get_component("stem_controller")
        if controller is None or controller.scan_controller is None:
            raise FlybackError("Nion Swift has no scan device: is the instrument configured?")
        self.o, self.scan_device, self.started = o, controller.scan_controller, False
        self.queue, self.rows, self.frames, self.listeners = queue.Queue(), {}, {}, []
        self.wanted = [name for name, _ in o.detectors or [("HAADF", None)]]
        self.channels = {c.name: c for c in self.scan_device.data_channels}
        for name in self.wanted:
            if name not in self.channels:
                raise FlybackError("channel %s is not among %s" % (name, ", ".join(self.channels)))

    def _told(self, name, xdata):
        """On Swift's thread: copy the rows that are new, for the buffer is used again."""
        data = xdata.data
        valid = int((xdata.metadata.get("scan") or xdata.metadata["hardware_source"])["valid_rows"])
        had = self.rows.get(name)
        if had is None or valid < had or had == data.shape[0]:
            had, self.frames[name] = 0, self.frames.get(name, -1) + 1
        self.rows[name] = valid
        if valid > had:
            scale = [(c.scale, c.units) for c in xdata.dimensional_calibrations[:2]]
            self.queue.put((name, self.frames[name], had, np.array(data[had:valid]), data.shape, scale))

    def _next(self):
        until = time.monotonic() + self.o.idle_s
        while time.monotonic() < until:
            try:
                yield self.queue.get(timeout=0.02)
                return
            except queue.Empty:
                yield None
        raise FlybackError("no row came from Nion Swift for %g s: does the scan run, with %s enabled?"
                           % (self.o.idle_s, ", ".join(self.wanted)))

    def scan(self):
        self.parameters = self.scan_device.get_current_frame_parameters()
        for name in self.wanted:
            event = self.channels[name].data_channel_updated_event
            self.listeners.append(event.listen(lambda xdata, n=name: self._told(n, xdata)))
        if not self.scan_device.is_playing:
            self.started = True
            self.scan_device.start_playing(self.parameters)
        self.held, types = [], {}
        while len(types) < len(self.wanted):  # the first rows of each tell its type
            for item in self._next():
                if item:
                    self.held.append(item)
                    types.setdefault(item[0], item[3].dtype)
        shape, scale = self.held[0][4], self.held[0][5]
        unit = {"nm": 1.0, "um": 1e3, "\u00b5m": 1e3, "m": 1e9, "pm": 1e-3}
        facts = {key: self._parameter(key) for key in ("pixel_time_us", "flyback_time_us")}
        if all(units in unit for _, units in scale):
            facts["pixel_nm"] = [abs(value) * unit[units] for value, units in scale]
        return Scan(shape, [(n, types[n]) for n in self.wanted], [], self._parameter("rotation_rad"), facts)

    def _parameter(self, name):
        """Swift's frame parameters were a dict once, and are an object now."""
        if isinstance(self.parameters, dict):
            return self.parameters.get(name)
        return getattr(self.parameters, name, None)

    def blocks(self):
        done = dict.fromkeys(self.wanted, 0)  # whole frames
        while min(done.values()) < self.o.frames:
            for item in [self.held.pop(0)] if self.held else self._next():
                if item is None:
                    yield None
                    continue
                name, frame, y0, pixels, shape, _ = item
                if shape != self.shape:
                    raise FlybackError("the scan is %d x %d px now, it was %d x %d: begin again" % (shape + self.shape))
                if frame < self.o.frames:
                    yield Block(name, frame, y0, pixels)
                if y0 + len(pixels) == shape[0]:
                    done[name] = frame + 1
                elif frame > 0 and done[name] < frame:
                    done[name] = frame  # the frame before was broken off

    def close(self):
        for listener in self.listeners:
            listener.close()
        if self.started:
            self.scan_device.stop_playing()


class DigitalMicrograph:
    """Gatan DigitalMicrograph: a live image is looked at again and again, and rows that the beam has passed are sent.

    The image is the front one, or --image by its id; a spectrum image beside it is --eds-image. NumPy sees DM's
    dimensions in reverse: an image (x, y) as (y, x), a spectrum image (x, y, E) as (E, y, x).
    Sending begins with the first frame that begins after the call. Look more often than once a frame.
    """

    rotation_sign = 0  # not said in public: measure

    def __init__(self, o):
        dm = vendor("DigitalMicrograph", "DigitalMicrograph's Python", "GMS 3, as a script in DigitalMicrograph")
        self.o = o
        self.image = dm.FindImageByID(o.image) if o.image is not None else dm.GetFrontImage()
        self.si = dm.FindImageByID(o.eds_image) if o.eds_image is not None else None
        self.name = (o.detectors or [("HAADF", None)])[0][0]
        self.tags = self.image.GetTagGroup()
        self.si_tags = self.si.GetTagGroup() if self.si is not None else None
        self.times = (0.0, 0.0)

    def _pixels(self):
        array = np.array(self.image.GetNumArray())
        if array.ndim != 2:
            raise FlybackError("the image has %d dimensions: a live STEM image has two; name it with --image ID"
                               % array.ndim)
        return array

    def _counts(self):
        """(y, x, E), the vendor's order turned round."""
        array = np.asarray(self.si.GetNumArray())
        if array.ndim != 3 or array.shape[1:] != self.shape:
            raise FlybackError("--eds-image: %s is no spectrum image (E, %d, %d) of this scan"
                               % ((array.shape,) + self.shape))
        return array.transpose(1, 2, 0)

    def _number(self, tags, path):
        found, value = tags.GetTagAsFloat(path)
        return float(value) if found else None

    def _calibration(self, image, dimension):
        origin, scale, unit = image.GetDimensionCalibration(dimension, 0)
        return float(origin), float(scale), unit.decode("latin-1") if isinstance(unit, bytes) else unit

    def scan(self):
        first = self._pixels()
        self.shape = first.shape
        self.last = first
        nm = {"nm": 1.0, "um": 1e3, "\u00b5m": 1e3, "A": 0.1, "\u00c5": 0.1, "pm": 1e-3}
        facts = {"pixel_time_us": self._number(self.tags, "DigiScan:Sample Time"),
                 "flyback_time_us": self._number(self.tags, "DigiScan:Flyback")}
        scales = [self._calibration(self.image, d)[1:] for d in (1, 0)]  # dimension 1 is y
        if all(unit in nm for _, unit in scales):
            facts["pixel_nm"] = [abs(scale) * nm[unit] for scale, unit in scales]
        volt = self._number(self.tags, "Microscope Info:Voltage")
        facts["beam_energy_kev"] = volt / 1e3 if volt else None
        eds = []
        if self.si is not None:
            counts = self._counts()
            self.sent = np.array(counts, dtype=np.int64)  # what stands there belongs to no frame of ours
            origin, scale, unit = self._calibration(self.si, 2)
            ev = {"eV": 1.0, "keV": 1e3}.get(unit)
            if ev is None:
                raise FlybackError("--eds-image: its energy axis is in %r, not in eV or keV" % unit)
            eds = [{"name": "EDS", "n_channels": counts.shape[2], "ev_per_channel": scale * ev,
                    "ev_offset": origin * ev}]
            self.times = self._times()
        turn_deg = self._number(self.tags, "DigiScan:Rotation")
        turn_rad = None if turn_deg is None else np.deg2rad(turn_deg)
        return Scan(self.shape, [(self.name, first.dtype)], eds, turn_rad, facts)

    def _times(self):
        """Live and real time so far, in us; DM tells seconds."""
        return tuple(1e6 * (self._number(self.si_tags, "EDS:" + k) or 0.0) for k in ("Live time", "Real time"))

    def _photons(self, frame, y0, y1):
        counts = self._counts()[y0:y1].astype(np.int64)
        new = np.maximum(counts - self.sent[y0:y1], 0)
        self.sent[y0:y1] = counts
        before, self.times = self.times, self._times()
        live, real = (now - was for now, was in zip(self.times, before))
        told = (live, real) if real > 0 else (None, None)
        return Block("EDS", frame, y0, new, *told)

    def _rows(self, now, frame, y0, y1):
        if y1 > y0 and frame < self.o.frames:
            yield Block(self.name, frame, y0, now[y0:y1])
            if self.si is not None:
                yield self._photons(frame, y0, y1)

    def blocks(self):
        height, frame, row, tip = self.shape[0], -1, 0, -1
        moved_at = time.monotonic()
        while frame < self.o.frames:
            yield None
            now = self._pixels()
            if now.shape != self.shape:
                raise FlybackError("the image is %d x %d px now, it was %d x %d: begin again"
                                   % (now.shape + self.shape))
            changed = np.flatnonzero((now != self.last).any(axis=1))
            self.last = now
            quiet_s = time.monotonic() - moved_at
            if changed.size == 0:
                if frame >= 0 and tip == height - 1 and quiet_s > self.o.quiet_s:  # the last frame of an acquisition
                    yield from self._rows(now, frame, row, height)
                    frame, row, tip = frame + 1, 0, -1
                    if frame == self.o.frames:
                        break
                if quiet_s > self.o.idle_s:
                    raise FlybackError("the image has not changed for %g s: does the scan run?" % self.o.idle_s)
                continue
            moved_at = time.monotonic()
            again = changed[changed < tip] if tip >= 0 else changed[changed <= 0]
            if again.size and frame >= 0 and tip >= 0:  # the beam is at the top once more: the rest is complete
                yield from self._rows(now, frame, row, height)
            if again.size:
                frame, row = frame + 1 if tip >= 0 or frame < 0 else frame, 0
                tip = int(again.max()) if tip >= 0 else int(changed.max())
            else:
                tip = int(changed.max())
            if frame >= 0:
                yield from self._rows(now, frame, row, tip)  # the row of the beam itself is not whole yet
                row = max(row, tip)
        if self.si is not None:  # what the detector handed in late: frames add up
            yield self._photons(self.o.frames, 0, height)

    def close(self):
        # DM wants its images let go
        self.image = self.si = self.tags = self.si_tags = None


class PyJem:
    """JEOL PyJEM: snapshots of STEM detectors, one after the other; each is a scan of its own.

    A snapshot comes as raw bytes of 16 bits; how many rows and columns they are, the detector's setting says.
    """

    rotation_sign = 0  # not said in public: measure

    def __init__(self, o):
        place = "PyJEM, on the PC that runs TEMCenter"
        detector, self.tem3 = (vendor(name, "PyJEM", place) for name in ("PyJEM.detector", "PyJEM.TEM3"))
        self.o = o
        self.tem3.connect()
        there = list(detector.get_attached_detector())
        self.names = [name for name, _ in o.detectors] or there[:1]
        for name in self.names:
            if name not in there:
                raise FlybackError("detector %s is not among %s" % (name, ", ".join(there)))
        self.detectors = [detector.Detector(name) for name in self.names]

    def _setting(self, detector):
        setting = detector.get_detectorsetting()
        return json.loads(setting.decode("utf-8")) if isinstance(setting, bytes) else setting

    def _grab(self, detector):
        raw = bytes(detector.snapshot_rawdata())
        if len(raw) != 2 * self.shape[0] * self.shape[1]:
            raise FlybackError("a snapshot of %d bytes, %d x %d px of 16 bits are %d: was the imaging area changed?"
                               % (len(raw), self.shape[0], self.shape[1], 2 * self.shape[0] * self.shape[1]))
        return np.frombuffer(raw, "<u2").reshape(self.shape)

    def scan(self):
        settings = [self._setting(d) for d in self.detectors]
        areas = [(int(s["ImagingArea"]["Height"]), int(s["ImagingArea"]["Width"])) for s in settings]
        if len(set(areas)) != 1:
            raise FlybackError("the detectors have imaging areas of %s px: one scan has one"
                               % ", ".join("%d x %d" % area for area in areas))
        self.shape = areas[0]
        turn_rad = np.deg2rad(float(self.tem3.Scan3().GetRotationAngle()))
        return Scan(self.shape, [(n, np.dtype("<u2")) for n in self.names], [], turn_rad, {
            "pixel_time_us": float(settings[0]["ExposureTimeValue"]),
            "beam_energy_kev": float(self.tem3.HT3().GetHtValue()) / 1e3,
        })

    def blocks(self):
        for frame in range(self.o.frames):
            for name, detector in zip(self.names, self.detectors):
                for array in beside(lambda d=detector: self._grab(d)):
                    yield None if array is None else Block(name, frame, 0, array)

    def close(self):
        pass


ADAPTERS = {"autoscript": AutoScript, "nion": NionSwift, "digitalmicrograph": DigitalMicrograph, "pyjem": PyJem}


# ---- sending -----------------------------------------------------------------------------------------


def say(text):
    print(text, file=sys.stderr)
    sys.stderr.flush()


def start_facts(o, adapter, scan):
    """What of the scan goes into `start`: the command line's word first, then the vendor's, then the profile's."""
    profile, facts = o.profile, {k: v for k, v in scan.facts.items() if v is not None}
    given = {"pixel_nm": [o.pixel_nm] * 2 if o.pixel_nm else None, "beam_energy_kev": o.beam_kev, "sample": o.sample}
    facts.update({k: v for k, v in given.items() if v is not None})
    for key in ("pixel_time_us", "flyback_time_us"):
        if facts.get(key) is None and profile.get("instrument." + key):
            facts[key] = float(profile["instrument." + key])
    sign = o.rotation_sign or profile.get("instrument.rotation_sign") or adapter.rotation_sign
    if scan.turn_rad is not None and (sign or scan.turn_rad == 0.0):
        facts["rotation_rad"] = float(sign * scan.turn_rad) if sign else 0.0
    elif scan.turn_rad is not None:
        say("scan rotation %.1f degrees is left out: which way this microscope counts is not known. Measure it once "
            "(README.md) and give --rotation-sign, or instrument.rotation_sign in a profile"
            % np.rad2deg(scan.turn_rad))
    floor = profile.get("instrument.dwell_floor_us") or 0.0
    if facts.get("pixel_time_us") is not None and facts["pixel_time_us"] < floor:
        say("a dwell time of %g us is below the %g us of this microscope's profile" % (facts["pixel_time_us"], floor))
    types = dict(scan.detectors)
    for name, kind in o.detectors:
        if kind is not None and name in types and np.dtype(types[name]) != kind:
            say("%s comes as %s, its profile says %s" % (name, np.dtype(types[name]), kind))
    return facts


class Feed:
    """Blocks of an adapter's, checked and cut into messages."""

    def __init__(self, sender, scan):
        self.sender, self.scan = sender, scan
        self.kinds = {name: wire_dtype(kind) for name, kind in scan.detectors}
        self.live_us = self.real_us = 0.0
        self.warned = False

    def put(self, block):
        height, width = self.scan.shape
        h, w = block.pixels.shape[:2]
        if w != width or block.y0 + h > height:
            raise FlybackError("%s came as %d rows of %d px at row %d, the scan has %d x %d px: was it changed?"
                               % (block.stream, h, w, block.y0, height, width))
        if block.pixels.ndim == 3:
            return self._eds(block)
        if wire_dtype(block.pixels) != self.kinds[block.stream]:
            raise FlybackError("%s came as %s, it began as %s"
                               % (block.stream, wire_dtype(block.pixels), self.kinds[block.stream]))
        step = max(1, BAND_BYTES // (block.pixels.itemsize * w))
        for y in range(0, h, step):
            self.sender.lines(block.stream, block.pixels[y : y + step], block.y0 + y, frame=block.frame)

    def _eds(self, block):
        h, w, channels = block.pixels.shape
        step = max(1, BAND_BYTES // (4 * w * channels))
        for y in range(0, h, step):
            counts = block.pixels[y : y + step].reshape(-1, channels)
            pixel, channel = np.nonzero(counts)
            times = counts[pixel, channel]
            share = len(counts) / (h * w)
            more = {} if block.real_us is None else {
                "live_time_us": block.live_us * share, "real_time_us": block.real_us * share}
            rows = [len(counts) // w, w]
            if 6 * int(times.sum()) < 4 * counts.size:  # bytes of photons one by one, and of all the counts
                pixel, channel = np.repeat(pixel, times), np.repeat(channel, times)
                self.sender.eds_pairs(block.stream, pixel, channel, block.y0 + y, 0, rows, frame=block.frame, **more)
            else:
                counts = counts.reshape(rows + [channels]).astype("<u4")
                self.sender.eds_dense(block.stream, counts, block.y0 + y, frame=block.frame, **more)
        if block.real_us is not None:
            self.live_us += block.live_us
            self.real_us += block.real_us
            dead = 1.0 - self.live_us / self.real_us
            if dead > DEAD_MOST and not self.warned:
                self.warned = True
                say("the X-ray detector's dead time is %.0f %%: beyond %.0f %% more beam gives fewer counts; use less"
                    % (100 * dead, 100 * DEAD_MOST))


def _support(path):
    try:
        with open(path, encoding="utf-8") as file:
            support = json.load(file)
    except (OSError, ValueError) as wrong:
        raise FlybackError("--support %s: %s" % (path, wrong))
    if not isinstance(support, dict):
        raise FlybackError("--support %s: {class: [[row, col], ...]} is needed" % path)
    return support


def _break_off(sender, wrong):
    ours = isinstance(wrong, (KeyboardInterrupt, FlybackError))
    try:
        sender.stop("abort" if ours else "fail", str(wrong)[:400] or type(wrong).__name__)
    except FlybackError as silent:  # the reason is told by the caller; this comes on top
        say("flyback_send: %s" % silent)


def send(o):
    """Connect to the microscope, open a session, send o.frames frames, close it."""
    support = _support(o.support) if o.support else {}
    adapter = ADAPTERS[o.adapter](o)

    def told(event):
        if event.get("level") != "info":
            say("%s: %s: %s" % (event.get("level"), event.get("code"), event.get("text")))

    try:
        with client.Sender(o.ingest, o.control, o.publish, session=o.session, timeout_s=o.timeout_s,
                           on_event=told, keys=o.keys) as sender:
            sender.control.wait_ready(o.timeout_s)  # before the beam is asked for anything
            scan = adapter.scan()
            adapter.shape = scan.shape
            feed = Feed(sender, scan)
            sender.start(scan.shape, scan.detectors, scan.eds, scan_path="raster",
                         frames_planned=o.frames + bool(scan.eds), **start_facts(o, adapter, scan))
            say("session %s: %d x %d px, %s" % ((sender.session,) + tuple(scan.shape) + (
                ", ".join([n for n, _ in scan.detectors] + [e["name"] for e in scan.eds]),)))
            try:
                for name, chips in support.items():
                    sender.control.support_add(name, chips)
                for block in adapter.blocks():
                    if block is None:
                        sender.poll(0.005)
                    else:
                        feed.put(block)
            except BaseException as wrong:  # Ctrl-C as well: the session is closed with the reason
                _break_off(sender, wrong)
                raise
            sender.stop(timeout_s=max(o.timeout_s, 600.0))  # the last maps of a large scan take minutes
            if feed.real_us:
                say("dead time of the X-ray detector: %.0f %%" % (100 * (1.0 - feed.live_us / feed.real_us)))
            sent = ", ".join("%s %d" % item for item in sorted(sender.last_seq.items()))
            say("sent %s; all of it is at Flyback" % sent)
    finally:
        adapter.close()


# ---- command line ------------------------------------------------------------------------------------


def _parser():
    parser = argparse.ArgumentParser(
        prog="flyback_send.py",
        description="Send what a microscope scans to a running Flyback, while it scans.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="""examples:
  flyback_send.py --adapter autoscript --profile microscope-themis-z.yaml --size 512 --dwell-us 2 --frames 10
  flyback_send.py --adapter nion --detector HAADF --detector MAADF
  flyback_send.py --adapter digitalmicrograph --image 42 --eds-image 43 --rotation-sign -1
  flyback_send.py --adapter pyjem --detector ADF1 --pixel-nm 0.05 --control tcp://127.0.0.1:5572""")
    def add(name, help, **more):
        parser.add_argument(name, help=help, **more)

    add("--adapter", "whose software scans", required=True, choices=sorted(ADAPTERS))
    add("--profile", "of the microscope, configs/microscope-*.yaml", metavar="FILE")
    add("--frames", "default %(default)s", type=int, default=1, metavar="N")
    add("--detector", "again for more; default: the profile's, else HAADF (PyJEM: the first attached)",
        action="append", default=[], metavar="NAME")
    add("--size", "AutoScript: side of a frame; default %(default)s", type=int, default=512, metavar="PX")
    add("--dwell-us", "AutoScript: dwell time; default: the profile's", type=float, metavar="US")
    add("--host", "AutoScript: where its server runs; default: its own choice", metavar="ADDRESS")
    add("--image", "DigitalMicrograph: the live image; default: the front one", type=int, metavar="ID")
    add("--eds-image", "DigitalMicrograph: a spectrum image of X-rays beside it", type=int, metavar="ID")
    add("--quiet-s", "DigitalMicrograph: a last row that rests so long is whole; default %(default)s",
        type=float, default=0.5, metavar="S")
    add("--idle-s", "give up when nothing is scanned for so long; default %(default)s",
        type=float, default=30.0, metavar="S")
    add("--rotation-sign", "1: the vendor counts scan rotation counter-clockwise; -1: clockwise",
        type=int, choices=(-1, 1))
    add("--pixel-nm", "size of a pixel; replaces what the vendor says", type=float, metavar="NM")
    add("--beam-kev", "beam energy; replaces what the vendor says", type=float, metavar="KEV")
    add("--sample", "what lies in the holder", metavar="TEXT")
    add("--support", "support set {class: [[row, col], ...]} in JSON", metavar="FILE")
    add("--session", "default: a new uuid", metavar="ID")
    add("--timeout-s", "wait so long for Flyback; default %(default)s", type=float, default=30.0, metavar="S")
    add("--ingest", "default %(default)s", default=client.INGEST, metavar="ADDRESS")
    add("--publish", "default %(default)s", default=client.PUBLISH, metavar="ADDRESS")
    add("--control", "default %(default)s", default=client.CONTROL, metavar="ADDRESS")
    add("--keys", "your pair (flyback keygen), where Flyback runs with keys", metavar="DIR")
    add("--server-key", "Flyback's public.key, or the 40 characters themselves", metavar="FILE")
    return parser


def _options(argv):
    o = _parser().parse_args(argv)
    o.keys = client.read_keys(o.keys, o.server_key)
    o.profile = read_profile(o.profile) if o.profile else {}
    if o.frames < 1 or o.size < 1:
        raise FlybackError("--frames and --size: at least 1")
    try:
        o.detectors = detectors_of(" ".join(o.detector)) or detectors_of(str(o.profile.get("instrument.detectors", "")))
    except TypeError as wrong:
        raise FlybackError("instrument.detectors: %s" % wrong)
    if o.dwell_us is None and o.profile.get("instrument.pixel_time_us"):
        o.dwell_us = float(o.profile["instrument.pixel_time_us"])
    return o


def main(argv=None):
    try:
        send(_options(argv))
    except FlybackError as wrong:
        say("flyback_send: %s" % wrong)
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception as wrong:  # whatever the vendor's software threw: its own words, and where from
        say("flyback_send: %s: %s" % (type(wrong).__name__, wrong))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
