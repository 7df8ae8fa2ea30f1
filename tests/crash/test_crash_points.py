"""A process dies at a gap between two steps: whatever it was about to do is done once, by whoever comes after it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.dying import RECOVERY, SETTINGS, Dying
from tests.crash.points import POINTS
from tests.e2e.deployment import Deployment
from tests.waiting import wait_until

Deploy = Callable[..., Deployment]

#: The first passage of a point, and one in the middle of everything, by the process that came after.
PASSAGES = (1, 6)


@pytest.mark.long
@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", POINTS)
def test_nothing_is_lost_doubled_or_reordered_by_a_death_at(name: str, deploy: Deploy, tmp_path: Path) -> None:
    dying = Dying(deploy(**SETTINGS), name, tmp_path)
    dying.check(dying.play(PASSAGES))


@pytest.mark.long
@pytest.mark.timeout(240)
def test_at_most_once_a_reply_whose_worker_died_over_it_is_buried_and_never_sent_again(
    deploy: Deploy, tmp_path: Path
) -> None:
    house = deploy(**SETTINGS, CHATBOT_DELIVERY="at_most_once")
    dying = Dying(house, "reply sent|recorded", tmp_path, threads=1)
    traffic = dying.play(PASSAGES)
    wait_until(lambda: len(house.open_keys()) == len(dying.unsure) == len(PASSAGES), RECOVERY)
    assert all("}d:deliver_replies/" in key for key in house.open_keys())
    assert dying.verdict(traffic).repeated == []


@pytest.mark.parametrize("broker_kind", ["redis"])
def test_a_worker_that_dies_between_a_reply_and_its_record_sends_that_one_again_and_no_other(
    broker_kind: str, deploy: Deploy, tmp_path: Path
) -> None:
    dying = Dying(deploy(**SETTINGS), "reply sent|recorded", tmp_path)
    dying.check(dying.play([3]))
