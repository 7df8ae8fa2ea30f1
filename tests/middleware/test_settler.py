"""A call whose result nobody uses at once is settled behind the worker's back, and acknowledged after that."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from dramatiq import pipeline
from dramatiq.middleware import Middleware, MiddlewareError, TimeLimitExceeded
from dramatiq.results import Results
from dramatiq.results.backends import StubBackend

from chatbot.brokers.redis import RedisBroker
from chatbot.errors import StoreUnavailable
from chatbot.middleware import Idempotent, guarded_stack
from chatbot.middleware.calls import parameters_hash
from chatbot.middleware.idempotency import Idempotency
from chatbot.middleware.leases import Heartbeat
from chatbot.middleware.observer import Judged, Observer
from chatbot.stores.values import Settling
from tests.conformance.broker_harness import BROKERS, Transport
from tests.middleware.running import NUMBERS, House, TroubledStore
from tests.middleware.test_interrupts import Interrupter, lines
from tests.waiting import wait_until


class Ears(Observer):
    """Hears what becomes of calls."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def decided(self, calls: Sequence[Judged]) -> None:
        self.heard.extend(call.outcome for call in calls)


class Shop:
    """An idempotent actor on a real broker, with a store that can be troubled; its calls may be held inside."""

    def __init__(self, make: Callable[[list[Middleware]], Any]) -> None:
        self.store, self.ears, self.runs, self.gate = TroubledStore(), Ears(), list[str](), threading.Event()
        self.gate.set()
        self.heartbeat = Heartbeat(self.store)
        stack = [m for m in guarded_stack(self.store) if not isinstance(m, Idempotency)]
        self.guard = Idempotency(self.store, heartbeat=self.heartbeat, observer=self.ears)
        self.house = House(self.store, make([*stack, self.guard]))
        queue, policy = f"s{os.getpid()}-{next(NUMBERS)}", Idempotent(key="{order}", lease=10_000)
        self.actor = self.house.declare(self.charge, idempotent=policy, queue_name=queue)

    def charge(self, order: str) -> None:
        self.runs.append(order)
        assert self.gate.wait(20)

    def overtake(self, order: str) -> None:
        """Let another run take the record of one that is silent, and complete."""
        key, payload = f"run:{self.actor.actor_name}:{order}", parameters_hash(self.actor, self.actor.message(order))
        busy = self.store.claim(key, "other", 1_000, payload)
        assert self.store.release(key, busy.owner)
        self.store.claim(key, "other", 1_000, payload)
        assert self.store.settle(key, "other", payload, b"", 60_000, 0) == b""

    def renewed(self) -> int:
        """Return how many leases the heartbeat renews."""
        return len(self.heartbeat._held)

    def unacknowledged(self) -> int:
        """Return how many messages the server of a Redis broker still has."""
        broker = self.house.broker
        return int(broker.client.hlen(f"{broker.namespace}:{self.actor.queue_name}.msgs"))

    def close(self) -> None:
        self.gate.set()
        self.house.close()
        self.house.broker.close()


@pytest.fixture
def shop(request: pytest.FixtureRequest) -> Iterator[Shop]:
    server, namespace = request.getfixturevalue("redis_server"), f"s{os.getpid()}-{next(NUMBERS)}"
    shop = Shop(lambda stack: RedisBroker(url=server.url, namespace=namespace, middleware=stack))
    yield shop
    shop.close()


@pytest.fixture
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    transport = BROKERS["rabbitmq"](request)
    yield transport
    transport.close()


def hears(shop: Shop, *outcomes: str) -> None:
    wait_until(lambda: sorted(shop.ears.heard) == sorted(outcomes), message=f"not {outcomes}: {shop.ears.heard}")


# --- the order of things ---
def test_a_message_is_acknowledged_when_its_call_is_settled_and_the_worker_does_not_wait_for_it(shop: Shop) -> None:
    shop.store.down = {"settle"}
    shop.house.work(threads=1)
    for order in ("a", "b"):  # one thread runs the second while the first cannot be settled
        shop.actor.send(order)
    wait_until(lambda: shop.runs == ["a", "b"])
    wait_until(lambda: shop.store.calls["settle"] >= 4)
    assert (shop.unacknowledged(), shop.renewed(), shop.ears.heard) == (2, 2, [])
    shop.store.down = set()
    wait_until(lambda: shop.unacknowledged() == 0)
    assert shop.ears.heard == ["completed", "completed"]
    assert shop.renewed() == 0


def test_a_duplicate_in_the_same_process_waits_for_the_settlement_and_does_not_run(shop: Shop) -> None:
    shop.store.down = {"settle"}
    shop.house.work()
    shop.actor.send("a")
    wait_until(lambda: shop.store.calls["settle"])
    shop.actor.send("a")
    wait_until(lambda: "waiting" in shop.ears.heard)
    shop.store.down = set()
    wait_until(lambda: "duplicate" in shop.ears.heard)
    assert shop.runs == ["a"]
    wait_until(lambda: shop.unacknowledged() == 0)


