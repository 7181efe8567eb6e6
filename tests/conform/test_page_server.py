"""The live page's server, as plugin/docs/page-api.md tells it, by nothing but http.client.

What it serves is held against what was sent and against the wire's own maps, to the bit; who it refuses, and who it
lets wait, against every wrong move of a stranger, a careless browser and a viewer that hangs.
"""

import http.client
import json
import os
import re
import socket
import struct
import sys
import tempfile
import threading
import time

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from flyback_test import (  # noqa: E402
    MAPS, SLOW, TESTS, Case, Flyback, NotRun, all_final, fc, flyback, rectangles, run, wait_until)

import flyback_steer as fs  # noqa: E402 (flyback_test.py put its folder in the path)

TINY = Case(os.path.join(TESTS, "golden", "a_tiny"))
JSON = {"Content-Type": "application/json"}
UNMEASURED = 65535


class Page:
    """A browser without a window."""

    def __init__(self, fly):
        url = fly.controller().status()["sockets"]["page"]
        self.host, self.port = re.fullmatch(r"http://([^:]+):(\d+)/", url).groups()
        self.port = int(self.port)
        self.http = self.fresh()

    def fresh(self):
        return http.client.HTTPConnection(self.host, self.port, timeout=20 * SLOW)

    def ask(self, method, path, body=None, headers=None, http_=None):
        on = http_ or self.http
        try:
            on.request(method, path, body, headers or {})
            reply = on.getresponse()
            return reply, reply.read()
        except (http.client.HTTPException, OSError):
            on.close()
            raise

    def get(self, path, status=200):
        reply, body = self.ask("GET", path)
        assert reply.status == status, (path, reply.status, body[:300])
        if reply.getheader("Content-Type") == "application/octet-stream":
            return bundle(body)
        return json.loads(body) if reply.getheader("Content-Type") == "application/json" else body

    def request(self, op, ok=True, **args):
        reply, body = self.ask("POST", "/api/v1/request", json.dumps({"op": op, "args": args}), JSON)
        assert reply.status == 200, (op, reply.status, body[:300])
        header, payloads = bundle(body) if reply.getheader("Content-Type") != "application/json" else (json.loads(body), [])
        assert header["ok"] == ok, (op, args, header)
        return (header["result"], payloads) if ok else header["error"]

    def raw(self, head):
        """Bytes as they are, and what comes back within a second: nothing where it waits for more."""
        with socket.create_connection((self.host, self.port), timeout=1.0) as on:
            on.sendall(head)
            try:
                return on.recv(4096)
            except TimeoutError:
                return b""


def bundle(body):
    """(header, payloads) by the rules of the page alone."""
    (n,) = struct.unpack_from("<I", body)
    header = json.loads(body[4 : 4 + n])
    at, payloads = (4 + n + 7) // 8 * 8, []
    for one in header["payloads"]:
        dtype, shape = np.dtype(one["dtype"]), one["shape"]
        count = int(np.prod(shape))
        payloads.append(np.frombuffer(body, dtype, count, at).reshape(shape))
        at += (count * dtype.itemsize + 7) // 8 * 8
    assert at == len(body), (at, len(body), header)
    return header, payloads


class Picture:
    """The image, put together from what changed as the page does."""

    def __init__(self, page):
        self.page, self.revision, self.values, self.full = page, 0, None, 0

    def update(self):
        head, (q,) = self.page.get("/api/v1/image?since=%d" % self.revision)
        if self.values is None or list(self.values.shape) != head["shape"]:
            self.values = np.full(head["shape"], np.nan)
        assert q.shape == (head["rows"], head["shape"][1])
        got = head["lo"] + q.astype(float) * (head["hi"] - head["lo"]) / 65534
        self.values[head["y0"] : head["y0"] + head["rows"]] = np.where(q == UNMEASURED, np.nan, got)
        self.full += head["rows"] == head["shape"][0]
        self.revision, self.head = head["revision"], head
        return self

    def same(self, truth):
        close = np.abs(self.values - truth) <= 0.5001 * (self.head["hi"] - self.head["lo"]) / 65534 + 1e-6 * np.abs(truth)
        return self.values.shape == truth.shape and bool(np.all(close | (np.isnan(self.values) & np.isnan(truth))))


