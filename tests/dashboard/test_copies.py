"""The broker's own copies of dead letters: they go with the letter; what only it has can be written down."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pika
import pytest
from dramatiq.errors import BrokerConnectionError, ConnectionClosed

from chatbot.dashboard.pages import look_at
from chatbot.errors import ConfigurationError, StoreUnavailable
from chatbot.operations.dead import letters
from chatbot.operations.dead_collect import Collected, collect
from chatbot.operations.dead_replay import drop, each, replay
from tests.dashboard.conftest import Dashboard, House
from tests.servers import RabbitmqServer
from tests.waiting import wait_until


@pytest.fixture
def service(house: House) -> Any:
    """What operators' commands need of a service."""
    house.broker.declare_queue(house.queue)
    return SimpleNamespace(settings=house.settings, store=house.store, broker=house.broker)


def copies(service: Any, house: House) -> list[str]:
    """Return the messages that the broker itself keeps as dead letters."""
    look = look_at(service.settings, service.store, service.broker)
    assert look is not None
    return [str(letter.args[0]) for letter in look.buried(house.queue).letters]


def test_a_replayed_message_leaves_the_brokers_dead_letters(house: House, service: Any) -> None:
    house.bury("a lamp", "a chair", "a table")
    _, chair, _ = letters(service)
    assert replay(service, chair) == 1
    wait_until(lambda: copies(service, house) == ["a lamp", "a table"])
    assert [letter.args for letter in house.letters.letters()] == [["a table"], ["a lamp"]]
    house.fail.clear()
    with house.working():
        wait_until(lambda: house.done == ["a chair"])


def test_a_replayed_message_that_fails_again_has_one_copy(house: House, service: Any) -> None:
    house.bury("a lamp")
    (before,) = house.letters.letters()
    with house.working():
        replay(service, letters(service)[0])
        wait_until(lambda: [one.last_at > before.last_at for one in house.letters.letters()] == [True])
    wait_until(lambda: copies(service, house) == ["a lamp"])


