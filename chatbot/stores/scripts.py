"""The ledger's verbs as Lua: one file a verb, each of them one atomic script.

The first line of a verb names the parts that stand before it: `-- include: ledger window`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

VERBS = (
    "offer", "take_due", "handed_over", "begin", "renew", "finish", "unlock", "replay", "forget", "wake",
    "claim", "settle", "release", "inspect", "remember", "survey", "mend", "prune_dead",
    "trace", "graves", "drop", "omit", "note", "journal", "tail",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Script:
    """One verb: its source, and the digest by which the server knows it."""

    source: str
    sha: str


@cache
def scripts() -> dict[str, Script]:
    """Return every verb's script."""
    return {verb: _assemble(verb) for verb in VERBS}


def _assemble(verb: str) -> Script:
    body = _read(verb)
    parts = body.partition("\n")[0].removeprefix("-- include: ").split()
    source = "".join([*map(_read, parts), body])
    return Script(source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


@cache
def _read(name: str) -> str:
    return (files(__package__) / "lua" / f"{name}.lua").read_text()
