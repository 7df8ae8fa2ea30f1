"""/dashboard/: dramatiq-dashboard shows, after a look at what it is asked; what changes something is ours."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from anyio.to_thread import run_sync
from dramatiq.errors import BrokerConnectionError
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp

from chatbot.admin.access import static
from chatbot.admin.pages import common, message
from chatbot.admin.personal import looked, on_one_line
from chatbot.brokers.redis import RedisBroker
from chatbot.dashboard.interface import Viewing, split
from chatbot.dashboard.look import TABS, Gone, Look, Tab, Unreadable, delete, requeue
from chatbot.dashboard.redis_look import RedisLook
from chatbot.errors import StoreUnavailable
from chatbot.middleware.dead_letters import DeadLetters

if TYPE_CHECKING:
    from chatbot.brokers.admission import Admission
    from chatbot.settings import Settings
    from chatbot.stores import Store

logger = logging.getLogger(__name__)

Render = Callable[[ASGIApp, Request, Viewing], Awaitable[Response]]

PREFIX = "/dashboard"
STATIC = Path(__file__).parent / "static"
#: Digits of a cursor.
LONGEST_CURSOR = 9

_INSTALL = (
    "dramatiq-dashboard is not installed here. Install it without its dependencies, which would bring an old Dramatiq: "
    "pip install --no-deps dramatiq-dashboard"
)
_FOREIGN = "The dashboard knows Redis and RabbitMQ; this deployment's broker is neither."


class Answered(Exception):
    """The request is answered already."""

    def __init__(self, status: int, title: str, text: str) -> None:
        super().__init__(text)
        self.status, self.title, self.text = status, title, text


def look_at(settings: Settings, store: Store, broker: Admission) -> Look | None:
    """Return how to look at a broker; None if it is of a kind that we do not know."""
    letters = DeadLetters(store)
    if isinstance(broker, RedisBroker):
        return RedisLook(broker, letters)
    if find_spec("pika"):  # without it, no broker can be one
        from chatbot.brokers.rabbitmq import RabbitmqBroker
        from chatbot.dashboard.rabbitmq_look import RabbitmqLook

        if isinstance(broker, RabbitmqBroker):
            return RabbitmqLook(broker, letters, settings.rabbitmq_management_url)
    return None


def routes(settings: Settings, store: Store, broker: Admission) -> list[BaseRoute]:
    """Return /dashboard/ and the files that it needs. They are to be protected."""
    pages = _Dashboard(broker, look_at(settings, store, broker))
    queue = "/queues/{name}"
    inner = [
        Route("/", pages.show, name="dashboard"),
        Route(queue, pages.show),
        Route(queue + "/{tab}", pages.show),
        Route(queue + "/{tab}/{message_id}", pages.show),
        Route("/delete-message", pages.delete, methods=["POST"]),
        Route("/requeue-message", pages.requeue, methods=["POST"]),
        Route("/{path:path}", pages.nothing),
    ]
    return [static("/static/dashboard", STATIC), Mount(PREFIX, routes=inner)]


class _Dashboard:
    def __init__(self, broker: Admission, look: Look | None) -> None:
        self._broker, self._any_look = broker, look

    # --- pages ---
    async def show(self, request: Request) -> Response:
        """Answer with one of dramatiq-dashboard's pages."""
        return await _answered(request, self._show)

    async def nothing(self, request: Request) -> Response:
        """There is no such page."""
        return message(request, 404, "Not here", "The dashboard has no such page.")

    async def _show(self, request: Request) -> Response:
        name, tab = request.path_params.get("name"), _tab(request)
        _check_query(request)
        if name is not None and name not in self._look.names():
            raise Answered(404, "Not here", f"There is no queue {name}.")
        shown = name is not None and looked(request, _place(request))
        remark = self._look.remark(name, tab)
        unseen = name is not None and self._look.hides(tab)
        viewed = Viewing(page=common(request), shows_personal_data=shown, remark=remark, unseen=unseen)
        app, rendered = self._mounted
        return await rendered(app, request, viewed)

    # --- actions ---
    async def delete(self, request: Request) -> Response:
        """Delete a message."""
        return await _answered(request, self._delete)

    async def requeue(self, request: Request) -> Response:
        """Let a message that was given up run again."""
        return await _answered(request, self._requeue)

    async def _delete(self, request: Request) -> Response:
        queue, tab, message_id = await self._named(request)
        await run_sync(delete, self._look, queue, tab, message_id)
        return _done(request, "deleted", queue, tab, message_id)

    async def _requeue(self, request: Request) -> Response:
        queue, tab, message_id = await self._named(request)
        if tab != "failed":
            raise Answered(400, "Not done", "Only a message that was given up can be requeued.")
        await run_sync(requeue, self._broker, self._look, queue, message_id)
        return _done(request, "requeued", queue, tab, message_id)

    async def _named(self, request: Request) -> tuple[str, Tab, str]:
        form = await request.form()
        queue, message_id = form.get("queue"), form.get("id")
        if not (isinstance(queue, str) and isinstance(message_id, str) and queue and message_id):
            raise Answered(400, "Not done", "The form must name a queue and a message.")
        name, tab = split(queue)
        if name not in self._broker.get_declared_queues():
            raise Answered(404, "Not done", f"There is no queue {name}.")
        return name, tab, message_id

    # --- what they stand on ---
    @property
    def _look(self) -> Look:
        if self._any_look is None:
            raise Answered(501, "No dashboard", _FOREIGN)
        return self._any_look

    @cached_property
    def _mounted(self) -> tuple[ASGIApp, Render]:
        if find_spec("dramatiq_dashboard") is None:
            raise Answered(501, "No dashboard", _INSTALL)
        from chatbot.dashboard.mounted import mounted, rendered

        return mounted(self._look, PREFIX), rendered


async def _answered(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
    """Return the answer, or a page that says why there is none."""
    try:
        return await answer(request)
    except Answered as exc:
        return message(request, exc.status, exc.title, exc.text)
    except Gone as exc:
        return message(request, 410, "Gone", str(exc))
    except Unreadable as exc:
        return message(request, 409, "Not done", str(exc))
    except (BrokerConnectionError, StoreUnavailable) as exc:
        logger.warning("the dashboard cannot look: %s", exc)
        return message(request, 503, "Not now", "The broker or the store does not answer.", retry_after="5")


def _place(request: Request) -> str:
    return " / ".join(["queue", *map(str, request.path_params.values())])


def _tab(request: Request) -> Tab:
    tab = request.path_params.get("tab", "standard")
    if tab not in TABS:
        raise Answered(404, "Not here", "There is no such tab.")
    return tab  # type: ignore[no-any-return]


def _check_query(request: Request) -> None:
    """Refuse what dramatiq-dashboard cannot read: it takes every cursor for a number, and a query for ASCII."""
    cursors = request.query_params.getlist("cursor")
    # `isdecimal` alone knows the digits of other scripts.
    numbers = all(cursor.isascii() and cursor.isdecimal() and len(cursor) <= LONGEST_CURSOR for cursor in cursors)
    if len(cursors) > 1 or not numbers or not request.scope["query_string"].isascii():
        raise Answered(400, "No such page", "The cursor must be a number.")


def _done(request: Request, what: str, queue: str, tab: Tab, message_id: str) -> Response:
    logger.info("%s %s the message %s of %s (%s)", request.state.user, what, on_one_line(message_id), queue, tab)
    return RedirectResponse(f"{PREFIX}/queues/{queue}/{tab}", 303)
