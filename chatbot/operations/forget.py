"""Erasing a conversation: its windows and turns, results, dead letters, history and journal."""

from __future__ import annotations

import contextlib
import json
import time

import httpx
from msgspec import Struct

from chatbot.dashboard.pages import look_at
from chatbot.errors import ConfigurationError
from chatbot.middleware import events
from chatbot.middleware.dead_letters import DeadLetter, DeadLetters
from chatbot.middleware.journal import PAUSE
from chatbot.operations.conversations import conversation, mailboxes
from chatbot.operations.times import count
from chatbot.service import Service
from chatbot.web.outbox import PATH

#: s in which every process has written down what it knew before: the journal is erased after that.
WRITTEN = 2 * PAUSE
#: What is left on purpose: none of it can be read back.
REMAINS = (
    "hashes of the ids of completed messages, for CHATBOT_MESSAGE_TTL_S after their turn: a resend is a duplicate",
    "claim checks in the broker's queues, which name the conversation, until a worker takes and drops them",
    "messages of other actors in the broker's own dead-letter queues that our journal does not know, for a week",
    "what the provider, the responder, your logs and your backups keep",
)


class Forgotten(Struct, frozen=True, kw_only=True):
    """What was erased, and what remains by design."""

    conversation: str
    messages: int
    replies: int
    history: int
    notes: int
    letters: int
    shown_replies: int | None
    remains: tuple[str, ...] = REMAINS

    def words(self) -> str:
        """Return it as text."""
        gone = [
            count(self.messages, "open or buried message"),
            count(self.replies, "open or buried reply"),
            count(self.history, "turn") + " of history",
            count(self.notes, "note") + " of the journal",
            count(self.letters, "dead letter") + " of other actors",
        ]
        if self.shown_replies is not None:
            gone.append(count(self.shown_replies, "reply") + " of the dev outbox")
        lines = [f"Erased of {self.conversation}: {', '.join(gone)}.", "What remains by design:"]
        return "\n".join([*lines, *(f"  - {what}" for what in self.remains)])


def forget(service: Service, given: str, *, url: str = "") -> Forgotten:
    """Erase a conversation. `url` is a `chatbot dev` whose shown replies are erased as well.

    Raises NotFound if nothing is known of it, and BrokerConnectionError if only dead letters of other actors are left;
    what is running has no further effect.
    """
    store, subject = service.store, conversation(service, given)
    inbox, outbox = mailboxes(service, subject)
    history = len(store.recall(subject))
    # The inbox first: then no run that ends in between can leave replies.
    messages, replies = store.forget(inbox), store.forget(outbox)
    time.sleep(WRITTEN)
    return Forgotten(
        conversation=subject,
        messages=messages,
        replies=replies,
        history=history,
        notes=events.erase(store, subject),
        # The last, as it needs the broker.
        letters=_erase_letters(service, subject),
        shown_replies=_erase_shown(url, subject) if url else None,
    )


def _erase_letters(service: Service, subject: str) -> int:
    """Erase dead letters of other actors, from the broker first: it is found through the journal only."""
    journal = DeadLetters(service.store)
    letters = [letter for letter in journal.letters() if _mentions(letter, subject)]
    look = look_at(service.settings, service.store, service.broker) if letters else None
    if look is not None:
        for letter in reversed(letters):
            look.remove_copy(letter)
    return journal.drop([letter.message_id for letter in letters])


def _mentions(letter: DeadLetter, subject: str) -> bool:
    """Say whether the arguments of a call name the conversation: by its key, or by a field `conversation_id`."""
    channel, _, rest = subject.partition(":")
    wanted = json.dumps(rest.partition(":")[2])
    told = json.dumps([letter.args, letter.kwargs])
    return json.dumps(subject) in told or (f'"conversation_id": {wanted}' in told and json.dumps(channel) in told)


def _erase_shown(url: str, subject: str) -> int:
    conversation_id = subject.split(":", 2)[-1]
    try:
        answer = httpx.delete(url.rstrip("/") + PATH, params={"conversation_id": conversation_id}, trust_env=False)
        with contextlib.suppress(ValueError, KeyError, TypeError):
            return int(answer.raise_for_status().json()["erased"])
    except httpx.HTTPError as exc:
        raise ConfigurationError(f"--url {url}: no dev outbox answers there ({exc}): start `chatbot dev`") from exc
    raise ConfigurationError(f"--url {url} is not a `chatbot dev`")
