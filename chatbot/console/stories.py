"""The pages of conversations and messages: the story that `inspect` and `explain` tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio.to_thread import run_sync
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from chatbot.admin.language import language_of
from chatbot.admin.personal import looked
from chatbot.console.looks import LedgerLook
from chatbot.console.rendering import Names, down, missing, show
from chatbot.console.seals import Seals
from chatbot.console.shared import Shared
from chatbot.console.wording import told
from chatbot.errors import StoreUnavailable
from chatbot.middleware import events
from chatbot.operations.conversations import NotFound, conversation, mailboxes, message_id_of
from chatbot.operations.explain import Story, explain
from chatbot.operations.inspect import Inspection, inspect

if TYPE_CHECKING:
    from chatbot.service import Service

#: Messages of a conversation that its page lists.
MOST = 100


class Said(Struct, frozen=True, kw_only=True):
    """A message that came, as the journal knows it: `times` it came, and what became of it at first."""

    message_id: str
    at: int
    outcome: str
    times: int


class Stories:
    """The pages. `ledger` is the operations page's look: it knows which conversations are alive."""

    def __init__(self, service: Service, seals: Seals, ledger: Shared[LedgerLook]) -> None:
        self._service, self._seals, self._ledger = service, seals, ledger

    async def open(self, request: Request) -> Response:
        """Show where one can look for a conversation or a message, and which are alive."""
        return await self._search(request)

    async def find(self, request: Request) -> Response:
        """Lead to what somebody looks for. It is posted, so that no address holds a name."""
        form, _ = await request.form(), language_of(request).text
        sought = str(form.get("sought", "")).strip()
        if not sought:
            return await self._search(request, sought, _("give a conversation or the id of a message"), 404)
        try:
            found = await run_sync(self._find, sought)
        except NotFound as exc:
            return await self._search(request, sought, exc.args[0], 404)
        except StoreUnavailable:
            return await self._search(request, sought, _("the store does not answer"), 503)
        return RedirectResponse(found, 303)

    async def conversation(self, request: Request) -> Response:
        """Show a conversation."""
        subject, _ = self._seals.open(request.path_params["conversation"]), language_of(request).text
        if subject is None:
            return missing(request, _("this address is not of a conversation of this deployment"))
        names = self._names(request, f"the conversation {subject}")
        try:
            found, said = await run_sync(self._inspect, subject, names.shown)
        except NotFound:
            return missing(request, _("nothing is known of this conversation any more"))
        except StoreUnavailable:
            return down(request)
        return show(request, "conversation.html", names=names, found=found, said=said)

    async def message(self, request: Request) -> Response:
        """Show a message's story."""
        subject = self._seals.open(request.path_params["conversation"])
        message_id, _ = self._seals.open(request.path_params["message"]), language_of(request).text
        if message_id is None:
            return missing(request, _("this address is not of a message of this deployment"))
        names = self._names(request, f"the message {message_id}")
        try:
            stories = await run_sync(self._explain, message_id, subject, names.shown)
        except NotFound:
            return missing(request, _("nothing is known of this message any more"))
        except StoreUnavailable:
            return down(request)
        return show(request, "message_story.html", names=names, stories=stories, known=_known(stories))

    def _names(self, request: Request, what: str) -> Names:
        return Names(seals=self._seals, shown=looked(request, what))

    async def _search(self, request: Request, sought: str = "", error: str = "", status: int = 200) -> Response:
        names, ledger = self._names(request, "recent conversations"), await self._ledger.get()
        what = {"names": names, "ledger": ledger, "sought": sought, "error": told(language_of(request), error)}
        return show(request, "conversations.html", status=status, **what)

    # --- what may block ---
    def _find(self, sought: str) -> str:
        names = Names(seals=self._seals, shown=False)
        try:
            return names.conversation(conversation(self._service, sought))
        except NotFound as no_conversation:
            try:
                story = explain(self._service, sought)[0]
            except NotFound:
                raise no_conversation from None
            return names.message(story.conversation, sought)

    def _inspect(self, subject: str, show_text: bool) -> tuple[Inspection, list[Said]]:
        return inspect(self._service, subject, show_text=show_text), self._said(subject)

    def _explain(self, message_id: str, subject: str | None, show_text: bool) -> list[Story]:
        return explain(self._service, message_id, subject, show_text=show_text)

    def _said(self, subject: str) -> list[Said]:
        inbox, _ = mailboxes(self._service, subject)
        found: dict[str, Said] = {}
        for one in events.happened(self._service.store, subject=subject):
            event = one.event
            if event.what == "decided" and event.key == inbox and event.item_id:
                known = found.get(event.item_id)
                said = Said(
                    message_id=message_id_of(event.item_id),
                    at=known.at if known else one.at,
                    outcome=known.outcome if known else event.outcome,
                    times=known.times + 1 if known else 1,
                )
                found[event.item_id] = said
        return list(found.values())[::-1][:MOST]


def _known(stories: list[Story]) -> list[str]:
    """Return the names that the lines of these stories may hold."""
    found = [
        name
        for story in stories
        for name in (story.conversation, story.item_id, story.message_id, story.related)
        if name
    ]
    return found + [story.conversation.split(":", 2)[-1] for story in stories if story.conversation]
