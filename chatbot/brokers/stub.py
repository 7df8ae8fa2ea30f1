"""The broker for tests that need no server."""

from __future__ import annotations

from dramatiq.brokers import stub

from chatbot.brokers.admission import Admission


class StubBroker(Admission, stub.StubBroker):
    """Dramatiq's in-memory broker, with guards asked in batches."""

    def ping(self) -> None:
        """It is in this process, so it answers."""
