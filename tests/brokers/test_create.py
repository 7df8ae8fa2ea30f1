"""A URL picks the broker, carries its options, and is never shown."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable
from typing import Any

import pytest
import redis
from dramatiq.errors import BrokerConnectionError

from chatbot import brokers
from chatbot.brokers.admission import Admission
from chatbot.brokers.rabbitmq import RabbitmqBroker
from chatbot.brokers.redis import RedisBroker
from chatbot.brokers.stub import StubBroker
from chatbot.errors import ConfigurationError
from chatbot.middleware import declare, guarded_stack
from chatbot.stores.memory import MemoryStore
from tests.servers import RabbitmqServer, RedisServer, free_port
from tests.waiting import wait_until

SECRET = "s3cret"


def connection_options(broker: Any) -> dict[str, Any]:
    return dict(broker.client.connection_pool.connection_kwargs)


# --- what a URL means ---
@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("redis://127.0.0.1:1/0", RedisBroker),
        ("redis:///3", RedisBroker),
        ("rediss://127.0.0.1:1/0", RedisBroker),
        ("unix:///run/nothing.sock", RedisBroker),
        ("amqp://127.0.0.1:1", RabbitmqBroker),
        ("amqps://127.0.0.1:1/vhost", RabbitmqBroker),
        ("amqp://127.0.0.1:1;amqps://127.0.0.1:2", RabbitmqBroker),
        ("chatbot.brokers.stub:StubBroker", StubBroker),
    ],
)
def test_the_scheme_picks_the_broker_and_nothing_is_connected_to(url: str, kind: type) -> None:
    stack = guarded_stack(MemoryStore())
    broker = brokers.create(url, stack)
    assert type(broker) is kind
    assert broker.middleware == stack
    broker.close()


def test_a_redis_url_carries_address_and_credentials() -> None:
    options = connection_options(brokers.create(f"redis://me:{SECRET}@example.org:7000/5", []))
    wanted = {"host": "example.org", "port": 7000, "db": 5, "username": "me", "password": SECRET}
    assert options.items() >= wanted.items()


def test_options_of_a_redis_url_replace_ours() -> None:
    options = connection_options(brokers.create("redis://127.0.0.1/?socket_timeout=9&client_name=me", []))
    assert (options["socket_timeout"], options["client_name"], options["socket_connect_timeout"]) == (9, "me", 2)


def test_a_rediss_url_means_tls_with_its_options() -> None:
    broker: Any = brokers.create("rediss://127.0.0.1:1/?ssl_cert_reqs=none&ssl_check_hostname=false", [])
    pool = broker.client.connection_pool
    assert pool.connection_class is redis.SSLConnection
    assert pool.connection_class(**pool.connection_kwargs).cert_reqs == ssl.CERT_NONE


def test_a_unix_url_reaches_a_server(private_redis: Callable[..., RedisServer]) -> None:
    server = private_redis(None, "--unixsocket", "broker.sock")
    broker = brokers.create(f"unix://{server.directory}/broker.sock?db=2", [])
    broker.ping()
    assert connection_options(broker)["db"] == 2
    broker.close()


def test_an_amqp_url_names_several_nodes() -> None:
    broker: Any = brokers.create("amqp://me:pw@a.example:1/v?heartbeat=7; amqps://b.example/w;", [])
    first, second = broker.parameters
    assert (first.host, first.port, first.virtual_host, first.heartbeat) == ("a.example", 1, "v", 7)
    assert (second.host, second.port, second.virtual_host) == ("b.example", 5671, "w")
    assert first.ssl_options is None
    assert second.ssl_options is not None


def test_a_node_that_is_down_is_passed_over(rabbitmq_server: RabbitmqServer) -> None:
    calls: list[str] = []
    down = f"amqp://guest:guest@127.0.0.1:{free_port()}"
    broker = brokers.create(f"{down};{rabbitmq_server.url}", guarded_stack(MemoryStore()))
    actor = declare(broker, calls.append, queue_name="passed-over")
    broker.ping()
    with running(broker):
        actor.send("hello")
        wait_until(lambda: calls == ["hello"])
    for name in ("passed-over", "passed-over.DQ", "passed-over.XQ"):
        broker.channel.queue_delete(name)  # type: ignore[attr-defined]
    broker.close()


@contextlib.contextmanager
def running(broker: Admission) -> Any:
    from dramatiq import Worker

    worker = Worker(broker, worker_threads=1, worker_timeout=100)
    worker.start()
    try:
        yield
    finally:
        worker.stop()


def make(middleware: list[Any]) -> StubBroker:
    """A user's own factory."""
    return StubBroker(middleware=middleware)


