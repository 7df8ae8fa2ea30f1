"""How many messages a consumer holds at a time: a wide window makes large batches of whatever is said to a server, but
what waits in it waits for this process, even while another one is idle. So it is wide only as long as calls are quick.
"""

from __future__ import annotations

import time

#: A wide window is so many times as wide as a narrow one, but never wider than MOST.
TIMES = 16
MOST = 256
#: s. A window becomes wide when all that is in it would be done within QUICK, and narrow when that takes longer than
#: SLOW.
QUICK, SLOW = 0.1, 0.4
#: So many calls, or those of SLOW, say how quick they are.
SAMPLE = 16


class Prefetch(int):
    """A consumer's prefetch that is only the least: it may hold more while its calls are quick. A plain number is
    exact, as Dramatiq's own variable is (dramatiq_queue_prefetch)."""


class Window:
    """How many messages one consumer may hold, by the pace at which it is done with them."""

    def __init__(self, prefetch: int) -> None:
        self.narrow = int(prefetch)
        self.wide = max(self.narrow, min(self.narrow * TIMES, MOST)) if isinstance(prefetch, Prefetch) else self.narrow
        self._size, self._done, self._since = self.narrow, 0, time.monotonic()

    @property
    def is_exact(self) -> bool:
        """Say whether it never changes."""
        return self.wide == self.narrow

    def done(self, count: int) -> None:
        """So many messages are done. One that is lost to a thread that asks for the size does not matter."""
        self._done += count

    def size(self) -> int:
        """Return how many messages may be held from now on."""
        if not self.is_exact:
            elapsed = time.monotonic() - self._since
            if self._done >= max(self.narrow, SAMPLE) or elapsed > SLOW:
                self._judge(elapsed * self.wide / max(self._done, 1))
        return self._size

    def _judge(self, takes: float) -> None:
        """Choose by how many seconds a wide window takes at this pace."""
        self._size = self.wide if takes <= (QUICK if self._size == self.narrow else SLOW) else self.narrow
        self._done, self._since = 0, time.monotonic()