def test_a_replay_that_is_not_confirmed_leaves_both(
    house: House, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.bury("a lamp")

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionClosed(OSError("gone"))

    monkeypatch.setattr(house.broker, "_publish_all", refuse)
    with pytest.raises(BrokerConnectionError):
        replay(service, letters(service)[0])
    assert (copies(service, house), len(house.letters.letters())) == (["a lamp"], 1)


def test_dropped_messages_leave_the_broker_too(house: House, service: Any) -> None:
    house.bury("a lamp", "a chair", "a table")
    assert drop(service, letters(service)[1]) == 1
    wait_until(lambda: copies(service, house) == ["a lamp", "a table"])
    found = letters(service)
    assert [one.id for one, *_ in each(found, lambda letter: drop(service, letter))] == [one.id for one in found[::-1]]
    wait_until(lambda: copies(service, house) == [])
    assert letters(service) == []


def test_a_letter_that_is_gone_is_dropped_once(house: House, service: Any) -> None:
    house.bury("a lamp")
    (letter,) = letters(service)
    assert [drop(service, letter), drop(service, letter)] == [1, 0]


def test_what_was_given_up_while_the_store_was_down_is_written_down_later(
    house: House, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object) -> None:
        raise StoreUnavailable

    house.bury("a lamp")
    with monkeypatch.context() as outage:
        outage.setattr(house.store, "remember", down)
        house.fail.add("a chair")
        house.actor.send("a chair")
        with house.working():
            wait_until(lambda: len(copies(service, house)) == 2)
    assert len(letters(service)) == 1
    assert collect(service) == Collected(collected=1, unreadable=0, left=0)
    assert collect(service) == Collected(collected=0, unreadable=0, left=0)
    (chair,) = [one for one in house.letters.letters() if one.args == ["a chair"]]
    assert (chair.actor, chair.queue, chair.worker) == ("ship", house.queue, "unknown")
    house.fail.clear()
    with house.working():
        for _, items, problem in each(letters(service), lambda letter: replay(service, letter)):
            assert (items, problem) == (1, "")
        wait_until(lambda: sorted(house.done) == ["a chair", "a lamp"])
    assert copies(service, house) == []


def test_a_full_journal_is_not_pushed_out(house: House, service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    house.bury("a lamp", "a chair")
    house.letters.drop([house.letters.letters()[0].message_id])
    monkeypatch.setattr("chatbot.operations.dead_collect.MOST", 1)
    assert collect(service) == Collected(collected=0, unreadable=0, left=1)
    assert [letter.args for letter in house.letters.letters()] == [["a lamp"]]


def test_a_broker_of_a_foreign_kind_is_said(house: House) -> None:
    from chatbot.brokers.stub import StubBroker

    foreign: Any = SimpleNamespace(settings=house.settings, store=house.store, broker=StubBroker())
    with pytest.raises(ConfigurationError, match="is neither"):
        collect(foreign)


# --- what RabbitMQ makes itself ---
def expire(house: House, server: RabbitmqServer) -> None:
    """Send a message with a time to live of its own, as other producers may."""
    body = house.actor.message("a lamp").encode()
    with channel_of(server) as channel:
        channel.basic_publish("", house.queue, body, pika.BasicProperties(expiration="50", delivery_mode=2))


def reach_the_limit(house: House, server: RabbitmqServer) -> None:
    """Take a message and give it back, until a policy's limit of deliveries is reached."""
    house.actor.send("a lamp")
    policy = {"pattern": f"^{house.queue}$", "definition": {"delivery-limit": 1}, "apply-to": "queues"}
    with httpx.Client(base_url=server.management_url, trust_env=False) as client:
        client.put(f"/api/policies/%2F/{house.queue}", json=policy).raise_for_status()
        wait_until(lambda: not given_back(server, house.queue), 30, interval=0.1)
        client.delete(f"/api/policies/%2F/{house.queue}")


def given_back(server: RabbitmqServer, queue: str) -> bool:
    """Take a message and give it back; say whether there was one."""
    with channel_of(server) as channel:
        method, _, _ = channel.basic_get(queue)
        if method is not None:
            channel.basic_nack(method.delivery_tag, requeue=True)
        return method is not None


@contextlib.contextmanager
def channel_of(server: RabbitmqServer) -> Iterator[Any]:
    with contextlib.closing(pika.BlockingConnection(pika.URLParameters(server.url))) as connection:
        yield connection.channel()


@pytest.mark.parametrize("kind", ["rabbitmq"])
@pytest.mark.parametrize(("make", "reason"), [(expire, "expired"), (reach_the_limit, "delivery_limit")])
def test_what_rabbitmq_made_a_dead_letter_is_counted_written_down_and_replayed(
    house: House,
    service: Any,
    dashboard: Dashboard,
    rabbitmq_server: RabbitmqServer,
    make: Callable[[House, RabbitmqServer], None],
    reason: str,
) -> None:
    house.broker.prepare(house.queue)
    make(house, rabbitmq_server)
    wait_until(lambda: dashboard.counts()[2] == 1, 30, interval=0.1)
    assert "RabbitMQ has 1 more than the journal" in dashboard.get(f"queues/{house.queue}/failed").text
    assert collect(service).collected == 1
    (letter,) = letters(service)
    assert letter.error == f"RabbitMQ: {reason}"
    assert "more than the journal" not in dashboard.get(f"queues/{house.queue}/failed").text
    with house.working():
        replay(service, letter)
        wait_until(lambda: house.done == ["a lamp"])
    assert copies(service, house) == []


@pytest.mark.parametrize("kind", ["rabbitmq"])
def test_what_nobody_can_read_and_claim_checks_are_left(house: House, service: Any) -> None:
    house.actor.send("a lamp")  # which declares its queues
    house.broker.bury(house.queue, b"\xff")
    check = house.actor.message("a turn").copy(options={"turn": ["ship/x", 1, 1]})
    house.broker.bury(house.queue, check.encode())
    wait_until(lambda: collect(service) == Collected(collected=0, unreadable=1, left=0))


def test_what_was_collected_is_said_in_words() -> None:
    said = Collected(collected=1, unreadable=2, left=3).words()
    assert said.splitlines()[0] == "1 dead letter written down."
    assert "2 messages cannot be read" in said
    assert "3 dead letters left" in said