class News(threading.Thread):
    """Listens to /events."""

    def __init__(self, page):
        super().__init__(daemon=True)
        self.http = page.fresh()
        self.http.request("GET", "/events", headers={"Accept": "text/event-stream"})
        self.reply = self.http.getresponse()
        assert self.reply.status == 200 and self.reply.getheader("Content-Type") == "text/event-stream"
        self.came, self.newest, self.retry, self.ended = [], None, None, False
        self.start()

    def run(self):
        event = None
        try:
            for line in self.reply:
                text = line.decode().rstrip("\n")
                if text.startswith("retry: "):
                    self.retry = int(text[7:])
                elif text.startswith("event: "):
                    event = text[7:]
                elif text.startswith("data: "):
                    assert event == "news"
                    self.newest = json.loads(text[6:])
                    self.came.append(time.monotonic())
        except (OSError, ValueError, http.client.HTTPException):
            pass
        self.ended = True


def served(settings=None, **more):
    return Flyback(dict({"page.listen": "127.0.0.1:0"}, **(settings or {})), **more)


def start_tiny(sender):
    TINY.start(sender)
    for name, chips in TINY.support():
        sender.control.support_add(name, chips)


def squeezed(text):
    """Without indentation, and without comments that have lines of their own."""
    return re.sub(r"^/\*.*?\*/\s*$\n?", "", re.sub(r"^[ \n]+", "", text, flags=re.M), flags=re.M | re.S)


def what_is_served_is_what_was_written(page):
    """But for what only people need (plugin/page/embed.cmake)."""
    folder = os.path.join(os.path.dirname(TESTS), "plugin", "page")
    served = {path: page.ask("GET", path)[1].decode() for path in ("/", "/page.css", "/page.js")}
    parts = {"/": ["page.html"], "/page.css": ["page.css"],
             "/page.js": [os.path.join("js", name) for name in os.listdir(os.path.join(folder, "js"))]}
    for path, names in parts.items():
        rest = squeezed(served[path])
        assert rest == served[path], "%s is served with what only people need" % path
        for name in names:
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                text = squeezed(file.read())
            assert text in rest, "%s is not served as it is written" % name
            rest = rest.replace(text, "", 1)
        assert not rest, "%s has more: %s" % (path, rest[:200])


# ---- what is served ---------------------------------------------------------------------------------


def before_a_session_there_are_files_and_little_else():
    with served() as fly:
        page = Page(fly)
        total = 0
        for path, kind in (("/", "text/html"), ("/page.js", "text/javascript"), ("/page.css", "text/css")):
            reply, body = page.ask("GET", path)
            assert reply.status == 200 and reply.getheader("Content-Type").startswith(kind), (path, reply.status)
            assert reply.getheader("Cache-Control") == "no-cache"
            total += len(body)
            again, nothing = page.ask("GET", path, headers={"If-None-Match": reply.getheader("ETag")})
            assert again.status == 304 and not nothing
            head, nothing = page.ask("HEAD", path)
            assert head.status == 200 and not nothing and int(head.getheader("Content-Length")) == len(body)
        assert total <= 150000, total
        what_is_served_is_what_was_written(page)
        for path in ("start", "metrics", "stop", "map/fewshot/haadf", "clusters/ward/eds", "image", "elements", "support",
                     "map/none/such", "clusters/x/y"):
            assert page.get("/api/v1/" + path, 404)["error"]["code"] == "nothing_yet", path
        assert page.get("/api/v1/heartbeat")["state"] == "idle"
        assert page.get("/api/v1/events")["events"] == []
        assert page.get("/healthz") == {"status": "ok", "state": "idle", "session": "", "recording": "off"}
        reply, _ = page.ask("GET", "/api/v1/heartbeat")
        for name, value in (("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"),
                            ("Cross-Origin-Resource-Policy", "same-origin"), ("Cache-Control", "no-store")):
            assert reply.getheader(name) == value, (name, reply.getheader(name))
        assert "default-src 'none'" in reply.getheader("Content-Security-Policy")
        return "%d bytes of page" % total


def maps_are_those_of_the_wire_to_the_bit():
    with served(TINY.settings()) as fly, fly.viewer() as viewer, fly.sender() as sender:
        page = Page(fly)
        start_tiny(sender)
        half = TINY.shape[0] // 2
        TINY.send_raster(sender, 0, half)
        wait_until(lambda: viewer.poll(0.02) or ("fewshot", "haadf") in viewer.maps, 10, "a map")
        TINY.send_raster(sender, half)
        sender.stop()
        wait_until(lambda: viewer.poll(0.02) or all_final(viewer), 20, "final maps")
        stop = wait_until(lambda: page.ask("GET", "/api/v1/stop")[0].status == 200, 10, "the stop")
        deltas = 0
        for method, modality in MAPS:
            head, arrays = page.get("/api/v1/map/%s/%s" % (method, modality))
            wire = fly.controller().map_get(method, modality)
            assert head["seq"] == viewer.maps[method, modality].seq and head["final"] and head["base_seq"] == 0
            assert head["bbox"] == [0, 0] + head["full_shape"] == [0, 0, TINY.params["rows"], TINY.params["cols"]]
            for ours, theirs in zip(arrays, (wire.labels, wire.confidence, wire.age)):
                assert ours.tobytes() == np.ascontiguousarray(theirs).tobytes(), (method, modality)
            assert [c["name"] for c in head["classes"]] == [c["name"] for c in wire.header["classes"]]
            clusters = page.get("/api/v1/clusters/%s/%s" % (method, modality))
            assert clusters["method"] == method and clusters["final"]
            deltas += viewer.maps[method, modality].seq
        agreement = page.get("/api/v1/agreement")
        assert len(agreement["t_ns"]) == len(agreement["ami"]["fewshot"]["haadf_eds"]) >= 1
        newest = page.get("/api/v1/metrics")["ami"]["fewshot"]["haadf_eds"]
        assert agreement["ami"]["fewshot"]["haadf_eds"][-1] == newest
        assert stop


