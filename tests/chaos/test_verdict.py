"""The judge sees what must not be: each way to break a promise has its name."""

from __future__ import annotations

from typing import Any

import pytest

from chatbot.bench.chaos.traffic import Sent, Traffic
from chatbot.bench.chaos.verdict import Verdict, answer, interleaved, judge
from chatbot.bench.partners import Partners, Seen

WAIT, MAX_WAIT = 0.5, 2.0


class Story:
    """One conversation, c0, told step by step; messages are named by their numbers."""

    def __init__(self, *numbers: int) -> None:
        self.traffic, self.partners, self.clock = Traffic("http://nowhere", conversations=1), Partners(answer), 10.0
        self.traffic.talks["c0"] = [Sent(f"c0-{n}", n, 1.0, 1.1) for n in numbers]

    def asked(self, turn: str, *members: int, at: float = 0.0) -> Story:
        body = {
            "turn_id": turn,
            "conversation_id": "c0",
            "messages": [{"message_id": f"c0-{n}"} for n in members],
        }
        self.partners.asked.append(self._seen(body, at))
        return self

    def replied(self, turn: str, *positions: int) -> Story:
        for position in positions:
            reply = {"turn_id": turn, "reply_id": f"{turn}_{position}", "position": position, "conversation_id": "c0"}
            self.partners.received.append(self._seen(reply))
        return self

    def judged(self) -> Verdict:
        return judge(self.traffic, self.partners, wait=WAIT, max_wait=MAX_WAIT)

    def _seen(self, body: dict[str, Any], at: float = 0.0) -> Seen:
        self.clock += 1
        return Seen(at or self.clock, body, {})


def test_all_is_well_when_every_message_is_answered_once_and_in_order() -> None:
    story = Story(2, 1, 3).asked("a", 1, 2).replied("a", 0, 1).asked("b", 3).replied("b", 0)
    verdict = story.judged()
    assert verdict.ok
    assert (verdict.accepted, verdict.turns, verdict.replies) == (3, 2, 3)


def test_a_message_that_nobody_was_asked_about_is_lost() -> None:
    assert Story(1, 2).asked("a", 1).replied("a", 0).judged().lost == ["c0-2"]


def test_a_message_whose_replies_did_not_all_come_is_lost() -> None:
    assert Story(1, 2).asked("a", 1, 2).replied("a", 0).judged().lost == ["c0-1", "c0-2"]


def test_a_message_that_was_never_accepted_is_not_lost() -> None:
    story = Story(1)
    story.traffic.talks["c0"][0].accepted = 0.0
    assert story.judged().ok


def test_a_message_in_two_turns_is_doubled() -> None:
    story = Story(1, 2).asked("a", 1).replied("a", 0).asked("b", 1, 2).replied("b", 0, 1)
    assert story.judged().doubled == ["c0-1 is in 2 turns"]


def test_a_turn_with_other_members_the_second_time_is_doubled() -> None:
    story = Story(1, 2).asked("a", 1).asked("a", 1, 2).replied("a", 0)
    assert story.judged().doubled == ["turn a was asked about with different members"]


def test_a_turn_with_a_second_set_of_replies_is_doubled() -> None:
    story = Story(1).asked("a", 1).replied("a", 0)
    story.partners.received.append(
        Seen(20.0, {"turn_id": "a", "reply_id": "other", "position": 0, "conversation_id": "c0"}, {})
    )
    assert story.judged().doubled == ["turn a has replies at [0, 0]"]


def test_a_reply_that_came_again_under_its_id_is_told_and_no_failure() -> None:
    verdict = Story(1).asked("a", 1).replied("a", 0, 0).judged()
    assert verdict.repeated == ["a_0"]
    assert verdict.ok


@pytest.mark.parametrize(
    "story",
    [
        Story(1, 2).asked("b", 2).replied("b", 0).asked("a", 1).replied("a", 0),
        Story(1, 2).asked("a", 2, 1).replied("a", 0, 1),
        Story(1, 2).asked("a", 1, 2).replied("a", 1, 0),
        Story(1, 2, 3).asked("a", 1, 2).asked("b", 3).replied("a", 0).replied("b", 0).replied("a", 1),
        Story(1, 2, 3).asked("a", 1, 3).replied("a", 0, 1).asked("b", 2).replied("b", 0),
    ],
    ids=["turns", "messages of a turn", "replies of a turn", "replies of two turns", "a message overtaken"],
)
def test_what_is_out_of_order_is_reordered(story: Story) -> None:
    assert len(story.judged().reordered) == 1


def test_a_turn_before_its_window_was_due_is_early() -> None:
    assert Story(1).asked("a", 1, at=1.3).replied("a", 0).judged().early == ["a"]
    assert Story(1).asked("a", 1, at=1.5).replied("a", 0).judged().early == []


def test_a_turn_that_is_asked_about_again_after_the_next_one_is_interleaved() -> None:
    assert interleaved(Story(1, 2).asked("a", 1).asked("a", 1).asked("b", 2).partners) == []
    assert interleaved(Story(1, 2).asked("a", 1).asked("b", 2).asked("a", 1).partners) == ["a"]
