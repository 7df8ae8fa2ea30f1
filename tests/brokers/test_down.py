"""A broker whose server is down says so, quickly, and keeps what may have been published claimed."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from dramatiq.errors import BrokerConnectionError

from chatbot import brokers
from chatbot.middleware import Deduplicated, declare, guarded_stack
from chatbot.stores.memory import MemoryStore
from tests.servers import free_port

URLS = ["redis://127.0.0.1:{}/0", "amqp://guest:guest@127.0.0.1:{}", "amqp://127.0.0.1:{0};amqp://127.0.0.1:{0}"]


class WatchedStore(MemoryStore):
    """A store that counts releases."""

    releases = 0

    def release(self, key: str, owner: str) -> bool:
        self.releases += 1
        return super().release(key, owner)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port where connections are accepted and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("url", URLS)
def test_a_ping_finds_out_at_once_that_nobody_listens(url: str) -> None:
    broker = brokers.create(url.format(free_port()), [])
    started = time.monotonic()
    with pytest.raises(BrokerConnectionError):
        broker.ping()
    assert time.monotonic() - started < 5
    broker.close()


@pytest.mark.parametrize("url", URLS[:2])
def test_a_ping_finds_out_within_seconds_that_nobody_answers(url: str, silent_port: int) -> None:
    broker = brokers.create(url.format(silent_port), [])
    started = time.monotonic()
    with pytest.raises(BrokerConnectionError):
        broker.ping()
    assert time.monotonic() - started < 5
    broker.close()


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:{}/?socket_timeout=0.2",
        "amqp://127.0.0.1:{}?stack_timeout=0.5&socket_timeout=0.5",
        "redis://no-such-host.invalid",
        "amqp://no-such-host.invalid",
    ],
)
def test_sending_to_a_server_that_hangs_or_has_no_address_is_an_error_of_the_broker(url: str, silent_port: int) -> None:
    broker = brokers.create(url.format(silent_port), guarded_stack(MemoryStore()))
    actor = declare(broker, print)
    with pytest.raises(BrokerConnectionError):
        actor.send("hello")
    broker.close()


@pytest.mark.parametrize("url", URLS)
def test_sending_says_that_the_broker_is_down(url: str) -> None:
    broker = brokers.create(url.format(free_port()), guarded_stack(MemoryStore()))
    actor = declare(broker, print)
    with pytest.raises(BrokerConnectionError):
        actor.send("hello")
    with pytest.raises(BrokerConnectionError):
        broker.enqueue_many([actor.message("hello")])
    broker.close()


@pytest.mark.parametrize("url", URLS)
def test_what_may_have_been_published_stays_claimed(url: str) -> None:
    """After a lost connection the message may be in the queue: a resend must not double it before the lease ends."""
    store = WatchedStore()
    broker = brokers.create(url.format(free_port()), guarded_stack(store))
    actor = declare(broker, print, deduplicated=Deduplicated(window=60_000))
    with pytest.raises(BrokerConnectionError):
        actor.send("hello")
    assert store.releases == 0
    broker.close()


@pytest.mark.parametrize(("url", "tried"), [(URLS[0], 500), *((url, 1) for url in URLS[1:])])
def test_what_was_never_tried_is_given_back(url: str, tried: int) -> None:
    """What goes out together is in doubt together."""
    store = WatchedStore()
    broker = brokers.create(url.format(free_port()), guarded_stack(store))
    actor = declare(broker, print, deduplicated=Deduplicated(window=60_000))
    with pytest.raises(BrokerConnectionError):
        broker.enqueue_many([actor.message(n) for n in range(tried + 4)])
    assert store.releases == 4
    broker.close()
