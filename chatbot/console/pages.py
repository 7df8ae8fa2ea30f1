"""All routes of the console. They are to be protected."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from starlette.routing import BaseRoute, Route

from chatbot.admin.access import static
from chatbot.console.dead_letters import DeadLetterPages
from chatbot.console.overview import Overview
from chatbot.console.playground import Playground
from chatbot.console.seals import Seals
from chatbot.console.stories import Stories
from chatbot.console.streams import Streams

if TYPE_CHECKING:
    from chatbot.service import Service

STATIC = Path(__file__).parent / "static"


def routes(service: Service, *, url: str, playground: bool) -> list[BaseRoute]:
    """Return the pages. `url` is how this process reaches the service's own webhooks, for the playground."""
    seals, streams = Seals(service.settings), Streams()
    overview = Overview(service, seals, streams)
    stories, dead = Stories(service, seals, overview.ledger), DeadLetterPages(service, seals, overview.broker)
    chat = Playground(service, seals, streams, url if playground else "")
    return [
        static("/static/console", STATIC),
        Route("/", overview.show),
        Route("/events", overview.events),
        Route("/conversations", stories.open, methods=["GET"]),
        Route("/conversations", stories.find, methods=["POST"]),
        Route("/conversations/{conversation}", stories.conversation),
        Route("/conversations/{conversation}/{message}", stories.message),
        Route("/dead-letters", dead.list, methods=["GET"]),
        Route("/dead-letters", dead.act, methods=["POST"]),
        Route("/dead-letters/{letter:path}", dead.show),
        Route("/playground", chat.show, methods=["GET"]),
        Route("/playground", chat.say, methods=["POST"]),
        Route("/playground/events", chat.events),
    ]
