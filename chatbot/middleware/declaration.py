"""Declaring plain functions as guarded actors, and building the middleware list that guards them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

import dramatiq
from dramatiq.middleware import AgeLimit, Callbacks, Middleware, Pipelines, ShutdownNotifications, TimeLimit

from chatbot.errors import PolicyInvalid
from chatbot.middleware.dead_letters import DeadLetters
from chatbot.middleware.debounce import Debounce
from chatbot.middleware.deduplication import Deduplication
from chatbot.middleware.guard import Guard
from chatbot.middleware.idempotency import Idempotency
from chatbot.middleware.leases import Heartbeat
from chatbot.middleware.observer import Observer, together
from chatbot.middleware.policies import Debounced, Deduplicated, Duration, Idempotent
from chatbot.middleware.pump import AGAIN
from chatbot.middleware.retries import Retries
from chatbot.stores.base import Store

if TYPE_CHECKING:
    from dramatiq import Actor, Broker

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


def guards(store: Store, *, again: Duration = AGAIN, observers: Sequence[Observer] = ()) -> list[Guard]:
    """Return the three guards on one store, with one heartbeat between them. `again`: see Debounce; `observers` hear
    what the guards do."""
    observer = together(*observers)
    heartbeat = Heartbeat(store, observer)
    return [
        Deduplication(store, heartbeat=heartbeat, observer=observer),
        Debounce(store, heartbeat=heartbeat, again=again, observer=observer),
        Idempotency(store, heartbeat=heartbeat, observer=observer),
    ]


def guarded_stack(store: Store, *, again: Duration = AGAIN, observers: Sequence[Observer] = ()) -> list[Middleware]:
    """Return Dramatiq's default middleware with our Retries in place of its own, the three guards, and the journal of
    dead letters. `again`, `observers`: see `guards`."""
    # What comes last is the first to hear of a run's end: an interrupt in one of the others would lose their work.
    interrupts = [ShutdownNotifications(), TimeLimit()]
    stock = [AgeLimit(), Callbacks(), Pipelines(), Retries()]
    return [DeadLetters(store), *stock, *guards(store, again=again, observers=observers), *interrupts]


@overload
def declare(
    broker: Broker,
    fn: Callable[[list[T]], Awaitable[R]],
    *,
    debounced: Debounced,
    queue_name: str = ...,
    actor_name: str | None = ...,
    idempotent: Idempotent | None = ...,
    deduplicated: Deduplicated | None = ...,
    **options: Any,
) -> Actor[[T], R]: ...
@overload
def declare(
    broker: Broker,
    fn: Callable[[list[T]], R],
    *,
    debounced: Debounced,
    queue_name: str = ...,
    actor_name: str | None = ...,
    idempotent: Idempotent | None = ...,
    deduplicated: Deduplicated | None = ...,
    **options: Any,
) -> Actor[[T], R]: ...
@overload
def declare(
    broker: Broker,
    fn: Callable[P, Awaitable[R]],
    *,
    debounced: None = ...,
    queue_name: str = ...,
    actor_name: str | None = ...,
    idempotent: Idempotent | None = ...,
    deduplicated: Deduplicated | None = ...,
    **options: Any,
) -> Actor[P, R]: ...
@overload
def declare(
    broker: Broker,
    fn: Callable[P, R],
    *,
    debounced: None = ...,
    queue_name: str = ...,
    actor_name: str | None = ...,
    idempotent: Idempotent | None = ...,
    deduplicated: Deduplicated | None = ...,
    **options: Any,
) -> Actor[P, R]: ...
def declare(
    broker: Broker,
    fn: Callable[..., Any],
    *,
    queue_name: str = "default",
    actor_name: str | None = None,
    debounced: Debounced | None = None,
    idempotent: Idempotent | None = None,
    deduplicated: Deduplicated | None = None,
    **options: Any,
) -> Actor[..., Any]:
    """Declare a plain function as an actor of this broker, under the guarantees given; other options are Dramatiq's.

    The actor takes what the function takes; a debounced one takes one item of the function's list.
    """
    policies = {"debounced": debounced, "idempotent": idempotent, "deduplicated": deduplicated}
    given = {name: policy for name, policy in policies.items() if policy is not None}
    if unguarded := given.keys() - broker.actor_options:
        raise PolicyInvalid(
            f"nothing on this broker reads {', '.join(sorted(unguarded))}: build it with guarded_stack(store), "
            "or add the guard with broker.add_middleware before actors are declared"
        )
    options |= given
    name = actor_name or fn.__name__
    actor: Actor[..., Any] = dramatiq.actor(broker=broker, queue_name=queue_name, actor_name=name, **options)(fn)
    return actor
