"""Waiting for a condition instead of for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(predicate: Callable[[], T], timeout: float = 30.0, message: str = "", interval: float = 0.01) -> T:
    """Return the first truthy value of the predicate. Raises AssertionError if there is none within the timeout."""
    deadline = time.monotonic() + timeout
    while not (value := predicate()):
        if time.monotonic() >= deadline:
            raise AssertionError(message or f"nothing came of {predicate!r} within {timeout} s; last seen: {value!r}")
        time.sleep(interval)
    return value
