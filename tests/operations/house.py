"""The service in this process, on a real server: a channel that only notes what it sends, and a responder that fails
where a test wants it to."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import redis
from dramatiq import Worker

from chatbot.channels.generic import Generic
from chatbot.channels.identity import dedupe_key
from chatbot.errors import Permanent, Transient
from chatbot.middleware.dead_letters import DeadLetters
from chatbot.model import InboundMessage, Reply, TurnRequest
from chatbot.service import Service, build
from tests.waiting import wait_until

NUMBERS = itertools.count()
#: What was sent, by conversation.
SENT: dict[str, list[str]] = {}
#: Conversations whose turns fail for good, fail once, and whose replies cannot be sent.
BAD, FLAKY, UNREACHABLE = "bad", "flaky", "unreachable"
_failed: set[str] = set()


class NotingChannel(Generic):
    house = ""

    def send(self, reply: Reply) -> None:
        if reply.conversation_id.startswith(UNREACHABLE):
            raise Permanent(f"nobody takes {reply.text!r}")
        SENT.setdefault(f"{self.house}/{reply.conversation_id}", []).append(reply.text)


def create_channel(name: str, options: Mapping[str, str]) -> NotingChannel:
    channel = NotingChannel(name, (), "http://127.0.0.1:9/")
    channel.house = options["house"]
    return channel


def respond(turn: TurnRequest) -> list[str]:
    texts = [message.text or "" for message in turn.messages]
    if turn.conversation_id.startswith(BAD):
        raise Permanent(f"cannot answer {texts}")
    if turn.conversation_id.startswith(FLAKY) and turn.turn_id not in _failed:
        _failed.add(turn.turn_id)
        raise Transient(f"not yet {texts}", retry_after=0.01)
    return [f"you said {text}" for text in texts]


class House:
    """A service, and a worker when it is wanted."""

    def __init__(self, service: Service, variables: Mapping[str, str]) -> None:
        self.service, self.variables = service, variables
        self.workers: list[Worker] = []

    def admit(self, conversation: str, *message_ids: str) -> list[str]:
        return self.service.admit([message(conversation, message_id) for message_id in message_ids])

    def admit_at_once(self, conversation: str, *message_ids: str) -> None:
        """Admit messages whose window is due now."""
        at_once = {"wait": 0, "max_wait": 0}
        actor = self.service.actors.process_turn
        calls = [
            actor.message_with_options(args=(message(conversation, message_id),), debounced=at_once)
            for message_id in message_ids
        ]
        self.service.broker.enqueue_many(calls)

    def sent(self, conversation: str) -> list[str]:
        """Return what the channel has sent in a conversation of this house."""
        return SENT.get(f"{self.service.settings.namespace}/{conversation}", [])

    @property
    def dead_letters(self) -> DeadLetters:
        """The journal of ordinary messages that were given up."""
        return next(m for m in self.service.broker.middleware if isinstance(m, DeadLetters))

    def call(self, conversation: str, message_id: str) -> Any:
        """Return the call that accepts a message."""
        return self.service.actors.process_turn.message(message(conversation, message_id))

    def work(self) -> None:
        worker = Worker(self.service.broker, worker_threads=4, worker_timeout=50)
        worker.start()
        self.workers.append(worker)

    def stop(self) -> None:
        while self.workers:
            self.workers.pop().stop(timeout=10_000)

    def idle(self, *conversations: str) -> None:
        """Return when everything of these conversations is settled or buried, and written down."""
        for conversation in conversations:
            for mailbox in ("process_turn", "deliver_replies"):
                key = f"{mailbox}/generic::{conversation}"
                wait_until(lambda key=key: self.service.store.inspect(key).state == "idle", 20, f"{key} is not idle")
        for worker in self.workers:
            worker.work_queue.join()  # the ledger knows of an end before the journal does
        self.service.journal.flush()

    def run(self, conversation: str, *message_ids: str) -> None:
        """Let a burst be worked off."""
        self.admit(conversation, *message_ids)
        if not self.workers:
            self.work()
        self.idle(conversation)


def message(conversation: str, message_id: str) -> InboundMessage:
    return InboundMessage(
        channel="generic",
        conversation_id=conversation,
        message_id=message_id,
        sender_id="somebody",
        dedupe_key=dedupe_key("generic", "", conversation, message_id),
        text=f"secret of {message_id}",
        received_at=datetime.now(UTC),
    )


@contextmanager
def house(url: str, **settings: Any) -> Iterator[House]:
    """Run a house on a Redis that it has to itself."""
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    namespace = f"house{next(NUMBERS)}"
    variables = {
        "CHATBOT_GENERIC_HOUSE": namespace,
        "CHATBOT_STORE_URL": url,
        "CHATBOT_BROKER_URL": url,
        "CHATBOT_NAMESPACE": namespace,
        "CHATBOT_CHANNELS": f"generic={__name__}:create_channel",
        "CHATBOT_RESPONDER": f"{__name__}:respond",
        "CHATBOT_DEBOUNCE_WAIT_MS": "50",
        "CHATBOT_DEBOUNCE_MAX_WAIT_MS": "1000",
        "CHATBOT_REPUBLISH_AFTER_MS": "500",
        **settings,
    }
    running = House(build(variables), variables)
    try:
        yield running
    finally:
        running.stop()
        running.service.close()
