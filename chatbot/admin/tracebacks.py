"""What an error leaves behind, without what it says: that may quote a person."""

from __future__ import annotations

import re

_FRAME = re.compile(r'^  File "[^"]*", line \d+')
_BETWEEN = ("The above exception was the direct cause", "During handling of the above exception")
_KIND = re.compile(r"^([\w.]+)(:|$)")


def without_words(traceback: str) -> str:
    """Return a traceback's places and kinds of errors, without what the errors say: that may quote a person."""
    kept, code = [], False
    for line in traceback.splitlines():
        is_frame = bool(_FRAME.match(line))
        if line.startswith(_BETWEEN):
            kept += ["", line, ""]
        elif is_frame or line.startswith("Traceback (most") or (code and line.startswith("    ")):
            kept.append(line)
        elif (kind := _KIND.match(line)) and kept and kept[-1].startswith(" "):
            kept.append(f"{kind[1]}: •••" if kind[2] else kind[1])
        code = is_frame
    return "\n".join(kept)


#: What `repr` makes of most errors, and what we note ourselves. Some errors repeat there what they were given.
_REPR = re.compile(r"([A-Za-z_][\w.]*)\(|(unknown|RabbitMQ: \w+)$")


def kind(error: str) -> str:
    """Return the kind of an error, as far as its `repr` begins with it."""
    found = _REPR.match(error)
    return (found[1] or found[2]) if found else "an error"
