"""Guards are asked once about a batch, before anything is published."""

from __future__ import annotations

from typing import Any

import pytest
from dramatiq.errors import ActorNotFound, ConnectionClosed
from dramatiq.message import Message

from chatbot.errors import PolicyInvalid, StoreUnavailable
from chatbot.middleware import Deduplicated, Idempotent, admit
from tests.middleware.running import House, TroubledStore, window
from tests.waiting import wait_until

LONG = {"wait": 60_000, "max_wait": 60_000}


def one(items: list[str]) -> None: ...


def troubled(house: House) -> TroubledStore:
    assert isinstance(house.store, TroubledStore)
    return house.store


def test_a_batch_is_one_call_to_the_store(memory: House) -> None:
    actor = memory.declare(one, debounced=window(**LONG), idempotent=Idempotent(key=lambda item: item))
    returned = memory.broker.enqueue_many([actor.message(f"a{i}") for i in range(100)])
    assert troubled(memory).calls["offer"] == 1
    assert {m.options["outcome"] for m in returned} == {"absorbed"}
    assert memory.broker.published == 0


def test_a_batch_of_unguarded_calls_asks_the_store_nothing(memory: House) -> None:
    actor = memory.declare(one)
    memory.broker.enqueue_many([actor.message(f"a{i}") for i in range(100)])
    assert not troubled(memory).calls
    assert memory.broker.published == 100


def test_the_answers_of_a_mixed_batch_come_in_its_order(memory: House) -> None:
    plain = memory.declare(one)
    dedup = memory.declare(one, deduplicated=Deduplicated(window=60_000))
    debounced = memory.declare(one, debounced=window(**LONG, max_buffered=1))
    calls = [
        dedup.message("x"),
        debounced.message("a1"),
        plain.message("x"),
        dedup.message("x"),
        debounced.message("a2"),
    ]
    returned = memory.broker.enqueue_many(calls)
    assert [m.message_id for m in returned] == [m.message_id for m in calls]
    outcomes = [m.options["outcome"] for m in returned]
    assert outcomes == ["enqueued", "absorbed", "enqueued", "duplicate", "overflow"]


def test_an_empty_batch_is_no_batch(memory: House) -> None:
    assert memory.broker.enqueue_many([]) == []
    assert admit(memory.broker, []) == []
    assert not troubled(memory).calls


def test_the_messages_of_the_sender_are_not_touched(memory: House) -> None:
    actor = memory.declare(one, debounced=window(**LONG))
    message = actor.message("a1")
    memory.broker.enqueue(message)
    assert message.options == {}


@pytest.mark.parametrize("way", ["send", "batch"])
def test_the_store_being_down_comes_out_of_send(memory: House, way: str) -> None:
    actor = memory.declare(one, debounced=window(**LONG))
    troubled(memory).down = {"offer"}
    with pytest.raises(StoreUnavailable):
        actor.send("a1") if way == "send" else memory.broker.enqueue_many([actor.message("a1")])
    assert memory.state(actor) == "idle"


def test_the_broker_being_down_does_not_keep_a_window_from_being_accepted(
    memory: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatbot.middleware.pump.PUBLISH_LEASE", 200)
    runs: list[list[str]] = []
    actor = memory.declare(lambda items: runs.append(items), actor_name="d", debounced=window())
    memory.work()
    memory.broker.cut = True
    assert actor.send("a1").options["outcome"] == "absorbed"
    wait_until(lambda: memory.state(actor) == "taken")
    memory.broker.cut = False
    memory.settled(actor)
    assert runs == [["a1"]]


def test_a_resend_after_an_unknown_outcome_is_no_second_item(memory: House) -> None:
    actor = memory.declare(one, debounced=window(**LONG), idempotent=Idempotent(key=lambda item: item))
    troubled(memory).mute = {"offer"}
    with pytest.raises(StoreUnavailable):
        actor.send("a1")
    troubled(memory).mute = set()
    assert actor.send("a1").options["outcome"] == "duplicate"


def test_one_call_that_does_not_fit_refuses_its_batch_as_a_whole(memory: House) -> None:
    actor = memory.declare(one, debounced=window(**LONG))
    with pytest.raises(PolicyInvalid):
        memory.broker.enqueue_many([actor.message("a1"), actor.message("a", "b")])
    assert memory.state(actor) == "idle"


def test_a_refused_batch_leaves_no_claim_behind(memory: House) -> None:
    dedup = memory.declare(one, deduplicated=Deduplicated(window=60_000))
    debounced = memory.declare(one, debounced=window(**LONG))
    with pytest.raises(PolicyInvalid):
        memory.broker.enqueue_many([dedup.message("x"), debounced.message("a", "b")])
    assert dedup.send("x").options["outcome"] == "enqueued"


def test_a_suppressed_message_can_be_offered_again(memory: House) -> None:
    """Its outcome is no mark of having been admitted."""
    dedup = memory.declare(one, deduplicated=Deduplicated(window=60_000))
    dedup.send("x")
    returned = dedup.send("x")
    assert memory.broker.enqueue(returned).options["outcome"] == "duplicate"
    assert memory.broker.published == 1


def test_a_call_for_an_actor_of_another_process_passes(memory: House) -> None:
    memory.broker.declare_queue("theirs")
    message = Message[Any](queue_name="theirs", actor_name="nobody", args=("x",), kwargs={}, options={})
    (admitted,) = admit(memory.broker, [message])
    assert admitted.options["outcome"] == "enqueued"
    with pytest.raises(ActorNotFound):
        memory.broker.get_actor("nobody")


def test_a_call_that_could_not_be_published_comes_out_of_send(memory: House) -> None:
    actor = memory.declare(one)
    memory.broker.cut = True
    with pytest.raises(ConnectionClosed):
        actor.send("x")
