"""Playing bursts against a running service: what went in, and what came out."""

from __future__ import annotations

import random
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec

from chatbot.channels.standard_webhooks import read_secrets, sign
from chatbot.embedded.dev import secret
from chatbot.errors import ConfigurationError
from chatbot.web.outbox import PATH

Say = Callable[[str], None]

#: s between two deliveries: a burst of five, each delivered twice, takes about a second.
PACE = 0.12
#: s for which a reply may take after its burst.
PATIENCE = 30.0
#: s in which a second reply would show.
QUIET = 1.0
_LINES = [
    "hi",
    "are you there?",
    "I have a question",
    "about my order",
    "the blue one",
    "it has not arrived",
    "thanks!",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How many conversations, each with one burst of so many messages; every message is delivered twice."""

    url: str
    conversations: int
    messages: int
    seed: int


def simulate(plan: Plan, *, state: Path, say: Say) -> int:
    """Play the plan; return 0 if every burst had exactly one reply, else 1."""
    keys = read_secrets(secret(state))
    bursts = _bursts(plan)
    with httpx.Client(base_url=plan.url, timeout=10.0, transport=httpx.HTTPTransport(retries=1)) as client:
        try:
            _play(client, keys, bursts, plan, say)
            replies = _wait_for_replies(client, bursts)
        except httpx.ConnectError as exc:
            raise ConfigurationError(
                f"nothing listens on {plan.url}: start `chatbot dev` first, or give --url"
            ) from exc
    return _report(bursts, replies, say)


def _bursts(plan: Plan) -> dict[str, list[dict[str, Any]]]:
    run = uuid.uuid4().hex[:6]
    return {
        f"simulated-{run}-{c}": [
            {"message_id": f"m{m}", "conversation_id": f"simulated-{run}-{c}", "sender_id": f"user-{c}", "text": text}
            for m, text in enumerate((_LINES * 8)[: plan.messages])
        ]
        for c in range(1, plan.conversations + 1)
    }


def _play(client: httpx.Client, keys: Any, bursts: dict[str, list[dict[str, Any]]], plan: Plan, say: Say) -> None:
    dice = random.Random(plan.seed)
    for position in range(plan.messages):
        # Everybody types at once; the provider delivers each line twice, in any order among conversations.
        deliveries = [burst[position] for burst in bursts.values()] * 2
        dice.shuffle(deliveries)
        for message in deliveries:
            verdict = _post(client, keys, message)
            say(f"  {message['conversation_id']}  {verdict:9}  {message['text']}")
        time.sleep(PACE)


def _post(client: httpx.Client, keys: Any, message: dict[str, Any]) -> str:
    body = msgspec.json.encode(message)
    headers = {**sign(keys, uuid.uuid4().hex, body), "content-type": "application/json"}
    response = client.post("/webhooks/generic", content=body, headers=headers)
    if response.status_code != 200:
        detail = response.json().get("detail", response.text)
        raise ConfigurationError(f"the service answered {response.status_code}: {detail}")
    return "duplicate" if response.json()["duplicates"] else "accepted"


def _wait_for_replies(client: httpx.Client, bursts: dict[str, Any]) -> dict[str, list[str]]:
    deadline, complete_since = time.monotonic() + PATIENCE, None
    while True:
        replies = _replies(client, bursts)
        now = time.monotonic()
        if len(replies) == len(bursts):
            complete_since = complete_since or now
        if now > deadline or (complete_since and now - complete_since > QUIET):
            return replies
        time.sleep(0.1)


def _replies(client: httpx.Client, bursts: dict[str, Any]) -> dict[str, list[str]]:
    response = client.get(PATH)
    if response.status_code == 404:
        raise ConfigurationError("replies go elsewhere: start `chatbot dev` without CHATBOT_GENERIC_OUTBOUND_URL")
    found: defaultdict[str, list[str]] = defaultdict(list)
    for reply in response.json()["replies"]:
        if reply["conversation_id"] in bursts:
            found[reply["conversation_id"]].append(reply["text"])
    return found


def _report(bursts: dict[str, list[dict[str, Any]]], replies: dict[str, list[str]], say: Say) -> int:
    bad = 0
    for conversation, burst in bursts.items():
        texts = replies.get(conversation, [])
        bad += len(texts) != 1
        say(f"\n{conversation}: {2 * len(burst)} deliveries of {len(burst)} messages -> {len(texts)} reply")
        for text in texts:
            say("    " + text.replace("\n", "\n    "))
    say(
        "\nevery burst has exactly one reply"
        if not bad
        else f"\n{bad} of {len(bursts)} bursts have not exactly one reply"
    )
    return 1 if bad else 0
