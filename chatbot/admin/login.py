"""The pages on which one logs in and out."""

from __future__ import annotations

import logging

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from chatbot.admin.attempts import Attempts, Try
from chatbot.admin.credentials import Credentials
from chatbot.admin.endings import Endings
from chatbot.admin.language import language_of
from chatbot.admin.pages import message, page
from chatbot.admin.personal import local
from chatbot.admin.proxies import Proxies
from chatbot.errors import StoreUnavailable

logger = logging.getLogger(__name__)


class Login:
    """Compares, counts and remembers. CSRF tokens were looked at before."""

    def __init__(self, credentials: Credentials, proxies: Proxies, attempts: Attempts, endings: Endings) -> None:
        self._credentials, self._proxies, self._attempts = credentials, proxies, attempts
        self._endings = endings

    async def show(self, request: Request) -> Response:
        """Show the form to whoever needs it."""
        after = request.query_params.get("next", "/")
        return RedirectResponse(local(after), 303) if request.state.user else self._form(request, after)

    async def take(self, request: Request) -> Response:
        """Let somebody in, or say why not."""
        form = await request.form()
        user, password, after = (str(form.get(name, "")) for name in ("user", "password", "next"))
        address, _ = self._proxies.address(request), language_of(request).text
        try:
            begun = await run_sync(self._attempts.begin, address)
            if begun.retry_after:
                return self._too_many(request, address, begun)
            if not await run_sync(self._credentials.fit, user, password):
                # Not the name either: people type their password where their name belongs.
                logger.warning("a login from %s failed: wrong user or password", address)
                return self._form(request, after, _("The user or the password is wrong."), 401)
            await run_sync(self._attempts.succeeded, begun)
        except StoreUnavailable as exc:
            logger.warning("nobody can log in, as tries cannot be counted: %s", exc)
            return self._form(request, after, _("The store does not answer. Please try again."), 503)
        self._let_in(request, address)
        return RedirectResponse(local(after), 303)

    async def leave(self, request: Request) -> Response:
        """End the session, in this browser and wherever its cookie was copied to."""
        user, request.state.user = request.state.user, None
        try:
            await self._endings.end(request.session)
        except StoreUnavailable as exc:
            logger.warning("%s logged out, but a copy of the cookie would still hold: %s", user, exc)
            _ = language_of(request).text
            text = _(
                "This browser has forgotten you. The store does not answer, so a copy of the cookie would still hold."
            )
            return message(request, 503, _("Logged out here only"), text)
        logger.info("%s logged out", user)
        return RedirectResponse("/login", 303)

    def _let_in(self, request: Request, address: str) -> None:
        self._endings.begin(request.session, self._credentials.user)
        logger.info("%s logged in from %s", self._credentials.user, address)

    def _form(self, request: Request, after: str, error: str = "", status: int = 200) -> Response:
        if not self._credentials.exist:
            _ = language_of(request).text
            text = _("The proxy in front of this service logs people in, and it has named nobody.")
            return message(request, 401, _("Nobody is logged in"), text)
        return page(request, "login.html", status=status, after=local(after), error=error)

    def _too_many(self, request: Request, address: str, begun: Try) -> Response:
        logger.warning("a login from %s was refused: too many of late", address)
        wait, _ = str(begun.retry_after), language_of(request).text
        text = _("There were too many attempts. Please wait %(wait)s seconds.", wait=wait)
        return message(request, 429, _("Too many attempts"), text, retry_after=wait)
