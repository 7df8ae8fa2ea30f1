"""Every broker asks the guards before it publishes, and gives back what they claimed in vain."""

from __future__ import annotations

import time
from typing import Any

import pytest
from dramatiq.message import Message
from dramatiq.middleware import Middleware, MiddlewareError

from chatbot.errors import NotComposable, StoreUnavailable
from chatbot.middleware import Debounced, Deduplicated, Idempotent, declare
from chatbot.stores.memory import MemoryStore
from chatbot.stores.redis import RedisStore
from tests.conformance.broker_harness import Transport
from tests.servers import free_port
from tests.waiting import wait_until

ONCE = Deduplicated(window=60_000)
BURST = Debounced(key="all", wait=60_000, max_wait=60_000, max_buffered=2)


class Refused(MiddlewareError):
    """This publication is refused."""


class Gate(Middleware):
    """Refuses to publish what is in `refused`, after the guards have admitted it."""

    def __init__(self, *refused: Any) -> None:
        self.refused = set(refused)
        self.seen: list[Any] = []

    def before_enqueue(self, broker: Any, message: Message[Any], delay: int | None) -> None:
        self.seen.append(message.args[0])
        if message.args[0] in self.refused:
            raise Refused(message.args[0])


class FadingStore(MemoryStore):
    """A store that is gone when a claim is to be released."""

    def release(self, key: str, owner: str) -> bool:
        raise StoreUnavailable


def outcomes(messages: list[Message[Any]]) -> list[str]:
    return [message.options["outcome"] for message in messages]


# --- what guards suppress ---
def test_a_duplicate_is_not_published_and_learns_its_originals_id(transport: Transport) -> None:
    broker = transport.broker()
    actor = declare(broker, print, queue_name=transport.queue(), deduplicated=ONCE)
    first, second = actor.send("hello"), actor.send("hello")
    assert outcomes([first, second]) == ["enqueued", "duplicate"]
    assert second.options["original"] == first.message_id
    assert transport.waiting(actor.queue_name) == 1


def test_a_delayed_duplicate_is_not_published(transport: Transport) -> None:
    broker = transport.broker()
    actor = declare(broker, print, queue_name=transport.queue(), deduplicated=ONCE)
    sent = [actor.send_with_options(args=("hello",), delay=60_000) for _ in range(2)]
    assert outcomes(sent) == ["enqueued", "duplicate"]
    assert transport.waiting(actor.queue_name) == 1


def test_absorbed_and_overflowing_calls_are_not_published(transport: Transport) -> None:
    broker = transport.broker()
    actor = declare(broker, print, queue_name=transport.queue(), debounced=BURST)
    assert outcomes([actor.send(n) for n in range(3)]) == ["absorbed", "absorbed", "overflow"]
    assert transport.waiting(actor.queue_name) == 0


def test_an_item_that_is_known_is_a_duplicate(transport: Transport) -> None:
    broker = transport.broker()
    by_item = Idempotent(key="{item}")

    def take(item: str) -> None:
        """Never runs here."""

    actor = declare(broker, take, queue_name=transport.queue(), debounced=BURST, idempotent=by_item)
    assert outcomes([actor.send("1"), actor.send("1"), actor.send("2")]) == ["absorbed", "duplicate", "absorbed"]


def test_a_batch_is_decided_message_by_message(transport: Transport) -> None:
    broker = transport.broker()
    plain = declare(broker, print, actor_name="plain", queue_name=transport.queue("plain"))
    once = declare(broker, print, actor_name="once", queue_name=transport.queue("once"), deduplicated=ONCE)
    burst = declare(broker, print, actor_name="burst", queue_name=transport.queue("burst"), debounced=BURST)
    once.send("known")
    batch = [
        burst.message(1), plain.message(1), once.message("known"), burst.message(2), once.message("new"),
        burst.message(3), plain.message(2),
    ]  # fmt: skip
    assert outcomes(broker.enqueue_many(batch)) == [
        "absorbed", "enqueued", "duplicate", "absorbed", "enqueued", "overflow", "enqueued",
    ]  # fmt: skip
    waiting = {actor.actor_name: transport.waiting(actor.queue_name) for actor in (plain, once, burst)}
    assert waiting == {"plain": 2, "once": 2, "burst": 0}


def test_guards_are_asked_about_all_of_a_batch_before_any_of_it_is_published(transport: Transport) -> None:
    broker = transport.broker()
    plain = declare(broker, print, actor_name="plain", queue_name=transport.queue())
    burst = declare(broker, print, actor_name="burst", queue_name=plain.queue_name, debounced=BURST)
    piped = burst.message_with_options(args=(1,), pipe_target=plain.message(1).asdict())
    with pytest.raises(NotComposable):
        broker.enqueue_many([plain.message(1), plain.message(2), piped])
    assert transport.waiting(plain.queue_name) == 0