def the_image_is_what_was_sent():
    with served({"chip.size_px": 16, "recording.enabled": "false"}) as fly, fly.sender() as sender:
        page = Page(fly)
        rng = np.random.default_rng(3)
        frames = rng.integers(0, 50000, (2, 150, 131)).astype("<u2")
        truth, picture = np.full((150, 131), np.nan), Picture(page)
        sender.start((150, 131), [("HAADF", frames.dtype)], pixel_nm=[0.1, 0.2])
        todo = [(0,) + r for r in rectangles(rng, 150, 131)] + [(1,) + r for r in rectangles(rng, 150, 131)]
        for i, (frame, y0, x0, h, w) in enumerate(todo):
            sender.lines("HAADF", frames[frame, y0 : y0 + h, x0 : x0 + w], y0, x0, frame=frame)
            there = (slice(y0, y0 + h), slice(x0, x0 + w))
            truth[there] = frames[0][there] if frame == 0 else (frames[0][there].astype(float) + frames[1][there]) / 2
            if i % 9 == 0 or i == len(todo) - 1:
                wait_until(lambda: picture.update().same(truth), 10, "the image of %d rectangles" % (i + 1))
        whole = Picture(page).update()
        assert np.array_equal(whole.values, picture.values)
        assert picture.head["pixel_nm"] == [0.1, 0.2] and picture.head["shape_px"] == [150, 131] and picture.head["step"] == 1
        assert picture.update().head["rows"] == 0
        result, (block,) = page.request("image.get", y0_px=3, x0_px=5, h=20, w=31, step=7)
        assert result["shape"] == [3, 5] == list(block.shape)
        for r in range(3):
            for c in range(5):
                mean = truth[3 + 7 * r : min(23, 10 + 7 * r), 5 + 7 * c : min(36, 12 + 7 * c)].mean()
                assert abs(block[r, c] - mean) < 1e-2, (r, c, block[r, c], mean)
        for args in ({"y0_px": 150}, {"h": 0}, {"h": 151}, {"step": 0}, {"x0_px": -1}, {"w": 2.5}):
            error = page.request("image.get", ok=False, **args)
            assert error["code"] in ("bad_value", "bad_type") and list(args)[0] in error["message"], error


def a_large_scan_is_shown_by_means():
    h, w = 1100, 2500
    with served({"chip.size_px": 64, "recording.enabled": "false"}) as fly, fly.sender() as sender:
        page = Page(fly)
        image = np.random.default_rng(4).random((h, w), dtype="<f4")
        sender.start((h, w), [("HAADF", image.dtype)])
        for y in range(0, h, 100):
            sender.lines("HAADF", image[y : y + 100], y)
        padded = np.full((1101, 2502), np.nan)
        padded[:h, :w] = image
        truth = np.nanmean(padded.reshape(367, 3, 834, 3), axis=(1, 3))
        picture = Picture(page)
        wait_until(lambda: picture.update().same(truth), 20, "the image by means")
        assert picture.head["step"] == 3 and picture.head["shape"] == [367, 834]


