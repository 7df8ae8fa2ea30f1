"""The ledger's verbs as Lua: one file a verb, each of them one atomic script.

The first line of a verb names the parts that stand before it: `-- include: ledger window`. Before all of them stands
`CLUSTER`, which says whether sleeping pumps hear of a publication or wait for a token.
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
def scripts(*, clustered: bool = False) -> dict[str, Script]:
    """Return every verb's script, for one server or for the servers of a cluster."""
    return {verb: _assemble(verb, clustered) for verb in VERBS}


def _assemble(verb: str, clustered: bool) -> Script:
    body = _read(verb)
    parts = body.partition("\n")[0].removeprefix("-- include: ").split()
    source = "".join([f"local CLUSTER = {str(clustered).lower()}\n", *map(_read, parts), body])
    return Script(source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


@cache
def _read(name: str) -> str:
    return (files(__package__) / "lua" / f"{name}.lua").read_text()
