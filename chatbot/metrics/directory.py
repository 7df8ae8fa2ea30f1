"""A place for the numbers of several processes, for as long as their supervisor lives.

A supervisor that was killed cannot clean up, so the next one does. Whether somebody still uses a directory is told by a
lock, which ends with its process; a pid would say nothing to a container that shares the place.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

_PREFIX = "chatbot-metrics-"
_LOCK = "held"


@contextmanager
def shared_directory() -> Iterator[str]:
    """Make a directory; remove it in the end, and now those of supervisors that were killed."""
    for left in Path(gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):  # somebody holds it, or it is another user's
            _remove(left)
    with TemporaryDirectory(prefix=_PREFIX) as made:
        unnamed = Path(made) / "new"
        with unnamed.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Only now can it be found, so nobody finds it unlocked.
            unnamed.rename(unnamed.with_name(_LOCK))
            yield made


def _remove(left: Path) -> None:
    with (left / _LOCK).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(left)
