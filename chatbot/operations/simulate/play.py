"""Playing a plan: everybody types at the same time, reads the reply, and types on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from chatbot.operations.simulate.delivery import Pace, Postman, Unaccepted
from chatbot.operations.simulate.plan import Delivery
from chatbot.operations.simulate.provider import Provider, Said
from chatbot.operations.simulate.record import Delivered, Played, Talk, turns_of

#: Called after each step: deliveries and bursts that are done, of one conversation.
Step = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tempo:
    """`crowd` people type at once. After a burst one waits `timeout` s for its reply, and then `pause` s, in which a
    second reply would show, before one types on."""

    crowd: int
    rate: float
    timeout: float
    pause: float


class Player:
    """Plays conversations at the same time, each in its own order."""

    def __init__(self, provider: Provider, postman: Postman, tempo: Tempo, step: Step) -> None:
        self._provider, self._postman, self._tempo, self._step = provider, postman, tempo, step
        self._pace = Pace(tempo.rate)
        self._typing = asyncio.Semaphore(tempo.crowd)
        self._bodies: dict[tuple[str, int], bytes] = {}

    async def play(self, talks: Mapping[str, Talk]) -> None:
        """Play all of them; what happens is noted in them as it happens."""
        playing = [asyncio.create_task(self._talk(talk)) for talk in talks.values()]
        try:
            await asyncio.gather(*playing)
        finally:
            for task in playing:
                task.cancel()
            await asyncio.gather(*playing, return_exceptions=True)

    async def _talk(self, talk: Talk) -> None:
        """Play the bursts of a conversation. It ends at the first burst that is not taken, or not answered."""
        for place in range(len(talk.planned)):
            try:
                answered = await self._burst(talk, place)
            except Unaccepted as exc:
                talk.played[place].refusal = str(exc)
                answered = False
            talk.played[place].finished = True
            if not answered:
                return

    async def _burst(self, talk: Talk, place: int) -> bool:
        burst = talk.planned[place]
        async with self._typing:
            await self._pace.turn()
            played = Played(burst=burst, started=time.monotonic())
            talk.played.append(played)
            for delivery in burst.prompt:
                await self._deliver(talk, played, delivery)
        if not await self._answered(talk, place):
            return False
        self._step(0, 1)
        for delivery in burst.late:
            await self._deliver(talk, played, delivery)
        await asyncio.sleep(self._tempo.pause)
        return True

    async def _deliver(self, talk: Talk, played: Played, delivery: Delivery) -> None:
        await self._pace.turn()
        answer = await self._postman.deliver(self._body(talk, delivery.message))
        played.delivered.append(
            Delivered(
                delivery=delivery,
                sent=answer.sent,
                answered=answer.answered,
                outcome=answer.outcome,
                attempts=answer.attempts,
            )
        )
        self._step(1, 0)

    def _body(self, talk: Talk, number: int) -> bytes:
        """Return a message's bytes: those of its first delivery, as providers keep them for the next ones."""
        key = (talk.conversation_id, number)
        if key not in self._bodies:
            self._bodies[key] = self._provider.body(
                Said(
                    conversation_id=talk.conversation_id,
                    number=number,
                    text=talk.texts[number],
                    sent_at=datetime.now(UTC),
                )
            )
        return self._bodies[key]

    async def _answered(self, talk: Talk, place: int) -> bool:
        """Wait until a burst is answered."""
        try:
            async with asyncio.timeout(self._tempo.timeout):
                while not _complete(talk, place):
                    talk.news.clear()
                    await talk.news.wait()
        except TimeoutError:
            return False
        return True


def _complete(talk: Talk, place: int) -> bool:
    """Say whether a burst has its reply; where replies repeat what they answer, all of it."""
    turns = [turn for turn in turns_of(talk) if turn.burst == place]
    told = [turn.messages for turn in turns if turn.messages is not None]
    if not turns or len(told) < len(turns):
        return bool(turns)
    return set(talk.planned[place].texts) <= {number for messages in told for number in messages}
