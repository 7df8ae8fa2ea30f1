"""What people and their provider do: bursts, in an order that the network mixes, with every third delivery repeated.

The provider is one that keeps its promise: it sends a body again until it is answered with 200, and the next body of
the conversation only then. So the order in which the ledger got them is known, whatever was killed meanwhile.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any

import httpx

from chatbot.bench.deployment import webhook

#: Of all bodies, so many are delivered once more: half of those while the first delivery is still under way.
REPEATED = 0.3
#: Of two neighbours, so often the later one is delivered first.
SWAPPED = 0.3
#: Messages in one body, and s between two bodies of a conversation: some end a burst, some do not.
MOST_IN_BODY, PACE = 3, (0.1, 1.2)
#: s. A web process that is paused does not answer; the provider gives up and tries again.
TIMEOUT = 3.0
#: Deliveries under way at once.
SENDERS = 16
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Sent:
    """A message in the order of delivery: its place in the order of writing (`number`), when it was first sent and
    when its acceptance was known (monotonic s; 0: not yet)."""

    message_id: str
    number: int
    first: float
    accepted: float = 0.0


class Traffic:
    """Conversations with a service at `url`, from `with` until `finish`, or the end of the block."""

    def __init__(self, url: str, *, conversations: int, seed: int = 1, pace: tuple[float, float] = PACE) -> None:
        self.talks: dict[str, list[Sent]] = {f"c{number}": [] for number in range(conversations)}
        #: Answers by status, and `unanswered`.
        self.answers: Counter[str] = Counter()
        #: Answers that the contract rules out.
        self.wrong: list[str] = []
        self._url, self._seed, self._pace = url, seed, pace
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._play()), name="traffic")

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def finish(self, timeout: float = 60.0) -> None:
        """Begin nothing new, and wait until all that was begun is accepted. Raises TimeoutError."""
        self._over.set()
        self._thread.join(timeout)
        if missing := [sent.message_id for talk in self.talks.values() for sent in talk if not sent.accepted]:
            raise TimeoutError(f"not accepted within {timeout} s: {missing[:5]}")

    @property
    def sent(self) -> dict[str, Sent]:
        """Every message, by its id."""
        return {sent.message_id: sent for talk in self.talks.values() for sent in list(talk)}

    async def _play(self) -> None:
        limits = httpx.Limits(max_connections=2 * SENDERS, max_keepalive_connections=2 * SENDERS)
        async with httpx.AsyncClient(base_url=self._url, timeout=TIMEOUT, limits=limits) as client:
            senders = asyncio.Semaphore(SENDERS)
            await asyncio.gather(*(_Talk(self, name, client, senders).play() for name in self.talks))


class _Talk:
    """One conversation."""

    def __init__(self, traffic: Traffic, name: str, client: httpx.AsyncClient, senders: asyncio.Semaphore) -> None:
        self._traffic, self._name, self._client, self._senders = traffic, name, client, senders
        self._dice = random.Random(f"{traffic._seed}/{name}")
        self._written = 0
        self._sent = traffic.talks[name]

    async def play(self) -> None:
        await self._pause()
        while not self._traffic._over.is_set():
            numbers = self._mixed(self._dice.randint(1, MOST_IN_BODY))
            for part in self._bodies(numbers):
                await self._deliver(part)
            await self._pause()

    async def _pause(self) -> None:
        await asyncio.sleep(self._dice.uniform(*self._traffic._pace))

    def _mixed(self, count: int) -> list[int]:
        """Return the next numbers, as the network delivers them."""
        numbers = list(range(self._written, self._written + count))
        self._written += count
        for place in range(count - 1):
            if self._dice.random() < SWAPPED:
                numbers[place], numbers[place + 1] = numbers[place + 1], numbers[place]
        return numbers

    def _bodies(self, numbers: list[int]) -> list[list[int]]:
        """Return a burst as one body, or as one for each message."""
        return [numbers] if self._dice.random() < 0.5 else [[number] for number in numbers]

    async def _deliver(self, numbers: list[int]) -> None:
        """Deliver a body until it is accepted, and perhaps once more."""
        entries = [Sent(f"{self._name}-{number}", number, time.monotonic()) for number in numbers]
        self._sent.extend(entries)
        repeated = self._dice.random() < REPEATED
        together = repeated and self._dice.random() < 0.5
        async with self._senders:
            ghost = asyncio.create_task(self._post(entries)) if together else None
            accepted = await self._until_accepted(entries)
            for entry in entries:
                entry.accepted = time.monotonic()
            accepted += (await ghost or 0) if ghost else 0
            if accepted > len(entries):
                self._traffic.wrong.append(f"{entries[0].message_id}: accepted {accepted} of {len(entries)}")
            if repeated and not together and await self._post(entries):
                self._traffic.wrong.append(f"{entries[0].message_id}: accepted again")

    async def _until_accepted(self, entries: list[Sent]) -> int:
        pause = 0.1
        while (accepted := await self._post(entries)) is None:
            await asyncio.sleep(pause * self._dice.uniform(0.5, 1))
            pause = min(pause * 2, 1.0)
        return accepted

    async def _post(self, entries: list[Sent]) -> int | None:
        """Deliver a body once; return how many messages the service had not known, or None if it did not take it."""
        headers, body = webhook(*(self._message(entry) for entry in entries))
        try:
            answer = await self._client.post("/webhooks/generic", content=body, headers=headers)
        except httpx.TransportError:
            self._traffic.answers["unanswered"] += 1
            return None
        self._traffic.answers[str(answer.status_code)] += 1
        return self._read(answer, len(entries))

    def _read(self, answer: httpx.Response, size: int) -> int | None:
        if answer.status_code == 200:
            counts = answer.json()
            if counts["accepted"] + counts["duplicates"] != size:
                self._traffic.wrong.append(f"{counts} for a body of {size}")
            return int(counts["accepted"])
        if answer.status_code != 503 or "retry-after" not in answer.headers:
            self._traffic.wrong.append(f"{answer.status_code} {dict(answer.headers)} {answer.text}")
        return None

    def _message(self, entry: Sent) -> dict[str, Any]:
        return {
            "message_id": entry.message_id,
            "conversation_id": self._name,
            "sender_id": f"user-of-{self._name}",
            "text": f"line {entry.number}",
            "timestamp": (_BEGIN + timedelta(seconds=entry.number)).isoformat(),
        }
