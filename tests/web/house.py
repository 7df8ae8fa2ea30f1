"""The web application with a ledger and a channel made by hand, served by uvicorn on a free loopback port."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

import msgspec
import uvicorn
from starlette.applications import Starlette

from chatbot.channels.base import Parsed, Rejected
from chatbot.errors import Malformed, NotSupported, SignatureInvalid, StoreUnavailable
from chatbot.model import InboundMessage
from chatbot.web.protocol import OneWrite
from tests.waiting import wait_until

JSON = {"content-type": "application/json"}
SECRET = {"x-secret": "s3cret"}
TRUSTED = JSON | SECRET


class Plain:
    """A channel whose secret is a header and whose body is `{"messages": [{"id", "conversation", "text"}]}`."""

    media_types = frozenset({"application/json"})
    resend_horizon = 1_000

    def __init__(self, name: str = "plain", *, sender_mends: bool = True) -> None:
        self.name = name
        self.sender_mends = sender_mends
        self.threads: set[threading.Thread] = set()
        self.bodies = 0

    def verify(self, headers: Mapping[str, str], body: bytes) -> None:
        self.threads.add(threading.current_thread())
        if headers.get("x-secret") != SECRET["x-secret"]:
            raise SignatureInvalid("x-secret is wrong")

    def parse(self, body: bytes, received_at: datetime) -> Parsed:
        self.bodies += 1
        try:
            items = msgspec.json.decode(body, type=dict[str, list[dict[str, object]]])["messages"]
        except (msgspec.DecodeError, KeyError) as exc:
            raise Malformed("there are no messages", field="messages") from exc
        if any(item.get("bug") for item in items):
            raise ZeroDivisionError("a secret of the inside")
        good = [(place, item) for place, item in enumerate(items) if "id" in item]
        bad = [place for place, item in enumerate(items) if "id" not in item]
        return Parsed(
            messages=tuple(self._message(item, received_at) for _, item in good),
            rejected=tuple(Rejected(field=f"messages[{place}].id", reason="is missing") for place in bad),
            ignored=sum(bool(item.get("receipt")) for item in items),
        )

    def _message(self, item: dict[str, object], received_at: datetime) -> InboundMessage:
        return InboundMessage(
            channel=self.name,
            conversation_id=str(item.get("conversation", "c1")),
            message_id=str(item["id"]),
            dedupe_key=str(item["id"]),
            text=str(item.get("text", "hi")),
            triggers_turn=not item.get("quiet") and not item.get("target"),
            received_at=received_at,
            kind="text" if "target" not in item else "edit" if item.get("text") else "delete",
            target_id=str(item["target"]) if "target" in item else None,
        )

    def handshake(self, query: Mapping[str, str]) -> str:
        if "challenge" not in query:
            raise NotSupported
        if query.get("token") != "s3cret":
            raise SignatureInvalid("the token is wrong")
        return query["challenge"]

    def send(self, reply: object) -> None:
        raise NotImplementedError

    def close(self) -> None: ...


class Ledger:
    """Remembers ids, and keeps each call. It can be down, slow (while `gate` is closed), or choke on an id."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.ids: set[str] = set()
        self.state = {"store": "ok", "broker": "ok"}
        self.looks = 0
        self.gate = threading.Event()
        self.gate.set()
        self.poison: str | None = None

    async def admit(self, messages: Sequence[InboundMessage]) -> list[str]:
        self.calls.append([message.message_id for message in messages])
        assert await asyncio.to_thread(self.gate.wait, 30)
        if self.state["store"] != "ok":
            raise StoreUnavailable("no route to redis://:password@store.example")
        if any(message.message_id == self.poison for message in messages):
            raise ValueError("poison")
        return [self._one(message) for message in messages]

    def _one(self, message: InboundMessage) -> str:
        if message.conversation_id == "flooded":
            return "overflow"
        if message.target_id is not None:
            known = message.target_id in self.ids
            return ("amended" if known else "absorbed") if message.kind == "edit" else "withdrawn" if known else "late"
        if message.dedupe_key in self.ids:
            return "duplicate"
        self.ids.add(message.dedupe_key)
        return "enqueued" if message.conversation_id == "urgent" else "absorbed"

    def look(self) -> Mapping[str, str]:
        self.looks += 1
        assert self.gate.wait(30)
        return self.state


def body(*ids: str, **fields: object) -> bytes:
    """Return a body of the plain channel with these messages."""
    return msgspec.json.encode({"messages": [{"id": name, **fields} for name in ids]})


@contextmanager
def served(app: Starlette, **options: object) -> Iterator[str]:
    """Run the app under uvicorn until the block ends; yields its URL."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, http=OneWrite, lifespan="on", **options))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            wait_until(lambda: server.started or not thread.is_alive())
            assert server.started, "the application did not start"
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)
