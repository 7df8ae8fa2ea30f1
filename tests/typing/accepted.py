"""What the public API says to a type checker. Checked by test_typing.py, never run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, assert_type

import dramatiq
from dramatiq import Actor, Broker, Message
from dramatiq.middleware import Middleware

import chatbot
from chatbot import (
    Debounced,
    Deduplicated,
    Idempotent,
    Permanent,
    Store,
    StoreUnavailable,
    Suppressed,
    Transient,
    Turn,
    TurnRequest,
    current_turn,
    declare,
    guarded_stack,
    guards,
    once,
)  # fmt: skip
from chatbot.middleware import Guard, Retries, admit
from chatbot.stores import create
from chatbot.stores.memory import MemoryStore
from chatbot.stores.values import (
    Begun,
    Claim,
    ClaimCheck,
    Due,
    Lease,
    Offer,
    Offered,
    Window,
)
from chatbot.testing import ManualClock, StubBroker, drain, stub_broker


def charge(order: str, *, cents: int = 0) -> int:
    raise NotImplementedError


async def fetch(url: str) -> bytes:
    raise NotImplementedError


def index(books: list[dict[str, str]]) -> None: ...
def read(lines: Sequence[str]) -> str:
    raise NotImplementedError


async def hear(sounds: list[bytes]) -> int:
    raise NotImplementedError


def by_order(order: str, *, cents: int = 0) -> str | None:
    raise NotImplementedError


def an_actor_takes_what_its_function_takes(broker: Broker) -> None:
    actor = declare(broker, charge, idempotent=Idempotent(key=by_order), max_retries=3)
    assert_type(actor.send("o1", cents=5), Message[int])
    assert_type(actor("o1"), int)
    assert_type(actor.message("o1").get_result(), int)
    assert_type(declare(broker, fetch).send("http://"), Message[bytes])


def a_debounced_actor_takes_one_item(broker: Broker) -> None:
    policy = Debounced(key="{books[shelf]}", wait=2_000, max_wait=timedelta(seconds=10), on_running="supersede")
    assert_type(declare(broker, index, debounced=policy), Actor[[dict[str, str]], None])
    assert_type(declare(broker, index, debounced=policy).send({"shelf": "a"}), Message[None])
    assert_type(declare(broker, read, debounced=policy).send("a"), Message[str])
    assert_type(declare(broker, hear, debounced=policy).send(b""), Message[int])


def policies() -> None:
    assert_type(
        Idempotent(key="{order}", ttl=lambda order: timedelta(days=1), fingerprint="{cents}").lease, int | timedelta
    )
    assert_type(Debounced(key=lambda item: None, wait=0, max_wait=0).max_items, int)
    assert_type(
        Deduplicated(window=60_000, exclude=frozenset({"at"}), on_store_error="proceed").exclude, frozenset[str]
    )


def inside_a_run(reply: Actor[[str], None]) -> None:
    turn = current_turn()
    assert_type(turn, Turn | None)
    if turn is not None:
        assert_type(turn.id, str)
        assert_type(turn.attempt, int)
        assert_type(turn.items, Sequence[Any])
        turn.then(reply.message("hello"))
        turn.secure(1.5)
    assert_type(once("price", lambda: 5), int)
    assert_type(once("price", lambda: ["a"]), list[str])


def a_stack(store: Store) -> None:
    assert_type(guarded_stack(store, again=timedelta(seconds=30)), list[Middleware])
    assert_type(guards(store), list[Guard])
    broker = StubBroker(middleware=[*guarded_stack(store), Retries()])
    assert_type(admit(broker, [charge_later.message("o1")]), list[Message[Any]])
    assert_type(broker.enqueue_many([]), list[Message[Any]])


@dramatiq.actor(idempotent=Idempotent(key="{order}"))
def charge_later(order: str) -> None: ...


def a_store(store: Store, check: ClaimCheck) -> None:
    window = Window(wait=0, max_wait=0)
    assert_type(store.offer([Offer(key="a/b", item_id="1", body=b"", window=window)]), list[Offered])
    assert_type(store.take_due(100, 5_000, 30_000), Due)
    begun = store.begin(check, "owner", 5_000)
    assert_type(begun, Begun)
    assert_type([entry.body for entry in begun.entries], list[bytes])
    assert_type(store.renew([Lease("turn", "a/b", "owner")], 5_000), list[bool])
    assert_type(store.claim("key", "owner", 5_000), Claim)
    assert_type(store.settle("key", "owner", "", b"", 1, 1), bytes | None)
    assert_type(create("redis://127.0.0.1"), Store)


def an_error(error: Suppressed) -> None:
    assert_type(error.outcome, str)
    assert_type(error.original, str | None)
    assert_type(Transient(retry_after=5).retry_after, float | None)
    assert issubclass(Permanent, Exception)
    assert issubclass(StoreUnavailable, Exception)


def a_responder(turn: TurnRequest) -> str | None:
    return turn.messages[0].text


def a_test() -> None:
    clock = ManualClock()
    assert_type(stub_broker(clock), StubBroker)
    drain(stub_broker(clock), ahead=5_000, raises=True)
    broker: Broker = StubBroker(middleware=guarded_stack(MemoryStore(clock=clock)))
    assert_type(chatbot.declare(broker, read).send(["a"]), Message[str])
