"""POSTing with httpx, and what an outcome means: try again (Transient), unknown (Ambiguous) or never (Permanent).

Messages of these errors name the host and what it answered, never the path, the query or a credential that was sent.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from chatbot.errors import Ambiguous, Permanent, Transient

CONNECT_TIMEOUT_S = 2.0
#: No answer that we wait for is longer; a peer that sends more is broken.
MOST_BYTES = 4 * 1024 * 1024
EXCERPT_CHARS = 200

# Raised before anything was sent, so nothing can have happened at the other side.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_UNSENDABLE = (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.InvalidURL)


class _NoCookies(httpx.Cookies):
    """What one answer wants to be remembered is no business of the next conversation's request."""

    def extract_cookies(self, response: httpx.Response) -> None:
        """Keep nothing."""


class _Client(httpx.Client):
    _none = _NoCookies()

    @property  # type: ignore[misc]  # there is nothing to set
    def cookies(self) -> httpx.Cookies:
        return self._none


class Connections:
    """One pooled client for all threads. It is made at its first use, because loading certificates takes a while."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout = httpx.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s))
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None

    def client(self) -> httpx.Client:
        """Return the client. It keeps no cookies, and follows no redirects: they would carry signed bodies to places
        nobody configured."""
        with self._lock:
            if self._client is None:
                self._client = _Client(timeout=self._timeout, follow_redirects=False)
            return self._client

    def close(self) -> None:
        """Give back the connections; a later use opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()


def post(client: httpx.Client, url: str, *, content: bytes, headers: Mapping[str, str]) -> httpx.Response:
    """POST and return the 2xx answer. Raises Transient (429, 5xx, not connected), Ambiguous (no answer, or half of
    one) or Permanent (any other status)."""
    response = exchange(client, url, content=content, headers=headers)
    if not response.is_success:
        raise refusal(response)
    return response


def exchange(client: httpx.Client, url: str, *, content: bytes, headers: Mapping[str, str]) -> httpx.Response:
    """POST and return the answer, whatever its status. Raises as `post` does, but only for what goes wrong below HTTP.

    The client's read timeout bounds the exchange as a whole: a body that is still coming after it is given up.
    """
    deadline = time.monotonic() + (client.timeout.read or math.inf)
    try:
        with client.stream("POST", url, content=content, headers=headers) as response:
            body = _read(response, deadline)
            return httpx.Response(response.status_code, headers=_without_framing(response), content=body,
                                  request=response.request)  # fmt: skip
    except _NOT_SENT as exc:
        raise Transient(f"could not connect to {host(url)}: {_cause(exc)}") from exc
    except _UNSENDABLE as exc:
        raise Permanent(f"cannot send to {host(url)}: {_cause(exc)}") from exc
    except httpx.HTTPError as exc:
        raise Ambiguous(f"sent to {host(url)}, but there was no whole answer: {_cause(exc)}") from exc


def refusal(response: httpx.Response) -> Transient | Permanent:
    """Return the error that a status other than 2xx means."""
    said = f"{host(str(response.request.url))} answered {response.status_code}: {excerpt(response)}"
    if response.status_code == 429 or response.status_code >= 500:
        return Transient(said, retry_after=retry_after(response.headers))
    return Permanent(said)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that `retry-after` (RFC 9110, 10.2.3: seconds or an HTTP date) asks for, or None."""
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        return _seconds_until(value)
    return max(0.0, seconds) if math.isfinite(seconds) else None


def excerpt(response: httpx.Response) -> str:
    """Return the start of a body for an error message, without the credential that was sent: some peers repeat it."""
    text = response.text
    _, _, credential = response.request.headers.get("authorization", "").rpartition(" ")
    if credential:
        text = text.replace(credential, "***")
    return " ".join(text[:EXCERPT_CHARS].split())


def host(url: str) -> str:
    """Return the part of a URL that may be shown: no user, no path, no query."""
    try:
        return httpx.URL(url).netloc.decode() or "(no host)"
    except httpx.InvalidURL:
        return "(not a URL)"


def _read(response: httpx.Response, deadline: float) -> bytes:
    # httpx bounds each read, so a peer that drips one byte at a time would hold this thread for ever.
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > MOST_BYTES:
            raise httpx.ReadError(f"the answer is longer than {MOST_BYTES} bytes")
        if time.monotonic() > deadline:
            raise httpx.ReadTimeout("the answer took too long")
    return bytes(body)


def _without_framing(response: httpx.Response) -> list[tuple[str, str]]:
    # The body was decoded and put together, so these no longer describe it.
    framing = {"content-encoding", "content-length", "transfer-encoding"}
    return [(name, value) for name, value in response.headers.multi_items() if name not in framing]


def _seconds_until(date: str) -> float | None:
    try:
        when = parsedate_to_datetime(date)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


def _cause(exc: Exception) -> str:
    return f"{type(exc).__name__} {exc}".strip()
