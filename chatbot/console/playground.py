"""The playground: a chat with the running service through its own webhook, signed as any sender's would be."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from typing import TYPE_CHECKING, Any

import httpx
from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from chatbot.admin.language import language_of, mark
from chatbot.channels.generic import Generic
from chatbot.console.chat import read
from chatbot.console.rendering import Names, part, show
from chatbot.console.seals import Seals
from chatbot.console.streams import Streams
from chatbot.errors import StoreUnavailable

if TYPE_CHECKING:
    from chatbot.service import Service

logger = logging.getLogger(__name__)

#: Characters of a message: the last one is kept in the session's cookie, to be sent again. Browsers drop a cookie of
#: more than 4,096 bytes, and each character may take 16.
LONGEST = 200
#: s between the messages of a burst, and between two looks at the ledger.
TYPING, LOOK = 0.3, 0.25
BURST = (mark("Hi!"), mark("I have a question"), mark("about my order 1234:"), mark("where is it?"))
_NOTHING: tuple[str, Generic | None] = ("", None)
#: s for which the webhook is waited for.
TIMEOUT = 10.0


class Playground:
    """The page, its stream, and what one can say. `url` is where the service's webhooks are; empty: it is off."""

    def __init__(self, service: Service, seals: Seals, streams: Streams, url: str) -> None:
        self._service, self._seals, self._streams, self._url = service, seals, streams, url
        found = ((name, channel) for name, channel in service.channels.items() if isinstance(channel, Generic))
        self._name, self._channel = next(found, _NOTHING)

    async def show(self, request: Request) -> Response:
        """Show the page, or say how to switch it on."""
        if problem := self._problem():
            return show(request, "playground_off.html", problem=problem)
        last = request.session.get("playground_last")
        about = {**self._about(request), "last": last, "limit": LONGEST}
        story = Names(seals=self._seals, shown=False).conversation(self._subject(request))
        return show(request, "playground.html", story=story, chat=await self._now(request), **about)

    async def events(self, request: Request) -> Response:
        """Go on showing what the ledger says of the conversation."""
        if self._problem():
            return Response(status_code=404)
        about = self._about(request)

        async def now() -> str:
            return part(request, "playground_parts.html", chat=await self._now(request), **about)

        return self._streams.answer(request, now, LOOK)

    async def say(self, request: Request) -> Response:
        """Send what somebody said, a burst, or the last message again; or begin anew. A script wants to know what the
        webhook answered; a form is led back to the page."""
        if self._problem():
            return Response(status_code=404)
        form = await request.form()
        act, text = str(form.get("act", "send")), str(form.get("text", "")).strip()[:LONGEST]
        if act == "new":
            request.session["playground"] = _new_conversation()
            request.session.pop("playground_last", None)
            return RedirectResponse("/playground", 303)
        answers = []
        for place, message in enumerate(self._meant(request, act, text)):
            await asyncio.sleep(TYPING if place else 0)
            answers.append(await self._send(request, message))
        if "application/json" in request.headers.get("accept", ""):
            return JSONResponse({"sent": answers})
        return RedirectResponse("/playground", 303)

    def _meant(self, request: Request, act: str, text: str) -> list[dict[str, str]]:
        last = request.session.get("playground_last")
        if act == "again":
            return [last] if isinstance(last, dict) else []
        texts = map(language_of(request).text, BURST) if act == "burst" else filter(None, [text])
        return [{"message_id": secrets.token_hex(8), "text": one} for one in texts]

    async def _send(self, request: Request, message: dict[str, str]) -> dict[str, Any]:
        request.session["playground_last"] = message
        conversation, _ = self._conversation(request), language_of(request).text
        body = json.dumps({**message, "conversation_id": conversation, "sender_id": "playground"}).encode()
        assert self._channel is not None
        headers = {**self._channel.sign(secrets.token_hex(8), body), "content-type": "application/json"}
        try:
            async with httpx.AsyncClient(base_url=self._url, timeout=TIMEOUT, trust_env=False) as client:
                answer = await client.post(f"/webhooks/{self._name}", content=body, headers=headers)
                said = answer.json()
        except (httpx.HTTPError, ValueError) as exc:
            logger.warning("the playground cannot reach its own webhook: %s", exc)
            return {"text": message["text"], "status": 0, "outcome": _("the webhook did not answer")}
        outcome = _outcome(answer.status_code, said) or _("refused")
        return {"text": message["text"], "status": answer.status_code, "outcome": outcome}

    def _problem(self) -> str:
        if not self._url:
            return mark("It is part of chatbot dev. Elsewhere, switch it on with CHATBOT_PLAYGROUND=true.")
        return "" if self._channel else mark("It speaks the generic channel, which is not among CHATBOT_CHANNELS.")

    def _conversation(self, request: Request) -> str:
        if "playground" not in request.session:
            request.session["playground"] = _new_conversation()
        return str(request.session["playground"])

    def _about(self, request: Request) -> dict[str, Any]:
        self._conversation(request)  # before an answer begins, while its cookie can be set
        return {"wait": self._service.settings.debounce_wait_ms}

    def _subject(self, request: Request) -> str:
        return f"{self._name}::{self._conversation(request)}"

    async def _now(self, request: Request) -> Any:
        try:
            return await run_sync(read, self._service, self._subject(request))
        except StoreUnavailable as exc:
            logger.warning("the playground cannot look: %s", exc)
            return None


def _new_conversation() -> str:
    return f"playground-{secrets.token_hex(4)}"


def _outcome(status: int, said: Any) -> str:
    """Return what the webhook made of a message, as far as it says so."""
    if status != 200 or not isinstance(said, dict):
        return str(said.get("detail") or said.get("title") or "") if isinstance(said, dict) else ""
    return "duplicate" if said.get("duplicates") else "accepted"