def elements_and_spectra_are_those_of_the_photons():
    with served(TINY.settings()) as fly, fly.sender() as sender:
        page = Page(fly)
        start_tiny(sender)
        TINY.send_raster(sender)
        sender.stop()
        p, side = TINY.params, TINY.params["chip"]
        rows, cols = p["rows"], p["cols"]
        spectra = np.zeros((rows, cols, p["n_ch"]), "<u8")
        r, c = TINY.y // side, TINY.x // side
        keep = (r < rows) & (c < cols)
        np.add.at(spectra, (r[keep], c[keep], TINY.ch[keep]), 1)

        chip, (counts,) = page.request("chip.get", r=1, c=2)
        assert np.array_equal(counts, spectra[1, 2]) and chip["counts"] == int(counts.sum())
        assert chip["ev_per_channel"] == 1000 * p["de"] and chip["ev_offset"] == 1000 * p["e0"]
        for line in chip["lines"]:
            assert re.fullmatch("[A-Z][a-z]?_[KLMN][a-z]?", line["name"]) and 0 < line["weight"] <= 1, line
        named = [line["name"].split("_")[0] for line in chip["lines"]]
        assert set(named) == set(chip["atomic_percent"]), (named, chip["atomic_percent"])

        for args, chosen in (({"chips": [[0, 0], [2, 1], [2, 1], [1, 0]]}, [(0, 0), (2, 1), (1, 0)]),
                             ({"box": [1, 0, 2, cols]}, [(i, j) for i in (1, 2) for j in range(cols)]),
                             ({"class": TINY.classes[0]}, [tuple(one) for one in TINY.support()[0][1]])):
            region, (total,) = page.request("region.get", **args)
            want = sum(spectra[one] for one in chosen)
            assert total.dtype == np.dtype("<u8") and np.array_equal(total, want), args
            assert region["chips"] == len(chosen) and region["counts"] == int(want.sum())
            percent = region["atomic_percent"]
            assert abs(sum(one["value"] for one in percent.values()) - 100) < 1e-6, percent
        head, arrays = page.get("/api/v1/map/ward/eds")
        biggest = int(np.bincount(arrays[0][arrays[0] >= 0]).argmax())
        region, (total,) = page.request("region.get", method="ward", modality="eds", id=biggest)
        assert np.array_equal(total, spectra[arrays[0] == biggest].sum(axis=0))
        for args in ({}, {"chips": [[0, 0]], "box": [0, 0, 1, 1]}, {"box": [0, 0, 0, 1]}, {"box": [0, 0, rows + 1, 1]},
                     {"box": "all"}, {"class": "nobody"}, {"method": "ward"}, {"chips": []}):
            assert page.request("region.get", ok=False, **args)["message"], args

        head, (value, sigma) = page.get("/api/v1/elements")
        assert head["grid_shape"] == [rows, cols] and value.shape == sigma.shape == (len(head["elements"]), rows, cols)
        assert head["elements"] == list(chip["atomic_percent"])
        for i, element in enumerate(head["elements"]):
            told = chip["atomic_percent"][element]
            assert abs(value[i, 1, 2] - told["value"]) < 1e-3 and abs(sigma[i, 1, 2] - told["sigma"]) < 1e-3
        same, nothing = page.get("/api/v1/elements?since=%d" % head["revision"])
        assert same["revision"] == head["revision"] and nothing == []


# ---- news -------------------------------------------------------------------------------------------


def dose_and_suggestions_are_those_of_the_wire():
    microscope = fs.Stub()
    facts = microscope.facts()
    with served({"chip.size_px": 8, "engine.threads": 1}) as fly, fly.sender() as sender, fly.controller() as control:
        page = Page(fly)
        for path in ("suggest", "dose"):
            page.get("/api/v1/" + path, status=404)
        assert page.get("/api/v1/course") == {"t_ns": [], "expected_error": []}
        sender.start(facts.pop("scan_shape_px"), facts.pop("detectors"), facts.pop("eds"), **facts)
        for y, x, shape, images, photons in microscope.scan(0, 0, *microscope.SHAPE, 20.0, "both"):
            sender.lines("HAADF", images["HAADF"], y, x, dwell_us=20.0)
            sender.eds_pairs("EDS", *photons["EDS"], y, x, shape, dwell_us=20.0)
        wait_until(lambda: control.status()["steer"]["decision_id"], 15, "a suggestion")
        told, mean, most = control.dose_get()

        def settled():
            newest = control.status()["steer"]["decision_id"]
            here = page.get("/api/v1/suggest")
            return here if here["decision_id"] == newest == control.status()["steer"]["decision_id"] else None

        here = wait_until(settled, 10, "the newest suggestion on the page")
        assert here["type"] == "suggest" and here["mode"] == "advise" and here["targets"], here
        assert all(len(one["px"]) == 4 and one["kind"] == "box" for one in here["targets"])
        wait_until(lambda: page.get("/api/v1/course")["expected_error"][-1] == page.get("/api/v1/suggest")["expected_error"],
                   5, "the newest point of its course")
        course = page.get("/api/v1/course")
        assert len(course["t_ns"]) == len(course["expected_error"]) and course["t_ns"] == sorted(course["t_ns"])

        def whole():
            head, (chips,) = page.get("/api/v1/dose")
            return head if np.array_equal(chips, mean) else None

        head = wait_until(whole, 5, "the dose of the whole survey")
        assert (head["unit"], head["full_shape"]) == (told["unit"], told["full_shape"]) == ("e_per_A2", [12, 12])
        head, (again, worst) = page.request("dose.get")
        assert head["unit"] == told["unit"] and np.array_equal(again, mean) and np.array_equal(worst, most)


