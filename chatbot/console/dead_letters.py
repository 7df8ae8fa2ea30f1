"""The pages of dead letters of both kinds: search, traceback, replay and drop, one and many."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from anyio.to_thread import run_sync
from dramatiq.errors import BrokerConnectionError
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from chatbot.admin.language import Language, language_of, mark
from chatbot.admin.personal import looked, on_one_line
from chatbot.console.looks import BrokerLook
from chatbot.console.rendering import Names, down, missing, show
from chatbot.console.seals import Seals
from chatbot.console.shared import Shared
from chatbot.console.wording import count
from chatbot.errors import StoreUnavailable
from chatbot.operations import dead, dead_replay
from chatbot.operations.conversations import NotFound
from chatbot.operations.dead import Filter, Letter

if TYPE_CHECKING:
    from chatbot.service import Service

logger = logging.getLogger(__name__)

#: Letters on one page.
MOST = 100
#: Why things did not work: so many reasons are told.
REASONS = 3


class DeadLetterPages:
    """The pages, and what one can do there. `broker` is the operations page's look: it counts what the broker keeps."""

    def __init__(self, service: Service, seals: Seals, broker: Shared[BrokerLook] | None) -> None:
        self._service, self._seals, self._broker = service, seals, broker

    async def list(self, request: Request) -> Response:
        """Show those that fit a search."""
        query = request.query_params
        wanted = Filter(actor=query.get("actor", ""), search=query.get("search", ""))
        try:
            everything = await run_sync(dead.letters, self._service)
            found = await run_sync(dead.letters, self._service, wanted) if wanted != Filter() else everything
            now = await run_sync(self._now)
        except StoreUnavailable:
            return down(request)
        return show(
            request,
            "dead_letters.html",
            names=self._names(request, "dead letters"),
            letters=found[:MOST],
            more=max(0, len(found) - MOST),
            total=len(everything),
            uncollected=await self._uncollected(everything),
            actors=sorted({letter.actor for letter in everything}),
            wanted=wanted,
            now=now,
            said=request.session.pop("dead_letters", None),
        )

    async def show(self, request: Request) -> Response:
        """Show one, with its traceback."""
        letter_id = request.path_params["letter"]
        names = self._names(request, f"the dead letter {letter_id}")
        try:
            (letter,) = await run_sync(dead.named, self._service, [letter_id])
            shown = await run_sync(lambda: dead.show(self._service, letter, show_text=names.shown))
        except NotFound as exc:
            return missing(request, exc.args[0])
        except StoreUnavailable:
            return down(request)
        return show(request, "dead_letter.html", names=names, shown=shown)

    async def act(self, request: Request) -> Response:
        """Replay or drop those that are chosen. What is dropped is asked for twice."""
        form, language = await request.form(), language_of(request)
        act, ids = _asked(form)
        if act not in ("replay", "drop") or not ids:
            return self._back(request, language.text("Nothing was chosen."))
        try:
            letters = [one for one in await run_sync(dead.letters, self._service) if one.id in ids]
            if act == "drop" and not form.get("sure"):
                return show(request, "dead_drop.html", letters=letters)
            return self._back(request, await run_sync(self._act, act, letters, str(request.state.user), language))
        except (StoreUnavailable, BrokerConnectionError) as exc:
            logger.warning("dead letters cannot be worked on: %s", exc)
            return down(request)

    def _act(self, act: str, letters: Sequence[Letter], user: str, language: Language) -> str:
        done = dead_replay.replay if act == "replay" else dead_replay.drop
        worked, items, reasons = 0, 0, []
        for letter, number, reason in dead_replay.each(letters, lambda letter: done(self._service, letter)):
            failed = on_one_line(f" failed: {reason}") if reason else ""
            logger.info("%s: %s of the dead letter %s%s", user, act, on_one_line(letter.id), failed)
            worked, items = worked + (not reason), items + number
            reasons += [reason] if reason else []
        told = {"letters": count(language, worked, "dead letter"), "items": count(language, items, "item")}
        done_so = (
            mark("Replayed %(letters)s, %(items)s.") if act == "replay" else mark("Dropped %(letters)s, %(items)s.")
        )
        return " ".join([language.text(done_so, **told), *reasons[:REASONS]])

    def _back(self, request: Request, said: str) -> Response:
        request.session["dead_letters"] = said
        return RedirectResponse("/dead-letters", 303)

    def _names(self, request: Request, what: str) -> Names:
        return Names(seals=self._seals, shown=looked(request, what))

    async def _uncollected(self, known: Sequence[Letter]) -> int:
        """Return how many dead letters only the broker knows."""
        seen = await self._broker.get() if self._broker else None
        declared = self._service.broker.get_declared_queues()
        kept = sum(queue.dead for queue in seen.queues if queue.name in declared) if seen else 0
        return max(0, kept - sum(letter.kind == "message" for letter in known))

    def _now(self) -> int:
        return self._service.store.inspect("console/").now


def _asked(form: FormData) -> tuple[str, set[str]]:
    """Return what is to be done to which letters: those that are ticked, or the one whose own button was pressed."""
    for act in ("replay", "drop"):
        if one := form.get(f"{act}_one"):
            return act, {str(one)}
    return str(form.get("act", "")), {str(one) for one in form.getlist("id")}
