"""The model by hand, and what it is for.

    python -m tests.model                every configuration, then every mutation (a few minutes on two cores)
    python -m tests.model mutations      the mutations only (seconds)
    python -m tests.model trace MUTATION its shortest counterexample

To change the protocol: change a verb in `mailboxes.py` or `records.py`, search, then change its script and the memory
store. A new guard needs a mutation that drops it: one that is not caught means a missing property or a useless guard.
Which script is which function of the model: `MODELLED` in `configurations.py`. Who calls the verbs, and what goes wrong
meanwhile: `system.py`. What must hold: `properties.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor

from tests.model.configurations import COMPLETE, IMPLIED, MUTATIONS, AnyConfig, mutant, searched
from tests.model.search import Report


def _named(configs: Iterable[AnyConfig]) -> Iterable[tuple[AnyConfig, Report]]:
    chosen = list(configs)
    with ProcessPoolExecutor() as pool:
        yield from zip(chosen, pool.map(searched, chosen), strict=True)


def _configurations() -> int:
    bad = 0
    for c, found in _named(sorted(COMPLETE, key=lambda c: -c.faults)):
        bad += bool(found.wrong)
        print(f"{c}\n    {found.states:,} states, {found.transitions:,} transitions, depth {found.depth}, "
              f"{found.seconds:.1f} s: {found.wrong or 'holds'}", *found.trace, sep="\n    ", flush=True)  # fmt: skip
    return bad


def _mutations() -> int:
    bad = 0
    for c, found in _named(map(mutant, [*MUTATIONS, *IMPLIED])):
        bad += bool(found.wrong) == (c.bug in IMPLIED)
        print(f"{c.bug:24} {found.wrong or 'not caught'} ({len(found.trace)} steps, {found.states} states)", flush=True)
    return bad


def main(argv: list[str]) -> int:
    if argv[:1] == ["trace"]:
        found = searched(mutant(argv[1]))
        print(*found.trace, found.wrong or "holds", sep="\n")
        return 0
    bad = (0 if argv == ["mutations"] else _configurations()) + _mutations()
    print("FAILED" if bad else "every configuration holds, every mutation is caught")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
