"""What a process has fetched from a queue, and how much more it may have."""

from __future__ import annotations

import threading

import pytest
from dramatiq.message import Message

from chatbot.brokers.redis_deliveries import Delivery, Holdings
from tests.waiting import wait_until

MOST = 8
#: s. Longer than a test waits: what returns has been woken.
LONG = 60.0


def delivery(redis_id: str, token: str = "w/1") -> Delivery:
    return Delivery(Message("q", "nobody", (), {}, {}), redis_id, token, False)


class Waiting:
    """A thread that waits for room."""

    def __init__(self, holdings: Holdings, most: int) -> None:
        self.room: list[int] = []
        self._thread = threading.Thread(target=lambda: self.room.append(holdings.room(most, LONG)), daemon=True)
        self._thread.start()
        wait_until(lambda: holdings._changed._waiters)  # type: ignore[attr-defined]

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()


@pytest.fixture
def held() -> list[Delivery]:
    return [delivery(str(n)) for n in range(MOST)]


@pytest.fixture
def holdings(held: list[Delivery]) -> Holdings:
    holdings = Holdings()
    for one in held:
        holdings.add(one)
    return holdings


def test_what_is_done_makes_room_before_the_server_knows_and_is_held_until_then(
    holdings: Holdings, held: list[Delivery]
) -> None:
    assert holdings.room(MOST, 0) == 0
    for one in held[:2]:
        holdings.done(one)
    assert holdings.room(MOST, 0) == 2
    assert held[0] in holdings
    assert (len(holdings), holdings.undone) == (MOST, MOST - 2)
    for one in held[:2]:
        holdings.remove(one)
    assert holdings.room(MOST, 0) == 2
    assert (len(holdings), holdings.undone) == (MOST - 2, MOST - 2)


def test_who_waits_for_room_is_woken_by_the_last_of_a_quarter(holdings: Holdings, held: list[Delivery]) -> None:
    waiting = Waiting(holdings, MOST)
    holdings.done(held[0])
    assert not waiting.is_over
    holdings.done(held[1])
    wait_until(lambda: waiting.room == [2], timeout=10)


@pytest.mark.parametrize("how", ["clear", "remove"])
def test_what_is_given_back_or_taken_away_wakes_too(holdings: Holdings, held: list[Delivery], how: str) -> None:
    waiting = Waiting(holdings, MOST)
    for one in held if how == "remove" else ():
        holdings.remove(one)
    if how == "clear":
        assert holdings.clear() == MOST
    wait_until(lambda: waiting.room, timeout=10)
    assert holdings.room(MOST, 0) == MOST


def test_two_consumers_of_a_queue_are_woken_each_when_there_is_room_for_it(
    holdings: Holdings, held: list[Delivery]
) -> None:
    waiting = Waiting(holdings, MOST)
    assert holdings.room(4, 0) == 0  # wants fewer to be open than the other
    for one in held[:2]:
        holdings.done(one)
    wait_until(lambda: waiting.room == [2], timeout=10)


def test_a_delivery_of_an_earlier_lease_makes_no_room(holdings: Holdings, held: list[Delivery]) -> None:
    holdings.clear()
    again = delivery("0", "w/2")
    holdings.add(again)
    for late in (holdings.done, holdings.remove):
        late(held[0])
        assert again in holdings
        assert holdings.undone == 1


def test_done_counts_once(holdings: Holdings, held: list[Delivery]) -> None:
    for late in (holdings.done, holdings.done, holdings.remove, holdings.remove, holdings.done):
        late(held[0])
    assert holdings.undone == MOST - 1
