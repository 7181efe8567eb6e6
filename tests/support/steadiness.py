"""How steady the maps of a session are: criteria A9 and A10, counted from what was published.

A map is a pair (method, modality); its states are what a viewer held after each message. Chips of a label below 0
are in no cluster: they are not looked at.

    kept        A10: of the chips of a cluster in the last state, the share whose id was the same in every state from
                a fraction of the scan on in which they had any
    flicker     A9: of the chips in clusters in two states that follow one another, whose content was not revised in
                between, those whose id changed; a mean over all pairs of states
    avoidable   of those, the chips that another naming of the second state's clusters would have left alone
    reversals   chips that came back, A then another and now A again, within three states; a mean over states
"""

import os
import shutil
import subprocess
import tempfile

import numpy as np

from flyback_test import BINARY, Flyback, fc

FROM = 0.7  # of the scan, A10
REVERSALS_FROM = 0.3  # A9


class State:
    def __init__(self, scanned, got):
        self.scanned = scanned
        self.labels = got.labels.ravel().copy()
        self.shown = None if got.shown is None else got.shown.ravel().copy()
        self.age = got.age.ravel().copy()
        self.final = got.final


class Keeper(fc.Viewer):
    """A viewer that keeps every state of every map.

    total   lines of the whole scan, all frames
    """

    def __init__(self, publish, total):
        super().__init__(publish)
        self.total = total
        self.states = {}

    def _take_map(self, header, payloads):
        took = super()._take_map(header, payloads)
        if took:
            key = header["method"], header["modality"]
            # What is there may not be thought about yet: in the first frame chips tell how far the map is.
            there = max(seq for stream, seq in header["as_of"].items() if stream != "control") / self.total
            measured = float((self.maps[key].labels != fc.NOT_MEASURED).mean())
            self.states.setdefault(key, []).append(State(min(there, measured), self.maps[key]))
        return took


def live(scene, lines, settings):
    """States of every map of one session, and how many map sets the publisher skipped because a newer one came.

    scene     what `flyback sim` scans
    lines     of all its frames together
    settings  of `flyback run`; the support set is the simulator's
    """
    folder = tempfile.mkdtemp(prefix="ids.")
    support, nobody = os.path.join(folder, "support.json"), "ipc://%s/nobody" % folder
    scene = [BINARY, "sim", "--quiet", "--support", support, *scene]
    # A session begins with its support set, so that has to be there before: this one finds nobody to scan for.
    subprocess.run(scene + ["--connect-timeout-s", "0", "--ingest", nobody, "--publish", nobody, "--control", nobody],
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    try:
        with Flyback(dict(settings, **{"fewshot.support": support}), folder=folder) as fly, \
                Keeper(fly.publish, lines) as viewer:
            sim = subprocess.Popen(scene + ["--ingest", fly.ingest, "--publish", fly.publish, "--control", fly.control],
                                   stdout=subprocess.DEVNULL)
            while not viewer.stop:
                viewer.poll(0.02)
                assert sim.poll() in (None, 0), "flyback sim ended with %s" % sim.returncode
            assert sim.wait() == 0
            return viewer.states, viewer.stop["counters"]["maps_skipped"]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def heaviest(table):
    """The largest sum of cells, no two in a row or a column: Kuhn's method with potentials, as in Burkard,
    Dell'Amico, Martello, Assignment Problems, 2009, section 4.2."""
    cost = -np.asarray(table if table.shape[0] <= table.shape[1] else table.T, float)
    rows, cols = cost.shape
    u, v, owner = np.zeros(rows + 1), np.zeros(cols + 1), np.zeros(cols + 1, int)  # rows from 1; column 0: none
    for row in range(1, rows + 1):
        owner[0], at = row, 0
        least, before, done = np.full(cols + 1, np.inf), np.zeros(cols + 1, int), np.zeros(cols + 1, bool)
        while owner[at]:
            done[at] = True
            slack = cost[owner[at] - 1] - u[owner[at]] - v[1:]
            better = ~done[1:] & (slack < least[1:])
            least[1:][better], before[1:][better] = slack[better], at
            to = int(np.argmin(np.where(done[1:], np.inf, least[1:]))) + 1
            u[owner[done]] += least[to]
            v[done] -= least[to]
            least[1:][~done[1:]] -= least[to]
            at = to
        while at:
            owner[at], at = owner[before[at]], before[at]
    return int(-sum(cost[owner[c] - 1, c - 1] for c in range(1, cols + 1) if owner[c]))


def best_kept(before, now):
    """How many chips can keep their id at most, however the clusters of `now` are named."""
    _, a = np.unique(before, return_inverse=True)
    _, b = np.unique(now, return_inverse=True)
    table = np.zeros((a.max() + 1, b.max() + 1), int)
    np.add.at(table, (a, b), 1)
    return heaviest(table)


def flicker(before, now, revised):
    """(chips looked at, changed, avoidable)"""
    keep = (before >= 0) & (now >= 0) & ~revised
    if not keep.any():
        return 0, 0, 0
    changed = int((before[keep] != now[keep]).sum())
    return int(keep.sum()), changed, changed - int(keep.sum() - best_kept(before[keep], now[keep])) if changed else 0


def reversals(states):
    """(chips looked at, reversed) in the last of three or four maps."""
    now, keep = states[-1], states[-1] >= 0
    for other in states[:-1]:
        keep = keep & (other >= 0)
    back = np.zeros(now.shape, bool)
    for i in range(len(states) - 2):
        left = np.zeros(now.shape, bool)
        for between in states[i + 1:-1]:
            left |= between != now
        back |= (states[i] == now) & left
    return int(keep.sum()), int((back & keep).sum())


def kept(states, last):
    """(chips of a cluster in the last, those that kept its id)"""
    inside = last >= 0
    same = inside.copy()
    for state in states:
        same &= (state < 0) | (state == last)
    return int(inside.sum()), int(same.sum())


def told(states):
    """States that say something: a map of nothing (too little structure) tears no ids apart."""
    return [s for s in states if (s.labels >= 0).any()]


def measure(states, shown=False):
    """{kept, flicker, avoidable, reversals, maps, ids}; shares, but for the chips of `avoidable`."""
    states = told(states)
    pictures = [s.shown if shown else s.labels for s in states]
    out = {"maps": len(states), "kept": np.nan, "flicker": np.nan, "avoidable": 0, "reversals": np.nan, "ids": 0}
    if not states:
        return out
    inside, same = kept([p for s, p in zip(states, pictures) if s.scanned >= FROM], pictures[-1])
    out["kept"] = same / inside if inside else np.nan
    out["ids"] = len(np.unique(pictures[-1][pictures[-1] >= 0]))
    shares = []
    for i in range(1, len(states)):
        chips, moved, avoidable = flicker(pictures[i - 1], pictures[i], states[i - 1].age != states[i].age)
        if chips:
            shares.append(moved / chips)
        out["avoidable"] += avoidable
    out["flicker"] = float(np.mean(shares)) if shares else 0.0
    shares = []
    for i in range(3, len(states) + 1):
        if states[i - 1].scanned >= REVERSALS_FROM:
            chips, back = reversals(pictures[max(0, i - 4):i])
            shares.append(back / chips if chips else 0.0)
    out["reversals"] = float(np.mean(shares)) if shares else 0.0
    return out
