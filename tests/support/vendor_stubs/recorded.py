"""Answers of a vendor's software as they were recorded, and nothing else.

A Tape maps the path of a value or a call to what it gave. What is not on it fails with its path: an adapter that
makes another call than the recorded ones is found out at once.
"""

import sys
import types


class Unknown(AssertionError):
    """A value or a call that is not in the recording."""


class Call:
    """Answers of one call in their order, each with the arguments that it belongs to.

    answers  [((args), {kwargs}, answer), ...]; an answer that is an exception is raised, one that can be called is
             (for what has to happen at that moment)
    again    the last answer is given as often as it is asked for
    """

    def __init__(self, *answers, again=False):
        self.answers, self.again, self.at = list(answers), again, 0

    def play(self, path, args, kwargs):
        if self.at == len(self.answers) and not self.again:
            raise Unknown("%s was called %d times, the recording has %d" % (path, self.at + 1, len(self.answers)))
        wanted_args, wanted_kwargs, answer = self.answers[min(self.at, len(self.answers) - 1)]
        if args != wanted_args or kwargs != wanted_kwargs:
            raise Unknown("%s%r %r is not in the recording; there it is %r %r"
                          % (path, args, kwargs, wanted_args, wanted_kwargs))
        self.at += 1
        if isinstance(answer, BaseException):
            raise answer
        return answer(*args, **kwargs) if callable(answer) and not isinstance(answer, Recorded) else answer


class Recorded:
    """Something of the vendor's: what it has and can do is on the tape, below its path."""

    def __init__(self, tape, path):
        self.__dict__.update(_tape=tape, _path=path)

    def __getattr__(self, name):
        path = "%s.%s" % (self._path, name)
        if path in self._tape:
            found = self._tape[path]
            return (lambda *args, **kwargs: found.play(path, args, kwargs)) if isinstance(found, Call) else found
        if any(known.startswith(path + ".") for known in self._tape):
            return Recorded(self._tape, path)
        raise Unknown("%s is not in the recording" % path)

    def __setattr__(self, name, value):
        raise Unknown("%s.%s = ... is not in the recording" % (self._path, name))


class Tape(dict):
    """{path: value or Call}. install() puts modules of these names where import finds them."""

    def install(self, *modules):
        for name in modules:
            module = types.ModuleType(name)
            recorded = Recorded(self, name)
            module.__path__ = []  # so that modules below it can be imported
            module.__getattr__ = lambda key, r=recorded: _plain(r, key)
            sys.modules[name] = module

    def all_played(self):
        """Every answer that was recorded was asked for."""
        for path, found in self.items():
            if isinstance(found, Call):
                assert found.at >= len(found.answers), "%s: %d of %d calls" % (path, found.at, len(found.answers))


def _plain(recorded, key):
    """Python asks modules for names of its own; they are absent, not unknown."""
    if key.startswith("__"):
        raise AttributeError(key)
    return getattr(recorded, key)


def remove(*modules):
    for name in modules:
        sys.modules.pop(name, None)
