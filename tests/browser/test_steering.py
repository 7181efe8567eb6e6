"""Steering as a person sees it and has a say in it: proposals on the map, approve, veto, hold, dose.

One plugin, one page, and the Python controller with a microscope that is made up; the claims build on each other.
"""

import re
import sys
import threading

import browser
import numpy as np
from browser import GONE, Page, free_port
from flyback_test import SLOW, Flyback, run, wait_until
from steer_peers import Peer

import flyback_steer as fs

# Of the first three proposals: how much of each upper edge changes the picture by being drawn.
EDGES = """
function look() {
  const [w, h] = stageSize(), copy = make('canvas', {width: w, height: h}), pen = copy.getContext('2d');

  drawStage();
  pen.drawImage($('picture'), 0, 0, w, h);
  return pen.getImageData(0, 0, w, h);
}
const {suggest} = state, boxes = proposed().slice(0, 3).map(boxOf), shown = look();

state.suggest = null;
const bare = look();

state.suggest = suggest;
drawStage();
return boxes.map(([y, x, h, w]) => {
  const row = Math.round((y - view.y) * view.scale), from = (x - view.x) * view.scale, n = Math.floor(w * view.scale);
  let changed = 0;

  for (let i = 0; i < n; i++) {
    const at = 4 * (row * shown.width + Math.round(from) + i);

    changed += [0, 1, 2].some((c) => Math.abs(shown.data[at + c] - bare.data[at + c]) > 30);
  }
  return changed / n;
});
"""
CHIP, SURVEY_US = 8, 20.0
sitting = {}


def the_survey():
    """A session, scanned once by a controller that has not attached yet."""
    fly, microscope = sitting["fly"], fs.Stub()
    facts = dict(microscope.facts())
    sender = sitting["sender"] = fly.sender(session="steered")
    sender.start(facts.pop("scan_shape_px"), facts.pop("detectors"), facts.pop("eds"), **facts)
    for block in microscope.scan(0, 0, *microscope.SHAPE, SURVEY_US, "both"):
        y, x, shape, images, photons = block
        sender.lines("HAADF", images["HAADF"], y, x, dwell_us=SURVEY_US)
        sender.eds_pairs("EDS", *photons["EDS"], y, x, shape, dwell_us=SURVEY_US)
    sitting["microscope"] = microscope


def begin():
    port = free_port()
    sitting["fly"] = Flyback({"page.listen": "127.0.0.1:%d" % port, "chip.size_px": CHIP, "engine.threads": 1,
                              "steer.ask_s": 10 * SLOW})
    sitting["page"] = Page("http://127.0.0.1:%d/" % port)
    return sitting["page"]


def attach():
    """The controller in the mode `ask`; it runs beside the test."""
    control = sitting["control"] = fs.Controller(sitting["microscope"], sitting["sender"], sitting["fly"].control, "ask",
                                                 lambda words: None)
    control.__enter__()
    sitting["end"] = threading.Event()

    def obey():
        while not sitting["end"].is_set():
            control.run(0.1)

    sitting["obey"] = threading.Thread(target=obey, daemon=True)
    sitting["obey"].start()


def status():
    with sitting["fly"].controller() as control:
        return control.status()


