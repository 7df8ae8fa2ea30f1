"""What is particular to the RabbitMQ broker: confirms, queue types, and dead letters that cannot get lost."""

from __future__ import annotations

import contextlib
import gc
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pika
import pytest
from dramatiq import Worker
from dramatiq.broker import MessageProxy
from dramatiq.brokers.rabbitmq import RabbitmqBroker as StockRabbitmqBroker
from dramatiq.errors import BrokerConnectionError
from dramatiq.message import Message
from dramatiq.middleware import TimeLimitExceeded
from pika.adapters.blocking_connection import BlockingChannel

from chatbot.brokers.rabbitmq import RabbitmqBroker
from chatbot.brokers.rabbitmq_deliveries import Deliveries
from chatbot.brokers.rabbitmq_queues import QueueMismatch
from chatbot.brokers.window import Prefetch
from chatbot.errors import ConfigurationError
from chatbot.middleware import declare, guarded_stack
from chatbot.stores.memory import MemoryStore
from tests.servers import RabbitmqServer
from tests.waiting import wait_until

QUEUES = ("confirmed", "confirmed.DQ", "confirmed.XQ")
Create = Callable[..., Any]


@pytest.fixture
def channel(rabbitmq_server: RabbitmqServer) -> Iterator[Any]:
    """A channel that looks on."""
    with contextlib.closing(pika.BlockingConnection(pika.URLParameters(rabbitmq_server.url))) as connection:
        channel = connection.channel()
        yield channel
        for name in QUEUES:
            channel.queue_delete(name)


@pytest.fixture
def create(rabbitmq_server: RabbitmqServer, channel: Any) -> Iterator[Create]:
    """Returns a broker with further options."""
    with contextlib.ExitStack() as brokers:

        def make(**options: Any) -> Any:
            options = {"url": rabbitmq_server.url, "retry_for": 10, **options}
            return brokers.enter_context(
                contextlib.closing(RabbitmqBroker(middleware=guarded_stack(MemoryStore()), **options))
            )

        yield make


@pytest.fixture
def broker(create: Create) -> Any:
    return create()


@contextlib.contextmanager
def running(broker: Any, threads: int = 1) -> Iterator[Worker]:
    worker = Worker(broker, worker_threads=threads, worker_timeout=100)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()


def open_sockets() -> set[socket.socket]:
    gc.collect()
    return {thing for thing in gc.get_objects() if isinstance(thing, socket.socket) and thing.fileno() != -1}


def connections(before: set[socket.socket], server: RabbitmqServer) -> int:
    """Return how many connections to the server this process has opened since."""

    def leads_there(end: socket.socket) -> bool:
        try:
            return bool(end.getpeername()[1] == server.port)
        except (OSError, IndexError, TypeError):
            return False  # one of the pairs that wake a thread

    return sum(map(leads_there, open_sockets() - before))


