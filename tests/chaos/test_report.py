"""How long it takes to get over a fault is counted in time during which nothing else is broken."""

from __future__ import annotations

from chatbot.bench.chaos.faults import Struck
from chatbot.bench.chaos.report import recoveries
from chatbot.bench.chaos.traffic import Sent, Traffic
from chatbot.bench.chaos.verdict import Turn
from chatbot.bench.partners import Seen


def traffic(*accepted: float) -> Traffic:
    made = Traffic("http://nowhere", conversations=1)
    made.talks["c0"] = [Sent(f"m{number}", number, at, at) for number, at in enumerate(accepted)]
    return made


def turn(name: str, answered: float) -> Turn:
    return Turn(name, "c0", 0.0, (name,), (Seen(answered, {}, {}),))


def test_what_was_accepted_before_the_mending_counts_and_what_came_later_does_not() -> None:
    struck = [Struck("store killed", 10.0, 12.0)]
    found = recoveries(struck, traffic(9.0, 11.9, 13.0), [turn("m0", 11.0), turn("m1", 15.0), turn("m2", 40.0)])
    assert (found["store killed"].times, found["store killed"].worst) == (1, 3.0)


def test_the_next_fault_does_not_count_while_it_lasts() -> None:
    struck = [Struck("store killed", 10.0, 12.0), Struck("broker paused", 13.0, 18.0)]
    found = recoveries(struck, traffic(9.0), [turn("m0", 20.0)])
    assert {name: one.worst for name, one in found.items()} == {"store killed": 3.0, "broker paused": 2.0}


def test_the_worst_of_several_counts() -> None:
    struck = [Struck("web killed", 10.0, 11.0), Struck("web killed", 20.0, 21.0)]
    found = recoveries(struck, traffic(9.0, 20.5), [turn("m0", 12.0), turn("m1", 26.0)])
    assert (found["web killed"].times, found["web killed"].worst) == (2, 5.0)
