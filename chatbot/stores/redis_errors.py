"""What redis-py raises, in our words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis

from chatbot.errors import StoreFull, StoreUnavailable

#: What another server may do, once it is known which.
ELSEWHERE = (
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    redis.exceptions.AskError,
    redis.exceptions.ClusterDownError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.SlotNotCoveredError,
)
#: What passes, where redis-py has no class for it.
FOR_NOW = ("LOADING", "MISCONF", "MASTERDOWN", "NOREPLICAS", "BUSY")
#: What a script is told whose slot is on its way to another node, key by key.
MOVING = "non local key"


def in_our_words(answer: Any) -> Any:
    """Return an answer, or an error that stands for one as `wrapped` would raise it."""
    if not isinstance(answer, Exception):
        return answer
    try:
        with wrapped():
            raise answer
    except Exception as exc:
        return exc


@contextmanager
def wrapped() -> Iterator[None]:
    """Say a driver's error in our words, once, at the edge."""
    try:
        yield
    except redis.exceptions.OutOfMemoryError as exc:
        raise StoreFull() from exc
    except (*ELSEWHERE, redis.exceptions.TryAgainError, redis.exceptions.RedisClusterException) as exc:
        raise StoreUnavailable(f"the store does not answer for now: {exc}") from exc
    except redis.exceptions.ResponseError as exc:
        if str(exc).startswith("OOM"):  # of one record: redis-py reads the class of whole answers only
            raise StoreFull() from exc
        if str(exc).startswith(FOR_NOW) or MOVING in str(exc):
            raise StoreUnavailable(f"the store refuses writes for now: {exc}") from exc
        raise
    except (redis.exceptions.RedisError, OSError) as exc:
        raise StoreUnavailable(f"the store did not answer: {exc}") from exc
