"""When a session ends: at its time, or when somebody logs out. A cookie that was copied before ends with it.

The cookie holds a session's name and its time; the store knows which of them were ended before, for all web processes.
"""

from __future__ import annotations

import logging
import secrets
import time
from typing import Any

from anyio.to_thread import run_sync

from chatbot.admin.sessions import LONGEST
from chatbot.errors import StoreUnavailable
from chatbot.stores.base import Store

logger = logging.getLogger(__name__)


class Endings:
    """Begins sessions, ends them, and says whether they hold."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def begin(self, session: dict[str, Any], user: str) -> None:
        """Make a session one of this user, with nothing of whoever was here before."""
        session.clear()
        session.update(user=user, id=secrets.token_urlsafe(16), until=round(time.time()) + LONGEST)

    async def end(self, session: dict[str, Any]) -> None:
        """End a session, wherever its cookie is. Raises StoreUnavailable, and then only this cookie is gone."""
        name = session.get("id")
        session.clear()
        if name:
            await run_sync(self._store.remember, _subject(name), "ended", b"1", 1, LONGEST * 1000)

    async def user(self, session: dict[str, Any]) -> str | None:
        """Return whose session this is, if it holds."""
        name, until, user = (session.get(key) for key in ("id", "until", "user"))
        if not isinstance(name, str) or not isinstance(until, int) or time.time() >= until:
            return None
        try:
            return None if await run_sync(self._store.recall, _subject(name)) else user
        except StoreUnavailable as exc:
            # The pages that tell of the outage must be seen, and they have nothing else to tell.
            logger.warning("whether a session was ended is not known, so it holds: %s", exc)
            return user


def _subject(name: str) -> str:
    return f"admin-ended/{name}"