def what_the_plugin_proposes_is_on_the_map_and_in_words():
    page = begin()
    page.wait("state.steer && !$('hold').hidden", "the panel of steering")
    assert page.js("return $('targets').hidden && $('steer-acts').hidden"), "the panel has more to say than there is"
    assert page.text("#steer-idle") == "Nothing is proposed: there is no session", page.text("#steer-idle")
    the_survey()
    page.wait("state.start && proposed().length > 3", "proposals", 15)
    page.click("#method [data-value=ward]")
    page.wait("Boolean(currentMap()) && !changes.size", "a map")
    told = page.text("#targets li")
    first = page.js("return proposed()[0]")
    assert told.startswith("1 · row %d, chip" % (first["px"][0] // CHIP)) and first["reason"] in told and "µs" in told, told
    drawn = np.array(page.js(EDGES))
    assert drawn.min() > 0.25, "of the edges of the first boxes %s are drawn" % drawn  # dashed once it is expired
    page.wait("$('steer-state').textContent.includes('advise')", "the mode")
    page.wait("!$('steer-idle').textContent", "the panel to know that something is proposed")
    page.shot("proposed")
    return told


def what_is_still_open_is_listed_with_how_far_it_is():
    page = sitting["page"]
    until = page.wait("state.suggest.until", "the conditions")
    assert set(until) == {"error", "births", "agreement", "composition", "budget"}, until
    assert until["error"]["limit"] == 0.02 and until["error"]["now"] == page.js("return state.suggest.expected_error")
    page.wait("!changes.size", "the page to be drawn")
    rows = page.js("return [...$('until').children].map((row) => [row.className, row.textContent])")
    kinds = dict((words, kind) for kind, words in rows)
    error = [words for words in kinds if words.startswith("expected error ")]
    assert len(error) == 1 and "below 2\u202f% is asked" in error[0], rows
    assert kinds[error[0]] == ("fine" if until["error"]["met"] else "open"), (rows, until)
    assert any("of 3 maps in a row" in words for words in kinds), rows
    assert not any("budget" in words for words in kinds), rows  # there is none
    return "; ".join("%s (%s)" % (words, kind) for kind, words in rows)


def a_chip_under_the_pointer_tells_its_proposal():
    page = sitting["page"]
    page.wait("""(() => {
      const [y, x, h, w] = boxOf(proposed()[0]);

      state.hover = chipAt(x + w / 2, y + h / 2);
      changed('hover');
      return $('readout').textContent.includes('proposal 1: ');
    })()""", "the words of the proposal")
    page.js("state.hover = null; changed('hover')")


def decided():
    """The step that waits, once there is one."""
    return sitting["page"].wait("!$('approve').disabled && state.steer.undecided", "a step that waits", 15)


def a_step_that_is_approved_is_measured():
    page = sitting["page"]
    attach()
    step = decided()
    told = page.text("#steer-ask")
    left = re.fullmatch(r"Step %s waits for you, (\d+) s more" % step, told)
    assert left and int(left[1]) <= 10 * SLOW + 1, told  # a heartbeat is as old as a second
    assert "Stub has the beam" in page.text("#steer-state"), page.text("#steer-state")
    before = sitting["control"].done
    page.click("#approve")
    wait_until(lambda: sitting["control"].done > before, 10, "the command to be done")
    page.wait("state.steer.undecided !== '%s'" % step, "the page to know")
    return page.text("#until li")


def a_step_that_is_vetoed_is_not():
    page = sitting["page"]
    step = decided()
    before = sitting["control"].done
    page.click("#veto")
    again = page.wait("state.steer.undecided && state.steer.undecided !== '%s' && state.steer.undecided" % step, "the next", 15)
    assert sitting["control"].done == before and again != step, (again, step)


def the_last_commands_are_listed_with_what_became_of_them():
    page = sitting["page"]
    page.wait("/ · done/.test($('commands').textContent)", "a command that is done")
    listed = page.js("return state.steer.commands.map((one) => one.cmd_id)")
    assert listed and page.text("#commands li").startswith(listed[0]), page.text("#commands")
    return page.text("#commands li")


def hold_is_a_key_and_a_level():
    page = sitting["page"]
    page.js("$('picture').focus()")
    page.keys("h")
    page.wait("$('hold').textContent === 'HELD' && $('hold').getAttribute('aria-pressed') === 'true'", "the hold")
    told = status()["steer"]
    assert told["held"] and "page" in told["held_by"], told
    assert "Held by the page" in page.text("#steer-ask") and page.js("return $('approve').disabled"), page.text("#steer-ask")
    wait_until(lambda: sitting["control"].held, 5, "the controller to know")
    page.js("$('set-steer').focus()")  # where a person was last
    page.keys("h")
    page.wait("!holding", "the second press")
    assert status()["steer"]["held"], "a second press let go"
    page.shot("held")
    page.click("#resume")
    page.wait("$('hold').textContent === 'HOLD'", "the end of the hold")
    assert not status()["steer"]["held"]


def the_dose_map_has_its_unit_and_its_cap():
    page = sitting["page"]
    page.click("#layer [data-value=dose]")
    page.wait("state.dose && overlay.bar && overlay.cells", "the map of dose")
    bar = page.js("return overlay.bar")
    with sitting["fly"].controller() as control:
        told, payloads = control.request_parts("dose.get")
        cap = page.js("return state.dose.cap")
    assert bar["words"] == "dose, e⁻/Å²" and told["unit"] == "e_per_A2", (bar, told["unit"])
    assert bar["cap"] == cap and 0 < cap <= bar["hi"], (bar, cap)
    mean = np.frombuffer(payloads[0], "<f4")

    def same():
        return np.array_equal(page.js("return Array.from(state.dose.chips)"), mean)

    wait_until(same, 5, "the doses that dose.get tells")
    assert "dose" in page.text("#steer-dose") and "e⁻/Å²" in page.text("#steer-dose"), page.text("#steer-dose")
    page.shot("dose")
    page.keys(".")
    return page.text("#steer-dose")


def the_expected_error_has_a_course():
    page = sitting["page"]
    page.click("#tab-steer")
    page.wait("state.course && state.course.t_ns.length > 1", "its course")
    page.wait("/^Expected error over/.test($('errors').getAttribute('aria-label'))", "the plot")
    page.shot("expected_error")
    return page.js("return $('errors').getAttribute('aria-label')")


def what_the_guard_refuses_is_told_with_its_limit_and_its_own_hold_apart():
    page, fly = sitting["page"], sitting["fly"]
    let_go_of_the_beam()
    with fly.controller() as control:
        control.params_set({"steer.policy": "random", "steer.target_error": 0})  # something to command, however good the map
    guard = Peer(fly)
    guard.ask("steer.attach", mode="auto", **{"as": "guard"})
    page.wait("$('steer-state').textContent.includes('the guard has the beam')", "who has the beam")

    def shown(text):
        """In words that the guard's requests, which keep it the owner, do not outrun."""
        wait_until(lambda: (guard.ask("status"), text in page.text("#refusals") + page.text("#steer-ask"))[1], 10, text)

    refused = guard.answer("rejected", "guard: chip_dose: 9 e-/A^2, at most 8 are allowed")
    shown("%s rejected: guard: chip_dose: 9 e-/A^2, at most 8 are allowed" % refused)
    assert page.text("#steer-ask").strip() == "", page.text("#steer-ask")
    guard.answer("rejected", "guard: held: held by signal")
    shown("The guard holds by itself (held by signal)")
    assert page.text("#hold") == "HOLD", "a hold of the guard's is none of ours"
    page.shot("guard_holds")
    Peer(fly).ask("steer.hold")
    shown("Held by a client without a name: nothing is commanded. The guard holds by itself")
    told = guard.ask("status")["steer"]
    assert len(told["held_id"]) == 10 and int(told["held_id"], 16) >= 0, told  # hexadecimals of a routing id: for programs
    guard.commands.clear()
    Peer(fly).ask("steer.resume")
    guard.answer("received")
    wait_until(lambda: (guard.ask("status"), page.text("#steer-ask").strip() == "")[1], 10, "the end of both holds")
    guard.ask("status", own_hold="held by request")  # before it has refused anything
    shown("The guard holds by itself (held by request)")
    guard.ask("status", own_hold=None)
    wait_until(lambda: (guard.ask("status"), page.text("#steer-ask").strip() == "")[1], 10, "the end of what it told")
    guard.ask("steer.detach")
    with fly.controller() as control:
        control.params_set({"steer.policy": "adaptive", "steer.target_error": 0.02})


def nothing_is_proposed_once_it_is_switched_off():
    page = sitting["page"]
    page.set("#set-steer", "off")
    page.wait("state.config['steer.mode'] === 'off' && state.steer.mode === 'off'", "off")
    assert status()["steer"]["mode"] == "off"
    page.wait("$('steer-idle').textContent === 'Nothing is proposed: steer.mode is off'", "why nothing is proposed")
    page.set("#controls [data-key='steer.policy']", "random")
    page.wait("state.steer.policy === 'random'", "the policy")
    page.keys("u")
    page.wait("state.config['steer.policy'] === 'adaptive'", "undo of the policy")
    page.keys("u")
    page.wait("state.config['steer.mode'] === 'advise'", "undo")


def nothing_went_wrong_unseen():
    page = sitting["page"]
    said = [line["message"] for line in page.console() if line["level"] in ("SEVERE", "WARNING")]
    wrong = [line for line in said if not any(gone in line for gone in GONE)]
    assert not wrong, "the console says\n%s" % "\n".join(wrong)


def let_go_of_the_beam():
    if "end" in sitting:
        sitting["end"].set()
        sitting["obey"].join()
        sitting.pop("control").__exit__()
        sitting.pop("end")


def let_go():
    let_go_of_the_beam()
    for name in ("sender", "page"):
        if name in sitting:
            made = sitting.pop(name)
            made.close() if name == "sender" else made.__exit__()


def the_plugin_ends_well():
    let_go()
    sitting.pop("fly").__exit__(None, None, None)


if __name__ == "__main__":
    if browser.missing():
        print("NOT RUN: the page needs a browser; absent: %s" % browser.missing())
        sys.exit(77)
    try:
        run(
            what_the_plugin_proposes_is_on_the_map_and_in_words,
            what_is_still_open_is_listed_with_how_far_it_is,
            a_chip_under_the_pointer_tells_its_proposal,
            a_step_that_is_approved_is_measured,
            a_step_that_is_vetoed_is_not,
            the_last_commands_are_listed_with_what_became_of_them,
            hold_is_a_key_and_a_level,
            the_dose_map_has_its_unit_and_its_cap,
            the_expected_error_has_a_course,
            what_the_guard_refuses_is_told_with_its_limit_and_its_own_hold_apart,
            nothing_is_proposed_once_it_is_switched_off,
            nothing_went_wrong_unseen,
            the_plugin_ends_well,
        )
    finally:
        let_go()
        if "fly" in sitting:
            sitting["fly"].kill()
