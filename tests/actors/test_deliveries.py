"""When deliver_replies makes sure of its turn before it sends."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest

from chatbot.actors.deliveries import delivery_actor
from chatbot.middleware.leases import Heartbeat, Held
from chatbot.middleware.runner import GRACE, LEASE
from chatbot.middleware.turns import Turn, running
from chatbot.model import Reply
from chatbot.stores.memory import MemoryStore
from chatbot.stores.values import ClaimCheck, Lease, Offer, Window

KEY = "outbox/c"


class Renewals(MemoryStore):
    """Counts how often it was asked to renew."""

    count = 0

    def renew(self, leases: Sequence[Lease], lease: int) -> list[bool]:
        self.count += 1
        return super().renew(leases, lease)


class Sent:
    """A channel that keeps what it was to send."""

    def __init__(self) -> None:
        self.replies = list[Reply]()

    def send(self, reply: Reply) -> None:
        self.replies.append(reply)


def begun(store: MemoryStore) -> ClaimCheck:
    store.offer([Offer(key=KEY, item_id="r", body=b"{}", window=Window(wait=0, max_wait=0))])
    (check,) = store.take_due(1, 1_000, 1_000).checks
    assert store.begin(check, "us", LEASE).verdict == "new"
    return check


@pytest.mark.parametrize(
    ("age", "renewals"),
    [
        pytest.param(0.0, 0, id="fresh"),
        pytest.param(1.5, 1, id="old"),  # its grace would end while the reply is on its way
    ],
)
def test_a_lease_is_renewed_before_a_reply_unless_it_is_fresh(age: float, renewals: int) -> None:
    store, sent = Renewals(), Sent()
    check = begun(store)
    reply = Reply(
        reply_id="r", turn_id="t", channel="generic", conversation_id="c", recipient_id="p", position=0, text="hi"
    )
    channels: dict[str, Any] = {"generic": sent}
    # Not through `holding`: its heartbeat renews by itself what is old.
    held = Held(Heartbeat(store), Lease("turn", KEY, "us"), LEASE, time.monotonic() - age, GRACE)
    turn = Turn(id="t", key=KEY, epoch=check.epoch, attempt=1, lost=0, items=[reply], held=held)
    with running(turn):
        delivery_actor(channels, "at_least_once")([reply])
    assert (store.count, sent.replies) == (renewals, [reply])
