"""The journal of dead letters, the same on every broker."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import dramatiq
import pytest
from dramatiq import Worker

from chatbot.brokers import create
from chatbot.brokers.stub import StubBroker
from chatbot.errors import Permanent
from chatbot.middleware import guarded_stack
from chatbot.middleware.dead_letters import DeadLetter, DeadLetters
from chatbot.stores.memory import MemoryStore
from tests.waiting import wait_until


@pytest.fixture(params=["stub", "redis", "rabbitmq"])
def broker(request: pytest.FixtureRequest) -> Iterator[Any]:
    store = MemoryStore()
    stack = guarded_stack(store)
    if request.param == "stub":
        broker: Any = StubBroker(middleware=stack)
    else:
        server = request.getfixturevalue(f"{request.param}_server")
        broker = create(server.url, stack)
    broker.emit_after("process_boot")
    with contextlib.closing(broker):
        yield broker


@pytest.fixture
def letters(broker: Any) -> Callable[[], list[DeadLetter]]:
    (journal,) = (m for m in broker.middleware if isinstance(m, DeadLetters))
    return journal.letters


def worked(broker: Any, letters: Callable[[], list[DeadLetter]], count: int = 1) -> list[DeadLetter]:
    worker = Worker(broker, worker_threads=2, worker_timeout=100)
    worker.start()
    try:
        return wait_until(lambda: letters() if len(letters()) >= count else None)
    finally:
        worker.stop(timeout=5000)


def actor(broker: Any, fn: Callable[..., Any], **options: Any) -> Any:
    return dramatiq.actor(fn, broker=broker, actor_name="fails", queue_name=f"q{uuid.uuid4().hex[:8]}", **options)


def test_a_letter_tells_what_failed_how_often_and_where(broker: Any, letters: Callable[[], list[DeadLetter]]) -> None:
    def fails(number: int, *, name: str) -> None:
        raise ValueError(f"no {name} {number}")

    sent = actor(broker, fails, max_retries=2, min_backoff=1, max_backoff=5).send(7, name="lamp")
    (letter,) = worked(broker, letters)
    assert (letter.message_id, letter.actor, letter.args, letter.kwargs) == (
        sent.message_id,
        "fails",
        [7],
        {"name": "lamp"},
    )
    assert letter.error == "ValueError('no lamp 7')"
    assert "in fails" in letter.traceback
    assert letter.attempts == 3
    assert ":" in letter.worker
    assert sent.message_timestamp == letter.first_at <= letter.last_at


def test_a_permanent_error_is_a_letter_after_one_attempt(broker: Any, letters: Callable[[], list[DeadLetter]]) -> None:
    def fails() -> None:
        raise Permanent("gone")

    actor(broker, fails).send()
    (letter,) = worked(broker, letters)
    assert letter.attempts == 1
    assert "gone" in letter.error


def test_garbage_in_arguments_and_errors_does_not_keep_a_letter_out() -> None:
    store = MemoryStore()
    message: Any = dramatiq.Message(queue_name="q", actor_name="a", args=("\ud800",), kwargs={}, options={})
    proxy = dramatiq.MessageProxy(message)
    proxy.stuff_exception(ValueError("\udfff"))
    DeadLetters(store).after_nack(StubBroker(middleware=[]), proxy)
    (letter,) = DeadLetters(store).letters()
    assert letter.args == ["\ud800"]


def test_the_newest_letters_are_kept_and_come_first() -> None:
    store = MemoryStore()
    journal = DeadLetters(store, most=3)
    for number in range(5):
        message: Any = dramatiq.Message(queue_name="q", actor_name="a", args=(number,), kwargs={}, options={})
        journal.after_nack(StubBroker(middleware=[]), dramatiq.MessageProxy(message))
    assert [letter.args for letter in journal.letters()] == [[4], [3], [2]]


def test_an_old_letter_is_not_shown() -> None:
    store = MemoryStore()
    message: Any = dramatiq.Message(queue_name="q", actor_name="a", args=(), kwargs={}, options={})
    DeadLetters(store).after_nack(StubBroker(middleware=[]), dramatiq.MessageProxy(message))
    assert DeadLetters(store).letters()
    wait_until(lambda: not DeadLetters(store, ttl=1).letters())
