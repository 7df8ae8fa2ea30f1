"""`unlock` frees a key only if its owner is what the operator saw."""

from __future__ import annotations

import pytest

from chatbot.operations.unlock import unlock
from tests.operations.house import House

KEY = "process_turn/generic::c1"


@pytest.fixture
def epoch(house: House) -> int:
    """The epoch of a turn that hangs with the owner `w1`."""
    house.admit_at_once("c1", "m1")
    (check,) = house.service.store.take_due(10, 5_000, 30_000).checks
    house.service.store.begin(check, "w1", 60_000)
    return check.epoch


def test_a_key_is_freed_and_its_turn_runs_elsewhere(house: House, epoch: int) -> None:
    found = unlock(house.service, KEY, epoch, "w1")
    assert (found.freed, found.owner) == (True, "")
    house.work()
    house.idle("c1")
    assert house.sent("c1") == ["you said secret of m1"]


@pytest.mark.parametrize(("wrong_epoch", "wrong_owner"), [(1, ""), (0, "x")])
def test_another_owner_or_epoch_than_the_operator_saw_is_refused_and_shown(
    house: House, epoch: int, wrong_epoch: int, wrong_owner: str
) -> None:
    found = unlock(house.service, KEY, epoch - wrong_epoch, f"w1{wrong_owner}")
    assert not found.freed
    assert (found.owner, found.epoch) == ("w1", epoch)
    assert "owner w1" in found.words()
    assert house.service.store.inspect(KEY).owner == "w1"


def test_a_key_without_a_turn_is_refused(house: House) -> None:
    assert "there is no turn to free" in unlock(house.service, KEY, 1, "w1").words()
