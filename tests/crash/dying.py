"""Playing a deployment whose processes die at chosen points, and judging what came of it from outside."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chatbot.bench.chaos.traffic import Traffic
from chatbot.bench.chaos.verdict import Verdict, answer, interleaved, judge, unanswered
from chatbot.bench.deployment import CHATBOT, QUEUES
from tests.crash.points import POINTS
from tests.e2e.deployment import Deployment, Process
from tests.waiting import wait_until

#: The service's times, in s.
WAIT, MAX_WAIT = 0.3, 0.9
SETTINGS = {"CHATBOT_DEBOUNCE_WAIT_MS": "300", "CHATBOT_DEBOUNCE_MAX_WAIT_MS": "900"}
#: s for a leased turn, or a message that a dead worker held, to come back, and to be worked off.
RECOVERY = 45


def slowly(turn: Mapping[str, Any]) -> list[str]:
    """Answer a turn, and take so long for it that something may arrive meanwhile."""
    time.sleep(0.1)
    return answer(turn)


class Dying:
    """A deployment, one of whose processes dies at a point: at each passage in turn, each in a new process."""

    def __init__(self, house: Deployment, name: str, directory: Path, *, threads: int = 4) -> None:
        self._house, self._name, self._point, self._directory = house, name, POINTS[name], directory
        self._commands = {
            "web": ("web", "--port", str(house.port)),
            "worker": ("worker", "--threads", str(threads)),
            "scheduler": ("scheduler",),
        }
        #: Replies that a process had sent, but not recorded, when it died.
        self.unsure: set[str] = set()
        self._started: list[Process] = []
        house.partners.answer = slowly

    def play(self, passages: Sequence[int]) -> Traffic:
        """Let people talk while the process dies and comes back, and until everything is answered."""
        for role in self._commands:
            if role != self._point.role:
                self._start(role)
        with Traffic(self._house.url, conversations=6, pace=(0.05, 0.6)) as traffic:
            for passage in passages:
                self._die(passage)
            self._start(self._point.role)
            traffic.finish()
            try:
                wait_until(lambda: not unanswered(traffic, self._house.partners), RECOVERY, "a message is lost", 0.1)
            except AssertionError as exc:
                exc.add_note(self._state(traffic))
                raise
        return traffic

    def _state(self, traffic: Traffic) -> str:
        """Say where what is missing may be: such a run is hard to come by a second time."""
        house = self._house
        lines = [f"missing: {sorted(unanswered(traffic, house.partners))}", f"open: {house.open_keys()}"]
        lines += [f"{queue}: {house.waiting(queue)} in the broker" for queue in QUEUES]
        return "\n".join([*lines, *(f"{each.popen.args}:\n{each.output()[-20_000:]}" for each in self._started)])

    def _die(self, passage: int) -> None:
        report = self._directory / f"unsure-at-{passage}"
        process = self._start(self._point.role, "tests.crash.launch", self._name, str(passage), str(report))
        status = process.popen.wait(RECOVERY)
        assert status == -signal.SIGKILL, f"status {status}\n{process.output()}"
        self.unsure |= set(json.loads(report.read_text()))

    def _start(self, role: str, *program: str) -> Process:
        process = self._house.start(*self._commands[role], program=program or CHATBOT)
        self._started.append(process)
        return process

    def check(self, traffic: Traffic) -> None:
        """Check all that can be seen from outside: I9 in what is left, I1 to I7 in what was answered."""
        house = self._house
        wait_until(lambda: house.open_keys() == [], RECOVERY, "a conversation stays open", 0.1)
        wait_until(lambda: not any(map(house.waiting, QUEUES)), RECOVERY, "a message stays in the broker", 0.1)
        verdict = self.verdict(traffic)
        # A provider without idempotency: whether the reply had left is unknown to whoever comes after. Another thread
        # may be in that gap too, while its process dies elsewhere.
        assert set(verdict.repeated) <= self.unsure, "a reply came twice, although nobody died over it"
        assert verdict.repeated or self._name != "reply sent|recorded", "nobody died between the send and its record"

    def verdict(self, traffic: Traffic) -> Verdict:
        """Judge what was answered, of which nothing may be lost, doubled, reordered or early."""
        verdict = judge(traffic, self._house.partners, wait=WAIT, max_wait=MAX_WAIT)
        assert verdict.ok, verdict
        assert interleaved(self._house.partners) == [], "two turns of a conversation ran at a time"
        return verdict
