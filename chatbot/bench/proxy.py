"""A TCP proxy between a process and its server: it cuts connections, and it holds back what is on its way."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_CHUNK = 65_536


class Proxy:
    """Forwards connections from a port of its own to another one of the loopback."""

    def __init__(self, target: int, port: int) -> None:
        self.target, self.port = target, port
        self._connections: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy-{port}", daemon=True)

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._open = self._do(_event)
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(self, *exc: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> int:
        """End every connection, in the middle of whatever it carries; return how many there were."""
        return self._do(self._cut)

    def hold(self) -> None:
        """Forward nothing until `release`: a network that is gone without a word."""
        self._do(self._open.clear)

    def release(self) -> None:
        """Forward what was held back."""
        self._do(self._open.set)

    def _do(self, act: Callable[[], T]) -> T:
        async def run() -> T:
            return act()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)

    # --- in the loop ---
    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._connect(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        # One that is cut before it has begun gets no further than this.
        task.add_done_callback(lambda done: writer.transport.abort() if done.cancelled() else None)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends, ways = [writer.transport], list[asyncio.Task[None]]()
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
            ends.append(far_writer.transport)
            ways += [
                self._loop.create_task(self._forward(reader, far_writer)),
                self._loop.create_task(self._forward(far_reader, writer)),
            ]
            # A connection of these protocols ends as a whole: none of them closes one direction alone.
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for end in ends:
                end.close()  # what is on its way still arrives
        except (OSError, asyncio.CancelledError):
            for end in ends:
                end.abort()
        finally:
            for way in ways:
                way.cancel()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._open.wait()
                writer.write(data)
                await writer.drain()

    def _cut(self) -> int:
        cut = list(self._connections)
        for task in cut:
            task.cancel()
        return len(cut)

    async def _close(self) -> None:
        self._server.close()
        self._cut()
        await asyncio.gather(*self._connections, return_exceptions=True)


def _event() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event
