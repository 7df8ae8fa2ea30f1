"""Server-sent events: the parts of a page that change, as often as they do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

#: s after which a stream ends, and the browser asks again.
LONGEST = 600.0
#: s after which a session that has ended shows nothing more, nor one that may no longer see personal data.
CHECK = 5.0
#: s without a change after which a stream says that it lives.
SILENCE = 15.0
#: s between two looks at whether the server stops.
STEP = 0.1
#: Streams of one web process: each costs a connection and some work.
MOST = 100
#: A proxy that gathers an answer before it sends it on would show nothing.
_HEADERS = {"x-accel-buffering": "no"}


class Streams:
    """The streams of one web process."""

    def __init__(self) -> None:
        self._open = 0

    def answer(self, request: Request, part: Callable[[], Awaitable[str]], pause: float) -> Response:
        """Answer with what `part` returns, now and whenever it has changed, looking every `pause` s."""
        if self._open >= MOST:
            return Response("too many pages are open here", 503, {"retry-after": "10"})
        return StreamingResponse(self._counted(request, part, pause), headers=_HEADERS, media_type="text/event-stream")

    async def _counted(self, request: Request, part: Callable[[], Awaitable[str]], pause: float) -> AsyncIterator[str]:
        self._open += 1
        try:
            async for event in _events(request, part, pause):
                yield event
        finally:
            self._open -= 1


async def _events(request: Request, part: Callable[[], Awaitable[str]], pause: float) -> AsyncIterator[str]:
    last, said, ends = "", time.monotonic(), time.monotonic() + LONGEST
    checked = said
    while time.monotonic() < ends and not _stopping(request):
        if time.monotonic() - checked > CHECK:
            checked = time.monotonic()
            if not await request.state.holds():
                return
        now = await part()
        if now != last:
            last, said = now, time.monotonic()
            yield "".join(f"data: {line}\n" for line in now.splitlines()) + "\n"
        elif time.monotonic() - said > SILENCE:
            said = time.monotonic()
            yield ": still here\n\n"
        await _rest(request, pause)


async def _rest(request: Request, pause: float) -> None:
    until = time.monotonic() + pause
    while time.monotonic() < until and not _stopping(request):
        await asyncio.sleep(min(STEP, pause))


def _stopping(request: Request) -> bool:
    """Say whether the server stops: it waits for its answers, and a stream is an answer without an end."""
    asked = getattr(request.app.state, "stopping", None)
    return bool(asked and asked())
