"""The timelines of the page about guarantees are what happens: each is played with the service's own actors."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import pytest

from chatbot.actors import declare_actors
from chatbot.actors.history import History
from chatbot.channels import create
from chatbot.middleware import Debounce, Deduplicated, declare
from chatbot.model import Draft, InboundMessage, TurnRequest
from chatbot.scheduling import Periodic
from chatbot.settings import read
from chatbot.testing import ManualClock, drain, stub_broker
from tests.docs.markdown import DOCS

PAGE = (DOCS / "guarantees.md").read_text()
TIMELINES = [text for text in re.findall(r"^```text\n(.*?)^```$", PAGE, re.M | re.S) if " arrives" in text]
#: `24 h 2.1 s    m1 arrives    accepted`, or `4.9 s   turn   m1 m2, and the responder takes 4 s`.
EVENT = re.compile(r"\s*(?:(?P<h>\d+) h )?(?P<s>[\d.]+) s +(?:(?P<message>m\d+) arrives|turn) *(?P<rest>.*)")
CHANNEL = {"secret": "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0", "outbound_url": "http://127.0.0.1:9/replies"}


@dataclass(frozen=True, slots=True)
class Event:
    """A line of a timeline: at so many ms a message arrives, or a turn begins."""

    at: int
    message: str | None
    rest: str

    @property
    def members(self) -> list[str]:
        return re.findall(r"m\d+", self.rest)

    @property
    def takes(self) -> int:
        found = re.search(r"takes (\d+) s", self.rest)
        return int(found[1]) * 1000 if found else 0


def events(timeline: str) -> list[Event]:
    found = [EVENT.fullmatch(line) for line in timeline.splitlines()]
    assert all(found), timeline
    return [Event(round((int(e["h"] or 0) * 3600 + float(e["s"])) * 1000), e["message"], e["rest"]) for e in found if e]


@dataclass
class House:
    """The service in memory; its responder notes when it was asked about what."""

    events: list[Event]
    turns: list[tuple[int, list[str]]] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = ManualClock()
        self.began = self.clock()
        self.broker = stub_broker(self.clock)
        store = next(m.store for m in self.broker.middleware if isinstance(m, Debounce))
        self.broker.add_middleware(Periodic(store))
        settings = read({"CHATBOT_BROKER_URL": "redis://h", "CHATBOT_STORE_URL": "redis://h"})
        channels = dict([create("generic", CHANNEL)])
        history = History(store, most=0, ttl=1)
        self.actors = declare_actors(self.broker, settings, channels, self, history, store)
        self.arrivals = [event for event in self.events if event.message]
        self.takes = {event.at: event.takes for event in self.events if not event.message}

    def now(self) -> int:
        return (self.clock() - self.began) // 1_000

    def play(self) -> None:
        while self.arrivals:
            following = self.arrivals[0]
            drain(self.broker, ahead=following.at - self.now(), raises=True)
            if following in self.arrivals:  # else it came while a turn ran
                self.deliver()
        drain(self.broker, ahead=self.events[-1].at - self.now(), raises=True)

    def deliver(self) -> None:
        event = self.arrivals.pop(0)
        self.clock.advance(event.at - self.now())
        message = InboundMessage(
            channel="generic", conversation_id="c", message_id=event.message or "", dedupe_key=f"c:{event.message}"
        )
        self.outcomes.append(self.actors.process_turn.send(message).options["outcome"])

    # --- it is its own responder ---
    def respond(self, request: TurnRequest) -> list[Draft]:
        self.turns.append((self.now(), [message.message_id for message in request.messages]))
        until = self.now() + self.takes.get(self.now(), 0)
        while self.arrivals and self.arrivals[0].at < until:
            self.deliver()
        self.clock.advance(until - self.now())
        return []

    def close(self) -> None:
        pass


@pytest.mark.parametrize("timeline", TIMELINES)
def test_a_timeline_is_what_happens(timeline: str) -> None:
    told = events(timeline)
    house = House(told)
    house.play()
    assert house.turns == [(event.at, event.members) for event in told if not event.message]
    said = {"absorbed": "accepted"}
    for event, outcome in zip((event for event in told if event.message), house.outcomes, strict=True):
        expected = event.rest if event.rest in ("accepted", "duplicate") else "accepted"
        assert said.get(outcome, outcome) == expected, event


def test_there_are_timelines() -> None:
    assert len(TIMELINES) == 4


def test_the_same_parameters_are_enqueued_once_a_window() -> None:
    (story,) = (text for text in re.findall(r"^```text\n(.*?)^```$", PAGE, re.M | re.S) if "report.send" in text)
    clock = ManualClock()
    report: Any = declare(
        stub_broker(clock), lambda day: None, actor_name="report", deduplicated=Deduplicated(window=60_000)
    )
    for line in story.strip().splitlines():
        if call := re.fullmatch(r'\s*report\.send\("(\w+)"\) +(\w+)', line):
            assert report.send(call[1]).options["outcome"] == call[2], line
        else:
            assert line.strip() == "a minute passes"
            clock.advance(60_000)
