"""`python -m tests.crash.launch POINT PASSAGE REPORT ARGUMENTS...` is `chatbot ARGUMENTS` with a death in it.

The process kills itself (SIGKILL) at the given passage of a point, so that it dies exactly there, and nowhere in the
package is anything said about it: the calls that stand beside a gap are wrapped from outside.

What it leaves in REPORT are the ids of the replies that were sent, but not recorded, when it died: another thread may
be in that gap while one dies elsewhere. These may come twice, and no others.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.crash.points import POINTS, TICKS, Point


class Death:
    """Counts passages, and dies at the one that is asked for."""

    def __init__(self, point: Point, passage: int, report: Path) -> None:
        self._point, self._left, self._report = point, passage, report
        # Whoever dies holds it: no other thread begins or records a send between the report and the end.
        self._lock = threading.RLock()
        self._unsure: dict[int, str] = {}

    def watch(self) -> None:
        """Wrap what the point stands beside, and what opens and closes the gap of a reply."""
        # First, and so innermost: who dies before a send has not sent, and who dies after a record has recorded.
        _wrap("chatbot.channels.generic:Generic.send", self._sending)
        _wrap("chatbot.stores.redis:RedisStore.finish", self._recording)
        _wrap(self._point.target, self._before if self._point.side == "before" else self._after)

    def _before(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self._point.given(*args, **kwargs):
            self._pass()
        return call(*args, **kwargs)

    def _after(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        counts = self._point.given(*args, **kwargs)
        result = call(*args, **kwargs)
        if counts and self._point.got(result):
            self._pass()
        return result

    def _pass(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                self._report.write_text(json.dumps(sorted(self._unsure.values())))
                os.kill(os.getpid(), signal.SIGKILL)

    def _sending(self, call: Callable[..., Any], channel: Any, reply: Any) -> Any:
        with self._lock:
            self._unsure[threading.get_ident()] = reply.reply_id
        return call(channel, reply)

    def _recording(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        result = call(*args, **kwargs)
        with self._lock:
            self._unsure.pop(threading.get_ident(), None)
        return result


def _wrap(target: str, around: Callable[..., Any]) -> None:
    """Let `around` make every call of `target` (`module:Class.method`): it gets the original and its arguments."""
    module, _, path = target.partition(":")
    owner_name, _, name = path.partition(".")
    owner = getattr(importlib.import_module(module), owner_name)
    original = getattr(owner, name)
    setattr(owner, name, lambda *args, **kwargs: around(original, *args, **kwargs))


def main(arguments: list[str]) -> None:
    """Arm the point, then be the command line."""
    point, passage, report, *rest = arguments
    Death({**POINTS, **TICKS}[point], int(passage), Path(report)).watch()
    from chatbot.cli import main as chatbot

    chatbot(rest)


if __name__ == "__main__":
    main(sys.argv[1:])
