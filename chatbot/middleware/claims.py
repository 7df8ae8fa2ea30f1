"""What a standalone record is asked for one delivery of a call: where the call is remembered, and as whom."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, NamedTuple

from chatbot.middleware.policies import OnStoreError
from chatbot.stores.base import Store
from chatbot.stores.values import Claim, Wanted

if TYPE_CHECKING:
    from dramatiq.broker import MessageProxy

#: As which owner a record was asked for, when (monotonic s, just before), and the answer.
Claimed = tuple[str, float, Claim]


class Record(NamedTuple):
    """Where a call is remembered, for how long (`ttl`, ms), and its result for how long (`value_ttl`); how long a dead
    worker keeps it (`lease`), and what becomes of a call while the store is down."""

    key: str
    fingerprint: str
    ttl: int
    value_ttl: int
    lease: int
    on_store_error: OnStoreError = "fail"


def claim(store: Store, record: Record, message: MessageProxy, owner: str = "") -> Claimed:
    """Claim a record for a delivery, as a new owner unless one is given. Return the owner, the time (monotonic s) just
    before the store was asked, and its answer. Raises StoreUnavailable."""
    asked, since = wanted(record, message, owner), time.monotonic()
    (answer,) = store.claim_many([asked])
    if isinstance(answer, Exception):
        raise answer
    return asked.owner, since, answer


def wanted(record: Record, message: MessageProxy, owner: str = "") -> Wanted:
    """Return what `claim` is asked for a delivery, as a new owner unless one is given."""
    # Not the system's randomness: a call of it costs more than all the rest, and an owner is no secret.
    owner = owner or f"{message.message_id}/{random.getrandbits(128):032x}"
    return Wanted(record.key, owner, record.lease, record.fingerprint, redelivered(message))


def redelivered(message: MessageProxy) -> bool:
    """Say whether the broker gave up on an earlier delivery of this call, so that a run of it may be dead."""
    return bool(getattr(message, "redelivered", False) or message.options.get("redelivered", False))
