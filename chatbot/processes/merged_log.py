"""One log of several processes. For people, every line says whose it is, in a colour of its own on a terminal; for
machines every line is a JSON object, with the process as its `role`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal, TextIO

COLOURS = (36, 32, 33, 35, 34, 96, 92, 93, 95, 94)
#: A line longer than this (characters) is broken, so that a process that never ends one cannot fill our memory.
LONGEST = 65_536

Form = Literal["json", "pretty"]


class MergedLog:
    """Writes the lines of all, but those with a phrase in `mute`. `broken` once nobody reads them any more."""

    def __init__(
        self, names: Sequence[str], out: TextIO, mute: Mapping[str, tuple[str, ...]], form: Form = "pretty"
    ) -> None:
        self.broken = False
        self._out, self._form = out, form
        self._width = max(map(len, names), default=0)
        coloured = out.isatty() and not os.environ.get("NO_COLOR")
        self._colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)} if coloured else {}
        self._mute = mute
        self._partial = dict.fromkeys(names, "")

    def line(self, name: str, text: str) -> None:
        """Write one line of a process."""
        whole = _object(name, text) if self._form == "json" else f"{self._prefix(name)} {text}"
        if not self.broken:
            try:
                self._out.write(f"{whole}\n")
                self._out.flush()
            except (OSError, ValueError):
                self.broken = True

    def _prefix(self, name: str) -> str:
        prefix = f"{name:<{self._width}} |"
        return f"\x1b[{self._colours[name]}m{prefix}\x1b[0m" if name in self._colours else prefix

    def feed(self, name: str, data: bytes) -> None:
        """Write the lines that are complete, and keep the rest until it is."""
        *lines, rest = (self._partial[name] + data.decode(errors="replace")).split("\n")
        if len(rest) > LONGEST:
            lines, rest = [*lines, rest], ""
        self._partial[name] = rest
        for text in lines:
            if not any(phrase in text for phrase in self._mute.get(name, ())):
                self.line(name, text.rstrip("\r"))

    def end(self, name: str) -> None:
        """Write what a process left without a line end."""
        if rest := self._partial[name]:
            self.line(name, rest)
        self._partial[name] = ""


def _object(name: str, text: str) -> str:
    """Return a line as JSON: one that is an object gets the role, whatever else a process says becomes an event."""
    known: object = None
    with suppress(ValueError):
        known = json.loads(text)
    if not isinstance(known, dict):
        known = {"timestamp": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}", "level": "info", "event": text}
    return json.dumps({**known, "role": known.get("role", name)})
