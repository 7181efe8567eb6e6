"""A headless Chromium on the live page, and a small scene whose every photon is known."""

import glob
import json
import os
import shutil
import socket
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))

import numpy as np  # noqa: E402 (its path is set above, as that of the next)
from flyback_test import BINARY, SLOW, wait_until  # noqa: E402

try:
    from selenium import webdriver
    from selenium.common.exceptions import ElementClickInterceptedException, StaleElementReferenceException
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
except ImportError:
    webdriver = ActionChains = By = Keys = None

OUT = os.environ.get("FLY_PAGE_OUT", os.path.join(os.path.dirname(BINARY), "tests", "browser", "out"))
# The element, scrolled to, if for two frames its box has not moved and its middle is not covered; else null.
AT_REST = """
const [css, done] = arguments, element = document.querySelector(css), box = () => element.getBoundingClientRect();
if (!element || element.disabled || !element.getClientRects().length) return done(null);
element.scrollIntoView({block: 'nearest', inline: 'nearest'});
const before = JSON.stringify(box());
requestAnimationFrame(() => requestAnimationFrame(() => {
  const {x, y, width, height} = box(), top = document.elementFromPoint(x + width / 2, y + height / 2);
  done(JSON.stringify(box()) === before && element.contains(top) ? element : null);
}));
"""
# Whether the next click is the element's, told as it arrives: it may take the element away.
WATCH_CLICK = """
const [element] = arguments;
window.clicked = 'nothing';
addEventListener('click', ({target}) => {
  window.clicked = element.contains(target) || target.outerHTML.slice(0, 200);
}, {capture: true, once: true});
"""
GONE = ("ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET")


def missing():
    """What a browser needs and this machine lacks, or None."""
    lacks = [name for name in ("chromium", "chromedriver") if not shutil.which(name)]
    if not webdriver:
        lacks.append("python3-selenium")
    return ", ".join(lacks) or None


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Page:
    """The page at `url`. `js` sees what the page's own scripts see: state, request, ..."""

    def __init__(self, url, width=1600, height=1000):
        self.folder = tempfile.mkdtemp(prefix="fly.page.")
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for argument in ("no-sandbox", "headless=new", "disable-gpu", "disable-dev-shm-usage", "hide-scrollbars",
                         "force-device-scale-factor=1", "window-size=%d,%d" % (width, height),
                         "user-data-dir=" + os.path.join(self.folder, "profile")):
            options.add_argument("--" + argument)
        options.add_experimental_option("prefs", {"download.default_directory": self.folder})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        service = webdriver.chrome.service.Service(shutil.which("chromedriver"))
        self.driver = webdriver.Chrome(options=options, service=service)
        self.url = url
        self.logged = []
        self.driver.get(url)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.driver.quit()
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- looking

    def js(self, script, *args):
        return self.driver.execute_script(script, *args)

    def wait(self, script, what, timeout_s=8.0):
        """Until `return script` is true; its value."""
        return wait_until(lambda: self.js("return " + script), timeout_s, what)

    def text(self, css):
        """In one look: the page may make the element anew between two."""
        told = self.js("const e = document.querySelector(arguments[0]); return e && e.textContent", css)
        assert told is not None, "%s is not there" % css
        return told

    def labels(self, key):
        """Labels that the page has of a map, or None."""
        made = self.js("const m = state.maps[arguments[0]];"
                       "return m ? [Array.from(m.labels), state.start.grid_shape] : null", key)
        return made and np.array(made[0]).reshape(made[1])

    def wait_spectrum(self, counts, what):
        """Until the spectrum that is drawn has these counts."""
        drawn = "return spectrum.main && Array.from(spectrum.main.counts)"
        wait_until(lambda: np.array_equal(self.js(drawn) or [], counts), 5, what)

    def fits(self):
        wide, room = self.js("return [document.documentElement.scrollWidth, innerWidth]")
        assert wide <= room, "the page is %d px wide, the window %d" % (wide, room)

    def shot(self, name):
        """A screenshot as an artefact of the test."""
        os.makedirs(OUT, exist_ok=True)
        self.js("$('words').textContent = ''")
        self.driver.save_screenshot(os.path.join(OUT, name + ".png"))

    def console(self):
        """All that the console has said since the beginning."""
        self.logged += self.driver.get_log("browser")
        return self.logged

    def hosts(self):
        """Every address that the page asked for anything (the browser's own first page has others)."""
        asked = set()
        for line in self.driver.get_log("performance"):
            message = json.loads(line["message"])["message"]
            about = message["params"]
            if message["method"] == "Network.requestWillBeSent" and about["documentURL"].startswith(self.url):
                asked.add(about["request"]["url"])
        return asked

    # ---- doing

    def keys(self, *keys):
        ActionChains(self.driver).send_keys(*keys).perform()

    def click(self, css):
        """A click as a person makes it: on what has come to rest. AssertionError when something else received it."""
        element = wait_until(lambda: self._at_rest(css), 5, "%s to be seen, enabled and at rest" % css)
        try:
            self.js(WATCH_CLICK, element)
            element.click()
        except StaleElementReferenceException:  # made anew just now: nothing was pressed
            return self.click(css)
        except ElementClickInterceptedException as wrong:
            raise AssertionError("the click on %s would go elsewhere: %s" % (css, wrong.msg))
        got = self.js("return window.clicked")
        assert got is True, "the click on %s went to %s" % (css, got)

    def _at_rest(self, css):
        """The element once its box has stood still over two frames of the screen, or None."""
        self.driver.set_script_timeout(5 * SLOW)
        return self.driver.execute_async_script(AT_REST, css)

    def double_click(self, css):
        self.js("document.querySelector(arguments[0]).dispatchEvent(new MouseEvent('dblclick', {bubbles: true}))", css)

    def set(self, css, value):
        """As a person who changed a field."""
        self.js("const f = document.querySelector(arguments[0]); f.value = arguments[1];"
                "f.dispatchEvent(new Event('change', {bubbles: true}))", css, value)

    def chip_point(self, r, c):
        """From the canvas's middle to the middle of a chip, CSS px."""
        return self.js("const [x, y] = chipCentre(...arguments), box = $('picture').getBoundingClientRect();"
                       "return [(x - view.x) * view.scale - box.width / 2, (y - view.y) * view.scale - box.height / 2]", r, c)

    def _at(self, chain, r, c):
        x, y = self.chip_point(r, c)
        return chain.move_to_element_with_offset(self.driver.find_element(By.ID, "picture"), round(x), round(y))

    def click_chip(self, r, c, shift=False):
        chain = ActionChains(self.driver, duration=20)
        if shift:
            chain.key_down(Keys.SHIFT)
        self._at(chain, r, c).click()
        if shift:
            chain.key_up(Keys.SHIFT)
        chain.perform()

    def drag(self, start, *others):
        """Press on one chip, pass the others, let go on the last."""
        chain = ActionChains(self.driver, duration=20)
        self._at(chain, *start).click_and_hold()
        for chip in others:
            self._at(chain, *chip)
        chain.release().perform()

    def downloaded(self, pattern, timeout_s=8.0):
        """The bytes of a file that the page saved; it is taken away."""
        def whole():
            """Saved, and no longer growing."""
            paths = glob.glob(os.path.join(self.folder, pattern))
            if not paths or glob.glob(os.path.join(self.folder, "*.crdownload")) or not os.path.getsize(paths[0]):
                return None
            size = os.path.getsize(paths[0])
            time.sleep(0.1)
            return paths[0] if size == os.path.getsize(paths[0]) else None

        path = wait_until(whole, timeout_s, "a file %s" % pattern)
        with open(path, "rb") as file:
            data = file.read()
        os.unlink(path)
        return data


