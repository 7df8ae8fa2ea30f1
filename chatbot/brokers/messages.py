"""Reading what lies in a queue: a producer of another kind may have written anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dramatiq.broker import MessageProxy
from dramatiq.errors import DecodeError
from dramatiq.message import Message

#: What Dramatiq's worker relies on, outside of everything that would make a failure of it: with an actor's name that is
#: a list, its consumer would end, start again, and get the same message.
KINDS: dict[str, Any] = {
    "queue_name": str, "actor_name": str, "message_id": str, "args": (list, tuple), "kwargs": dict, "options": dict,
}  # fmt: skip


def read(body: bytes) -> Message[Any]:
    """Return the message that a body is. Raises DecodeError unless a worker can handle it."""
    message: Message[Any] = Message.decode(body)
    wrong = [name for name, kind in KINDS.items() if not isinstance(getattr(message, name, None), kind)]
    if wrong:
        raise DecodeError(f"no message: its {' and '.join(wrong)} cannot be", body, None)
    return message


def when_settled(message: MessageProxy, settle: Callable[[], None]) -> None:
    """Settle a delivery now, or once a guard has noted what it has done: then from another thread."""
    first = vars(message).pop("settle", None)
    settle() if first is None else first(settle)
