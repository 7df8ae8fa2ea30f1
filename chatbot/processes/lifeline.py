"""How a supervised process notices that its supervisor is gone, even after a kill -9: its end of a pipe says EOF.

The supervisor alone holds the writing end and never writes. The kernel closes it with the supervisor, on every
platform, and a process that supervises others takes its own pipe with it: so the news travels to any depth.
"""

from __future__ import annotations

import os
import stat
import threading

VARIABLE = "CHATBOT_PARENT_PIPE"


def watch() -> None:
    """End this process (status 1, at once) when its supervisor is gone. Does nothing in a process without one.

    Call it once, first thing: what is not settled is repeated from the ledger by another process.
    """
    # Our own children get a pipe of ours or none: the number means nothing to them.
    descriptor = os.environ.pop(VARIABLE, "")
    if descriptor.isdecimal() and _is_pipe(int(descriptor)):
        os.set_inheritable(int(descriptor), False)
        threading.Thread(target=_exit_at_eof, args=(int(descriptor),), name="lifeline", daemon=True).start()


def _is_pipe(descriptor: int) -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    except OSError:
        return False


def _exit_at_eof(descriptor: int) -> None:
    while os.read(descriptor, 1):
        pass
    os._exit(1)