# --- publishing ---
def test_all_threads_of_a_process_publish_through_one_connection(
    broker: Any, channel: Any, rabbitmq_server: RabbitmqServer
) -> None:
    before = open_sockets()
    actor = declare(broker, print, queue_name="confirmed")
    senders = [threading.Thread(target=actor.send, args=(n,)) for n in range(40)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert connections(before, rabbitmq_server) == 1
    assert channel.queue_declare("confirmed", passive=True).method.message_count == 40


def test_a_publication_to_a_deleted_queue_declares_it_again(broker: Any, channel: Any) -> None:
    calls: list[str] = []
    actor = declare(broker, calls.append, queue_name="confirmed")
    actor.send("lost with the queue")
    for name in QUEUES:
        channel.queue_delete(name)
    broker.enqueue_many([actor.message("hello"), actor.message("again")])
    with running(broker):
        wait_until(lambda: len(calls) == 2)
    assert sorted(calls) == ["again", "hello"]


def test_a_publication_that_the_server_refuses_is_an_error(create: Create, channel: Any) -> None:
    channel.queue_declare("confirmed", durable=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    broker = create(retry_for=0.5)
    actor = declare(broker, print, queue_name="confirmed")
    broker.queues_pending.clear()  # it would be declared with other arguments
    actor.send("first")
    with pytest.raises(BrokerConnectionError):
        actor.send("second")


def test_a_publication_that_the_server_refuses_for_a_while_arrives_once(create: Create, channel: Any) -> None:
    channel.queue_declare("confirmed", durable=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    broker = create()
    actor = declare(broker, print, queue_name="confirmed")
    broker.queues_pending.clear()
    actor.send("first")
    second = threading.Thread(target=actor.send, args=("second",))
    second.start()
    assert Message.decode(channel.basic_get("confirmed", auto_ack=True)[2]).args == ("first",)
    second.join()
    assert Message.decode(channel.basic_get("confirmed", auto_ack=True)[2]).args == ("second",)
    assert channel.basic_get("confirmed")[0] is None


def test_an_exchange_that_was_deleted_costs_no_delayed_message(broker: Any, channel: Any) -> None:
    calls: list[str] = []
    actor = declare(broker, calls.append, queue_name="confirmed")
    actor.send_with_options(args=("before",), delay=100)
    channel.exchange_delete("chatbot.delay.3")
    actor.send_with_options(args=("after",), delay=100)
    with running(broker):
        wait_until(lambda: sorted(calls) == ["after", "before"])


def test_a_message_that_cannot_be_written_down_does_not_stop_the_publisher(broker: Any, channel: Any) -> None:
    actor = declare(broker, print, queue_name="confirmed")
    with pytest.raises(TypeError):
        broker.enqueue_many([actor.message("fine"), actor.message(object())])
    actor.send("after")
    assert channel.queue_declare("confirmed", passive=True).method.message_count == 2


def test_a_closed_broker_publishes_again_when_it_is_asked_to(broker: Any, channel: Any) -> None:
    actor = declare(broker, print, queue_name="confirmed")
    actor.send("before")
    broker.close()
    actor.send("after")
    assert channel.queue_declare("confirmed", passive=True).method.message_count == 2


# --- queues ---
@pytest.mark.parametrize("kind", ["quorum", "classic"])
def test_messages_and_queues_are_durable(create: Create, channel: Any, kind: str) -> None:
    declare(create(queue_type=kind), print, queue_name="confirmed").send("hello")
    for name in QUEUES:
        channel.queue_declare(name, passive=True, durable=True)
    properties = channel.basic_get("confirmed", auto_ack=True)[1]
    assert properties.delivery_mode == pika.DeliveryMode.Persistent.value


def test_classic_queues_are_those_of_plain_dramatiq(
    create: Create, channel: Any, rabbitmq_server: RabbitmqServer
) -> None:
    declare(create(queue_type="classic", max_priority=5), print, queue_name="confirmed").send("hello")
    plain = StockRabbitmqBroker(url=rabbitmq_server.url, max_priority=5)
    plain.declare_queue("confirmed", ensure=True)
    plain.close()


@pytest.mark.parametrize(("there", "wanted"), [("classic", "quorum"), ("quorum", "classic")])
def test_a_queue_of_the_other_type_is_named_with_the_cure_and_left_alone(
    create: Create, channel: Any, there: str, wanted: str
) -> None:
    declare(create(queue_type=there), print, queue_name="confirmed").send("kept")
    broker = create(queue_type=wanted)
    actor = declare(broker, print, queue_name="confirmed")
    for attempt in (lambda: actor.send("hello"), lambda: broker.consume("confirmed")):
        with pytest.raises(QueueMismatch, match=r"'confirmed.*CHATBOT_RABBITMQ_QUEUES=.*delete_queue"):
            attempt()
    assert channel.queue_declare("confirmed", passive=True).method.message_count == 1


@pytest.mark.parametrize(
    "options", [{"queue_type": "stream"}, {"max_priority": 5}, {"confirm_delivery": False}, {"url": "redis://x"}]
)
def test_options_that_cannot_hold_are_refused(create: Create, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        create(**options)


def test_connections_can_be_described_as_dramatiq_does(channel: Any, rabbitmq_server: RabbitmqServer) -> None:
    port = rabbitmq_server.port
    for options in ({"host": "127.0.0.1", "port": port}, {"parameters": [{"host": "127.0.0.1", "port": port}]}):
        with contextlib.closing(RabbitmqBroker(middleware=[], **options)) as broker:  # type: ignore[arg-type]
            broker.ping()


# --- consuming ---
@pytest.mark.parametrize("kind", ["quorum", "classic"])
@pytest.mark.parametrize("queue", ["confirmed", "confirmed.DQ"])
@pytest.mark.parametrize("body", [b"\x00 no message", b"[]", b"{}", b'{"queue_name": 1}'])
def test_what_cannot_be_decoded_becomes_a_dead_letter(
    create: Create, channel: Any, kind: str, queue: str, body: bytes
) -> None:
    calls: list[str] = []
    broker = create(queue_type=kind)
    actor = declare(broker, calls.append, queue_name="confirmed")
    actor.send("before")
    channel.basic_publish("", queue, body)
    actor.send("after")
    with running(broker):
        wait_until(lambda: len(calls) == 2)
        wait_until(lambda: channel.basic_get("confirmed.XQ", auto_ack=True)[2] == body)


def test_a_message_under_a_wrong_queues_name_runs_and_its_worker_lives_on(broker: Any, channel: Any) -> None:
    calls: list[str] = []
    actor = declare(broker, calls.append, queue_name="confirmed")
    actor.send("declares the queue")
    channel.basic_publish("", "confirmed", actor.message("strayed").copy(queue_name="other").encode())
    with running(broker) as worker:
        wait_until(lambda: len(calls) == 2)
        assert all(thread.is_alive() for thread in worker.workers)


def test_a_worker_whose_queue_was_deleted_goes_on_and_keeps_no_connection(broker: Any, channel: Any) -> None:
    calls: list[str] = []
    before = open_sockets()
    actor = declare(broker, calls.append, queue_name="confirmed")
    broker.prepare("confirmed")
    with running(broker):
        # It has acknowledged nothing: once in two hundred times, a server that is told of an acknowledgement and a
        # deletion at once keeps a consumer that it neither cancels nor serves.
        wait_until(lambda: channel.queue_declare("confirmed", passive=True).method.consumer_count == 1)
        for name in QUEUES:
            channel.queue_delete(name)
        actor.send("after")
        wait_until(lambda: calls == ["after"])
    broker.close()
    assert open_sockets() - before == set()


def test_an_acknowledgement_does_not_outlive_its_connection(broker: Any, channel: Any) -> None:
    """The next connection counts its deliveries from one again: the tag would be another message's."""
    actor = declare(broker, print, queue_name="confirmed")
    actor.send("first")
    consumer = broker.consume("confirmed", prefetch=2, timeout=100)
    first = wait_until(lambda: next(consumer))
    consumer.close()
    again = wait_until(lambda: next(consumer))
    assert (again.redelivered, again._tag) == (True, first._tag)
    consumer.ack(first)
    consumer.close()
    wait_until(lambda: channel.queue_declare("confirmed", passive=True).method.message_count == 1)


def test_what_is_fetched_and_kept_is_delivered_again(broker: Any, channel: Any) -> None:
    declare(broker, print, queue_name="confirmed").send("first")
    consumer = broker.consume("confirmed", timeout=100)
    message = wait_until(lambda: next(consumer))
    assert message.redelivered is False
    message.unacknowledged = True
    consumer.ack(message)
    again = wait_until(lambda: next(consumer))
    assert (again.message_id, again.redelivered) == (message.message_id, True)
    consumer.ack(again)
    consumer.close()


def test_what_this_broker_did_not_deliver_is_not_settled(broker: Any, channel: Any) -> None:
    declare(broker, print, queue_name="confirmed").send("mine")
    consumer = broker.consume("confirmed", timeout=100)
    message = wait_until(lambda: next(consumer))
    for settle in (consumer.ack, consumer.nack):
        settle(MessageProxy(message._message))
    consumer.close()
    wait_until(lambda: channel.queue_declare("confirmed", passive=True).method.message_count == 1)


def test_an_interrupted_acknowledgement_holds_up_none_for_long(
    broker: Any, channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has noted the verdict, and has not told the thread of the connection."""

    def interrupted(self: Deliveries, callback: Any) -> None:
        raise TimeLimitExceeded

    actor = declare(broker, print, queue_name="confirmed")
    broker.enqueue_many([actor.message(n) for n in range(2)])
    consumer = broker.consume("confirmed", prefetch=2, timeout=100)
    first, second = (wait_until(lambda: next(consumer)) for _ in range(2))
    with monkeypatch.context() as patched:
        patched.setattr(Deliveries, "_interrupt", interrupted)
        with pytest.raises(TimeLimitExceeded):
            consumer.ack(first)
    consumer.ack(second)
    actor.send(2)
    third = wait_until(lambda: next(consumer))  # there was no room for it before
    assert third.args == (2,)
    consumer.close()


def test_acknowledgements_of_any_order_leave_what_is_open(broker: Any, channel: Any) -> None:
    actor = declare(broker, print, queue_name="confirmed")
    broker.enqueue_many([actor.message(n) for n in range(10)])
    consumer = broker.consume("confirmed", prefetch=10, timeout=100)
    messages = [wait_until(lambda: next(consumer)) for _ in range(10)]
    for n in (9, 0, 1, 4, 2, 7):
        consumer.ack(messages[n])
    consumer.nack(messages[5])
    consumer.close()
    wait_until(lambda: channel.queue_declare("confirmed", passive=True).method.message_count == 3)
    left = [Message.decode(channel.basic_get("confirmed")[2]).args[0] for _ in range(3)]
    assert sorted(left) == [3, 6, 8]
    assert channel.basic_get("confirmed")[0] is None
    assert Message.decode(wait_until(lambda: channel.basic_get("confirmed.XQ")[2])).args == (5,)


def test_acknowledgements_do_not_wait_for_a_message_that_takes_long(
    broker: Any, channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The window is exact, so all of it is for threads that may be idle."""
    monkeypatch.setattr("chatbot.brokers.rabbitmq_deliveries.LATEST", 60)
    actor = declare(broker, print, queue_name="confirmed")
    broker.enqueue_many([actor.message(n) for n in range(5)])
    consumer = broker.consume("confirmed", prefetch=3, timeout=100)
    first, *others = (wait_until(lambda: next(consumer)) for _ in range(3))
    for message in others:
        consumer.ack(message)
    later = [wait_until(lambda: next(consumer)) for _ in range(2)]  # there was no room for them before
    assert [message.args for message in later] == [(3,), (4,)]
    for message in (*later, first):
        consumer.ack(message)
    consumer.close()
    wait_until(lambda: channel.queue_declare("confirmed", passive=True).method.message_count == 0)


def test_acknowledgements_that_wait_for_those_before_them_share_a_frame(
    broker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames: list[tuple[int, bool]] = []
    basic_ack = BlockingChannel.basic_ack

    def noted(self: BlockingChannel, delivery_tag: int = 0, multiple: bool = False) -> None:
        frames.append((delivery_tag, multiple))
        basic_ack(self, delivery_tag, multiple)

    monkeypatch.setattr(BlockingChannel, "basic_ack", noted)
    monkeypatch.setattr("chatbot.brokers.rabbitmq_deliveries.LATEST", 60)
    actor = declare(broker, print, queue_name="confirmed")
    broker.enqueue_many([actor.message(n) for n in range(20)])
    consumer = broker.consume("confirmed", prefetch=Prefetch(40), timeout=100)
    first, *others = (wait_until(lambda: next(consumer)) for _ in range(20))
    for message in others:
        consumer.ack(message)
    assert next(consumer) is None
    assert frames == []
    consumer.ack(first)
    wait_until(lambda: next(consumer) is None and frames)
    assert frames == [(20, True)]
    consumer.close()


def test_acknowledgements_that_wait_take_up_half_of_the_window_at_most(
    broker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatbot.brokers.rabbitmq_deliveries.LATEST", 60)
    actor = declare(broker, print, queue_name="confirmed")
    broker.enqueue_many([actor.message(n) for n in range(6)])
    consumer = broker.consume("confirmed", prefetch=Prefetch(4), timeout=100)
    first, *others = (wait_until(lambda: next(consumer)) for _ in range(4))
    for message in others:
        consumer.ack(message)
    later = [wait_until(lambda: next(consumer)) for _ in range(2)]  # three of four would have left room for none
    assert [message.args for message in later] == [(4,), (5,)]
    for message in (first, *later):
        consumer.ack(message)
    consumer.close()
