"""The live page as a person has it: opened in a browser while an instrument sends, clicked, and looked at.

The claims build on each other, as a sitting at an instrument does: one plugin, one page. What is drawn is kept
as pictures in FLY_PAGE_OUT, to be looked at.
"""

import http.client
import io
import json
import os
import re
import subprocess
import sys
import zlib

import browser
import numpy as np
from browser import GONE, Keys, Page, Scene, free_port, now_ms
from flyback_test import BINARY, SLOW, Flyback, run, wait_until

sitting = {}
scene = Scene()
LEFT, RIGHT = [(2, 1), (7, 2)], [(3, 9), (8, 8)]


def begin():
    """The plugin and the page that all claims share."""
    port = free_port()
    sitting["fly"] = Flyback({"page.listen": "127.0.0.1:%d" % port, "chip.size_px": Scene.CHIP, "engine.threads": 1})
    sitting["url"] = "http://127.0.0.1:%d/" % port
    sitting["page"] = Page(sitting["url"])
    return sitting["page"]


def a_page_without_a_session_says_what_to_do():
    page = begin()
    page.wait("state.link === 'live' && state.sockets !== null", "the page to hear the plugin")
    wait_until(lambda: sitting["fly"].ingest in page.text("#empty"), 5, "the ingest address in the page")
    sizes = page.js("return performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation'))"
                    ".filter((e) => /(\\/|page\\.(js|css))$/.test(e.name)).reduce((n, e) => n + e.decodedBodySize, 0)")
    assert 0 < sizes <= 150000, "the page's files are %d bytes" % sizes
    page.shot("empty")
    return "%d bytes" % sizes


def numbers_are_told_to_the_digit_that_their_error_leaves():
    page = sitting["page"]
    told_as = ((19.63, 0.38, "19.6 ± 0.4"), (0.38905, 0.00014, "0.38905 ± 0.00014"), (-6.71, 0.4, "\u22126.7 ± 0.4"),
               (55.2, 0.96, "55.2 ± 1.0"), (5.2, 12.4, "5 ± 12"), (None, None, "–"))
    for value, sigma, told in told_as:
        got = page.js("return withError({value: arguments[0], sigma: arguments[1]})", value, sigma)
        assert got == told, "%s ± %s: %s, not %s" % (value, sigma, got, told)
    lengths = page.js("return [7.3, 0.99, 1, 20.5, 499].map(niceBelow)")
    assert np.allclose(lengths, [5, 0.5, 1, 20, 200]), lengths


def few_photons_are_not_called_good():
    """Whatever is borrowed from neighbours: the limits are those of the event counts_low."""
    page = sitting["page"]
    for too_few, pooled, grave in ((0.0, 0.97, 2), (0.3, 0.3, 2), (0.95, 0.0, 3), (0.0, 0.4, 0), (0.0, 0.0, 0)):
        got, words = page.js("return countWords({too_few: arguments[0], pooled: arguments[1], median: 33, needed: 100})",
                             too_few, pooled)
        assert got == grave and "33 photons" in words and "100" in words, (too_few, pooled, got, words)
    shown = page.js("""
      state.metrics = {quality: {counts: {chips: 9, too_few: 0, pooled: 0.97, median: 33, needed: 100}}};
      drawQuality();
      const shown = $('light-word').textContent;
      state.metrics = null;
      drawQuality();
      return shown;""")
    assert shown == "Data with care", shown


def the_first_map_is_seen_soon_after_the_first_chip_row():
    page = sitting["page"]
    sender = sitting["sender"] = sitting["fly"].sender(session="browser-1")
    scene.start(sender)
    page.wait("state.start && state.start.session === 'browser-1'", "the session in the page")
    page.js("window.seen = 0; onChange(['map', 'image'], () => { const m = state.maps['community/haadf'];"
            "if (!window.seen && m && overlay.cells && m.labels.some((l) => l !== -1))"
            " requestAnimationFrame(() => { window.seen = Date.now(); }); });"
            "choose('method', 'community'); choose('modality', 'haadf')")
    scene.send(sender, 0, Scene.CHIP)
    sent = now_ms()
    seen = page.wait("window.seen", "the first map on the screen")
    assert seen - sent < 4000 * SLOW, "the first map came %d ms after its chip row" % (seen - sent)
    return "on the screen %d ms after the row's last line" % (seen - sent)