def test_a_message_that_was_admitted_before_is_not_asked_about_again(transport: Transport) -> None:
    broker = transport.broker()
    actor = declare(broker, print, queue_name=transport.queue(), deduplicated=ONCE)
    admitted = actor.send("hello")
    assert broker.enqueue(admitted).options["outcome"] == "enqueued"
    assert transport.waiting(actor.queue_name) == 2


def test_a_burst_runs_as_one_call(transport: Transport) -> None:
    runs: list[list[str]] = []

    def take(items: list[str]) -> None:
        runs.append(items)

    broker = transport.broker()
    quick = Debounced(key="all", wait=100, max_wait=5_000)
    actor = declare(broker, take, queue_name=transport.queue(), debounced=quick)
    with transport.worker(broker):
        broker.enqueue_many([actor.message(text) for text in ("a", "b", "c")])
        wait_until(lambda: runs)
    assert runs == [["a", "b", "c"]]


# --- a store that is down ---
@pytest.mark.parametrize("policy", [{"deduplicated": ONCE}, {"debounced": BURST}], ids=["deduplicated", "debounced"])
def test_with_the_store_down_nothing_is_published_and_the_caller_learns_it(
    transport: Transport, policy: dict[str, Any]
) -> None:
    store = RedisStore(f"redis://127.0.0.1:{free_port()}")
    broker = transport.broker(store=store)
    actor = declare(broker, print, actor_name="guarded", queue_name=transport.queue(), **policy)
    plain = declare(broker, print, actor_name="plain", queue_name=actor.queue_name)
    with pytest.raises(StoreUnavailable):
        actor.send("hello")
    with pytest.raises(StoreUnavailable):
        broker.enqueue_many([plain.message(1), actor.message("hello")])
    assert transport.waiting(actor.queue_name) == 0
    store.close()


def test_with_the_store_down_a_call_that_may_proceed_does(transport: Transport) -> None:
    store = RedisStore(f"redis://127.0.0.1:{free_port()}")
    broker = transport.broker(store=store)
    lenient = Deduplicated(window=60_000, on_store_error="proceed")
    actor = declare(broker, print, queue_name=transport.queue(), deduplicated=lenient)
    assert actor.send("hello").options["outcome"] == "enqueued"
    assert transport.waiting(actor.queue_name) == 1
    store.close()


# --- publications that fail ---
def test_a_call_that_could_not_be_published_can_be_sent_again_at_once(transport: Transport) -> None:
    gate = Gate("hello")
    broker = transport.broker(gate)
    actor = declare(broker, print, queue_name=transport.queue(), deduplicated=ONCE)
    with pytest.raises(Refused):
        actor.send("hello")
    gate.refused.clear()
    started = time.monotonic()
    assert outcomes([actor.send("hello"), actor.send("hello")]) == ["enqueued", "duplicate"]
    assert time.monotonic() - started < 5, "the claim of the first was not given back"
    assert transport.waiting(actor.queue_name) == 1


def test_a_batch_that_breaks_off_can_be_sent_again_at_once(transport: Transport) -> None:
    gate = Gate("b")
    broker = transport.broker(gate)
    actor = declare(broker, print, queue_name=transport.queue(), deduplicated=ONCE)
    with pytest.raises(Refused):
        broker.enqueue_many([actor.message(text) for text in "abcd"])
    assert gate.seen == ["a", "b"]
    gate.refused.clear()
    started = time.monotonic()
    again = broker.enqueue_many([actor.message(text) for text in "abcd"])
    assert outcomes(again) == ["duplicate", "enqueued", "enqueued", "enqueued"]
    assert time.monotonic() - started < 5, "the claims were not given back"
    assert transport.waiting(actor.queue_name) == 4


def test_a_batch_that_a_later_guard_refuses_can_be_sent_again_at_once(transport: Transport) -> None:
    broker = transport.broker()
    once = declare(broker, print, actor_name="once", queue_name=transport.queue(), deduplicated=ONCE)
    burst = declare(broker, print, actor_name="burst", queue_name=once.queue_name, debounced=BURST)
    piped = burst.message_with_options(args=(1,), pipe_target=once.message(1).asdict())
    with pytest.raises(NotComposable):
        broker.enqueue_many([once.message("hello"), piped])
    started = time.monotonic()
    assert outcomes(broker.enqueue_many([once.message("hello"), burst.message(1)])) == ["enqueued", "absorbed"]
    assert time.monotonic() - started < 5, "the claim was not given back"


def test_the_caller_gets_the_publications_error_even_if_the_store_is_gone_by_then(transport: Transport) -> None:
    broker = transport.broker(Gate("hello"), store=FadingStore())
    actor = declare(broker, print, queue_name=transport.queue(), deduplicated=ONCE)
    with pytest.raises(Refused):
        actor.send("hello")
