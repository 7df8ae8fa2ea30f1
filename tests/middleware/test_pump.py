"""The pump hands over what is due, and survives everything around it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import pytest
import redis
from dramatiq.message import Message

from chatbot.brokers.stub import StubBroker
from chatbot.middleware import declare, guarded_stack
from chatbot.middleware.pump import Pump
from chatbot.stores.memory import ManualClock
from chatbot.stores.redis import RedisStore
from tests.middleware.running import House, TroubledStore, window
from tests.servers import RedisServer
from tests.waiting import wait_until


def one(items: list[str]) -> None: ...


def troubled(house: House) -> TroubledStore:
    assert isinstance(house.store, TroubledStore)
    return house.store


def test_an_idle_pump_sleeps(memory: House) -> None:
    store = troubled(memory)
    memory.work()
    wait_until(lambda: store.calls["sleep"])
    time.sleep(0.5)  # a pump that polls would be seen
    assert store.calls["take_due"] <= 2
    assert store.calls["handed_over"] == 0


def test_a_hand_over_that_takes_its_time_makes_no_other_window_late(
    new_house: Callable[..., House], monkeypatch: pytest.MonkeyPatch
) -> None:
    house = new_house(TroubledStore(clock=ManualClock()))
    house.declare(one, actor_name="now", debounced=window(wait=0)).send("a1")
    house.declare(one, actor_name="later", debounced=window(wait=3_000)).send("a1")
    enqueue_many = house.broker.enqueue_many

    def slow(messages: list[Message[object]]) -> object:
        time.sleep(0.3)
        return enqueue_many(messages)

    monkeypatch.setattr(house.broker, "enqueue_many", slow)
    assert Pump(house.broker, house.store).step() <= 2_700


def test_a_sleeping_pump_wakes_for_a_window_that_is_due_at_once(house: House) -> None:
    runs: list[float] = []
    actor = house.declare(lambda items: runs.append(time.monotonic()), actor_name="d", debounced=window(wait=0))
    house.work()
    for _ in range(5):
        count, sent = len(runs), time.monotonic()
        actor.send("a1")
        wait_until(lambda count=count: len(runs) > count)  # type: ignore[misc]
        assert runs[-1] - sent < 3  # it would sleep for 4
        house.settled(actor)


def test_many_windows_are_one_batch(memory: House) -> None:
    store = troubled(memory)
    actor = memory.declare(one, debounced=window(wait=0))
    memory.broker.enqueue_many([actor.message(letter) for letter in "abcdefghij"])
    Pump(memory.broker, store).step()
    assert (store.calls["take_due"], store.calls["handed_over"]) == (1, 1)
    assert memory.broker.published == 10


def test_two_pumps_never_hand_over_the_same_window(house: House) -> None:
    actor = house.declare(one, debounced=window(wait=0))
    house.broker.enqueue_many([actor.message(chr(0x4E00 + i)) for i in range(100)])
    published: list[Message[object]] = []
    enqueue_many = house.broker.enqueue_many

    def recording(messages: list[Message[object]]) -> object:
        published.extend(messages)
        return enqueue_many(messages)

    house.broker.enqueue_many = recording
    pumps = [Pump(house.broker, house.store) for _ in range(4)]
    for pump in pumps:
        pump.start()
    wait_until(lambda: len(published) >= 100)
    for pump in pumps:
        pump.stop()
    assert len({m.message_id for m in published}) == len(published) == 100


def test_publications_of_a_turn_have_one_id(new_house: Callable[..., House]) -> None:
    clock = ManualClock()
    house = new_house(TroubledStore(clock=clock))
    actor = house.declare(one, debounced=window(wait=0))
    actor.send("a1")
    pump = Pump(house.broker, house.store)
    for _ in range(2):
        pump.step()
        clock.advance(100_000)
    queue = house.broker.queues[actor.queue_name].queue
    first, second = (Message.decode(data) for data in queue)
    assert first.message_id == second.message_id
    assert first.options["turn"][:2] == second.options["turn"][:2]
    assert (first.args, first.kwargs) == ((), {})


@pytest.mark.parametrize("verb", ["take_due", "handed_over", "sleep"])
@pytest.mark.parametrize("trouble", ["down", "mute"])
def test_a_pump_survives_a_store_that_is_down(
    memory: House, verb: str, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatbot.middleware.pump.PUBLISH_LEASE", 100)
    store, runs = troubled(memory), []
    actor = memory.declare(lambda items: runs.append(items), actor_name="d", debounced=window(wait=0))
    getattr(store, trouble).add(verb)
    memory.work()
    actor.send("a1")
    wait_until(lambda: store.calls[verb] >= (1 if verb == "handed_over" else 2))
    getattr(store, trouble).clear()
    memory.settled(actor)
    assert runs == [["a1"]]


@pytest.mark.parametrize("verb", ["take_due", "sleep"])
def test_a_pump_survives_errors_that_nobody_expects(
    new_house: Callable[..., House], verb: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Buggy(TroubledStore):
        failures = 2

    def fail(self: Buggy, *args: object) -> object:
        if self.failures:
            self.failures -= 1
            raise ZeroDivisionError
        return getattr(TroubledStore, verb)(self, *args)

    setattr(Buggy, verb, fail)
    house, runs = new_house(Buggy()), []
    actor = house.declare(lambda items: runs.append(items), actor_name="d", debounced=window(wait=0))
    house.work()
    actor.send("a1")
    house.settled(actor)
    wait_until(lambda: not house.store.failures)  # type: ignore[attr-defined]
    actor.send("a2")
    house.settled(actor)
    assert runs == [["a1"], ["a2"]]
    assert "ZeroDivisionError" in caplog.text


def test_a_pump_survives_a_broker_that_is_down(memory: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatbot.middleware.pump.PUBLISH_LEASE", 100)
    runs: list[list[str]] = []
    actor = memory.declare(lambda items: runs.append(items), actor_name="d", debounced=window(wait=0))
    memory.broker.cut = True
    memory.work()
    actor.send("a1")
    wait_until(lambda: troubled(memory).calls["take_due"] > 2)
    memory.broker.cut = False
    memory.settled(actor)
    assert runs == [["a1"]]


@pytest.mark.parametrize("why", ["unknown", "no longer debounced"])
def test_a_turn_of_an_actor_that_is_not_here_waits_for_a_process_that_has_it(
    new_house: Callable[..., House], why: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatbot.middleware.pump.PUBLISH_LEASE", 100)
    store = TroubledStore()
    there, here = new_house(store), new_house(store)
    runs: list[list[str]] = []
    actor = there.declare(lambda items: runs.append(items), actor_name="theirs", debounced=window(wait=0))
    known = here.declare(lambda items: runs.append(items), actor_name="ours", debounced=window(wait=0))
    if why != "unknown":
        here.declare(one, actor_name="theirs")
    here.work()
    there.broker.enqueue_many([actor.message("a1")])
    known.send("a2")
    with caplog.at_level(logging.ERROR):
        wait_until(lambda: "theirs" in caplog.text)
    here.settled(known)
    assert runs == [["a2"]]
    here.stop()
    there.work()
    there.settled(actor)
    assert runs == [["a2"], ["a1"]]


def test_a_pump_that_is_stopped_in_its_sleep_passes_the_wake_up_on(
    private_redis: Callable[..., RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server gives the only token to who has slept the longest, and that is the one that goes away."""
    monkeypatch.setattr("chatbot.middleware.pump.LONGEST", 60_000)
    monkeypatch.setattr("chatbot.stores.redis.LONGEST_SLEEP", 60_000)
    server = private_redis()
    store = RedisStore(server.url, socket_timeout=90)
    broker = StubBroker(middleware=guarded_stack(store))
    actor = declare(broker, one, actor_name="d", debounced=window(wait=0))
    pumps = [Pump(broker, store) for _ in range(2)]
    with redis.Redis(port=server.port) as client:
        for asleep, pump in enumerate(pumps, 1):
            pump.start()
            wait_until(lambda asleep=asleep: client.info("clients")["blocked_clients"] == asleep)  # type: ignore[misc]
    pumps[0].stop()
    actor.send("a1")
    wait_until(lambda: store.inspect("d/a").state == "handed over")
    pumps[1].stop()
    server.kill()
    store.close()
