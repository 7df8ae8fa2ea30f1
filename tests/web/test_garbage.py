"""A web process that looks for garbage less often still finds it."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import gc, weakref
from chatbot.web import garbage

class Cycle:
    def __init__(self):
        self.me, self.weight = self, [[] for _ in range(10)]

garbage.look_less_often()
assert gc.isenabled() and gc.get_freeze_count() > 1_000, gc.get_freeze_count()
gone = []
for _ in range(garbage.YOUNG):
    weakref.finalize(Cycle(), gone.append, 1).atexit = False
print(len(gone) > garbage.YOUNG / 2)
"""


def test_garbage_is_still_found() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("True", "")
