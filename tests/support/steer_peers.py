"""Who has a part in steering, over sockets and from the protocol's page alone: one that may own the beam, one that
listens."""

import time

import msgpack
import zmq
from flyback_test import SLOW, wait_until


class Peer:
    """A DEALER on the control socket that tells commands from replies."""

    def __init__(self, fly):
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect(fly.control)
        self.number = 0
        self.commands = []  # came, and not yet taken

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def say(self, header):
        self.socket.send_multipart([b"", msgpack.packb(header)])

    def hear(self, timeout_s):
        if not self.socket.poll(int(1000 * timeout_s)):
            return None
        header = msgpack.unpackb(self.socket.recv_multipart()[1])
        if header["type"] == "command":
            self.commands.append(header)
        return header

    def reply(self, op, **args):
        self.number += 1
        self.say({"type": "request", "id": self.number, "op": op, "args": args})
        while True:
            header = self.hear(20 * SLOW)
            assert header is not None, "no reply to %s" % op
            if header["type"] == "reply" and header["id"] == self.number:
                return header

    def ask(self, op, **args):
        reply = self.reply(op, **args)
        assert reply["ok"], reply
        return reply["result"]

    def code(self, op, **args):
        """The code of the error that it gets."""
        reply = self.reply(op, **args)
        assert not reply["ok"], reply
        self.message = reply["error"]["message"]
        return reply["error"]["code"]

    def attach(self, mode, guard=False, **limits):
        return self.ask("steer.attach", mode=mode, limits=limits, **({"as": "guard"} if guard else {}))

    def command(self, timeout_s=10.0):
        """The next command. Asks now and then, and so stays the owner."""
        wait_until(lambda: self.commands or (self.hear(0.1) is None and self.ask("status") and None), timeout_s,
                   "a command")
        return self.commands.pop(0)

    def box(self):
        """The next command to measure."""
        while True:
            command = self.command()
            if command["kind"] == "box":
                return command

    def answer(self, status, reason=None):
        """What it says of a command to measure, which may have been withdrawn by then: of the next one. Its id."""

        def known():
            number = self.box()["cmd_id"]
            self.ack({"cmd_id": number}, status, reason=reason)
            return [c["cmd_id"] for c in self.ask("status")["steer"]["commands"]
                    if (c["cmd_id"], c["state"]) == (number, status)]

        return wait_until(known, 20, "a command to be %s" % status)[0]

    def quiet(self, seconds):
        """No command for so long, and still the owner."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.hear(0.1)
            self.ask("status")
        assert not self.commands, self.commands

    def ack(self, command, *statuses, reason=None, **achieved):
        for status in statuses:
            self.say({"type": "ack", "cmd_id": command["cmd_id"], "status": status, "reason": reason,
                      "achieved": achieved or None})


class Heard:
    """Suggestions and events, as they were published.

    owner  a Peer that stays the owner however long something is waited for
    """

    def __init__(self, fly):
        self.owner, self.asked = None, 0.0
        self.socket = zmq.Context.instance().socket(zmq.SUB)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect(fly.publish)
        for topic in (b"suggest", b"event", b"heartbeat"):
            self.socket.subscribe(topic)
        self.suggests, self.events, self.counters = [], [], {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def poll(self, timeout_s=0.02):
        if self.owner and time.monotonic() - self.asked > 1:
            self.owner.ask("status")
            self.asked = time.monotonic()
        wait_ms = int(1000 * timeout_s)
        while self.socket.poll(wait_ms):
            wait_ms = 0
            header = msgpack.unpackb(self.socket.recv_multipart()[1])
            if header["type"] == "suggest":
                self.suggests.append(header)
            elif header["type"] == "event":
                self.events.append(header)
            else:
                self.counters = header["counters"]

    def quiet(self, seconds=0.4):
        """Until no suggestion has come for so long: some cycles."""
        said = -1
        while said != len(self.suggests):
            said = len(self.suggests)
            end = time.monotonic() + seconds * SLOW
            while time.monotonic() < end:
                self.poll()

    def event(self, code):
        """Wait for an event of this code; all of them."""

        def there():
            self.poll()
            return [e for e in self.events if e["code"] == code]

        return wait_until(there, 15, "an event %s" % code)

    def suggest(self, mode=None, after=0):
        """Wait for a suggestion with targets beyond the first `after`."""

        def there():
            self.poll()
            return [s for s in self.suggests[after:] if s["targets"] and mode in (None, s["mode"])]

        return wait_until(there, 15, "a suggestion")[-1]

    def counted(self, name, value):
        def there():
            self.poll()
            return self.counters.get(name, 0) >= value

        wait_until(there, 15, "counter %s of %d" % (name, value))
