"""The standalone records of a store in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chatbot.stores.keyspace import Expiring
from chatbot.stores.values import Claim, grace


@dataclass(frozen=True, slots=True)
class _Record:
    done: bool
    owner: str
    fingerprint: str
    #: What is left of a pending record's lease (ms) when a suspected owner loses it.
    yields: int = 0


class Records:
    """Standalone records: pending under a lease, or done, with a value that may end sooner than its record."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._records: Expiring[str, _Record] = Expiring(now)
        self._values: Expiring[str, bytes] = Expiring(now)

    def claim(self, key: str, owner: str, lease: int, fingerprint: str, redelivered: bool) -> Claim:
        """Take the record, or learn who has it and what it holds."""
        record = self._records.get(key)
        if record is None:
            return self._take(key, owner, lease, fingerprint)
        if record.fingerprint != fingerprint:
            return Claim(verdict="mismatch")
        if record.owner == owner:
            self.renew(key, owner, lease)
            return Claim(verdict="mine")
        if record.done:
            return Claim(verdict="done", owner=record.owner, value=self._values.get(key) or b"")
        suspected = redelivered and record.owner.partition("/")[0] == owner.partition("/")[0]
        remaining = (self._records.ttl(key) or 0) - (record.yields if suspected else 0)
        if remaining <= 0:
            return self._take(key, owner, lease, fingerprint)
        return Claim(verdict="busy", owner=record.owner, remaining=remaining)

    def _take(self, key: str, owner: str, lease: int, fingerprint: str) -> Claim:
        self._records.put(key, _Record(False, owner, fingerprint, lease - grace(lease)), lease)
        return Claim(verdict="new")

    def renew(self, key: str, owner: str, lease: int) -> bool:
        """Prolong a pending record's lease, if it is the owner's."""
        record = self._records.get(key)
        if record is None or record.done or record.owner != owner:
            return False
        self._records.put(key, record, lease)
        return True

    def settle(self, key: str, owner: str, fingerprint: str, value: bytes, ttl: int, value_ttl: int) -> bytes | None:
        """Mark the record done, unless it is somebody else's. The first value stays."""
        record = self._records.get(key)
        if record and record.owner != owner:
            return None
        if record and record.done:
            return self._values.get(key) or b""
        self._records.put(key, _Record(True, owner, fingerprint), ttl)
        self._values.put(key, value, value_ttl)
        return value

    def release(self, key: str, owner: str) -> bool:
        """Drop the record if it is pending and the owner's."""
        record = self._records.get(key)
        if record is None or record.done or record.owner != owner:
            return False
        self._records.pop(key)
        return True
