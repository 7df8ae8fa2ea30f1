"""What Dramatiq documents of its brokers and its worker holds for ours: they take the places of the stock classes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import dramatiq
import pytest
import redis
from dramatiq.brokers.redis import MAINTENANCE_SCALE
from dramatiq.brokers.redis import RedisBroker as StockRedisBroker
from dramatiq.common import q_name
from dramatiq.errors import QueueJoinTimeout, QueueNotFound

from chatbot.brokers.rabbitmq import RabbitmqBroker
from chatbot.brokers.redis import RedisBroker
from chatbot.brokers.stub import StubBroker
from chatbot.brokers.worker import Worker
from chatbot.middleware import Guard, declare
from tests.conformance.broker_harness import BROKERS, Transport
from tests.servers import RabbitmqServer, RedisServer
from tests.waiting import wait_until


@pytest.fixture(params=["stub", "redis", "rabbitmq", "rabbitmq-classic"])
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    """A broker's server, with queues for this test alone."""
    with closing(BROKERS[request.param](request)) as transport:
        yield transport


@pytest.fixture
def server(private_redis: Callable[..., RedisServer]) -> RedisServer:
    return private_redis()


@pytest.fixture
def client(server: RedisServer) -> Iterator[Any]:
    with closing(redis.Redis.from_url(server.url)) as client:
        yield client


# --- brokers ---
def test_a_time_that_is_none_means_now(transport: Transport) -> None:
    calls: list[object] = []
    broker = transport.broker()
    actor = declare(broker, calls.append, queue_name=transport.queue())
    times = [None, "soon", 0]
    for eta in times:
        broker.enqueue(actor.message(eta).copy(options={"eta": eta}))
    with transport.worker(broker, threads=1):
        wait_until(lambda: len(calls) == len(times))
    assert calls == times


def test_options_of_a_message_reach_its_run(transport: Transport) -> None:
    seen: list[Any] = []

    class Look(dramatiq.Middleware):
        def before_process_message(self, broker: dramatiq.Broker, message: dramatiq.MessageProxy) -> None:
            seen.append(message.options["tenant"])

    broker = transport.broker(Look())
    actor = declare(broker, print, queue_name=transport.queue())
    actor.send_with_options(tenant={"id": 7})
    actor.send_with_options(tenant={"id": 8}, delay=50)
    with transport.worker(broker):
        wait_until(lambda: len(seen) == 2)
    assert sorted(one["id"] for one in seen) == [7, 8]


def test_joining_a_queue_that_is_not_worked_on_times_out(transport: Transport) -> None:
    broker: Any = transport.broker()
    actor = declare(broker, print, queue_name=transport.queue())
    actor.send()
    with pytest.raises(QueueJoinTimeout):
        broker.join(actor.queue_name, timeout=300)


def test_an_unknown_queue_of_the_stub_is_an_error_before_any_guard_is_asked() -> None:
    class Curious(Guard):
        option, policy, rank = "curious", bool, 0

        def admit(self, broker: Any, messages: Any) -> Any:
            raise AssertionError("asked")

    broker = StubBroker(middleware=[Curious()])
    actor = declare(broker, print)
    with pytest.raises(QueueNotFound, match="nowhere"):
        broker.enqueue(actor.message().copy(queue_name="nowhere"))


def test_a_delayed_message_counts_until_it_is_done(server: RedisServer) -> None:
    done: list[int] = []
    broker = RedisBroker(url=server.url, middleware=[])
    actor = dramatiq.actor(broker=broker)(done.append)
    worker = Worker(broker, worker_threads=1, worker_timeout=100)
    worker.start()
    # Whoever looked at its two places one after the other would miss it on its way between them.
    for number in range(30):
        actor.send_with_options(args=(number,), delay=20)
        while broker.do_qsize("default"):
            pass
        assert done[-1:] == [number]
    worker.stop()
    broker.close()


def test_the_consumer_of_a_delay_queue_leaves_it_to_the_server(server: RedisServer, client: Any) -> None:
    broker = RedisBroker(url=server.url, middleware=[])
    dramatiq.actor(broker=broker)(print).send_with_options(delay=3_600_000)
    consumer = broker.consume("default.DQ", timeout=50)
    assert [next(consumer) for _ in range(5)] == [None] * 5
    assert client.llen("dramatiq:default.DQ") == 1
    consumer.close()
    broker.close()


def test_settling_a_message_that_a_consumer_does_not_have_does_nothing(server: RedisServer) -> None:
    broker = RedisBroker(url=server.url, middleware=[])
    message = broker.enqueue(dramatiq.actor(broker=broker)(print).message())
    consumer: Any = broker.consume("default")
    consumer.nack(message)
    consumer.ack(message)
    assert broker.do_qsize("default") == 1
    consumer.close()
    broker.close()


def test_priorities_hold_in_classic_queues_of_rabbitmq(rabbitmq_server: RabbitmqServer) -> None:
    order: list[int] = []
    queue = "classic-priorities"
    broker = RabbitmqBroker(url=rabbitmq_server.url, middleware=[], queue_type="classic", max_priority=9)
    actor = dramatiq.actor(broker=broker, queue_name=queue)(order.append)
    for priority in range(10):
        actor.send_with_options(args=(priority,), broker_priority=priority)
    worker = Worker(broker, worker_threads=1, worker_timeout=100)
    worker.queue_prefetch = 1
    worker.start()
    wait_until(lambda: len(order) == 10)
    worker.stop()
    # The one that is fetched while another one runs is ahead of its turn by one at most.
    assert order == sorted(order, reverse=True)
    with broker.nodes.channel("clean") as channel:
        for name in (queue, f"{queue}.DQ", f"{queue}.XQ"):
            channel.queue_delete(name)
    broker.close()


