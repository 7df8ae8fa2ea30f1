"""How often a web process looks for garbage that holds on to itself.

A request makes and drops thousands of objects. Python's default is to look through the young ones whenever there are
700 more than before, which is several times a request while many are under way: a seventh of the process's time in
`chatbot bench accept`.
"""

from __future__ import annotations

import gc

#: So many more objects, some MB, before it looks again.
YOUNG = 20_000


def look_less_often() -> None:
    """Look less often, and never at what the process is made of by now."""
    gc.freeze()
    gc.set_threshold(YOUNG)
