"""The operations page: queues, workers, windows, turns, replies, decisions, rates and latencies, live."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from chatbot.admin.language import mark
from chatbot.admin.personal import looked
from chatbot.console.looks import BrokerLook, LedgerLook, LedgerLooks, broker_look
from chatbot.console.rendering import Names, part, show
from chatbot.console.seals import Seals
from chatbot.console.shared import Shared
from chatbot.console.streams import Streams
from chatbot.dashboard.pages import look_at

if TYPE_CHECKING:
    from chatbot.service import Service

#: s between two looks: at the ledger, and at the broker, which may have to ask for each of its queues.
LEDGER, BROKER = 1.0, 2.0
#: s that a page waits for a look.
PATIENCE = 2.0


class Overview:
    """The page, and the looks that all who watch it share."""

    def __init__(self, service: Service, seals: Seals, streams: Streams) -> None:
        self._service, self._seals, self._streams = service, seals, streams
        self.ledger: Shared[LedgerLook] = Shared(LedgerLooks(service).look, pause=LEDGER, patience=PATIENCE)
        look = look_at(service.settings, service.store, service.broker)
        self.broker: Shared[BrokerLook] | None = None
        if look is not None:
            self.broker = Shared(lambda: broker_look(look), pause=BROKER, patience=PATIENCE)

    async def show(self, request: Request) -> Response:
        """Show the page as it is now."""
        return show(request, "overview.html", **await self._seen(self._names(request)))

    async def events(self, request: Request) -> Response:
        """Go on showing it."""
        names = self._names(request)

        async def now() -> str:
            return part(request, "overview_parts.html", **await self._seen(names))

        return self._streams.answer(request, now, LEDGER)

    def _names(self, request: Request) -> Names:
        return Names(seals=self._seals, shown=looked(request, "open conversations"))

    async def _seen(self, names: Names) -> dict[str, Any]:
        broker, chosen = self.broker, self._service.settings
        if broker is None:
            await self.ledger.get()
        else:
            await asyncio.gather(self.ledger.get(), broker.get())
        return {
            "names": names,
            "ledger": self.ledger.latest,
            "ledger_error": self.ledger.error,
            "broker": broker.latest if broker else None,
            "sees_workers": bool(chosen.rabbitmq_management_url) or not chosen.broker_url.startswith("amqp"),
            "broker_error": broker.error if broker else mark("it is of a kind that the console does not know"),
        }
