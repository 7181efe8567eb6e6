#!/usr/bin/env python3
"""How steady live maps are on the simulated specimen of four classes: criteria A9 and A10.

    /usr/bin/python3 tests/bench/id_stability.py [--seeds 1,2,3] [--sample defective_0.1] [--frames 1,10]
                                                 [--seconds 8] [--set key=value ...] [--json FILE]

Everything goes through the program, live: `flyback sim` scans, `flyback run` labels, a viewer keeps every map that
is published, of all three methods and modalities, and tests/support/steadiness.py counts. A scan of one frame
takes as long as --seconds; of several the frames together do. What the publisher skipped (a newer map overtook it)
is told: where it is not 0, `avoidable` is that of the maps that were seen. $FLYBACK names the program.

Required are 95 % kept from 70 % of the scan on (A10), avoidable flicker 0 but for `ward ensemble`, whose ids say
which two clusters they stand for, and few-shot, whose ids are the classes, and reversals below 0.5 % an epoch after
30 % of the scan (A9).
"""

import argparse
import json
import os
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from flyback_test import MAPS  # noqa: E402
from steadiness import live, measure  # noqa: E402

# name: chip px, pixels of a side (Table II), as `flyback sim --geometry` has them
SAMPLES = {"pristine_0": 15, "pristine_0.1": 20, "defective_0": 15, "defective_0.1": 10}
SIDE_PX = 512


def percent(value):
    return "%6.2f %%" % (100 * value) if np.isfinite(value) else "       -"


def table(rows):
    print("%-10s %-9s %5s %4s | %9s %9s | %9s %9s | %9s | %9s %9s" % (
        "", "", "maps", "ids", "kept", "shown", "flicker", "shown", "avoidable", "reversals", "shown"))
    for key in MAPS:
        got = [r for r in rows if (r["method"], r["modality"]) == key]
        if not got:
            continue

        def worst(name, of, pick):
            values = [r[of][name] for r in got if np.isfinite(r[of][name])]
            return pick(values) if values else np.nan

        print("%-10s %-9s %5d %4d | %s %s | %s %s | %9d | %s %s" % (
            *key, worst("maps", "labels", min), worst("ids", "labels", max),
            percent(worst("kept", "labels", min)), percent(worst("kept", "shown", min)),
            percent(worst("flicker", "labels", np.mean)), percent(worst("flicker", "shown", np.mean)),
            worst("avoidable", "labels", max),
            percent(worst("reversals", "labels", max)), percent(worst("reversals", "shown", max))))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--sample", default="defective_0.1", choices=sorted(SAMPLES))
    parser.add_argument("--frames", default="1,10")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--eds-counts", type=float, help="photons a pixel, of all frames together (1)", default=1.0)
    parser.add_argument("--set", action="append", default=[], metavar="key=value")
    parser.add_argument("--json", metavar="FILE", help="every number, one session and map a line")
    args = parser.parse_args()
    settings = dict({"chip.size_px": SAMPLES[args.sample]}, **dict(item.split("=", 1) for item in args.set))
    out = open(args.json, "a") if args.json else None
    for frames in (int(f) for f in args.frames.split(",")):
        rows = []
        for seed in (int(s) for s in args.seeds.split(",")):
            scene = ["--geometry", "table2_" + args.sample, "--seed", str(seed), "--frames", str(frames),
                     "--dwell-us", repr(args.seconds * 1e6 / (frames * SIDE_PX * SIDE_PX)),
                     "--eds-counts", repr(args.eds_counts / frames)]
            states, skipped = live(scene, frames * SIDE_PX, settings)
            for (method, modality), all_of_it in sorted(states.items()):
                row = {"sample": args.sample, "seed": seed, "frames": frames, "method": method, "modality": modality,
                       "skipped": skipped, "labels": measure(all_of_it),
                       "shown": measure(all_of_it, shown=all_of_it[0].shown is not None)}
                rows.append(row)
                if out:
                    out.write(json.dumps(row) + "\n")
        skipped = sum({r["seed"]: r["skipped"] for r in rows}.values())
        print("\n%s, %d frame(s), seeds %s: the least kept, mean flicker, most avoidable (chips), most reversals; %d map "
              "sets skipped" % (args.sample, frames, args.seeds, skipped))
        table(rows)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
