"""Freeing a mailbox from an owner, if it is still the one that the operator saw."""

from __future__ import annotations

from msgspec import Struct

from chatbot.service import Service


class Unlocked(Struct, frozen=True, kw_only=True):
    """Whether a key was freed; what was asked, and what the ledger says now."""

    key: str
    freed: bool
    state: str
    epoch: int
    owner: str

    def words(self) -> str:
        """Return it as text."""
        if self.freed:
            return f"{self.key} is free: its turn is published again at once, and what its run still does is discarded."
        if self.state in ("idle", "accumulating"):
            return f"{self.key} was not freed: it is {self.state}, so there is no turn to free."
        return (
            f"{self.key} was not freed: it is {self.state}, epoch {self.epoch}, owner {self.owner or 'nobody'}. "
            "That is not what you gave. Look again with `chatbot inspect`, and give what it prints."
        )


def unlock(service: Service, key: str, epoch: int, owner: str) -> Unlocked:
    """Take a turn from its owner if key, epoch and owner are as given."""
    freed = service.store.unlock(key, epoch, owner)
    now = service.store.inspect(key)
    return Unlocked(key=key, freed=freed, state=now.state, epoch=now.epoch, owner=now.owner)
