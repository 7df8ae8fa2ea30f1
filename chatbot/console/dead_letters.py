"""The pages of dead letters of both kinds: search, traceback, replay and drop, one and many."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from anyio.to_thread import run_sync
from dramatiq.errors import BrokerConnectionError
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from chatbot.admin import looked
from chatbot.console.rendering import Names, down, missing, show
from chatbot.console.seals import Seals
from chatbot.errors import StoreUnavailable
from chatbot.operations import dead, dead_replay
from chatbot.operations.conversations import NotFound
from chatbot.operations.dead import Filter, Letter
from chatbot.operations.times import count

if TYPE_CHECKING:
    from chatbot.service import Service

logger = logging.getLogger(__name__)

#: Letters on one page.
MOST = 100
#: Why things did not work: so many reasons are told.
REASONS = 3


class DeadLetterPages:
    """The pages, and what one can do there."""

    def __init__(self, service: Service, seals: Seals) -> None:
        self._service, self._seals = service, seals

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
            return missing(request, str(exc))
        except StoreUnavailable:
            return down(request)
        traceback = shown.traceback if names.shown else without_words(shown.traceback)
        return show(request, "dead_letter.html", names=names, shown=shown, traceback=traceback)

    async def act(self, request: Request) -> Response:
        """Replay or drop those that are chosen. What is dropped is asked for twice."""
        form = await request.form()
        act, ids = _asked(form)
        if act not in ("replay", "drop") or not ids:
            return self._back(request, "Nothing was chosen.")
        try:
            letters = [one for one in await run_sync(dead.letters, self._service) if one.id in ids]
            if act == "drop" and not form.get("sure"):
                return show(request, "dead_drop.html", letters=letters)
            return self._back(request, await run_sync(self._act, act, letters, str(request.state.user)))
        except (StoreUnavailable, BrokerConnectionError) as exc:
            logger.warning("dead letters cannot be worked on: %s", exc)
            return down(request)

    def _act(self, act: str, letters: Sequence[Letter], user: str) -> str:
        done = dead_replay.replay if act == "replay" else dead_replay.drop
        worked, items, reasons = 0, 0, []
        for letter, number, reason in dead_replay.each(letters, lambda letter: done(self._service, letter)):
            logger.info("%s: %s of the dead letter %s%s", user, act, letter.id, f" failed: {reason}" if reason else "")
            worked, items = worked + (not reason), items + number
            reasons += [reason] if reason else []
        verb = "Replayed" if act == "replay" else "Dropped"
        return " ".join([f"{verb} {count(worked, 'dead letter')}, {count(items, 'item')}.", *reasons[:REASONS]])

    def _back(self, request: Request, said: str) -> Response:
        request.session["dead_letters"] = said
        return RedirectResponse("/dead-letters", 303)

    def _names(self, request: Request, what: str) -> Names:
        return Names(seals=self._seals, shown=looked(request, what))

    def _now(self) -> int:
        return self._service.store.inspect("console/").now


def _asked(form: FormData) -> tuple[str, set[str]]:
    """Return what is to be done to which letters: those that are ticked, or the one whose own button was pressed."""
    for act in ("replay", "drop"):
        if one := form.get(f"{act}_one"):
            return act, {str(one)}
    return str(form.get("act", "")), {str(one) for one in form.getlist("id")}


_FRAME = re.compile(r'^  File "[^"]*", line \d+')
_BETWEEN = ("The above exception was the direct cause", "During handling of the above exception")
_KIND = re.compile(r"^([\w.]+)(:|$)")


def without_words(traceback: str) -> str:
    """Return a traceback's places and kinds of errors, without what the errors say: that may quote a person."""
    kept, code = [], False
    for line in traceback.splitlines():
        is_frame = bool(_FRAME.match(line))
        if line.startswith(_BETWEEN):
            kept += ["", line, ""]
        elif is_frame or line.startswith("Traceback (most") or (code and line.startswith("    ")):
            kept.append(line)
        elif (kind := _KIND.match(line)) and kept and kept[-1].startswith(" "):
            kept.append(f"{kind[1]}: •••" if kind[2] else kind[1])
        code = is_frame
    return "\n".join(kept)
