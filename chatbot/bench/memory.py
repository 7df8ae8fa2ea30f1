"""memory: what the store needs for a remembered id, an open window, a settled turn and a conversation's history.

Each is the growth of the server's `used_memory` over so many of them, with five short messages a window or turn. The
ids of the messages are counted apart: they stay when the window is settled.
"""

from __future__ import annotations

import time
from contextlib import ExitStack

import redis

from chatbot.actors.history import History
from chatbot.bench.filling import DAY, SUBJECT, TEXT, body, in_a_hurry, open_windows, remember, settle
from chatbot.bench.options import Options
from chatbot.bench.places import ledger, settings, started
from chatbot.bench.report import Check, Figure, Report, at_most, check, spread
from chatbot.bench.titles import BARE_WINDOW, HISTORY, OPEN_WINDOW, REMEMBERED_ID, SETTLED_TURN
from chatbot.model import Draft, InboundMessage

#: An item of 60 bytes: the window itself, whatever a service keeps of a message, is measured with these.
BARE = b'{"id":"m-00000000","text":"line 0 of a burst, all 60 bytes"}'
#: Turns in a full history, as many as the service keeps.
TURNS = 20


def run(options: Options) -> Report:
    """Measure; the broker has no part in it."""
    # A table of keys doubles at powers of two: just below one, it is neither half empty nor about to grow.
    ids, windows = options.pick(60_000, 500_000), options.pick(10_000, 80_000)
    id_bytes, checks = _ids(ids, options)
    window_bytes, more = _windows(windows, id_bytes, options)
    bare_bytes, others = _windows(windows, id_bytes, options, BARE)
    turn_bytes, settled = _turns(windows, id_bytes, options)
    histories = options.pick(300, 3_000)
    history_bytes, written = _histories(histories, options)
    per_id = Figure(
        title=REMEMBERED_ID, unit="B", sides=(spread("store", [id_bytes]),),
        verdicts=(at_most("at most 130 B", id_bytes, 130),),
    )  # fmt: skip
    per_window = Figure(
        title=OPEN_WINDOW, unit="B", sides=(spread("store", [window_bytes]),),
        note=f"the messages themselves are {5 * len(body())} B of it",
    )  # fmt: skip
    per_bare_window = Figure(
        title=BARE_WINDOW, unit="B", sides=(spread("store", [bare_bytes]),),
        verdicts=(at_most("at most 1.2 KiB", bare_bytes, 1.2 * 1024),),
    )  # fmt: skip
    per_turn = Figure(
        title=SETTLED_TURN, unit="B", sides=(spread("store", [turn_bytes]),),
        note="for as long as its result is kept",
    )  # fmt: skip
    per_history = Figure(
        title=HISTORY, unit="B",
        sides=(spread("store", [history_bytes]),), note=f"each of 5 messages and a reply of {len(TEXT)} letters",
    )  # fmt: skip
    return Report(
        command="memory", title="Memory of the store",
        figures=(per_id, per_bare_window, per_window, per_turn, per_history),
        checks=(*checks, *more, *others, *settled, *written),
        settings={"ids": ids, "windows": windows, "settled turns": windows, "histories": histories,
                  "bytes of a message": len(body()), **settings(())},
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


def _windows(count: int, id_bytes: float, options: Options, item: bytes | None = None) -> tuple[float, list[Check]]:
    options.say(f"filling: {count:,} windows")
    with ExitStack() as stack:
        server = started(stack)
        client, store = stack.enter_context(in_a_hurry(server.url)), stack.enter_context(ledger(server.url))
        open_windows(store, 100, name="first", item=item)
        used = _used(client)
        open_windows(store, count, item=item)
        grown = (_used(client) - used) / count - 5 * id_bytes
        found = sum(part.open for part in store.survey())
        return grown, [check("every window is open", found, count + 100)]


def _turns(count: int, id_bytes: float, options: Options) -> tuple[float, list[Check]]:
    options.say(f"filling: {count:,} settled turns")
    with ExitStack() as stack:
        server = started(stack)
        client, store = stack.enter_context(in_a_hurry(server.url)), stack.enter_context(ledger(server.url))
        open_windows(store, 100, name="first", wait=0)
        settle(store, result_ttl=DAY)
        used = _used(client)
        open_windows(store, count, wait=0)
        turns = settle(store, result_ttl=DAY)
        grown = (_used(client) - used) / count - 5 * id_bytes
        return grown, [check("every window was settled as one turn", turns, count)]


def _histories(count: int, options: Options) -> tuple[float, list[Check]]:
    options.say(f"filling: {count:,} histories")
    message = InboundMessage(channel="generic", conversation_id="c", message_id="m", dedupe_key="m", text=TEXT)
    with ExitStack() as stack:
        server = started(stack)
        client, store = stack.enter_context(in_a_hurry(server.url)), stack.enter_context(ledger(server.url))
        history = History(store, most=TURNS, ttl=DAY)
        history.add("first", "turn", [message], [])
        used = _used(client)
        for n in range(count):
            for turn in range(TURNS):
                history.add(SUBJECT.format(n), f"turn-{turn:029}", [message] * 5, [Draft(text=TEXT)])
        grown = (_used(client) - used) / count
        kept = len(store.recall(SUBJECT.format(count - 1)))
        return grown, [check("a history has its turns", kept, TURNS)]


def _used(client: redis.Redis) -> int:
    return int(client.info("memory")["used_memory"])


def _keys(client: redis.Redis) -> int:
    """Count the keys. Turns leave results, which live for a moment here; the server drops those that it meets."""
    time.sleep(0.1)
    for _ in client.scan_iter(count=10_000):
        pass
    return int(client.dbsize())
