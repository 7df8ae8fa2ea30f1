"""One heartbeat keeps every lease of a process, and none that nobody holds."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from chatbot.errors import LeaseLost, Permanent, StoreUnavailable
from chatbot.middleware import Idempotent, current_turn
from chatbot.middleware.leases import Heartbeat
from chatbot.stores.memory import ManualClock
from chatbot.stores.values import Lease
from tests.middleware.running import House, TroubledStore, memory_house, window
from tests.waiting import wait_until


class Renewing(TroubledStore):
    """Remembers which leases were renewed together; none of them lapses."""

    def __init__(self) -> None:
        super().__init__(clock=ManualClock())
        self.renewed: list[list[str]] = []

    def renew(self, leases: Sequence[Lease], lease: int) -> list[bool]:
        self.renewed.append(sorted(one.key for one in leases))
        return super().renew(leases, lease)


def claimed(store: TroubledStore, key: str, length: int) -> Lease:
    store.claim(key, "me", length)
    return Lease("claim", key, "me")


def test_many_leases_are_renewed_in_one_call() -> None:
    store = Renewing()
    heartbeat = Heartbeat(store)
    keys = [f"k{i}" for i in range(50)]
    with ExitStack() as stack:
        for key in keys:
            stack.enter_context(heartbeat.holding(claimed(store, key, 500), 500, time.monotonic()))
        wait_until(lambda: sorted(keys) in store.renewed)
        together = len(store.renewed)
        wait_until(lambda: len(store.renewed) > together + 2)
    assert {len(call) for call in store.renewed[together:]} == {50}


def test_nothing_is_renewed_when_nothing_is_held() -> None:
    store = Renewing()
    heartbeat = Heartbeat(store)
    with heartbeat.holding(claimed(store, "k", 100), 100, time.monotonic()):
        wait_until(lambda: store.renewed)
    calls = len(store.renewed)
    time.sleep(0.2)  # ten renewals
    assert len(store.renewed) - calls <= 1


def test_each_length_has_its_own_pace() -> None:
    store = Renewing()
    heartbeat = Heartbeat(store)
    since = time.monotonic()
    with (
        heartbeat.holding(claimed(store, "short", 100), 100, since),
        heartbeat.holding(claimed(store, "long", 60_000), 60_000, since),
    ):
        wait_until(lambda: len(store.renewed) > 3)
    assert ["long"] not in store.renewed


@pytest.mark.parametrize("trouble", ["down", "mute"])
def test_the_heartbeat_survives_a_store_that_is_down(trouble: str) -> None:
    store = TroubledStore(clock=ManualClock())
    heartbeat = Heartbeat(store)
    with heartbeat.holding(claimed(store, "k", 500), 500, time.monotonic()) as held:
        getattr(store, trouble).add("renew")
        wait_until(lambda: store.calls["renew"] > 2)
        before = held.renewed
        getattr(store, trouble).clear()
        wait_until(lambda: held.renewed > before)
        assert not held.lost


def test_a_lease_that_was_taken_over_is_lost() -> None:
    store = TroubledStore()
    heartbeat = Heartbeat(store)
    with heartbeat.holding(claimed(store, "k", 200), 200, time.monotonic()) as held:
        store.release("k", "me")
        store.claim("k", "another", 60_000)
        wait_until(lambda: held.lost)
        with pytest.raises(LeaseLost):
            held.secure(0)


class Lingering(Renewing):
    """Settles at once, and answers when the heartbeat has been denied what is settled."""

    def __init__(self, verb: str) -> None:
        super().__init__()
        self.verb = verb
        self.denied = threading.Event()

    def renew(self, leases: Sequence[Lease], lease: int) -> list[bool]:
        alive = super().renew(leases, lease)
        if not all(alive):
            self.denied.set()
        return alive


def _lingering(verb: str) -> Callable[..., Any]:
    def call(self: Lingering, *args: Any, **kwargs: Any) -> Any:
        answer = getattr(super(Lingering, self), verb)(*args, **kwargs)
        if verb == self.verb:
            assert self.denied.wait(10)
        return answer

    return call


for _verb in ("settle", "release", "finish"):
    setattr(Lingering, _verb, _lingering(_verb))


@pytest.mark.parametrize("verb", ["settle", "release", "finish"])
def test_a_run_that_is_being_settled_has_not_lost_its_lease(verb: str, caplog: pytest.LogCaptureFixture) -> None:
    house = memory_house(store := Lingering(verb))

    def run(key: Any) -> None:
        if verb == "release":
            raise Permanent("not today")

    if verb == "finish":
        house.declare(run, debounced=window(wait=0)).send("a1")
    else:
        house.declare(run, idempotent=Idempotent(key="{key}", lease=50)).send("a1")
    house.work()
    assert store.denied.wait(10)
    house.close()
    assert "lost the lease" not in caplog.text


def test_a_lease_is_renewed_before_an_effect_that_needs_more_of_it() -> None:
    store = Renewing()
    heartbeat = Heartbeat(store)
    since = time.monotonic() - 2
    with heartbeat.holding(claimed(store, "k", 60_000), 60_000, since) as held:
        held.secure(1)
        assert store.renewed == []
        held.secure(59)
        assert store.renewed == [["k"]]


def test_what_a_suspicion_may_end_is_renewed_before_an_effect() -> None:
    """A redelivered copy ends a turn's lease a grace after its last renewal, long before its length."""
    store = Renewing()
    heartbeat = Heartbeat(store)
    with heartbeat.holding(claimed(store, "k", 60_000), 60_000, time.monotonic(), grace=1_000) as held:
        held.secure(2)
        assert store.renewed == [["k"]]


