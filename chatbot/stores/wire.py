"""How the scripts are told what to do, and how their answers are read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec

from chatbot.stores.operators import Grave, Note, Trace, name_line
from chatbot.stores.partitions import Arg
from chatbot.stores.values import (
    Begun,
    Claim,
    Entry,
    FollowUp,
    MailboxState,
    Offer,
    Settling,
    Survey,
    Wanted,
    Window,
    digest,
    grace,
)


def window_args(window: Window) -> tuple[int, ...]:
    """Return a policy; a follow-up and a replay have no limits, so they take the first five."""
    return (
        window.wait, window.max_wait, window.max_items, window.max_bytes, window.id_ttl,
        window.max_buffered, window.max_buffered_bytes,
    )  # fmt: skip


def offer_args(offer: Offer) -> tuple[Arg, ...]:
    """Return one item of `offer`."""
    mode = offer.mode if offer.target is None else f"{offer.mode}:{digest(offer.key, offer.target)}"
    return (offer.key, digest(offer.key, offer.item_id), offer.body, f"{_policy(offer.window)} {mode}")


@lru_cache(maxsize=1_024)
def _policy(window: Window) -> str:
    # One argument instead of seven: each of them costs the client, the server and the script as much as the item's id.
    return " ".join(map(str, window_args(window)))


def follow_up_args(item: FollowUp) -> tuple[Arg, ...]:
    """Return one follow-up of `finish`."""
    return (item.key, digest(item.key, item.item_id), item.body, *window_args(item.window)[:5])


def claim_args(wanted: Wanted) -> tuple[Arg, ...]:
    """Return one record that `claim` is to take."""
    yields = wanted.lease - grace(wanted.lease)
    return (wanted.key, wanted.owner, wanted.lease, wanted.fingerprint, yields, int(wanted.redelivered))


def settle_args(one: Settling) -> tuple[Arg, ...]:
    """Return one record that `settle` is to mark done."""
    return (one.key, one.owner, one.fingerprint, one.value, one.ttl, one.value_ttl)


def note_args(notes: Sequence[Note]) -> tuple[Arg, ...]:
    """Return how many notes there are, the lines that they are found by, and all of them packed."""
    lines, packed = zip(*map(_packed, notes), strict=True)
    return (len(notes), "".join(lines), b"".join(packed))


def _packed(note: Note) -> tuple[str, bytes]:
    names = name_line(note.names)
    head = msgspec.msgpack.encode((note.subject, names, note.age))
    # An array not of three but of four, whose last is written as text of any bytes: the server's Lua reads no binary.
    packed = b"\x94" + head[1:] + b"\xdb" + len(note.data).to_bytes(4, "big") + note.data
    return (f"\n={note.subject}\n{names}\n", packed)


def read_begun(answer: list[Any]) -> Begun:
    """Read what `begin` says."""
    verdict, *rest = answer
    match name := verdict.decode():
        case "new" | "mine" | "taken":
            fails, lost, entries = rest
            return Begun(verdict=name, fails=fails, lost=lost, entries=tuple(map(read_entry, entries)))
        case "busy":
            return Begun(verdict=name, remaining=rest[0])
        case _:
            return Begun(verdict=name, value=rest[0] if rest else b"")


def read_claim(answer: list[Any]) -> Claim:
    """Read what `claim` says."""
    verdict, *rest = answer
    match name := verdict.decode():
        case "busy":
            return Claim(verdict=name, remaining=rest[0], owner=rest[1].decode())
        case "done":
            return Claim(verdict=name, value=rest[0], owner=rest[1].decode())
        case _:
            return Claim(verdict=name)


def read_state(answer: list[Any]) -> MailboxState:
    """Read what `inspect` shows."""
    now, score, length, *fields = answer
    epoch, owner, size, fails, lost, pub, hold, lease, pubs, total, parts = (field.decode() for field in fields)
    hold_in = int(hold or 0) - now
    return MailboxState(
        state=_state(int(size or 0), owner, int(pub or 0), hold_in, length),
        epoch=int(epoch or 0),
        owner=owner,
        size=int(size or 0),
        buffered=length - int(size or 0),
        fails=int(fails or 0),
        lost=int(lost or 0),
        due_in=int(float(score)) - now if score else None,
        lease_in=int(lease) - now if owner else None,
        hold_in=hold_in if hold_in > 0 else None,
        publications=int(pubs or 0),
        bytes=int(total or 0),
        parts=tuple(int(part) for part in parts.split(",") if part),
        now=now,
    )


def read_survey(answer: list[Any]) -> Survey:
    """Read what `survey` counts in one partition."""
    open_, running, dead, head = answer
    return Survey(open=open_, running=running, dead=dead, oldest_due_in=int(float(head)) if head else None)


def read_trace(digest: str, answer: list[Any]) -> Trace:
    """Read what `trace` says of an item."""
    if not answer:
        return Trace(digest=digest)
    epoch, ttl, first, second = answer
    if epoch != b"0":
        outcome: Any = first.decode()
        return Trace(digest=digest, epoch=int(epoch), ttl=ttl, outcome=outcome, owner=second.decode())
    if first == b"":
        return Trace(digest=digest, epoch=0, ttl=ttl)
    return Trace(digest=digest, epoch=0, ttl=ttl, place=first, arrived=int(second))


def read_grave(answer: list[Any]) -> Grave:
    """Read one turn of `graves`."""
    key, epoch, at, reason, size = answer
    return Grave(key=key.decode(), epoch=int(epoch), at=int(float(at)), reason=reason, size=size)


def read_entry(raw: bytes) -> Entry:
    """Read one item of a list."""
    return Entry(int(raw[:13]), raw[13:29].decode(), raw[29:])


def _state(size: int, owner: str, pub: int, hold: int, length: int) -> str:
    if not size:
        return "accumulating" if length else "idle"
    if owner:
        return "running"
    if hold > 0:
        return "backing off"
    return "handed over" if pub > 0 else "taken"
