"""Reading what lies in a queue: a producer of another kind may have written anything."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
from dramatiq.broker import MessageProxy
from dramatiq.encoder import JSONEncoder
from dramatiq.errors import DecodeError
from dramatiq.message import Message, get_encoder

#: What Dramatiq's worker relies on, outside of everything that would make a failure of it: with an actor's name that is
#: a list, its consumer would end, start again, and get the same message.
KINDS: dict[str, Any] = {
    "queue_name": str, "actor_name": str, "message_id": str, "args": (list, tuple), "kwargs": dict, "options": dict,
}  # fmt: skip


class _Fields(msgspec.Struct, forbid_unknown_fields=True):
    """A message as every producer of ours writes it."""

    queue_name: str
    actor_name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    options: dict[str, Any]
    message_id: str
    message_timestamp: int


_decode = msgspec.json.Decoder(_Fields).decode


def read(body: bytes) -> Message[Any]:
    """Return the message that a body is. Raises DecodeError unless a worker can handle it."""
    if type(get_encoder()) is JSONEncoder:
        # Four times as fast, and it never reads anything else than Python's own JSON does; of more, that has the say.
        with suppress(msgspec.MsgspecError, UnicodeError, RecursionError):
            return _message(_decode(body))
    message: Message[Any] = Message.decode(body)
    wrong = [name for name, kind in KINDS.items() if not isinstance(getattr(message, name, None), kind)]
    if wrong:
        raise DecodeError(f"no message: its {' and '.join(wrong)} cannot be", body, None)
    return message


def _message(fields: _Fields) -> Message[Any]:
    return Message(
        fields.queue_name, fields.actor_name, fields.args, fields.kwargs, fields.options, fields.message_id,
        fields.message_timestamp,
    )  # fmt: skip


def when_settled(message: MessageProxy, settle: Callable[[], None]) -> None:
    """Settle a delivery now, or once a guard has noted what it has done: then from another thread."""
    first = vars(message).pop("settle", None)
    settle() if first is None else first(settle)
