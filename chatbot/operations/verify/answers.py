"""What the service's own answers prove: that it is up, lets no forger in, and knows a delivery that it has seen."""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx

from chatbot.operations.simulate.delivery import Answer, Postman
from chatbot.operations.simulate.provider import Provider, Said, provider
from chatbot.operations.verify.proofs import Proof, watch

#: Messages of the burst; the second one comes twice at once.
BURST = 3
TEXT = "chatbot verify, {number} of {burst}: a check of this deployment, nobody needs to answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """The burst as it was delivered: its first deliveries, the repeated one, and the most time (s) that can have passed
    between two of them."""

    bodies: tuple[bytes, ...]
    firsts: tuple[Answer, ...]
    repeat: Answer
    widest: float


async def health(service: httpx.AsyncClient) -> Proof:
    """Show that the web process is up."""
    with watch() as took:
        answer = await service.get("health")
    return Proof(
        name="health",
        held=answer.status_code == 200,
        sent="GET /health",
        came=str(answer.status_code),
        seconds=took.seconds,
        cure="look at the log of `chatbot web`, or give another --url",
    )


async def ready(service: httpx.AsyncClient) -> Proof:
    """Show that store and broker answer the web process."""
    with watch() as took:
        answer = await service.get("ready")
    state = _parts(answer)
    held = answer.status_code == 200 and all(state.get(part) == "ok" for part in ("store", "broker"))
    told = ", ".join(f"{part} {state[part]}" for part in ("store", "broker") if part in state)
    return Proof(
        name="ready",
        held=held,
        sent="GET /ready",
        came=f"{answer.status_code}{', ' if told else ''}{told}",
        seconds=took.seconds,
        cure="start what is down, or put CHATBOT_STORE_URL or CHATBOT_BROKER_URL right: `chatbot doctor` tells more",
    )


async def signature(service: httpx.AsyncClient, forger: Provider, conversation: str) -> Proof:
    """Show that a message which is signed with another secret is not taken."""
    body = forger.body(_said(conversation, BURST + 1))
    with watch() as took:
        answer = await service.post(f"webhooks/{forger.channel}", content=body, headers=forger.headers(body))
    return Proof(
        name="signature",
        held=answer.status_code == 401,
        sent="a message signed with another secret",
        came=str(answer.status_code),
        seconds=took.seconds,
        cure="anybody may write to this deployment: no proxy may answer or sign in the channel's place",
    )


def forger_of(channel: str, variables: Mapping[str, str]) -> Provider:
    """Return a provider that does not know the secret."""
    return provider(channel, f"whsec_{secrets.token_hex(24)}", variables)


async def burst(postman: Postman, sender: Provider, conversation: str) -> Burst:
    """Deliver a burst as quickly as the service takes it."""
    bodies = tuple(sender.body(_said(conversation, number)) for number in range(1, BURST + 1))
    answers = [await postman.deliver(body) for body in (bodies[0], bodies[1], bodies[1], *bodies[2:])]
    repeat = answers.pop(2)
    gaps = (after.answered - before.sent for before, after in itertools.pairwise(answers))
    return Burst(bodies=bodies, firsts=tuple(answers), repeat=repeat, widest=max(gaps))


def deduplication(sent: Burst) -> Proof:
    """Show that the same bytes are taken once."""
    outcomes = [*(answer.outcome for answer in sent.firsts), sent.repeat.outcome]
    return Proof(
        name="deduplication",
        held=outcomes == ["accepted"] * BURST + ["duplicate"],
        sent=f"{BURST} messages, and the bytes of the second one again at once",
        came=_counted(outcomes),
        seconds=round(sent.firsts[-1].answered - sent.firsts[0].sent, 3),
        cure="each web process must have the same CHATBOT_STORE_URL and CHATBOT_NAMESPACE",
    )


async def resend(postman: Postman, sent: Burst) -> tuple[list[str], float]:
    """Deliver all messages again, as a provider does that saw no answer; return the outcomes and the time it took."""
    began = time.monotonic()
    outcomes = [(await postman.deliver(body)).outcome for body in sent.bodies]
    return outcomes, round(time.monotonic() - began, 3)


def repeated(outcomes: Sequence[str], seconds: float, after: str, again: str = "") -> Proof:
    """Show that a message which was taken before has no effect. `again` tells which effect it had all the same."""
    return Proof(
        name="idempotency",
        held=set(outcomes) == {"duplicate"} and not again,
        sent=f"all {BURST} messages again, {after}",
        came=_counted(outcomes) + (f", but {again}" if again else ""),
        seconds=seconds,
        cure="the store must keep what it was told: no eviction, no FLUSHALL, and CHATBOT_MESSAGE_TTL_S long enough",
    )


def _said(conversation: str, number: int) -> Said:
    text = TEXT.format(number=number, burst=BURST)
    return Said(conversation_id=conversation, number=number, text=text, sent_at=datetime.now(UTC))


def _counted(outcomes: Sequence[str]) -> str:
    return ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in dict.fromkeys(outcomes))


def _parts(answer: httpx.Response) -> dict[str, str]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return {name: str(value) for name, value in found.items()} if isinstance(found, dict) else {}