def the_picture_fills_as_lines_come():
    page, sender = sitting["page"], sitting["sender"]
    measured = "(state.image ? state.image.values.reduce((n, v) => n + (v !== NO_PIXEL), 0) : 0)"
    for upto in (40, 75):
        scene.send(sender, sitting.get("upto", Scene.CHIP), upto)
        sitting["upto"] = upto
        page.wait("%s === %d" % (measured, upto * Scene.SHAPE[1]), "the rows above %d" % upto)
    page.shot("half")
    values = page.js("return Array.from({length: 75 * 120}, (_, k) => intensityAt(k % 120, Math.floor(k / 120)))")
    off = np.abs(np.reshape(values, (75, 120)) - scene.image[:75]).max()
    assert off <= 1.0, "intensities in the page are off by %g counts" % off
    scene.send(sender, 75, 120)
    page.wait("%s === %d" % (measured, scene.image.size), "the whole image")


def chips_of(name):
    """How many chips a class has, in the page's own words; -1 without such a class."""
    return "(supportNamed('%s') ? supportNamed('%s').chips.length : -1)" % (name, name)


def clicks_teach_classes_and_the_map_answers():
    page = sitting["page"]
    page.click("#method [data-value=fewshot]")
    took = []
    for name, chips in (("left", LEFT), ("right", RIGHT)):
        page.keys("n")
        page.keys(name, Keys.ENTER)
        for k, (r, c) in enumerate(chips):
            page.click_chip(r, c)
            clicked = now_ms()
            page.wait("!pending && %s === %d" % (chips_of(name), k + 1), "the plugin's word on chip %d, %d" % (r, c))
            took.append(now_ms() - clicked)
    truth = np.broadcast_to(np.arange(scene.grid[1]) >= scene.grid[1] // 2, scene.grid)
    for modality in ("haadf", "eds", "ensemble"):
        page.click("#modality [data-value=%s]" % modality)
        key = "fewshot/" + modality

        def taught():
            labels = page.labels(key)
            return labels is not None and (labels >= 0).all() and np.array_equal(labels == 1, truth)

        if modality == "eds":  # its photons part the halves without a doubt; the image may not, everywhere
            wait_until(taught, 8, "the halves in " + key)
        page.wait("[0, 1].every((l) => (state.maps['%s'] || {labels: []}).labels.includes(l))" % key, key)
    return "confirmed after %s ms" % ", ".join("%d" % t for t in took)


def a_chip_is_taken_out_and_back_by_shift_undo_and_redo():
    page = sitting["page"]
    chips = chips_of("right")
    page.click_chip(*RIGHT[1], shift=True)
    page.wait("!pending && %s === 1" % chips, "a chip less")
    page.keys("u")
    page.wait("%s === 2" % chips, "undo")
    page.keys("U")
    page.wait("%s === 1" % chips, "redo")
    page.keys("u")
    page.wait("%s === 2" % chips, "undo again")
    with sitting["fly"].controller() as control:
        counts = {c["name"]: len(c["chips"]) for c in control.request("support.get")["classes"]}
    assert counts == {"left": 2, "right": 2}, counts
    # the same by keys alone: choose, move, add, take out
    page.keys(Keys.ESCAPE, "1")
    assert page.js("return state.brush") == "left"
    page.click("#undo")
    page.wait("%s === 1" % chips, "undo of the second click on the right")
    page.click("#redo")
    page.wait("%s === 2" % chips, "redo of it")
    page.js("state.cursor = [5, 2]; $('picture').focus()")
    page.keys(Keys.ARROW_RIGHT, Keys.ARROW_UP, Keys.ENTER)
    page.wait("supportOf(4, 3) && supportOf(4, 3).name === 'left' && !state.waiting.size", "Enter to add chip 4, 3")
    page.keys(Keys.DELETE)
    page.wait("!supportOf(4, 3) && !state.waiting.size", "Delete to take it out")


def a_class_and_a_cluster_are_renamed_in_the_legend():
    page = sitting["page"]
    page.keys(Keys.ESCAPE)
    row = "#legend-rows li[data-label='1'] .name"
    wait_until(lambda: page.text(row) == "right", 8, "the legend")
    page.double_click(row)
    page.keys("Fe side", Keys.ENTER)
    page.wait("supportNamed('Fe side') && !supportNamed('right')", "the class's new name")
    wait_until(lambda: page.text(row) == "Fe side", 5, "the new name in the legend")
    page.click("#method [data-value=ward]")
    page.wait("rowsKey.startsWith('ward') && $('legend-rows').children.length > 0", "clusters of Ward in the legend")
    row = "#legend-rows li[data-label='%s']" % page.js("return document.querySelector('#legend-rows li').dataset.label")
    page.double_click(row + " .name")
    page.keys("film", Keys.ENTER)
    wait_until(lambda: page.text(row + " .name") == "film", 5, "the cluster's new name")
    page.set(row + " select", "ordered")
    page.wait("currentClusters() && currentClusters().clusters.some((c) => c.role === 'ordered')", "its role")
    page.click("#method [data-value=fewshot]")


def methods_and_modalities_are_switched_by_keys():
    page = sitting["page"]
    page.click("#modality [data-value=haadf]")
    seen = []
    for key in "mMmMmMM":
        page.keys(key)
        seen.append(page.js("return mapKey()"))
    assert seen == ["community/haadf", "community/eds", "ward/eds", "ward/ensemble", "fewshot/ensemble",
                    "fewshot/haadf", "fewshot/eds"], seen
    page.wait("Boolean(currentMap())", "the map in view")


def an_element_map_shows_where_the_element_is():
    page = sitting["page"]
    page.wait("state.elements !== null", "element maps")
    page.keys("e")
    page.set("#element", "Fe")
    page.wait("state.layer === 'element' && overlay.bar && overlay.bar.words.startsWith('Fe')", "iron")
    made = page.js("const e = state.elements, n = e.rows * e.cols, i = e.names.indexOf('Fe');"
                   "return Array.from(e.percent.subarray(i * n, i * n + n))")
    percent = np.array(made, float).reshape(scene.grid)
    left, right = percent[:, : scene.grid[1] // 2], percent[:, scene.grid[1] // 2 :]
    assert np.nanmax(left) < 5 and np.nanmin(right) > 15, (np.nanmax(left), np.nanmin(right))
    page.shot("element")
    page.keys(".")


def a_box_has_the_spectrum_of_its_photons():
    page = sitting["page"]
    page.keys("b")
    page.drag((1, 4), (5, 7))
    page.wait("spectrum.main && spectrum.main.words.startsWith('Region')", "the spectrum of the box")
    chips = [tuple(chip) for chip in page.js("return state.target.chips")]
    assert set(chips) <= {(r, c) for r in range(1, 6) for c in range(4, 8)} and len(chips) >= 6, chips
    page.wait_spectrum(scene.spectrum(chips), "the sum of the known photons of %d chips" % len(chips))
    page.keys("l")
    page.drag((8, 1), (8, 5), (11, 5), (11, 1))
    page.wait("state.target.kind === 'chips' && state.target.chips.every(([r]) => r >= 8)", "the lasso's chips")
    inside = [tuple(chip) for chip in page.js("return state.target.chips")]
    assert {(9, 2), (9, 3), (9, 4), (10, 2), (10, 3), (10, 4)} <= set(inside), inside
    page.wait_spectrum(scene.spectrum(inside), "the photons of the lasso")
    page.keys("v")
    page.click_chip(0, 0)
    page.wait_spectrum(scene.spectrum([(0, 0)]), "the photons of chip 0, 0")
    names = page.js("return spectrum.main.lines.map((l) => l.name)")
    assert any(n.startswith("Ti_K") for n in names) and any(n.startswith("Fe_K") for n in names), names
    return "%d chips, %d photons" % (len(chips), scene.spectrum(chips).sum())


def a_line_across_the_interface_shows_it():
    page = sitting["page"]
    page.keys("p")
    page.drag((6, 2), (6, 9))
    made = page.wait("state.profile && state.profile.elements.length >= 2 && state.profile", "a profile")
    by = {one["name"]: np.array(one["points"], float) for one in made["elements"]}
    assert len(by["Fe"]) == 8 and by["Fe"][:4, 1].max() < 5 and by["Fe"][4:, 1].min() > 15, by["Fe"][:, 1]
    assert by["Ti"][:4, 1].min() > 15 and by["Ti"][4:, 1].max() < 5, by["Ti"][:, 1]
    assert (by["Fe"][:, 2] > 0).all(), "no error bars"
    intensity = np.array(made["intensity"], float)
    step = np.nanmean(intensity[-20:, 1]) - np.nanmean(intensity[:20, 1])
    assert 2500 < step < 5500, "the image's step is 4000 counts, the profile's %g" % step
    page.shot("profile")
    page.keys(Keys.ESCAPE, "v")


def a_class_is_removed_and_comes_back():
    page = sitting["page"]
    page.keys("1")
    page.click("#remove-class")
    page.wait("!supportNamed('left') && state.brush === null", "the class to go")
    wait_until(lambda: not (page.labels("fewshot/eds") == 0).any(), 5, "its label to go from the map")
    page.keys("u")
    page.wait("!pending && %s === 2" % chips_of("left"), "the class again")


# While a button is pressed: what became of it, during and after.
PRESS = """
const done = arguments[0], frames = (n, then) => (n ? requestAnimationFrame(() => frames(n - 1, then)) : then());
const pressed = document.querySelector('#brushes .brush');
const press = (kind) => pressed.dispatchEvent(new PointerEvent(kind, {bubbles: true}));

press('pointerdown');
state.named.push('one more');
changed('support');
frames(3, () => {
  const during = pressed.isConnected;

  press('pointerup');
  frames(3, () => {
    const after = [...document.querySelectorAll('.brush')].some((one) => one.dataset.name === 'one more');

    state.named.pop();
    changed('support');
    done([during, after]);
  });
});
"""


def a_press_ends_on_what_it_began_on():
    page = sitting["page"]
    assert page.driver.execute_async_script(PRESS) == [True, True]
    # Rows of the legend come and go; what stands above the picture stays where it is.
    where = "return ['undo', 'support-save', 'support-load', 'theme'].map((id) => $(id).getBoundingClientRect().top)"
    before = page.js(where)
    page.js("$('legend-rows').style.marginBottom = '200px'")
    after = page.js(where)
    page.js("$('legend-rows').style.marginBottom = ''")
    assert after == before, (before, after)


def a_click_that_goes_elsewhere_is_told_as_such():
    page = sitting["page"]
    page.js("window.cover = make('div', {id: 'cover'}); cover.style.cssText = 'position: fixed; inset: 0; z-index: 9';"
            "on($('undo'), 'pointermove', () => document.body.append(cover), {once: true})")
    try:
        page.click("#undo")
        raise LookupError("the click on #undo is said to have been received")
    except AssertionError as wrong:
        assert "cover" in str(wrong), wrong
        return str(wrong)
    finally:
        page.js("cover.remove()")


def a_support_set_is_saved_and_loaded():
    page = sitting["page"]
    page.click("#support-save")
    saved = json.loads(page.downloaded("*.support.json"))
    saved = {name: sorted(tuple(chip) for chip in chips) for name, chips in saved.items()}
    assert saved == {"left": LEFT, "Fe side": RIGHT}, saved
    other = os.path.join(page.folder, "other.json")
    with open(other, "w") as file:
        json.dump({"left": [[2, 1]], "third": [[7, 2], [0, 11]]}, file)
    page.driver.find_element("id", "support-choose").send_keys(other)
    page.wait("%s === 2 && !supportNamed('Fe side')" % chips_of("third"), "the loaded set")
    page.keys("u")
    page.wait("%s === 2 && %s === 2" % (chips_of("Fe side"), chips_of("left")), "undo of loading")
    with open(other, "w") as file:
        file.write('{"left": 3}')
    page.driver.find_element("id", "support-choose").send_keys(other)
    wait_until(lambda: "no support set" in page.text("#words"), 3, "words about the wrong file")


def pixels_of(png):
    """(the picture as RGBA or RGB, {key: text}) of a PNG of 8 bits without interlacing."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at, text, packed = 8, {}, io.BytesIO()
    while at < len(png):
        size, kind = int.from_bytes(png[at : at + 4], "big"), png[at + 4 : at + 8]
        body = png[at + 8 : at + 8 + size]
        check = int.from_bytes(png[at + 8 + size : at + 12 + size], "big")
        assert zlib.crc32(kind + body) == check, "checksum of %s" % kind
        if kind == b"IHDR":
            width, height, depth, colour, _, _, lace = np.frombuffer(body[:8], ">u4").tolist() + list(body[8:])
            assert depth == 8 and lace == 0 and colour in (2, 6)
        if kind == b"IDAT":
            packed.write(body)
        if kind == b"tEXt":
            key, value = body.decode("latin-1").split("\0")
            text[key] = value
        at += 12 + size
    n = 4 if colour == 6 else 3
    raw = np.frombuffer(zlib.decompress(packed.getvalue()), np.uint8).reshape(height, 1 + width * n)
    rows = np.zeros((height, width * n), np.uint8)
    for y in range(height):
        kind, line, up = raw[y, 0], raw[y, 1:].astype(int), rows[y - 1].astype(int) if y else np.zeros(width * n, int)
        if kind == 0:
            rows[y] = line
        elif kind == 2:
            rows[y] = line + up
        elif kind == 1:
            rows[y] = np.cumsum(line.reshape(-1, n), 0).ravel() % 256
        else:
            rows[y] = unfiltered(kind, line, up, n)
    return rows.reshape(height, width, n), text


def unfiltered(kind, line, up, n):
    """Average and Paeth look at the pixel before, so they go one by one (PNG 1.2, chapter 9)."""
    out = [0] * len(line)
    line, up = line.tolist(), up.tolist()
    for i, value in enumerate(line):
        a, b, c = (out[i - n] if i >= n else 0), up[i], (up[i - n] if i >= n else 0)
        if kind == 3:
            guess = (a + b) // 2
        else:
            pa, pb, pc = abs(b - c), abs(a - c), abs(a + b - 2 * c)
            guess = a if pa <= pb and pa <= pc else b if pb <= pc else c
        out[i] = (value + guess) % 256
    return out


def an_exported_picture_has_a_scale_bar_of_its_length():
    page = sitting["page"]
    page.keys(".", "x")
    pixels, text = pixels_of(page.downloaded("browser-1_*.png"))
    about = text["Description"]
    nm, scale, length, bar = (float(v) for v in re.search(
        r"([\d.]+) nm a scan pixel, (\d+) picture pixels a scan pixel, scale bar ([\d.]+) nm = (\d+) ", about).groups())
    assert nm == Scene.NM and abs(bar - length / nm * scale) <= 1, about
    assert pixels.shape[0] >= scale * Scene.SHAPE[0] and pixels.shape[1] > scale * Scene.SHAPE[1], pixels.shape
    # The picture stands at the left below its title; the bar is the longest white run low in it.
    picture = pixels[pixels.shape[0] - int(scale * Scene.SHAPE[0]) :, : int(scale * Scene.SHAPE[1]), :3]
    white = (picture >= 254).all(2)[-(picture.shape[0] // 6) :, : picture.shape[1] // 2]
    runs = [len(run) for row in white for run in "".join("x" if w else " " for w in row).split()]
    assert runs and max(runs) == bar, "the bar is %s px long, %g was said" % (max(runs, default=0), bar)
    colours = {tuple(c) for c in pixels[:, int(scale * Scene.SHAPE[1]) :, :3].reshape(-1, 3)[::3].tolist()}
    shown = page.js("return legendEntries().filter((e) => e.chips).map((e) => parseColour(e.colour))")
    assert len(shown) >= 2 and {tuple(c) for c in shown} <= colours, "not all of %s are in the legend" % shown
    return about


def a_click_on_the_threshold_curve_sets_it():
    page = sitting["page"]
    page.click("#tab-curve")
    page.wait("Boolean(curve.plot && curve.made)", "the curve")
    x = page.js("return curve.plot.X(0.6) - $('curve').getBoundingClientRect().width / 2")
    canvas = page.driver.find_element("id", "curve")
    browser.ActionChains(page.driver).move_to_element_with_offset(canvas, round(x), 0).click().perform()
    page.wait("Math.abs(state.config['graph.threshold'] - 0.6) < 0.01", "the threshold")
    page.set("#set-k", "3")
    page.wait("state.config['tree.k'] === 3", "k")
    with sitting["fly"].controller() as control:
        config = control.status()["config"]
    assert abs(float(config["graph.threshold"]) - 0.6) < 0.01 and config["tree.k"] == 3, config
    page.keys("uu")
    page.wait("state.config['graph.threshold'] === 'mode' && state.config['tree.k'] === 4", "both taken back")


def what_the_plugin_refuses_is_said_in_its_words():
    page = sitting["page"]
    page.set("#set-k", "65")
    told = page.wait("/tree.k.*64/.test($('words').textContent) && $('words').textContent", "the plugin's words on 65")
    wait_until(lambda: page.js("return $('set-k').value") == "4", 3, "the field to show what is in force")
    return told


def agreement_is_told():
    page = sitting["page"]
    page.click("#tab-agreement")
    page.wait("state.metrics && /\\d/.test($('agreement').tBodies[0].rows[0].cells[1].textContent)", "the table")
    page.wait("state.agreement && state.agreement.t_ns.length > 1", "its course")
    return page.text("#agreement tbody")


def the_page_comes_back_after_a_kill():
    page, fly = sitting["page"], sitting["fly"]
    before = page.labels("fewshot/eds")
    fly.kill()
    page.wait("state.link === 'lost' && !$('lost').hidden", "the page to see it gone")
    page.shot("lost")
    fly.start()
    page.wait("state.link === 'live' && $('lost').hidden", "the page to be back", 15)
    page.wait("%s === 2" % chips_of("Fe side"), "the support set", 10)
    wait_until(lambda: np.array_equal(page.labels("fewshot/eds"), before), 10, "the same map again")
    sitting["sender"].stop()
    sitting["sender"].close()
    page.wait("state.stop && state.stop.exit_status === 'success'", "the end of the scan")


def a_session_without_spectra_has_no_such_buttons():
    page = sitting["page"]
    with sitting["fly"].sender(session="browser-2") as sender:
        scene.start(sender, eds=False)
        scene.send(sender, 0, 120, eds=False)
        page.wait("state.start && state.start.session === 'browser-2' && Boolean(currentMap())", "the new session")
        assert page.js("return mapKey()") == "fewshot/haadf" and not page.js("return state.support.length")
        for css in ("#modality [data-value=eds]", "#modality [data-value=ensemble]", "#layer [data-value=element]"):
            assert not page.driver.find_element("css selector", css).is_enabled(), css
        page.shot("image_only")
        sender.stop()


def the_simulator_is_seen_live_in_all_themes():
    page, fly = sitting["page"], sitting["fly"]
    support = os.path.join(fly.folder, "support.json")
    command = [BINARY, "sim", "--ingest", fly.ingest, "--publish", fly.publish, "--control", fly.control,
               "--size", "510x510", "--chip", "10", "--frames", "1", "--dwell-us", "20", "--eds-counts", "1",
               "--session", "browser-3", "--support", support, "--quiet"]
    sim = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        page.wait("state.start && state.start.session === 'browser-3' && state.image !== null", "an image of it", 15)
        page.js("window.maps = 0; window.began = performance.now(); onChange(['map'], () => { window.maps++; })")
        page.driver.find_element("id", "support-choose").send_keys(support)
        page.wait("state.support.length >= 3", "its support set", 10)
        page.click("#modality [data-value=ensemble]")
        page.wait("!Number.isNaN(intensityAt(0, 0.75 * 510))", "three quarters of the scan", 30)
        rate = page.js("return 1000 * window.maps / (performance.now() - window.began)")
        page.click("#legend-rows li")
        page.wait("spectrum.main !== null", "the spectrum of a class")
        for theme in ("dark", "light", "projector"):
            page.js("setTheme(arguments[0])", theme)
            page.wait("document.documentElement.dataset.theme === '%s' && !changes.size" % theme, theme)
            page.shot(theme)
            page.fits()
        page.js("setTheme('dark')")
        for width, height in ((1024, 768), (3840, 2160)):
            page.driver.set_window_size(width, height)
            page.wait("innerWidth >= %d - 20 && !changes.size" % width, "a window of %d px" % width)
            page.fits()
            page.shot("%d" % width)
        page.wait("state.stop !== null", "the end of the scan", 20)
    finally:
        sim.kill()
        sim.wait()
    return "%.1f updates of a map of 2601 chips a second" % rate


def other_pages_get_nothing():
    host = sitting["url"][len("http://") : -1]
    foreign = ({"Host": "flyback.example"}, {"Host": host, "Origin": "http://other.example"})
    for headers, status in [(h, 403) for h in foreign] + [({"Host": host}, 200)]:
        for path in ("/", "/api/v1/support", "/events"):
            asked = http.client.HTTPConnection(host, timeout=5 * SLOW)
            asked.request("GET", path, headers=headers)
            got = asked.getresponse().status
            asked.close()
            assert got == status, "%s with %s: %d" % (path, headers, got)


def nothing_went_wrong_unseen():
    page = sitting["page"]
    said = [line["message"] for line in page.console() if line["level"] in ("SEVERE", "WARNING")]
    wrong = [line for line in said if not any(gone in line for gone in GONE)]
    assert not wrong, "the console says\n%s" % "\n".join(wrong)
    foreign = [url for url in page.hosts() if not url.startswith((sitting["url"], "data:", "blob:" + sitting["url"]))]
    assert not foreign, "asked elsewhere: %s" % foreign


def the_plugin_ends_well():
    sitting.pop("page").__exit__()
    sitting.pop("fly").__exit__(None, None, None)


if __name__ == "__main__":
    if browser.missing():
        print("NOT RUN: the page needs a browser; absent: %s" % browser.missing())
        sys.exit(77)
    try:
        run(
            a_page_without_a_session_says_what_to_do,
            numbers_are_told_to_the_digit_that_their_error_leaves,
            few_photons_are_not_called_good,
            the_first_map_is_seen_soon_after_the_first_chip_row,
            the_picture_fills_as_lines_come,
            clicks_teach_classes_and_the_map_answers,
            a_chip_is_taken_out_and_back_by_shift_undo_and_redo,
            a_class_and_a_cluster_are_renamed_in_the_legend,
            methods_and_modalities_are_switched_by_keys,
            an_element_map_shows_where_the_element_is,
            a_box_has_the_spectrum_of_its_photons,
            a_line_across_the_interface_shows_it,
            a_class_is_removed_and_comes_back,
            a_press_ends_on_what_it_began_on,
            a_click_that_goes_elsewhere_is_told_as_such,
            a_support_set_is_saved_and_loaded,
            an_exported_picture_has_a_scale_bar_of_its_length,
            a_click_on_the_threshold_curve_sets_it,
            what_the_plugin_refuses_is_said_in_its_words,
            agreement_is_told,
            the_page_comes_back_after_a_kill,
            a_session_without_spectra_has_no_such_buttons,
            the_simulator_is_seen_live_in_all_themes,
            other_pages_get_nothing,
            nothing_went_wrong_unseen,
            the_plugin_ends_well,
        )
    finally:
        if "page" in sitting:
            sitting["page"].__exit__()
        if "fly" in sitting:
            sitting["fly"].kill()
