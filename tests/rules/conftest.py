"""Ledgers and houses for the rules: each rule holds in every store, at the level where it lives."""

from tests.conformance.conftest import ledger, redis_cluster, valkey_cluster
from tests.middleware.conftest import house, memory, new_house, redis_house

__all__ = ["house", "ledger", "memory", "new_house", "redis_cluster", "redis_house", "valkey_cluster"]
