"""`chatbot verify`: the three guarantees, shown on a running deployment with a conversation of its own.

Signed webhooks go in as the provider's do. What came of them is read in the ledger, not at the receiver of replies: so
it works in production, where the replies of this conversation go where all replies go. Its id says what it is.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from chatbot.errors import ConfigurationError, StoreUnavailable
from chatbot.operations.attached import attached
from chatbot.operations.simulate.delivery import Postman, Unaccepted, client, must_answer
from chatbot.operations.simulate.provider import PHONE_NUMBER_ID, Provider, provider, secret_of
from chatbot.operations.verify import answers
from chatbot.operations.verify.cleanup import cleanup
from chatbot.operations.verify.ledger import Ledger
from chatbot.operations.verify.proofs import Proof, Report
from chatbot.service import Service

#: Where `chatbot dev` keeps its store, in its state directory.
DEV_STORE = "valkey"
_UNSEEN = "not looked at: that is in the ledger"
_HTTP_ONLY = (
    "only answers were looked at: run this where CHATBOT_STORE_URL is the service's to see the turn and its replies, "
    "or play bursts with `chatbot simulate --listen`. There, `chatbot forget {subject}` erases the conversation"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says. Empty: not given; `timeout` is in s."""

    url: str
    channel: str
    state: Path
    timeout: float
    secret: str = ""
    http_only: bool = False
    keep: bool = False


def verify(options: Options, variables: Mapping[str, str]) -> Report:
    """Show what can be shown. Raises ConfigurationError if nothing can: nobody answers, or the secret is another."""
    secret = secret_of(options.channel, variables, given=options.secret, state=options.state)
    sender = provider(options.channel, secret, variables)
    with _service(options, variables) as service:
        return asyncio.run(_Verification(options, variables, sender, service).run())


@contextmanager
def _service(options: Options, variables: Mapping[str, str]) -> Iterator[Service | None]:
    """Give the service whose ledger can be asked, if there is one."""
    known = variables.get("CHATBOT_STORE_URL") or (options.state / DEV_STORE).exists()
    if options.http_only or not known:
        yield None
        return
    with attached(variables, options.state) as service:
        yield service


class _Verification:
    """One run."""

    def __init__(
        self, options: Options, variables: Mapping[str, str], sender: Provider, service: Service | None
    ) -> None:
        self._options, self._sender, self._service = options, sender, service
        self._dev = not variables.get("CHATBOT_STORE_URL")
        self._forger = answers.forger_of(options.channel, variables)
        self._began = time.monotonic()
        run = random.SystemRandom().getrandbits(24)
        self.account, self.conversation = "", f"verify-{run:06x}"
        if options.channel == "whatsapp":
            self.account = variables.get("CHATBOT_WHATSAPP_PHONE_NUMBER_ID", "") or PHONE_NUMBER_ID
            self.conversation = sender.conversation(run, 1)

    @property
    def _subject(self) -> str:
        return f"{self._options.channel}:{self.account}:{self.conversation}"

    async def run(self) -> Report:
        proofs: list[Proof] = []
        notes = [] if self._service else [_HTTP_ONLY.format(subject=self._subject)]
        async with client(self._options.url) as service:
            await must_answer(service)
            try:
                async for proof in self._proofs(service):
                    proofs.append(proof)
            except (Unaccepted, httpx.TransportError, StoreUnavailable) as exc:
                told = f"it ended here: {str(exc) or type(exc).__name__}"
                proofs.append(Proof(name="run", held=False, sent="a message, or a question", came=told))
        if self._service is not None and not self._options.keep:
            proofs.append(self._clean(self._service))
        held = [proof.held for proof in proofs]
        return Report(
            url=self._options.url,
            channel=self._options.channel,
            conversation=self.conversation,
            ok=False not in held and (None not in held or self._service is None),
            ledger=self._service is not None,
            seconds=round(time.monotonic() - self._began, 3),
            proofs=proofs,
            notes=notes,
        )

    async def _proofs(self, service: httpx.AsyncClient) -> AsyncIterator[Proof]:
        postman = Postman(service, self._sender, timeout=self._options.timeout, delayed=lambda _: None)
        yield await answers.health(service)
        yield await answers.ready(service)
        yield await answers.signature(service, self._forger, self.conversation)
        sent = await answers.burst(postman, self._sender, self.conversation)
        ledger = self._ledger()
        window = ledger.window() if ledger else []
        yield answers.deduplication(sent)
        if ledger is None:
            yield Proof(name="debounce", held=None, sent="the burst", came=_UNSEEN)
            yield Proof(name="replies", held=None, sent="the turn", came=_UNSEEN)
            yield answers.repeated(*await answers.resend(postman, sent), "while their turn may be open")
            return
        formed = await ledger.debounce(sent, window)
        yield formed.proof
        yield await ledger.replies(formed, refusable=self._options.channel == "whatsapp")
        outcomes, seconds = await answers.resend(postman, sent)
        when = "after their turn" if formed.proof.held else "before their turn"
        yield answers.repeated(outcomes, seconds, when, ledger.again(formed) if formed.proof.held else "")

    def _ledger(self) -> Ledger | None:
        if self._service is None:
            return None
        ids = [self._sender.message_id(self.conversation, number) for number in range(1, answers.BURST + 1)]
        return Ledger(self._service, self._subject, ids, self._began + self._options.timeout)

    def _clean(self, service: Service) -> Proof:
        with suppress(ConfigurationError, StoreUnavailable):
            return cleanup(service, self._subject, self._options.url if self._dev else "")
        return Proof(
            name="cleanup", held=False, sent="forget it", came="the store did not answer",
            cure=f"run `chatbot forget {self._subject}` later",
        )  # fmt: skip