def test_a_renewal_that_took_too_long_secures_nothing() -> None:
    class Slow(TroubledStore):
        def renew(self, leases: Sequence[Lease], lease: int) -> list[bool]:
            answer = super().renew(leases, lease)
            time.sleep(0.4)
            return answer

    store = Slow()
    heartbeat = Heartbeat(store)
    with heartbeat.holding(claimed(store, "k", 500), 500, time.monotonic() - 0.4) as held, pytest.raises(LeaseLost):
        held.secure(0.3)


def test_a_store_that_is_down_secures_nothing() -> None:
    store = TroubledStore()
    heartbeat = Heartbeat(store)
    with heartbeat.holding(claimed(store, "k", 60_000), 60_000, time.monotonic()) as held:
        store.down = {"renew"}
        with pytest.raises(StoreUnavailable):
            held.secure(60)


def test_a_lease_whose_run_could_not_let_go_of_it_is_not_kept() -> None:
    """As if an interrupt had come at the end of `holding`, just before it let go."""
    store = Renewing()
    heartbeat = Heartbeat(store)
    since = time.monotonic()
    with heartbeat.holding(claimed(store, "gone", 100), 100, since) as held:
        kept = dict(heartbeat._held)
    heartbeat._held.update(kept)
    del held
    gc.collect()
    with heartbeat.holding(claimed(store, "other", 100), 100, time.monotonic()):
        wait_until(lambda: ["other"] in store.renewed)
        assert len(heartbeat._held) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_does_not_keep_the_leases_of_its_parent() -> None:
    store = Renewing()
    heartbeat = Heartbeat(store)
    with heartbeat.holding(claimed(store, "parent", 60_000), 60_000, time.monotonic()):
        child = os.fork()
        if child == 0:
            with heartbeat.holding(claimed(store, "child", 100), 100, time.monotonic()):
                wait_until(lambda: len(store.renewed) > 3)
            os._exit(0 if ["child"] in store.renewed and not any("parent" in call for call in store.renewed) else 1)
        assert os.waitpid(child, 0)[1] == 0


def test_a_run_that_lasts_longer_than_its_lease_keeps_its_turn(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatbot.middleware.runner.LEASE", 2_500)
    open_, runs = threading.Event(), []

    def collect(items: list[str]) -> None:
        runs.append(current_turn())
        assert open_.wait(10)

    actor = house.declare(collect, debounced=window(wait=0))
    house.work()
    actor.send("a1")
    wait_until(lambda: runs)
    time.sleep(3)  # more than a lease
    open_.set()
    house.settled(actor)
    assert len(runs) == 1


def test_a_run_that_cannot_renew_is_replaced_and_told_so(
    new_house: Callable[..., House], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatbot.middleware.runner.LEASE", 300)
    monkeypatch.setattr("chatbot.middleware.pump.LONGEST", 100)
    store = TroubledStore()
    house = new_house(store)
    told, second = threading.Event(), threading.Event()

    def collect(items: list[str]) -> None:
        turn = current_turn()
        assert turn is not None
        if turn.lost:
            second.set()
            return
        assert second.wait(10)
        store.down = set()
        with pytest.raises(LeaseLost):
            turn.secure(0.1)
        told.set()

    actor = house.declare(collect, debounced=window(wait=0))
    store.down = {"renew"}
    house.work()
    actor.send("a1")
    house.settled(actor)
    assert told.wait(10)
