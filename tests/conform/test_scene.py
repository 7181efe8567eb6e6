"""A scene streamed by the independent client ends in the maps that the batch computation gives."""

import os
import sys
import tempfile

import msgpack
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from communities import settled  # noqa: E402
from flyback_test import (  # noqa: E402
    MAPS, MODALITIES, TESTS, SLOW, Case, Flyback, all_final, all_there, rectangles, run, same_map, same_partition,
    wait_until)

CASE = Case(os.path.join(TESTS, "golden", "a_tiny"))


def final_maps(fly, viewer):
    """The few-shot maps of the final ones as the viewer has them, which must be what map.get says, exact or not."""
    viewer.wait(lambda: all_final(viewer), 20 * SLOW)
    with fly.controller() as control:
        for method, modality in MAPS:
            seen = viewer.maps[method, modality]
            last = control.map_get(method, modality)
            exact = control.map_get(method, modality, exact=True)
            assert last.seq == seen.seq, "%s: map.get has seq %s, the viewer %s" % (modality, last.seq, seen.seq)
            same_map(seen, last, "%s: rebuilt from deltas against map.get" % modality)
            same = same_map if method == "fewshot" else same_partition
            same(seen, exact, "%s %s: final against exact" % (method, modality))
            assert exact.header.get("base_seq") is None, "an exact map has base_seq %r" % exact.header["base_seq"]
    return {modality: viewer.maps["fewshot", modality].labels for modality in MODALITIES}


def stream_in_disorder(sender, rng, between):
    """Everything of the case: random rectangles in random order, all layouts, some twice."""
    h, w = CASE.shape
    jobs = [("lines", r) for r in rectangles(rng, h, w)] + [("eds", r) for r in rectangles(rng, h, w)]
    rng.shuffle(jobs)
    done = []
    for kind, (y0, x0, hh, ww) in jobs:
        y0, x0, hh, ww = int(y0), int(x0), int(hh), int(ww)
        if kind == "lines":
            sender.lines("HAADF", CASE.haadf[y0 : y0 + hh, x0 : x0 + ww], y0, x0)
        else:
            CASE.send_eds(sender, y0, x0, hh, ww, ["pairs", "csr", "dense"][int(rng.integers(3))] if hh * ww < 200 else "pairs")
        done.append((kind, (y0, x0, hh, ww)))
        if rng.random() < 0.15:  # the same content under another number
            kind, (y0, x0, hh, ww) = done[int(rng.integers(len(done)))]
            if kind == "lines":
                sender.lines("HAADF", CASE.haadf[y0 : y0 + hh, x0 : x0 + ww], y0, x0)
            else:
                CASE.send_eds(sender, y0, x0, hh, ww)
        between(len(done) / len(jobs))
    return len(jobs)


def streamed(model, seed):
    """Stream the case in disorder: the maps, and the viewer's tale of how they came."""
    rng = np.random.default_rng(seed)
    with Flyback(CASE.settings(model)) as fly, fly.viewer() as viewer, fly.sender() as sender:
        CASE.start(sender)
        todo = CASE.support()

        def between(fraction):
            # support chips are named while the scan runs, some before they are measured
            if todo and fraction >= (len(CASE.support()) - len(todo)) / 4:
                name, chips = todo.pop(0)
                sender.control.support_add(name, chips)
            viewer.poll()

        messages = stream_in_disorder(sender, rng, between)
        sender.stop()
        maps = final_maps(fly, viewer)
        assert viewer.start["grid_shape"] == [CASE.params["rows"], CASE.params["cols"]], viewer.start["grid_shape"]
        viewer.wait(lambda: viewer.stop, 10 * SLOW)
        assert viewer.stop["exit_status"] == "success" and viewer.stop["drained"] is True, viewer.stop
        assert abs(viewer.stop["complete"] - 1.0) < 1e-12, viewer.stop["complete"]
        counters = viewer.stop["counters"]
        assert not counters["conflict"] and not counters["refused"], counters
        said = "%d messages, %d keyframes, %d deltas, %d misses" % (
            messages, viewer.keyframes, viewer.deltas, viewer.misses)
    return maps, said


def compare_with_analyze(maps, model):
    with tempfile.TemporaryDirectory() as out:
        batch = CASE.analyze(CASE.settings(model), out)
    assert set(batch) == set(MODALITIES), "analyze wrote %s" % sorted(batch)
    for modality in MODALITIES:
        same_map(maps[modality], batch[modality], "%s: streamed against analyze" % modality)


def spectral_maps_streamed_in_disorder_equal_analyze():
    maps, said = streamed("spectral", 1)
    compare_with_analyze(maps, "spectral")
    return said


def vgg16_maps_streamed_in_disorder_equal_analyze_and_golden():
    maps, said = streamed("vgg16", 2)
    compare_with_analyze(maps, "vgg16")
    shape = maps["haadf"].shape
    same_map(maps["haadf"], CASE.expected("fs_label_emb").reshape(shape), "haadf: streamed against golden")
    same_map(maps["eds"], CASE.expected("fs_label_at").reshape(shape), "eds: streamed against golden")
    same_map(maps["ensemble"], CASE.expected("fs_label_ens_1_1").reshape(shape), "ensemble: streamed against golden")
    return said


def the_order_of_arrival_does_not_show_in_the_final_maps():
    first, _ = streamed("spectral", 3)
    second, _ = streamed("spectral", 4)
    for modality in MODALITIES:
        same_map(first[modality], second[modality], modality)