def news_tell_all_versions_ten_times_a_second_at_most():
    with served(TINY.settings()) as fly, fly.sender() as sender:
        page = Page(fly)
        news = News(page)
        start_tiny(sender)
        for y in range(TINY.shape[0]):
            TINY.send_raster(sender, y, y + 1)
            time.sleep(0.01)
        wait_until(lambda: news.newest and news.newest["image"] and news.newest["elements"], 10, "news of image and elements")
        sender.stop()
        wait_until(lambda: news.newest["stop"], 20, "news of the stop")
        wait_until(lambda: page.get("/api/v1/heartbeat")["seq"] == news.newest["heartbeat"], 5, "news of the heartbeat")
        newest = news.newest
        assert newest["session"] == page.get("/api/v1/start")["session"] and news.retry == 1000
        assert newest["metrics"] == page.get("/api/v1/metrics")["seq"]
        assert set(newest["map"]) == {"%s/%s" % m for m in MAPS}
        for key, seq in newest["map"].items():
            assert page.get("/api/v1/map/" + key)[0]["seq"] == seq, key
        for key, seq in newest["clusters"].items():
            assert page.get("/api/v1/clusters/" + key)["seq"] == seq, key
        assert page.get("/api/v1/events")["last"] == newest["event"]
        wait_until(lambda: page.get("/api/v1/image?since=%d" % news.newest["image"])[0]["rows"] == 0, 5, "news of the last rows")
        assert page.get("/api/v1/elements?since=%d" % newest["elements"])[0]["revision"] == newest["elements"]
        gaps = np.diff(news.came)
        assert len(gaps) > 3 and np.sort(gaps)[len(gaps) // 4] > 0.08, gaps
        http_ = page.fresh()
        fly.kill()  # a plugin that is gone ends the stream
        wait_until(lambda: news.ended, 10, "the end of /events")
        http_.close()
        fly.start()


def a_page_asks_the_engine_only_while_somebody_looks():
    with served(TINY.settings()) as fly, fly.sender() as sender:
        page = Page(fly)
        start_tiny(sender)
        TINY.send_raster(sender)

        def looks():
            text = page.get("/metrics").decode()
            return int(re.search(r"^flyback_page_looks_total (\d+)$", text, re.M).group(1))

        before = looks()
        time.sleep(0.5)
        assert looks() == before == 0
        viewers = [News(page) for _ in range(5)]
        wait_until(lambda: looks() > 3, 10, "looks for viewers")
        began, first = time.monotonic(), looks()
        time.sleep(1.0)
        asked, passed = looks() - first, time.monotonic() - began
        assert asked <= 10 * passed + 2, (asked, passed)
        for one in viewers:
            one.http.sock.shutdown(socket.SHUT_RDWR) if one.http.sock else None


# ---- requests ---------------------------------------------------------------------------------------


def requests_change_the_session_and_can_be_taken_back():
    with served(TINY.settings()) as fly, fly.sender() as sender:
        page = Page(fly)
        news = News(page)
        TINY.start(sender)
        TINY.send_raster(sender)
        assert page.request("support.get")[0] == {"classes": []} == page.get("/api/v1/support")
        page.request("support.add", **{"class": "A", "chips": [[0, 0], [1, 1]]})
        page.request("support.add", **{"class": "Größe B", "chips": [[2, 2]]})
        said = page.get("/api/v1/support")
        assert [(c["id"], c["name"], c["chips"]) for c in said["classes"]] == [
            (0, "A", [[0, 0], [1, 1]]), (1, "Größe B", [[2, 2]])]
        assert all(re.fullmatch("#[0-9a-f]{6}", c["color"]) for c in said["classes"])
        wait_until(lambda: news.newest and news.newest["support"], 5, "news of the support set")
        labels = page.get("/api/v1/map/fewshot/haadf")[1][0]
        assert set(np.unique(labels)) & {0, 1}
        page.request("support.remove", chips=[[2, 2]])
        page.request("class.rename", **{"class": "A", "to": "C"})
        assert [(c["name"], c["chips"]) for c in page.get("/api/v1/support")["classes"]] == [
            ("C", [[0, 0], [1, 1]]), ("Größe B", [])]
        page.request("params.set", **{"tree.k": 3})
        assert page.request("status")[0]["config"]["tree.k"] == 3
        error = page.request("support.add", ok=False, **{"class": "A", "chips": [[999, 0]]})
        assert error["code"] == "bad_value" and "chips" in error["message"], error
        assert page.request("no.such", ok=False)["code"] == "unknown_op"
        curve, _ = page.request("graph.curve", modality="haadf", points=5)
        assert len(curve["thresholds"]) == 5
        exact, arrays = page.request("map.get", method="ward", modality="haadf", exact=True)
        assert arrays[0].shape == (TINY.params["rows"], TINY.params["cols"]) and exact["base_seq"] is None
        changes, _ = page.request("changes.get")
        assert changes["rows_px"] == [[0, TINY.shape[0]]] and changes["image"] > 0
        assert page.request("changes.get", image=changes["image"])[0]["rows_px"] == []


def strangers_and_wrong_words_are_refused():
    with served() as fly:
        page = Page(fly)
        here = "127.0.0.1:%d" % page.port
        ok = {"Host": here}
        body = json.dumps({"op": "status"})
        # (what, method, path, body, headers, status)
        wrong = [
            ("another host", "GET", "/", None, {"Host": "evil.example:%d" % page.port}, 403),
            ("another host", "POST", "/api/v1/request", body, dict(JSON, Host="evil.example"), 403),
            ("another port", "GET", "/healthz", None, {"Host": "127.0.0.1:1"}, 403),
            ("no port", "GET", "/events", None, {"Host": "127.0.0.1"}, 403),
            ("another origin", "GET", "/api/v1/heartbeat", None, dict(ok, Origin="http://evil.example"), 403),
            ("another origin", "POST", "/api/v1/request", body, dict(JSON, Host=here, Origin="http://evil.example"), 403),
            ("a picture on another page", "GET", "/events", None, dict(ok, **{"Sec-Fetch-Site": "cross-site"}), 403),
            ("a page of a neighbour", "GET", "/api/v1/image", None, dict(ok, **{"Sec-Fetch-Site": "same-site"}), 403),
            ("no origin of ours", "POST", "/api/v1/request", body, dict(JSON, Host=here, Origin="null"), 403),
            ("a form", "POST", "/api/v1/request", "op=status", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
            ("plain text", "POST", "/api/v1/request", body, {"Content-Type": "text/plain"}, 415),
            ("no type", "POST", "/api/v1/request", body, {}, 415),
            ("no JSON", "POST", "/api/v1/request", "{", JSON, 400),
            ("nothing", "POST", "/api/v1/request", "", JSON, 400),
            ("not a request", "POST", "/api/v1/request", "[1]", JSON, 400),
            ("op twice", "POST", "/api/v1/request", '{"op": "status", "op": "status"}', JSON, 400),
            ("too deep", "POST", "/api/v1/request", '{"op": "a", "args": {"x": %s1%s}}' % ("[" * 20, "]" * 20), JSON, 400),
            ("too long", "POST", "/api/v1/request", '{"op": "%s"}' % ("x" * 65536), JSON, 413),
            ("a GET there", "GET", "/api/v1/request", None, {}, 405),
            ("a POST elsewhere", "POST", "/events", body, JSON, 405),
            ("another method", "DELETE", "/api/v1/support", None, {}, 405),
            ("another method", "OPTIONS", "/api/v1/request", None, {}, 405),
            ("no such path", "GET", "/api/v2/map", None, {}, 404),
            ("no such path", "GET", "/../etc/passwd", None, {}, 404),
            ("a long path", "GET", "/" + "x" * 3000, None, {}, 404),
            ("no number", "GET", "/api/v1/image?since=-1", None, {}, 400),
            ("no number", "GET", "/api/v1/events?since=1e3", None, {}, 400),
        ]
        for what, method, path, text, headers, status in wrong:
            reply, said = page.ask(method, path, text, headers, http_=page.fresh())
            assert reply.status == status, (what, method, path, headers, reply.status, said)
            error = json.loads(said)["error"]
            assert error["code"] and error["message"], (what, said)
        reply, _ = page.ask("GET", "/api/v1/request", http_=page.fresh())
        assert reply.getheader("Allow") == "POST"
        for origin in ("http://" + here, "http://localhost:%d" % page.port):
            reply, said = page.ask("POST", "/api/v1/request", body, dict(JSON, Origin=origin), http_=page.fresh())
            assert reply.status == 200 and json.loads(said)["ok"], (origin, said)
        reply, said = page.ask("POST", "/api/v1/request", body, {"Content-Type": "application/json; charset=utf-8"})
        assert reply.status == 200

        # The body of a GET means nothing, and answers leave their connection open for the next question.
        http_ = page.fresh()
        for path, status in (("/healthz", 200), ("/api/v1/stop", 404), ("/page.css", 200), ("/api/v1/heartbeat", 200)):
            reply, _ = page.ask("GET", path, "x" * 5000, http_=http_)
            assert reply.status == status and not reply.will_close, (path, reply.status, reply.getheaders())

        # A body in pieces is not longer for that, and one without end is cut off.
        def pieces(n):
            for _ in range(n):
                yield b"x" * 8192

        http_ = page.fresh()
        http_.request("POST", "/api/v1/request", pieces(12), JSON, encode_chunked=True)
        assert http_.getresponse().status == 413
        http_ = page.fresh()
        try:
            http_.request("POST", "/api/v1/request", pieces(2000), JSON, encode_chunked=True)
            assert http_.getresponse().status == 413
        except (ConnectionError, http.client.HTTPException):
            pass
        for garbage in (b"\x00\xff\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET /%s HTTP/1.1\r\nHost: %s\r\n\r\n" % (
                b"y" * 20000, here.encode()), b"POST /api/v1/request HTTP/1.1\r\nHost: %s\r\nContent-Length: x\r\n\r\n" % here.encode()):
            got = page.raw(garbage)
            assert got == b"" or got.split(b" ")[1][:1] == b"4", got[:80]
        assert page.get("/healthz")["status"] == "ok"


def a_viewer_that_hangs_costs_nobody_anything():
    with served({"chip.size_px": 16, "recording.enabled": "false"}) as fly, fly.sender() as sender:
        page = Page(fly)
        rng = np.random.default_rng(8)
        sender.start((512, 512), [("HAADF", np.dtype("<u2"))])

        def memory():
            text = page.get("/metrics").decode()
            return float(re.search(r"^flyback_resident_bytes (\S+)$", text, re.M).group(1))

        def scan(frame):
            for y in range(0, 512, 64):
                sender.lines("HAADF", rng.integers(0, 4000, (64, 512)).astype("<u2"), y, frame=frame)
            sender.poll(0.01)

        healthy = News(page)
        for frame in range(3):
            scan(frame)
        wait_until(lambda: healthy.newest and healthy.newest["image"], 10, "an image")
        time.sleep(1.2)
        before = memory()
        hung = []
        for i in range(30):  # viewers, and readers of the image, that never read
            on = socket.socket()
            on.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            on.connect((page.host, page.port))
            path = "/events" if i % 2 else "/api/v1/image"
            on.sendall(("GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % (path, page.port)).encode())
            hung.append(on)
        count = len(healthy.came)
        for frame in range(3, 60):
            scan(frame)
            time.sleep(0.03)
        picture = Picture(page).update()
        assert picture.head["rows"] == 512
        wait_until(lambda: len(healthy.came) >= count + 10, 10, "news for the one that reads")
        time.sleep(1.2)
        grown = memory() - before
        # 15 pictures of half a MiB each are on their way, at most; nothing else has grown with time. (Sanitizers keep
        # what was freed.)
        assert SLOW != 1 or grown < 24 * 2**20, "%.1f MiB more" % (grown / 2**20)
        for on in hung:
            on.close()
        return "%.1f MiB more with 30 of them" % (grown / 2**20)


def half_requests_and_too_many_connections_are_survived():
    with served() as fly:
        page = Page(fly)
        half = []
        for i in range(200):  # more than there is room for
            on = socket.socket()
            on.settimeout(1)
            try:
                on.connect((page.host, page.port))
                on.sendall(b"POST /api/v1/request HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
                           b"Content-Length: 100\r\n\r\n{" % page.port)
            except OSError:
                pass
            half.append(on)
        assert fly.controller().status()["state"] == "idle"
        for on in half:
            on.close()
        http_ = page.fresh()
        wait_until(lambda: page.ask("GET", "/healthz", http_=page.fresh())[0].status == 200, 10, "an answer")
        http_.close()
        viewers = []
        for _ in range(70):
            http_ = page.fresh()
            http_.request("GET", "/events")
            reply = http_.getresponse()
            viewers.append(reply)  # which is what holds the connection
        told = [reply.status for reply in viewers]
        assert told.count(200) == 64 and told[-1] == 503, told
        assert page.get("/healthz")["status"] == "ok"
        for reply in viewers:
            reply.close()
        wait_until(lambda: b"\nflyback_page_viewers 0\n" in page.ask("GET", "/metrics")[1], 40, "viewers that left to be noticed")


# ---- starting and starting again ---------------------------------------------------------------------


def free_port():
    with socket.socket() as on:
        on.bind(("127.0.0.1", 0))
        return on.getsockname()[1]


def a_page_finds_a_plugin_that_was_started_again():
    with served(dict(TINY.settings(), **{"page.listen": "127.0.0.1:%d" % free_port()})) as fly:
        page = Page(fly)
        with fly.sender(session="again") as sender:
            start_tiny(sender)
            TINY.send_raster(sender)
            sender.wait_durable()
            picture = Picture(page)
            wait_until(lambda: picture.update().same(TINY.haadf.astype(float)), 10, "the image")
            revision, support = picture.revision, page.get("/api/v1/support")
        fly.kill()
        fly.start()
        page = Page(fly)
        assert page.get("/api/v1/start")["resumed"] is True
        head, (q,) = page.get("/api/v1/image?since=%d" % revision)
        assert head["rows"] == TINY.shape[0], "rows of a picture that is not there any more were taken for known"
        wait_until(lambda: Picture(page).update().same(TINY.haadf.astype(float)), 10, "the image after a restart")
        assert page.get("/api/v1/support") == support
        wait_until(lambda: page.ask("GET", "/api/v1/map/fewshot/haadf")[0].status == 200, 10, "a map after a restart")


def a_port_in_use_costs_the_page_alone():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        with Flyback({"page.listen": address}) as fly, fly.viewer() as viewer:
            assert fly.controller().status()["sockets"]["page"] is None
            text = wait_until(lambda: "warning page: " in fly.log_text() and fly.log_text(), 5, "a warning in the log")
            assert address in text and "in use" in text and "--page.listen 127.0.0.1:0" in text, text
            wait_until(lambda: viewer.poll(0.02) or any(e["code"] == "page" for e in viewer.events), 5, "an event")
    with served() as fly:
        wait_until(lambda: "info page: http://127.0.0.1:" in fly.log_text(), 5, "the address in the log")
    with Flyback({"page.listen": ""}) as fly:
        assert fly.controller().status()["sockets"]["page"] is None
        assert "page" not in fly.log_text()


def an_address_open_to_others_is_refused():
    for address, words in (("0.0.0.0:5580", "ssh -L"), ("[::]:5580", "ssh -L"), ("192.168.7.7:5580", "ssh -L"),
                           ("5580", "127.0.0.1:PORT"), ("127.0.0.1:70000", "127.0.0.1:PORT")):
        done = flyback("run", "--set", "page.listen=" + address, status=2)
        assert "page.listen" in done.stderr and words in done.stderr, done.stderr


def metrics_are_what_prometheus_reads():
    line = re.compile(r"^(flyback_[a-z0-9_]+)(\{[a-z_]+=\"(?:[^\"\\\n]|\\.)*\"(?:,[a-z_]+=\"(?:[^\"\\\n]|\\.)*\")*\})? (NaN|[-+0-9.e]+)$")
    with served(TINY.settings()) as fly, fly.sender(session="m1") as sender:
        page = Page(fly)
        start_tiny(sender)
        TINY.send_raster(sender)
        sender.stop()
        wait_until(lambda: page.get("/healthz")["state"] == "idle", 10, "the end of the session")
        reply, body = page.ask("GET", "/metrics")
        assert reply.getheader("Content-Type").startswith("text/plain; version=0.0.4")
        types, seen = {}, {}
        for text in body.decode().splitlines():
            if text.startswith("# TYPE "):
                _, _, name, kind = text.split(" ")
                assert name not in types and kind in ("counter", "gauge"), text
                types[name] = kind
            elif not text.startswith("# HELP "):
                match = line.match(text)
                assert match and match.group(1) in types, text
                assert match.group(1, 2) not in seen, text
                seen[match.group(1, 2)] = match.group(3)
        assert int(seen["flyback_lines_total", None]) == TINY.shape[0]
        assert seen["flyback_recording", '{state="ok"}'] in ("0", "1") and seen["flyback_state", '{state="idle"}'] == "1"
        assert any(name == "flyback_session_info" and 'session="m1"' in labels for name, labels in seen)
        assert float(seen["flyback_chip_to_label_seconds", '{quantile="0.99"}']) > 0
        assert all(name.endswith("_total") == (kind == "counter") for name, kind in types.items())


run(
    before_a_session_there_are_files_and_little_else,
    maps_are_those_of_the_wire_to_the_bit,
    the_image_is_what_was_sent,
    a_large_scan_is_shown_by_means,
    elements_and_spectra_are_those_of_the_photons,
    dose_and_suggestions_are_those_of_the_wire,
    news_tell_all_versions_ten_times_a_second_at_most,
    a_page_asks_the_engine_only_while_somebody_looks,
    requests_change_the_session_and_can_be_taken_back,
    strangers_and_wrong_words_are_refused,
    a_viewer_that_hangs_costs_nobody_anything,
    half_requests_and_too_many_connections_are_survived,
    a_page_finds_a_plugin_that_was_started_again,
    a_port_in_use_costs_the_page_alone,
    an_address_open_to_others_is_refused,
    metrics_are_what_prometheus_reads,
)
