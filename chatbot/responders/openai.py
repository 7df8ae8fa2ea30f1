"""A responder behind an API that speaks OpenAI's chat completions: OpenAI itself, a gateway, or a model server.

It is told what was said before and the burst, and its answer is the one reply. The turn's id is the `Idempotency-Key`,
for gateways that honour one. OpenAI's own client, of the extra `openai`, is imported by the first request: that takes a
second, which a web process need not spend.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import httpx

from chatbot import http_client
from chatbot.errors import ConfigurationError, Permanent, Transient
from chatbot.importing import needs
from chatbot.model import Draft, TurnRequest
from chatbot.responders.event_loop import EventLoop
from chatbot.responders.words import lines

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

OFFICIAL = "https://api.openai.com/v1"
#: Statuses below 500 after which OpenAI's own client asks again, too (beside 429).
_AGAIN = (408, 409)
_EXPECTED = "did not answer with a chat completion"


class OpenAI:
    """Asks a model, through one pool of connections for all threads."""

    def __init__(
        self,
        model: str = "",
        *,
        timeout: float = 60.0,
        api_key: str = "",
        base_url: str = OFFICIAL,
        system_prompt: str = "",
    ) -> None:
        """`timeout` (s) bounds the wait for an answer; connecting takes 2 s of it at most."""
        needs("openai", "openai", what="openai:MODEL")
        if not model:
            raise ConfigurationError("openai lacks its model: say openai:MODEL, such as openai:gpt-4o-mini")
        if not api_key and base_url == OFFICIAL:
            raise ConfigurationError("CHATBOT_OPENAI_API_KEY is missing: OpenAI asks for one")
        self._model, self._system_prompt = model, system_prompt
        # A server of one's own needs no key, but the client insists on one.
        self._base_url, self._api_key = base_url, api_key or "none"
        self._timeout = float(timeout)
        self._loop = EventLoop()
        self._client: AsyncOpenAI | None = None

    def respond(self, request: TurnRequest) -> Sequence[Draft]:
        """Ask. Raises Transient for 408, 409, 429, 5xx and whatever happens on the way, Permanent for the rest."""
        text = self._loop.run(self._answer(request), self._timeout)
        return [Draft(text=text)] if text.strip() else []

    def close(self) -> None:
        """Give back the connections; what is being asked is cancelled."""
        if self._client is not None:
            self._loop.run(self._client.close(), http_client.CONNECT_TIMEOUT_S)
        self._loop.close()

    async def _answer(self, request: TurnRequest) -> str:
        import openai

        where = http_client.host(self._base_url)
        messages: Any = list(_messages(request, self._system_prompt))
        try:
            completion: Any = await self._connected().chat.completions.create(
                model=self._model, messages=messages, extra_headers={"Idempotency-Key": request.turn_id}
            )
        except openai.APIStatusError as exc:
            raise _refused(exc) from exc
        except openai.APIConnectionError as exc:  # its time-out is one of these
            raise Transient(f"{where} did not answer: {exc.__cause__ or exc}") from exc
        except (openai.OpenAIError, ValueError) as exc:
            raise Permanent(f"{where} {_EXPECTED}: {type(exc).__name__}") from exc
        return _text(completion, where)

    def _connected(self) -> AsyncOpenAI:
        """Return the client; only ever called on the event loop, so it needs no lock."""
        if self._client is None:
            from openai import AsyncOpenAI, DefaultAsyncHttpxClient, Timeout

            self._client = AsyncOpenAI(
                api_key=self._api_key,
                base_url=self._base_url,
                max_retries=0,  # the ledger repeats, also when this process is gone
                # A redirect would carry what people wrote to a place that nobody configured.
                http_client=DefaultAsyncHttpxClient(
                    follow_redirects=False,
                    timeout=Timeout(self._timeout, connect=min(http_client.CONNECT_TIMEOUT_S, self._timeout)),
                ),
            )
        return self._client


def _messages(request: TurnRequest, system_prompt: str) -> Iterator[dict[str, str]]:
    """Yield what was said, one message a change of speaker: many models' templates insist that speakers alternate."""
    said = [("system", system_prompt)] if system_prompt else []
    said += [(entry.role, entry.text) for entry in request.history]
    said += [("user", line) for message in request.messages for line in lines(message)]
    for role, texts in groupby(said, itemgetter(0)):
        yield {"role": role, "content": "\n".join(text for _, text in texts)}


def _refused(exc: APIStatusError) -> Transient | Permanent:
    """Return the error that a status means, by the same rules as for other peers."""
    asked, said = exc.response.request, exc.response
    request = httpx.Request("POST", str(asked.url), headers={"authorization": asked.headers.get("authorization", "")})
    headers = {name: said.headers[name] for name in ("retry-after",) if name in said.headers}
    error = http_client.refusal(httpx.Response(exc.status_code, headers=headers, text=said.text, request=request))
    return Transient(str(error)) if exc.status_code in _AGAIN else error


def _text(completion: Any, where: str) -> str:
    """Return what a completion says. The client builds one of anything that is JSON, so nothing of it is certain."""
    try:
        choice = completion.choices[0]
        text, ending = choice.message.content or getattr(choice.message, "refusal", None) or "", choice.finish_reason
    except (AttributeError, IndexError, TypeError) as exc:
        raise Permanent(f"{where} {_EXPECTED}") from exc
    if not isinstance(text, str):
        raise Permanent(f"{where} {_EXPECTED}")
    if not text and ending != "stop":
        raise Permanent(f"{where} answered without text, and ended by {ending}")
    return text
