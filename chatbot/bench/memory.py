"""memory: what the store needs for a remembered id, and for an open window of five short messages.

Each is the growth of the server's `used_memory` over so many of them. The ids of a window's messages are counted
apart: they stay when the window is settled.
"""

from __future__ import annotations

import time
from contextlib import ExitStack

import redis

from chatbot.bench.filling import body, in_a_hurry, open_windows, remember
from chatbot.bench.options import Options
from chatbot.bench.places import ledger, settings, started
from chatbot.bench.report import Check, Figure, Report, at_most, check, spread


def run(options: Options) -> Report:
    """Measure; the broker has no part in it."""
    # A table of keys doubles at powers of two: just below one, it is neither half empty nor about to grow.
    ids, windows = options.pick(60_000, 500_000), options.pick(10_000, 80_000)
    id_bytes, checks = _ids(ids, options)
    window_bytes, more = _windows(windows, id_bytes, options)
    per_id = Figure(
        title="memory of a remembered id", unit="B", sides=(spread("store", [id_bytes]),),
        verdicts=(at_most("at most 130 B", id_bytes, 130),),
    )  # fmt: skip
    per_window = Figure(
        title="memory of an open window of 5 messages", unit="B", sides=(spread("store", [window_bytes]),),
        verdicts=(at_most("at most 1.2 KiB", window_bytes, 1.2 * 1024),),
        note=f"the messages themselves are {5 * len(body())} B of it",
    )  # fmt: skip
    return Report(
        command="memory", title="Memory of the store", figures=(per_id, per_window), checks=(*checks, *more),
        settings={"ids": ids, "windows": windows, "bytes of a message": len(body()), **settings(())},
    )  # fmt: skip


def _ids(count: int, options: Options) -> tuple[float, list[Check]]:
    with ExitStack() as stack:
        server = started(stack)
        client, store = stack.enter_context(in_a_hurry(server.url)), stack.enter_context(ledger(server.url))
        remember(store, 1_000, options.say, name="first")
        keys, used = _keys(client), _used(client)
        remember(store, count, options.say)
        keys = _keys(client) - keys
        grown = (_used(client) - used) / count
        return grown, [check("one key is kept for each id", keys, count)]


def _windows(count: int, id_bytes: float, options: Options) -> tuple[float, list[Check]]:
    options.say(f"filling: {count:,} windows")
    with ExitStack() as stack:
        server = started(stack)
        client, store = stack.enter_context(in_a_hurry(server.url)), stack.enter_context(ledger(server.url))
        open_windows(store, 100, name="first")
        used = _used(client)
        open_windows(store, count)
        grown = (_used(client) - used) / count - 5 * id_bytes
        found = sum(part.open for part in store.survey())
        return grown, [check("every window is open", found, count + 100)]


def _used(client: redis.Redis) -> int:
    return int(client.info("memory")["used_memory"])


def _keys(client: redis.Redis) -> int:
    """Count the keys. Turns leave results, which live for a moment here; the server drops those that it meets."""
    time.sleep(0.1)
    for _ in client.scan_iter(count=10_000):
        pass
    return int(client.dbsize())