def test_a_factory_gets_the_middleware(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatbot.brokers.stub.make", make, raising=False)
    stack = guarded_stack(MemoryStore())
    assert brokers.create("chatbot.brokers.stub:make", stack).middleware == stack


# --- what cannot be meant ---
@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "begins with redis://"),
        ("localhost", "begins with redis://"),
        ("redis", "begins with redis://"),
        ("redis://", "begins with redis://"),
        (f"http://me:{SECRET}@127.0.0.1", "begins with redis://"),
        (f"redis+cluster://me:{SECRET}@127.0.0.1", "begins with redis://"),
        (f"me:{SECRET}@127.0.0.1:6379", "begins with redis://"),
        (f"redis:me:{SECRET}@127.0.0.1", "lacks the slashes of redis://"),
        (f"redis:{SECRET}", "lacks the slashes of redis://"),
        (f"redis:/me:{SECRET}@127.0.0.1", "lacks the slashes of redis://"),
        (f"redis://me:{SECRET}@127.0.0.1:port", "check its port"),
        (f"redis://:{SECRET}/more@127.0.0.1:6379", "percent-encode"),
        (f"redis://:{SECRET}@127.0.0.1/?socket_timeout=soon", "its options"),
        (f"redis://:{SECRET}@127.0.0.1/?no_such_option=1", "its options"),
        (f"amqp://me:{SECRET}@127.0.0.1:port", "check its port"),
        (f"amqp://me:{SECRET}/more@127.0.0.1", "percent-encode"),
        (f"amqp://me:{SECRET}@127.0.0.1/?no_such_option={SECRET}", "its options"),
        ("amqp://me@127.0.0.1", "cannot be read"),
        (f"amqp://127.0.0.1;me:{SECRET}@127.0.0.1:5672", "every node"),
        ("amqp://127.0.0.1;10.0.0.1:5672", "every node"),
        ("no.such.module:factory", "no module 'no'"),
        ("chatbot.brokers.stub:nothing", "no attribute 'nothing'"),
    ],
)
def test_a_url_that_cannot_be_used_is_a_clear_configuration_error(url: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        brokers.create(url, [])
    assert told in str(caught.value)
    assert_silent(caught.value)


def assert_silent(error: BaseException | None) -> None:
    """Neither an error nor what it came of shows the password."""
    while error is not None:
        assert SECRET not in f"{error} {error!r}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def test_a_refused_password_is_not_shown_by_redis(
    private_redis: Callable[..., RedisServer], caplog: pytest.LogCaptureFixture
) -> None:
    # Its readiness check would need the password, so it is set once the server is up.
    server = private_redis()
    with contextlib.closing(redis.Redis.from_url(server.url)) as client:
        client.config_set("requirepass", "another")
        refused = brokers.create(f"redis://:{SECRET}@127.0.0.1:{server.port}", [])
        assert_refused(refused, caplog)


def test_a_refused_password_is_not_shown_by_rabbitmq(
    rabbitmq_server: RabbitmqServer, caplog: pytest.LogCaptureFixture
) -> None:
    assert_refused(brokers.create(f"amqp://guest:{SECRET}@127.0.0.1:{rabbitmq_server.port}", []), caplog)


def assert_refused(broker: Admission, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    actor = declare(broker, print)
    for attempt in (broker.ping, lambda: actor.send("hello")):
        with pytest.raises((BrokerConnectionError, OSError)) as caught:
            attempt()
        assert isinstance(caught.value, BrokerConnectionError)
        assert_silent(caught.value)
    assert SECRET not in caplog.text
    broker.close()
