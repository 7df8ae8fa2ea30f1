"""Ledgers and houses for the rules: each rule holds in every store, at the level where it lives."""

from tests.conformance.conftest import ledger
from tests.middleware.conftest import house, memory, new_house, redis_house

__all__ = ["house", "ledger", "memory", "new_house", "redis_house"]
