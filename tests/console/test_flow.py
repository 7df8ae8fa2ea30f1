"""Rates, latencies and decisions of the last minutes, from what the journal tells."""

from __future__ import annotations

from typing import Any

from chatbot.console.charts import HEIGHT, bars
from chatbot.console.flow import SLOT, SLOTS, SPAN, Decided, Flow
from chatbot.middleware.events import Event, Happened

NOW = 1_000_000_000


def decided(at: int, outcome: str = "absorbed", **more: Any) -> Happened:
    event = {"key": "turn/c1", "actor": "turn", "by": "debounced", "item_id": "i", **more}
    return Happened(at, Event(what="decided", outcome=outcome, **event))


def ended(at: int, outcome: str = "settled", after: int = 0, mailbox: str = "turn") -> Happened:
    return Happened(at, Event(what="ended", key=f"{mailbox}/c1", outcome=outcome, epoch=(at - after) * 1000))


def flow(*happened: Happened, now: int = NOW) -> Flow:
    made = Flow("turn", "reply")
    made.add(happened, now)
    return made


def test_what_happens_is_counted_in_the_slot_of_its_time() -> None:
    series = flow(decided(NOW), decided(NOW), decided(NOW - SLOT), decided(NOW - SPAN + SLOT)).series(NOW, "absorbed")
    assert len(series) == SLOTS
    assert (series[-1], series[-2], series[0], sum(series)) == (2, 1, 1, 4)


def test_what_is_older_than_the_charts_is_forgotten() -> None:
    made = flow(decided(NOW - SPAN), decided(NOW), ended(NOW, after=5))
    made.add([], NOW + 2 * SPAN)
    assert sum(made.series(NOW, "absorbed")) == 0
    assert made.decisions() == []
    assert made.percentiles("turn") is None
    assert list(made.conversations(10)) == []


def test_decisions_are_told_by_actor_and_guarantee() -> None:
    other = decided(NOW, "duplicate", actor="report", by="idempotent", key="k", item_id="")
    assert flow(decided(NOW), decided(NOW, "duplicate"), decided(NOW), other).decisions() == [
        Decided(actor="report", by="idempotent", outcomes={"duplicate": 1}),
        Decided(actor="turn", by="debounced", outcomes={"absorbed": 2, "duplicate": 1}),
    ]


def test_latencies_are_from_the_forming_of_a_turn_to_its_settlement() -> None:
    made = flow(*(ended(NOW, after=after) for after in (10, 20, 90)), ended(NOW, "kept", after=5_000))
    assert made.latencies(NOW, "turn")[-1] == 20
    assert made.percentiles("turn") == (20, 83)
    assert made.percentiles("reply") is None


def test_turns_and_replies_are_told_apart() -> None:
    made = flow(ended(NOW), ended(NOW, mailbox="reply"), ended(NOW, "buried", mailbox="reply"))
    for name, number in {"turn settled": 1, "reply settled": 1, "reply buried": 1}.items():
        assert sum(made.series(NOW, name)) == number


def test_conversations_are_told_by_when_somebody_wrote_last() -> None:
    made = flow(decided(NOW - 2), decided(NOW - 1, key="turn/c2"), decided(NOW, key="turn/c1"))
    assert list(made.conversations(10)) == [("c1", NOW), ("c2", NOW - 1)]
    assert len(list(made.conversations(1))) == 1


def test_workers_are_those_that_published_or_ran_something() -> None:
    ran = Happened(NOW - 5, Event(what="began", key="turn/c1", worker="host:1"))
    accepted = Happened(NOW, Event(what="decided", key="turn/c1", worker="host:2"))
    assert flow(ran, accepted).workers() == [("host:1", NOW - 5)]


def test_bars_stand_on_each_other_and_the_highest_fills_the_chart() -> None:
    (low, high), highest = bars(("good", [0, 3]), ("bad", [0, 1]))
    assert highest == 4
    assert low.path.count("M") == high.path.count("M") == 1
    assert f" {HEIGHT:.1f}v-{HEIGHT * 3 / 4:.1f}" in low.path
    assert f" {HEIGHT / 4:.1f}v-{HEIGHT / 4:.1f}" in high.path


def test_where_nothing_happened_there_is_no_bar() -> None:
    (row,), highest = bars(("good", [0, 0]))
    assert (row.path, highest) == ("", 0)
