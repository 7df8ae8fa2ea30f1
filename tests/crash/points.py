"""The crash points: every gap between two steps of a message's way, as a call in the package that stands beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal


def _always(*_: Any) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Just before or just after a call of `target` (`module:Class.method`) in a process of one role.

    `given` says whether a call counts, by its arguments (the first is self); `got`, by what it returned, for points
    after it.
    """

    role: Literal["web", "worker", "scheduler"]
    side: Literal["before", "after"]
    target: str
    given: Callable[..., bool] = _always
    got: Callable[[Any], bool] = _always


def _turn(store: Any, check: Any, *_: Any, **__: Any) -> bool:
    return bool(check.key.startswith("process_turn/"))


def _reply(store: Any, check: Any, *_: Any, **__: Any) -> bool:
    return bool(check.key.startswith("deliver_replies/"))


def _last(store: Any, check: Any, *_: Any, **__: Any) -> bool:
    """Nothing waits behind the turn: to settle it is to release its key."""
    return _turn(store, check) and store.inspect(check.key).buffered == 0


def _busy(store: Any, check: Any, *_: Any, **__: Any) -> bool:
    """More of the conversation waits behind the turn: to settle it is to open the next window."""
    return _turn(store, check) and store.inspect(check.key).buffered > 0


def _tick(store: Any, key: str, *_: Any, **__: Any) -> bool:
    return key.startswith("tick/")


def _runs(begun: Any) -> bool:
    return begun.verdict in ("new", "taken", "mine")


_OFFER = "chatbot.stores.redis:RedisStore.offer"
_TAKE = "chatbot.stores.redis:RedisStore.take_due"
_HAND = "chatbot.stores.redis:RedisStore.handed_over"
_BEGIN = "chatbot.stores.redis:RedisStore.begin"
_FINISH = "chatbot.stores.redis:RedisStore.finish"
_SEND = "chatbot.channels.generic:Generic.send"

#: The points of a message's way, in its order.
POINTS: dict[str, Point] = {
    # The check for a duplicate and the append are one script, so the gap is before it; then the answer is missing.
    "claim|store": Point(role="web", side="before", target=_OFFER),
    "store|answer": Point(role="web", side="after", target=_OFFER),
    "take|publish": Point(role="worker", side="after", target=_TAKE, got=lambda due: bool(due.checks)),
    "publish|handed over": Point(role="worker", side="before", target=_HAND),
    "handed over|begin": Point(role="worker", side="before", target=_BEGIN, given=_turn),
    "begin|run": Point(role="worker", side="after", target=_BEGIN, given=_turn, got=_runs),
    "run|settle": Point(role="worker", side="before", target=_FINISH, given=_busy),
    "settle|ack": Point(role="worker", side="after", target=_FINISH, given=_busy),
    "empty|release": Point(role="worker", side="before", target=_FINISH, given=_last),
    "release|ack": Point(role="worker", side="after", target=_FINISH, given=_last),
    "reply begun|sent": Point(role="worker", side="before", target=_SEND),
    "reply sent|recorded": Point(role="worker", side="after", target=_SEND),
    "reply recorded|ack": Point(role="worker", side="after", target=_FINISH, given=_reply),
}

#: A tick of periodic work is a claim of its own: claimed, published, settled.
TICKS: dict[str, Point] = {
    "tick claimed|published": Point(
        role="scheduler", side="after", target="chatbot.stores.redis:RedisStore.claim", given=_tick
    ),
    "tick published|settled": Point(
        role="scheduler", side="before", target="chatbot.stores.redis:RedisStore.settle", given=_tick
    ),
}
