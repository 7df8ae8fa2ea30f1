"""Deployments on both brokers, as the other end-to-end tests have them."""

from __future__ import annotations

from tests.e2e.conftest import broker_kind, deploy

__all__ = ["broker_kind", "deploy"]