def a_late_subscriber_gets_start_and_keyframes_at_once():
    with Flyback(CASE.settings()) as fly, fly.sender() as sender, fly.viewer() as early:
        CASE.start(sender)
        for name, chips in CASE.support():
            sender.control.support_add(name, chips)
        CASE.send_raster(sender, 0, 40)
        early.wait(lambda: ("fewshot", "haadf") in early.maps and (early.maps["fewshot", "haadf"].labels[:2] >= 0).all(),
                   20 * SLOW)
        # A delta sent while the subscription is on its way would be one without its base: let the engine come to rest.
        settled(fly, sender, early)
        with fly.viewer(ask=False) as late:
            late.wait(lambda: late.start and all_there(late), 2 * SLOW)
            assert late.start["session"] == sender.session
            assert late.keyframes >= len(MAPS) and late.misses == 0, (late.keyframes, late.misses)
            # and both go on with the same maps
            CASE.send_raster(sender, 40)
            sender.stop()
            for viewer in (early, late):
                viewer.wait(lambda v=viewer: all_final(v), 20 * SLOW)
            for key in early.maps:
                same_map(early.maps[key], late.maps[key], str(key))


def a_viewer_that_lost_a_delta_asks_for_the_map():
    with Flyback(CASE.settings()) as fly, fly.sender() as sender, fly.viewer() as whole, fly.viewer() as torn:
        CASE.start(sender)
        for name, chips in CASE.support():
            sender.control.support_add(name, chips)
        take, lost, deltas = torn._take_map, [], {}

        def lose_every_other_delta(header, payloads):
            key = header["method"], header["modality"]
            if header["base_seq"] and key in torn.maps and header["seq"] not in lost:
                deltas[key] = deltas.get(key, 0) + 1
                if deltas[key] % 2:
                    lost.append(header["seq"])
                    return False
            return take(header, payloads)

        torn._take_map = lose_every_other_delta
        for y in range(CASE.shape[0]):
            CASE.send_raster(sender, y, y + 1)
            if y % 15 == 14:
                # wait for the row's maps, so that they come as deltas one after another
                wait_until(lambda: (whole.poll(0.01), ("fewshot", "haadf") in whole.maps
                                    and (whole.maps["fewshot", "haadf"].labels[y // 15] >= 0).all())[1],
                           20, "row %d of the map" % (y // 15))
                torn.poll(0.01)
        torn._take_map = take
        sender.stop()
        for viewer in (whole, torn):
            viewer.wait(lambda v=viewer: all_final(v), 20 * SLOW)
        assert lost and torn.misses, "%d deltas lost, %d maps asked for" % (len(lost), torn.misses)
        for key in whole.maps:
            same_map(whole.maps[key], torn.maps[key], str(key))
        return "%d deltas lost, %d maps asked for" % (len(lost), torn.misses)


def headers_say_who_sent_them_and_in_which_place():
    """Every published message: topic = type, the common keys, seq without a gap within (session, topic)."""
    import zmq

    sub = zmq.Context.instance().socket(zmq.SUB)
    sub.setsockopt(zmq.LINGER, 0)
    sub.setsockopt(zmq.SUBSCRIBE, b"")
    seen = []
    with Flyback(CASE.settings()) as fly, fly.sender() as sender:
        sub.connect(fly.publish)
        CASE.start(sender)
        for name, chips in CASE.support():
            sender.control.support_add(name, chips)
        CASE.send_raster(sender)
        sender.stop()
        while sub.poll(500):
            parts = sub.recv_multipart()
            header = msgpack.unpackb(parts[1], raw=False)
            seen.append((parts[0], header, parts[2:]))
            if header["type"] == "stop":
                break
        session = sender.session
    sub.close()
    last, repeats = {}, 0
    for topic, header, payloads in seen:
        assert topic.decode() == header["type"], (topic, header["type"])
        for key in ("session", "stream", "seq", "t_ns"):
            assert key in header, "%s has no %s" % (header["type"], key)
        assert header["stream"] == header["type"], header["stream"]
        assert header["session"] in ("", session), header["session"]
        key = header["session"], header["type"]
        if header["seq"] <= last.get(key, 0):
            repeats += 1  # told again to a late joiner, under its number
            continue
        assert header["seq"] == last.get(key, header["seq"] - 1) + 1, "%s: seq %d after %s" % (key, header["seq"], last.get(key))
        last[key] = header["seq"]
        assert len(payloads) == {"map": 3, "dose": 1}.get(header["type"], 0), header["type"]
    kinds = {header["type"] for _, header, _ in seen}
    assert {"start", "map", "clusters", "heartbeat", "metrics", "stop"} <= kinds, kinds
    final = [header for _, header, _ in seen if header["type"] == "map" and header["final"]]
    assert {(header["method"], header["modality"]) for header in final} == set(MAPS), final
    assert {(header["method"], header["modality"]) for _, header, _ in seen if header["type"] == "clusters"} == set(MAPS)
    named = next(header["classes"] for header in final if header["method"] == "fewshot")
    colours = [c["color"] for c in named]
    assert [c["name"] for c in named] == CASE.classes
    assert all(len(c) == 7 and c[0] == "#" for c in colours) and len(set(colours)) == len(colours), colours
    return "%d messages, %d repeats, of %s" % (len(seen), repeats, ", ".join(sorted(kinds)))


run(
    spectral_maps_streamed_in_disorder_equal_analyze,
    vgg16_maps_streamed_in_disorder_equal_analyze_and_golden,
    the_order_of_arrival_does_not_show_in_the_final_maps,
    a_late_subscriber_gets_start_and_keyframes_at_once,
    a_viewer_that_lost_a_delta_asks_for_the_map,
    headers_say_who_sent_them_and_in_which_place,
)