def test_what_plain_dramatiqs_maintenance_took_from_a_paused_worker_is_not_acknowledged_by_it(
    server: RedisServer, client: Any
) -> None:
    broker = RedisBroker(url=server.url, middleware=[], heartbeat=30, lease=90)
    plain: Any = StockRedisBroker(url=server.url, middleware=[], maintenance_chance=MAINTENANCE_SCALE)
    message = dramatiq.actor(broker=broker)(print).send()
    consumer: Any = broker.consume("default", timeout=100)
    delivery = wait_until(lambda: next(consumer))
    # A minute without a heartbeat.
    client.zadd("dramatiq:__heartbeats__", {broker.broker_id: 1})
    taken = wait_until(lambda: next(plain.consume("default")))
    consumer.ack(delivery)
    assert taken.message_id == message.message_id
    assert client.hlen("dramatiq:default.msgs") == 1
    consumer.close()
    broker.close()
    plain.client.connection_pool.disconnect()


# --- dead letters and what operators delete ---
def test_a_flood_of_old_dead_letters_is_removed_at_once(server: RedisServer, client: Any) -> None:
    ids = [str(number) for number in range(20_000)]
    client.zadd("dramatiq:default.XQ", dict.fromkeys(ids, 1))
    client.hset("dramatiq:default.XQ.msgs", mapping=dict.fromkeys(ids, "old"))
    broker = RedisBroker(url=server.url, middleware=[])
    consumer = broker.consume("default")
    wait_until(lambda: not client.exists("dramatiq:default.XQ", "dramatiq:default.XQ.msgs"))
    consumer.close()
    broker.close()


def test_a_message_that_was_deleted_while_it_ran_leaves_no_trace_of_its_dead_worker(
    server: RedisServer, client: Any
) -> None:
    dead, living = (RedisBroker(url=server.url, middleware=[], heartbeat=0.2, lease=0.7) for _ in range(2))
    for broker in (dead, living):
        broker.declare_queue("default")
    consumer: Any = dead.consume("default")
    enqueued = dead.enqueue(dramatiq.Message(queue_name="default", actor_name="a", args=(), kwargs={}, options={}))
    wait_until(lambda: next(consumer))
    assert client.hlen("dramatiq:default.held") == 1
    client.hdel("dramatiq:default.msgs", enqueued.options["redis_message_id"])
    dead.steward.stop()
    client.zadd("dramatiq:__workers__", {dead.broker_id: 1}, xx=True)
    other = living.consume("default")
    wait_until(lambda: not client.exists("dramatiq:default.held"))
    other.close()
    for broker in (dead, living):
        broker.close()


def test_what_dashboards_read_is_where_plain_dramatiq_has_it(server: RedisServer, client: Any) -> None:
    def run(what: str) -> None:
        if what == "dead":
            raise RuntimeError("hopeless")
        wait_until(lambda: release)

    release: list[int] = []
    broker = RedisBroker(url=server.url)
    actor = dramatiq.actor(broker=broker, max_retries=0)(run)
    worker = Worker(broker, worker_threads=1, worker_timeout=100)
    worker.start()
    actor.send("dead")
    actor.send("running")
    running = f"dramatiq:__acks__.{broker.broker_id}.default"
    wait_until(lambda: client.zcard("dramatiq:default.XQ") and client.scard(running))
    actor.send_with_options(args=("delayed",), delay=3_600_000)
    for part, what in (("", "running"), (".DQ", "delayed"), (".XQ", "dead")):
        ((at, body),) = client.hgetall(f"dramatiq:default{part}.msgs").items()
        message = dramatiq.Message.decode(body)
        assert (message.args, message.options["redis_message_id"]) == ((what,), at.decode())
        assert q_name(message.queue_name) == "default"
    ((name, seen),) = client.zrange("dramatiq:__heartbeats__", 0, -1, withscores=True)
    assert (name.decode(), client.scard(running)) == (broker.broker_id, 1)
    assert abs(time.time() - seen / 1000) < 60
    release.append(1)
    worker.stop()
    broker.close()


# --- workers ---
@pytest.mark.parametrize("transport", ["redis"], indirect=True)  # Dramatiq's consumers take three seconds to resume
def test_a_paused_worker_starts_nothing_until_it_resumes(transport: Transport) -> None:
    calls: list[int] = []
    broker = transport.broker()
    actor = declare(broker, calls.append, queue_name=transport.queue())
    worker = Worker(broker, queues={actor.queue_name}, worker_threads=2, worker_timeout=50)
    worker.start()
    actor.send(1)
    wait_until(lambda: calls == [1])
    worker.pause()
    actor.send(2)
    time.sleep(0.3)  # nothing is there to wait for
    assert calls == [1]
    worker.resume()
    wait_until(lambda: calls == [1, 2])
    worker.join()
    worker.stop()


def test_a_queue_that_is_declared_while_a_worker_runs_is_worked_on(transport: Transport) -> None:
    calls: list[int] = []
    broker = transport.broker()
    worker = Worker(broker, worker_threads=2, worker_timeout=50)
    worker.start()
    declare(broker, calls.append, queue_name=transport.queue("late")).send(1)
    wait_until(lambda: calls == [1])
    worker.stop()
