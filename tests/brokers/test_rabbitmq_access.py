"""Who may come in to RabbitMQ: users, virtual hosts and certificates, and what is said to those who may not."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from dramatiq import Worker
from dramatiq.errors import BrokerConnectionError

from chatbot import brokers
from chatbot.errors import ConfigurationError
from chatbot.middleware import declare, guarded_stack
from chatbot.stores.memory import MemoryStore
from tests.brokers.rabbitmq_server import manage
from tests.servers import RabbitmqServer, free_port
from tests.waiting import wait_until

USER, PASSWORD, HOST = "us/er@x", "p:a/s#s%w@rd?", "a/host"


def encoded(name: str) -> str:
    return quote(name, safe="")


@pytest.fixture
def strangers(rabbitmq_server: RabbitmqServer) -> Iterator[RabbitmqServer]:
    """A server that knows a user and a virtual host whose names need encoding."""
    user, host = f"users/{encoded(USER)}", f"vhosts/{encoded(HOST)}"
    manage(rabbitmq_server, user, "PUT", password=PASSWORD, tags="")
    manage(rabbitmq_server, host, "PUT")
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    manage(rabbitmq_server, f"permissions/{encoded(HOST)}/{encoded(USER)}", "PUT", **everything)
    yield rabbitmq_server
    manage(rabbitmq_server, host, "DELETE")
    manage(rabbitmq_server, user, "DELETE")


def url(server: RabbitmqServer, user: str = USER, password: str = PASSWORD, host: str = HOST) -> str:
    return f"amqp://{encoded(user)}:{encoded(password)}@127.0.0.1:{server.port}/{encoded(host)}"


def assert_works(address: str) -> None:
    """A call and a delayed call run."""
    calls: list[int] = []
    with contextlib.closing(brokers.create(address, guarded_stack(MemoryStore()))) as broker:
        actor = declare(broker, calls.append, queue_name="access")
        worker = Worker(broker, worker_threads=1, worker_timeout=100)
        worker.start()
        try:
            actor.send(1)
            actor.send_with_options(args=(2,), delay=100)
            wait_until(lambda: calls == [1, 2])
        finally:
            worker.stop()


def test_names_and_passwords_may_need_encoding(strangers: RabbitmqServer) -> None:
    assert_works(url(strangers))


@pytest.mark.parametrize(
    "wrong", [{"password": "s3cret"}, {"user": "nobody"}, {"host": "nowhere"}, {"host": "/"}], ids=str
)
def test_who_may_not_come_in_is_told_so_at_once(
    strangers: RabbitmqServer, wrong: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    address = url(strangers, **wrong)
    with contextlib.closing(brokers.create(address, guarded_stack(MemoryStore()), retry_for=60)) as broker:
        actor = declare(broker, print, queue_name="access")

        def publish() -> None:
            broker.queues_pending.clear()  # type: ignore[attr-defined]  # so that the publisher itself is refused
            actor.send("hello")

        attempts: list[Callable[[], Any]] = [broker.ping, lambda: broker.consume("access"), publish]
        for attempt in attempts:
            started = time.monotonic()
            with pytest.raises(ConfigurationError, match="check user, password, virtual host") as caught:
                attempt()
            assert isinstance(caught.value, BrokerConnectionError), "who waits for a broker waits for this one, too"
            assert time.monotonic() - started < 10, "trying again is of no use"
            assert "s3cret" not in str(caught.value) + caplog.text


def test_a_permission_that_is_missing_is_named(strangers: RabbitmqServer) -> None:
    nothing = {"configure": "^$", "write": "^$", "read": "^$"}
    manage(strangers, f"permissions/{encoded(HOST)}/{encoded(USER)}", "PUT", **nothing)
    with contextlib.closing(brokers.create(url(strangers), guarded_stack(MemoryStore()))) as broker:
        actor = declare(broker, print, queue_name="access")
        with pytest.raises(ConfigurationError, match=r"access to queue 'access\.XQ'"):
            actor.send("hello")


# --- TLS ---
def openssl(directory: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)


@pytest.fixture
def certified(tmp_path: Path) -> Path:
    """A directory with a private authority, and a certificate that it gave to the loopback."""
    new = ("-newkey", "rsa:2048", "-nodes")
    openssl(tmp_path, "req", "-x509", *new, "-days", "1", "-subj", "/CN=ours", "-out", "ca.pem", "-keyout", "ca.key")
    openssl(tmp_path, "req", *new, "-subj", "/CN=localhost", "-out", "request.pem", "-keyout", "key.pem")
    (tmp_path / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    openssl(
        tmp_path, "x509", "-req", "-days", "1", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key",
        "-CAcreateserial", "-extfile", "names", "-out", "cert.pem",
    )  # fmt: skip
    return tmp_path


@pytest.mark.long
def test_a_broker_works_over_tls_with_a_private_authority_and_trusts_no_other(certified: Path) -> None:
    port = free_port()
    files = {"cacertfile": "ca.pem", "certfile": "cert.pem", "keyfile": "key.pem"}
    options = [f"ssl_options.{option} = {certified / name}" for option, name in files.items()]
    with RabbitmqServer(f"listeners.ssl.1 = 127.0.0.1:{port}", *options):
        address = f"amqps://guest:guest@127.0.0.1:{port}/"
        trusting = encoded(f"{{'cafile': '{certified / 'ca.pem'}'}}")
        assert_works(f"{address}?ssl_options={trusting}")
        with contextlib.closing(brokers.create(f"{address}%2F", [])) as broker:
            for attempt in (broker.ping, lambda: declare(broker, print).send("hello")):
                with pytest.raises(BrokerConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
                    attempt()
