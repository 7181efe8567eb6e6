"""The documentation as people follow it: every command in it is run, page by page, in a world of its own.

A page's ```sh blocks are one shell session, in an empty folder, with `flyback` in the PATH and the default ports: in a network
namespace where the machine grants one, else on the machine's own loopback if those ports are free. `ssh` leads to another
machine, so a stand-in checks its words; `tcp://flyback-pc` is this machine.
"""

import glob
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from flyback_test import BINARY, ROOT, SLOW, NotRun, run  # noqa: E402

DOCS = os.path.join(ROOT, "plugin", "docs")
PORTS = (5570, 5571, 5572, 5573, 5580)
# Loopback is down in a new namespace: SIOCSIFFLAGS with IFF_UP.
LO_UP = "import fcntl,socket,struct; fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sh', b'lo', 1))"
SSH = """#!/bin/sh
# -N, then -L port:127.0.0.1:port for the page, then user@host
[ "$1 $2 $3" = "-N -L 5580:127.0.0.1:5580" ] || exit 9
shift 3
case "$*" in *@*) exit 0 ;; esac
exit 9
"""


def own_network():
    """A prefix that runs a command in a network of its own, or nothing where that is not allowed."""
    for prefix in (["unshare", "-n"], ["unshare", "-r", "-n"]):
        if shutil.which("unshare") and subprocess.run(
                prefix + [sys.executable, "-c", LO_UP], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0:
            return prefix
    for port in PORTS:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                raise NotRun("port %d is in use, and a network of its own is not to be had" % port)
    return []


def commands_of(page):
    with open(os.path.join(DOCS, page), encoding="utf-8") as file:
        return re.findall(r"^```sh\n(.*?)^```$", file.read(), re.M | re.S)


def world(folder):
    tools = os.path.join(folder, "tools")
    docs = os.path.join(folder, "given")
    work = os.path.join(folder, "work")
    for made in (tools, docs, work):
        os.makedirs(made)
    os.symlink(BINARY, os.path.join(tools, "flyback"))
    with open(os.path.join(tools, "python3"), "w") as file:
        file.write('#!/bin/sh\nexec "%s" "$@"\n' % sys.executable)  # the one that has zmq and msgpack
    os.chmod(os.path.join(tools, "python3"), 0o755)
    with open(os.path.join(tools, "ssh"), "w") as file:
        file.write(SSH)
    os.chmod(os.path.join(tools, "ssh"), 0o755)
    y, x = np.mgrid[0:64, 0:96]
    scan = 1000 + 200 * np.sin(x / 1.3) * np.sin(y / 1.3) * (x > 40) + 20 * np.random.default_rng(3).normal(size=x.shape)
    np.save(os.path.join(docs, "scan.npy"), scan.astype("<u2"))
    env = dict(os.environ, PATH=tools + ":" + os.environ["PATH"], DOCS=docs,
               CLIENTS=os.path.join(ROOT, "plugin", "clients", "python"), CONFIGS=os.path.join(ROOT, "configs"))
    return work, env


def follow(page):
    """Run what the page says; what it wrote."""
    blocks = commands_of(page)
    assert blocks, "%s has no commands" % page
    script = "set -e\ntrap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n%s\n" % "\n".join(blocks)
    script = script.replace("tcp://flyback-pc:", "tcp://127.0.0.1:")
    with tempfile.TemporaryDirectory(prefix="fly_docs.") as folder:
        work, env = world(folder)
        start = own_network() + [sys.executable, "-c",
                                 "import os,sys\ntry:\n  %s\nexcept OSError: pass\nos.execvp('bash', ['bash', '-c', sys.argv[1]])"
                                 % LO_UP, script]
        done = subprocess.run(start, cwd=work, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=50 * SLOW)
        assert done.returncode == 0, "%s ended with %d:\n%s" % (page, done.returncode, done.stdout[-3000:])
        return done.stdout, sorted(os.listdir(work))


def the_quick_start_leads_to_a_report():
    told, files = follow("quick-start.md")
    for name in ("first.html", "first.hspy", "first.csv", "first_chips.csv", "first", "recordings", "keys"):
        assert name in files, (name, files)
    # from the second PC, with the role that the page gives it, through the door that it opens
    assert '"session":"second"' in told and "keys/allow.txt: 1 client" in told, told[-2000:]
    assert "finished" in told


def an_instrument_is_connected_by_folder_and_by_script():
    told, files = follow("connecting.md")
    assert "my-microscope.yaml: a configuration" in told, told[-2000:]


def chip_size_is_advised_and_a_support_set_checked():
    told, files = follow("choosing.md")
    assert "advised_px" in told and "2 classes" in told, told[-2000:]


def the_numbers_behind_a_region_are_read():
    told, files = follow("reading.md")
    assert "map.svg" in files and "method,modality,id" in told, told[-2000:]


def a_stuck_plugin_is_looked_at_from_four_sides():
    told, files = follow("troubleshooting.md")
    assert "whole" in told and "flyback_" in told, told[-2000:]


def it_proposes_asks_and_drives_within_limits():
    told, files = follow("steering.md")
    for words in ("'verdict': 'approve'", "done", "commands done"):
        assert words in told, (words, told[-3000:])
    assert "guard-journal.jsonl" in files and "limits.yaml" in files, files


def every_page_that_is_linked_is_there():
    pages = [os.path.join(ROOT, "README.md")] + glob.glob(os.path.join(DOCS, "*.md"))
    for page in pages:
        with open(page, encoding="utf-8") as file:
            for link in re.findall(r"\]\(([^)#\s]+)\)", file.read()):
                if "://" not in link:
                    full = os.path.join(os.path.dirname(page), link)
                    assert os.path.exists(full), "%s links to %s" % (page, link)


run(
    the_quick_start_leads_to_a_report,
    an_instrument_is_connected_by_folder_and_by_script,
    chip_size_is_advised_and_a_support_set_checked,
    the_numbers_behind_a_region_are_read,
    a_stuck_plugin_is_looked_at_from_four_sides,
    it_proposes_asks_and_drives_within_limits,
    every_page_that_is_linked_is_there,
)