class Looks(Middleware):
    """Notes, for each call that has returned, whether it is settled already."""

    def __init__(self, shop: Shop) -> None:
        self.shop, self.settled = shop, list[bool]()

    def after_process_message(self, broker: Any, message: Any, **outcome: Any) -> None:
        self.settled.append(self.shop.store.calls["settle"] > 0)


USES: dict[str, Callable[[Shop], Any]] = {
    "nobody": lambda shop: shop.actor.send("a"),
    "a result of the message": lambda shop: shop.actor.send_with_options(args=("a",), store_results=True),
    "a pipeline": lambda shop: pipeline(
        [shop.actor.message("a"), shop.actor.message("b")], broker=shop.house.broker
    ).run(),
    "a callback": lambda shop: shop.actor.send_with_options(args=("a",), on_success="nobody"),
}


@pytest.mark.parametrize("who", [*USES, "results of every actor"])
def test_a_result_that_somebody_uses_is_settled_before_and_others_after_the_call_has_returned(
    shop: Shop, who: str
) -> None:
    looks = Looks(shop)
    shop.house.broker.add_middleware(looks)
    if who == "results of every actor":
        shop.house.broker.add_middleware(Results(backend=StubBackend(), store_results=True))
    shop.house.work(threads=1)
    USES.get(who, USES["nobody"])(shop)
    wait_until(lambda: looks.settled)
    assert looks.settled[0] is (who != "nobody")


# --- whatever happens between the run and its settlement ---
def test_a_run_that_was_overtaken_comes_back_for_the_others_result(shop: Shop) -> None:
    shop.gate.clear()
    shop.house.work(threads=1)
    shop.actor.send("a")
    wait_until(lambda: shop.runs)
    shop.overtake("a")
    shop.gate.set()
    hears(shop, "overtaken", "duplicate")
    wait_until(lambda: shop.unacknowledged() == 0)
    assert (shop.runs, shop.renewed()) == (["a"], 0)


class Refuses(Middleware):
    """Refuses to publish, once."""

    refused = 0

    def before_enqueue(self, broker: Any, message: Any, delay: int | None) -> None:
        if delay and not self.refused:
            self.refused += 1
            raise MiddlewareError("not now")


def test_an_overtaken_call_whose_copy_cannot_be_left_is_delivered_again_to_this_worker(shop: Shop) -> None:
    refuses = Refuses()
    shop.house.broker.add_middleware(refuses)
    shop.gate.clear()
    shop.house.work(threads=1)
    shop.actor.send("a")
    wait_until(lambda: shop.runs)
    shop.overtake("a")
    shop.gate.set()
    hears(shop, "overtaken", "duplicate")
    wait_until(lambda: shop.unacknowledged() == 0)
    assert (shop.runs, refuses.refused) == (["a"], 1)


def test_a_run_that_is_interrupted_once_it_has_returned_is_settled_and_not_repeated(shop: Shop) -> None:
    """Its retry gets what it has done."""
    guarded, interrupted = shop.actor.fn, list[str]()

    def interrupt(order: str) -> None:
        guarded(order)
        if not interrupted:
            interrupted.append(order)
            raise TimeLimitExceeded

    shop.actor.fn = interrupt
    shop.house.work(threads=1)
    shop.actor.send("a")
    wait_until(lambda: {"completed", "duplicate"} <= set(shop.ears.heard))
    assert (shop.runs, interrupted) == (["a"], ["a"])


@pytest.mark.long
def test_a_call_completes_once_wherever_it_is_interrupted(shop: Shop) -> None:
    interrupter = Interrupter()
    shop.house.broker.add_middleware(interrupter)
    shop.actor.options["idempotent"] = Idempotent(key="{order}", lease=200)
    shop.house.work(threads=1)
    for n in lines(1):
        heard = len(shop.ears.heard)
        interrupter.arm(n, shop.actor)
        shop.actor.send(f"o{n}")
        wait_until(lambda heard=heard: {"completed", "duplicate"} & set(shop.ears.heard[heard:]))  # type: ignore[misc]
        wait_until(lambda: shop.unacknowledged() == 0)
        wait_until(lambda: shop.renewed() == 0)
        assert shop.ears.heard[heard:].count("completed") == 1
        if interrupter.left:
            break
    assert interrupter.left, "the run is longer than that"


class Fails(Middleware):
    """Makes dead letters of what has run."""

    def after_process_message(self, broker: Any, message: Any, **outcome: Any) -> None:
        message.fail()


def test_a_call_that_has_run_is_settled_though_its_message_becomes_a_dead_letter(shop: Shop) -> None:
    shop.house.broker.add_middleware(Fails())
    shop.house.work(threads=1)
    shop.actor.send("a")
    hears(shop, "completed")
    wait_until(lambda: shop.unacknowledged() == 0)
    assert shop.renewed() == 0


