"""Personal data is masked until somebody asks for it; for a while it is shown then, and each look is logged."""

from __future__ import annotations

import logging
import time
from typing import Final

from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response

logger = logging.getLogger(__name__)

#: s for which personal data is shown.
SHOWN_FOR: Final = 900


def masked(text: str) -> str:
    """Return enough of an id to tell two apart, and nothing of what is short or has more than one word."""
    return f"•••{text[-3:]}" if len(text) > 8 and len(text.split()) == 1 else "•••"


def may_show(request: HTTPConnection) -> bool:
    """Say whether somebody has asked for personal data a short while ago."""
    until = request.session.get("shows_until", 0)
    return isinstance(until, (int, float)) and time.time() < until


def looked(request: Request, what: str) -> bool:
    """Say whether personal data may be shown, and log that it was: who, and `what` of."""
    if not may_show(request):
        return False
    logger.info("personal data of %s was shown to %s", on_one_line(what), getattr(request.state, "user", None))
    return True


def on_one_line(text: str) -> str:
    """Return a text for the log: after a line end in it, anything could seem to have been logged."""
    return text if text.isprintable() else repr(text)


async def choose(request: Request) -> Response:
    """Take the wish to see personal data, or no longer to."""
    form = await request.form()
    if form.get("show") == "1":
        request.session["shows_until"] = time.time() + SHOWN_FOR
        logger.info("%s asked to see personal data for %d minutes", request.state.user, SHOWN_FOR // 60)
    else:
        request.session.pop("shows_until", None)
    return RedirectResponse(local(str(form.get("next", ""))), 303)


def local(path: str) -> str:
    """Return a path of this site; anything that may lead elsewhere becomes `/`."""
    # Browsers take a backslash for a slash, and drop line ends and tabs: `/\\evil.example` would leave this site.
    plain = path.isprintable() and "\\" not in path
    return path if plain and path.startswith("/") and not path.startswith("//") else "/"
