"""The policies of the three guards: typed records, given as actor options and overridable per message.

A message overrides single fields with a dict (`send_with_options(debounced={"wait": 0})`) and opts out with None.
Durations are milliseconds, or timedeltas.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from chatbot.errors import PolicyInvalid
from chatbot.stores.values import DAY, MOST_ITEMS, Window

if TYPE_CHECKING:
    from dramatiq import Actor
    from dramatiq.broker import MessageProxy
    from dramatiq.message import Message

HOUR = 3_600_000

Duration = int | timedelta
#: A callable over the actor's own arguments, or a template over their names: `"{order[id]}"`. None opts a call out.
Key = str | Callable[..., str | None]
OnStoreError = Literal["fail", "proceed"]
OnRunning = Literal["queue", "supersede"]

P = TypeVar("P", bound="Idempotent | Debounced | Deduplicated")


@dataclass(frozen=True, slots=True, kw_only=True)
class Idempotent:
    """At most one completed execution per key inside `ttl`; a duplicate gets the first one's result for `result_ttl`.

    `lease` is how long a dead worker keeps the key. `fingerprint` tells payloads apart (default: all arguments).
    With `on_store_error="proceed"` a call runs unguarded while the store is down.
    """

    key: Key
    ttl: Duration | Callable[..., Duration] = DAY
    result_ttl: Duration = HOUR
    lease: Duration = 5_000
    fingerprint: Key | None = None
    on_store_error: OnStoreError = "fail"

    def __post_init__(self) -> None:
        lengths = [self.result_ttl, self.lease] + ([] if callable(self.ttl) else [self.ttl])
        _require(all(ms(d) > 0 for d in lengths), "ttl, result_ttl and lease must be positive")
        _require_key(self.key)
        _require_key(self.fingerprint, "fingerprint", optional=True)
        _require_choice("on_store_error", self.on_store_error, OnStoreError)

    def remembered(self, message: Message[Any] | MessageProxy) -> int:
        """Return the ttl of a call in ms."""
        ttl = ms(self.ttl(*message.args, **message.kwargs) if callable(self.ttl) else self.ttl)
        _require(ttl > 0, f"ttl must be positive: {ttl}")
        return ttl


@dataclass(frozen=True, slots=True, kw_only=True)
class Debounced:
    """Calls with one key become one run with the list of them: `wait` after the last, `max_wait` after the first at the
    latest, at once when `max_items` or `max_bytes` are reached. A run is tried `attempts` times in all.

    A call's own `delay` has no meaning here: the window decides. Nor can a call change `attempts`, `backoff` and
    `max_backoff`: they are the run's, which has many calls.
    """

    key: Key
    wait: Duration
    max_wait: Duration
    max_items: int = 50
    max_bytes: int = 65_536
    max_buffered: int = 1_000
    on_running: OnRunning = "queue"
    attempts: int = 5
    backoff: Duration = 1_000
    max_backoff: Duration = 300_000

    def __post_init__(self) -> None:
        _require_key(self.key)
        counts = (self.max_items, self.max_bytes, self.max_buffered, self.attempts)
        _require(all(isinstance(n, int) for n in counts), "max_items, max_bytes, max_buffered, attempts: whole numbers")
        _require(0 <= ms(self.wait) <= ms(self.max_wait), "wait must be at least 0, and max_wait at least wait")
        _require(1 <= self.max_items <= MOST_ITEMS, f"max_items must be between 1 and {MOST_ITEMS}")
        _require(
            min(self.max_bytes, self.max_buffered, self.attempts) >= 1, "max_bytes, max_buffered, attempts: 1 or more"
        )
        _require(0 <= ms(self.backoff) <= ms(self.max_backoff), "max_backoff must be at least backoff")
        _require_choice("on_running", self.on_running, OnRunning)

    def window(self, id_ttl: int) -> Window:
        """Return the policy as the store wants it."""
        return _window(self.wait, self.max_wait, self.max_items, self.max_bytes, id_ttl, self.max_buffered)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deduplicated:
    """The same call is enqueued once inside `window`. Without a `key`, same means the same arguments but `exclude`."""

    window: Duration
    key: Key | None = None
    exclude: frozenset[str] = frozenset()
    on_store_error: OnStoreError = "fail"

    def __post_init__(self) -> None:
        _require(ms(self.window) > 0, "window must be positive")
        _require_key(self.key, optional=True)
        _require(isinstance(self.exclude, set | frozenset), f"exclude must be a set of names: {self.exclude!r}")
        _require_choice("on_store_error", self.on_store_error, OnStoreError)


@lru_cache(maxsize=1_024)
def _window(wait: Duration, max_wait: Duration, items: int, most: int, id_ttl: int, buffered: int) -> Window:
    # Every call has one, and nearly all have the same.
    return Window(
        wait=ms(wait),
        max_wait=ms(max_wait),
        max_items=items,
        max_bytes=most,
        id_ttl=id_ttl,
        max_buffered=buffered,
    )


def ms(duration: Duration) -> int:
    """Return a duration in milliseconds. Raises PolicyInvalid if it is none."""
    if isinstance(duration, int):
        return duration
    _require(isinstance(duration, timedelta), f"a duration is an int (ms) or a timedelta: {duration!r}")
    return round(duration.total_seconds() * 1000)


def policy_of(name: str, kind: type[P], actor: Actor[..., Any], message: Message[Any] | MessageProxy) -> P | None:
    """Return the policy that holds for this message: its own override, else its actor's; None where there is none."""
    policy: P | None = actor.options.get(name)
    if name not in message.options or policy is None:
        return policy
    override = message.options[name]
    if override is None or isinstance(override, kind):
        return override
    try:
        return replace(policy, **override)
    except (TypeError, PolicyInvalid) as exc:
        raise PolicyInvalid(f"{name}={override!r} of a message to {actor.actor_name!r}: {exc}") from exc


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise PolicyInvalid(otherwise)


def _require_key(key: object, name: str = "key", *, optional: bool = False) -> None:
    fits = isinstance(key, str) or callable(key) or (optional and key is None)
    _require(fits, f"{name} must be a template or a function: {key!r}")


def _require_choice(name: str, value: object, choices: Any) -> None:
    # A typo must not be taken for "proceed".
    _require(value in get_args(choices), f"{name} must be one of {', '.join(get_args(choices))}: {value!r}")