def test_a_message_that_comes_again_before_its_call_is_settled_does_not_run_again(transport: Transport) -> None:
    """The connection was lost in between: the server delivers again what this process has done."""
    shop = Shop(transport.create)
    transport.queues.add(shop.actor.queue_name)
    shop.store.down = {"settle"}
    worker = shop.house.work(threads=2)
    try:
        shop.actor.send("a")
        wait_until(lambda: shop.store.calls["settle"])
        consumer: Any = worker.consumers[shop.actor.queue_name].consumer
        lost, connection = consumer._deliveries, consumer._deliveries._connection
        connection.add_callback_threadsafe(lambda: connection._impl._terminate_stream(ConnectionError("cut")))
        wait_until(lambda: consumer._deliveries is not lost)
        wait_until(lambda: "waiting" in shop.ears.heard)
        shop.store.down = set()
        wait_until(lambda: {"completed", "duplicate"} <= set(shop.ears.heard))
        assert shop.runs == ["a"]
    finally:
        shop.close()
    assert transport.waiting(shop.actor.queue_name) == 0


# --- neighbours ---
@pytest.mark.parametrize("trouble", [RuntimeError, StoreUnavailable])
def test_what_cannot_be_settled_harms_no_other_call(
    shop: Shop, trouble: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a cluster, a part may be down: what is kept elsewhere goes on."""
    settle, mended = shop.store.settle, threading.Event()

    def troubled(key: str, *args: Any) -> bytes | None:
        if key.endswith(":bad") and not mended.is_set():
            raise trouble("this one")
        return settle(key, *args)

    monkeypatch.setattr(shop.store, "settle", troubled)
    shop.house.work(threads=2)
    shop.actor.send("bad")
    wait_until(lambda: shop.runs)
    for n in range(3):
        shop.actor.send(f"good{n}")
    wait_until(lambda: shop.unacknowledged() == (trouble is StoreUnavailable))
    mended.set()
    hears(shop, *["completed"] * 4)
    wait_until(lambda: shop.unacknowledged() == 0)


# --- the end ---
def test_a_worker_that_stops_settles_and_acknowledges_what_has_run(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, answered, settle_many = threading.Event(), threading.Event(), shop.store.settle_many

    def slow(settled: Sequence[Settling]) -> Any:
        asked.set()
        assert answered.wait(20)
        return settle_many(settled)

    monkeypatch.setattr(shop.store, "settle_many", slow)
    shop.house.work(threads=1)
    for n in range(5):
        shop.actor.send(f"o{n}")
    wait_until(lambda: len(shop.runs) == 5 and asked.is_set())
    stopping = threading.Thread(target=shop.house.stop)
    stopping.start()
    wait_until(lambda: shop.guard.patience.is_over)
    answered.set()
    stopping.join(20)
    assert not stopping.is_alive()
    assert (shop.ears.heard, shop.unacknowledged(), shop.renewed()) == (["completed"] * 5, 0, 0)


def test_a_worker_that_stops_while_the_store_is_down_does_not_wait_and_repeats_nothing(shop: Shop) -> None:
    """What has run must not run again because that could not be noted."""
    shop.store.down = {"settle", "renew"}
    shop.house.work(threads=2)
    for n in range(3):
        shop.actor.send(f"o{n}")
    wait_until(lambda: len(shop.runs) == 3)
    shop.house.stop()
    assert shop.unacknowledged() == 0
    assert shop.renewed() == 0


def test_the_next_worker_of_a_process_settles_too(shop: Shop) -> None:
    for order in ("a", "b"):
        shop.house.work(threads=1)
        shop.actor.send(order)
        wait_until(lambda order=order: order in shop.runs)  # type: ignore[misc]
        shop.house.stop()
        assert shop.unacknowledged() == 0
    assert shop.ears.heard == ["completed", "completed"]


FORKED = """
import os, sys, threading
from dramatiq.broker import MessageProxy
from dramatiq.message import Message
from chatbot.middleware.patience import Patience
from chatbot.middleware.settler import Settlement, Settler
from chatbot.stores.values import Settling
from chatbot.stores.memory import MemoryStore

class Stuck(MemoryStore):
    def settle_many(self, settled):
        if os.getpid() == PARENT:
            asked.set()
            threading.Event().wait()
        return super().settle_many(settled)

PARENT, asked = os.getpid(), threading.Event()
settler = Settler(Stuck(), Patience())

def do(name):
    message = MessageProxy(Message("q", "a", (), {}, {}))
    settling = Settling("run:" + name, name, "", b"", 1000, 1000)
    settler.take(message, Settlement(settling, True, lambda answer: None))
    vars(message).pop("settle")(lambda: print(name, flush=True))

settler.flush()
do("first"), asked.wait(), do("second")
if os.fork() == 0:
    do("child's")
    settler.flush()
    os._exit(0)
os.wait()
print("over", flush=True)
"""


def test_a_fork_settles_its_own_calls_only_and_a_settler_that_waits_keeps_no_process_from_its_end() -> None:
    argv = [sys.executable, "-W", "ignore", "-c", FORKED]
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True)
    assert ended.stdout.split("\n") == ["child's", "over", ""]
