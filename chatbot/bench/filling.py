"""Filling a ledger by its own verbs: open windows, and ids that are remembered after their turns are settled."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import msgspec
import redis

from chatbot.channels import generic_messages
from chatbot.stores.base import Store
from chatbot.stores.values import ClaimCheck, Offer, Window

#: A short message.
TEXT = "line 0 of a burst"
#: What a conversation is called.
SUBJECT = "generic::c-{:07}"
DAY = 86_400_000
BATCH = 1_000


def open_windows(
    store: Store, windows: int, *, items: int = 5, name: str = "open", wait: int = DAY, item: bytes | None = None
) -> None:
    """Offer `items` short messages, or as many times `item`, to each of so many conversations, whose windows stay open
    for `wait` ms."""
    window, short = Window(wait=wait, max_wait=wait), item or body()
    _offer(store, (_offered(name, n, i, window, short) for n in range(windows) for i in range(items)), windows * items)


def remember(store: Store, ids: int, say: Callable[[str], None], *, name: str = "done", items: int = 50) -> None:
    """Accept so many messages and settle them, in turns of `items`; only their ids stay."""
    window, short = Window(wait=0, max_wait=0, max_items=items), body()
    step = 20 * BATCH
    for start in range(0, ids, step):
        say(f"filling: {start:,} of {ids:,} ids")
        some = range(start, min(ids, start + step))
        _offer(store, (_offered(name, n // items, n, window, short) for n in some), len(some))
        settle(store)


def settle(store: Store, *, result_ttl: int = 1) -> int:
    """Take, run and settle whatever is due; return how many turns that were. Results are kept for so many ms."""
    turns = 0
    with ThreadPoolExecutor(4) as threads:
        while checks := store.take_due(200, 60_000, 60_000).checks:
            turns += sum(threads.map(lambda check: _settled(store, check, result_ttl), checks))
    return turns


def _settled(store: Store, check: ClaimCheck, result_ttl: int) -> bool:
    store.begin(check, "bench", 60_000)
    return store.finish(check, "bench", "ok", result_ttl=result_ttl) == "settled"


def body() -> bytes:
    """Return a short message of the generic channel as the service keeps it."""
    names = {"message_id": "m-00000000", "conversation_id": "c-0000000", "sender_id": "user-of-c-0000000"}
    sent = msgspec.json.encode({"messages": [{**names, "text": TEXT}]})
    (message,) = generic_messages.parse("generic", sent, datetime.now(UTC)).messages
    return msgspec.json.encode(message)


def _offered(name: str, conversation: int, item: int, window: Window, body: bytes) -> Offer:
    key = f"{name}/{SUBJECT.format(conversation)}"
    return Offer(key=key, item_id=f"m-{item:08}", body=body, window=window)


def _offer(store: Store, offers: Iterator[Offer], count: int) -> None:
    batch: list[Offer] = []
    for place, offer in enumerate(offers, start=1):
        batch.append(offer)
        if len(batch) == BATCH or place == count:
            answers = store.offer(batch)
            refused = [answer.verdict for answer in answers if answer.verdict in ("duplicate", "overflow")]
            if refused:
                raise RuntimeError(f"{len(refused)} offers were refused: {refused[0]}")
            batch = []


@contextlib.contextmanager
def in_a_hurry(url: str) -> Iterator[redis.Redis]:
    """Let the server write without waiting for its disk, while it is filled."""
    with contextlib.closing(redis.Redis.from_url(url)) as client:
        client.config_set("appendfsync", "no")
        try:
            yield client
        finally:
            client.config_set("appendfsync", "always")