class Scene:
    """Left half one phase, right half another: images of other spacing, photons of other lines."""

    SHAPE, CHIP, NM = (120, 120), 10, 0.08
    CHANNELS, EV = 1024, 10.0
    LINES_EV = {"left": (525, 4510), "right": (525, 6400)}  # O and Ti, O and Fe

    def __init__(self, seed=7):
        rng = np.random.default_rng(seed)
        h, w = self.SHAPE
        y, x = np.mgrid[:h, :w]
        right = x >= w // 2
        wave = np.where(right, np.cos(2 * np.pi * x / 3.1), np.cos(2 * np.pi * x / 5) * np.cos(2 * np.pi * y / 5))
        self.image = np.clip(9000 + 3000 * wave + 4000 * right + rng.normal(0, 500, (h, w)), 0, 65535).astype("<u2")
        self.spectra = np.zeros((h, w, self.CHANNELS), np.uint8)
        for name, where in (("left", ~right), ("right", right)):
            yy, xx = np.nonzero(where)
            for ev in self.LINES_EV[name]:
                n = rng.poisson(3.0, yy.size)
                channel = np.rint(rng.normal(ev, 45, n.sum()) / self.EV).astype(int).clip(0, self.CHANNELS - 1)
                np.add.at(self.spectra, (np.repeat(yy, n), np.repeat(xx, n), channel), 1)
        self.grid = (h // self.CHIP, w // self.CHIP)

    def start(self, sender, eds=True):
        segment = {"name": "EDS", "n_channels": self.CHANNELS, "ev_per_channel": self.EV, "ev_offset": 0.0}
        sender.start(self.SHAPE, [("HAADF", "<u2")], [segment] if eds else [], pixel_nm=[self.NM, self.NM],
                     frames_planned=1, sample="two phases", elements=["O", "Ti", "Fe"] if eds else None)

    def send(self, sender, y0, y1, eds=True):
        for y in range(y0, y1):
            sender.lines("HAADF", self.image[y], y)
            if eds:
                sender.eds_dense("EDS", self.spectra[y : y + 1], y, 0, frame=0)

    def spectrum(self, chips):
        s = self.CHIP
        return sum(self.spectra[r * s : (r + 1) * s, c * s : (c + 1) * s].sum((0, 1), dtype=np.int64) for r, c in chips)


def now_ms():
    return 1000 * time.time()


__all__ = ["GONE", "Keys", "Page", "Scene", "free_port", "missing", "now_ms"]
