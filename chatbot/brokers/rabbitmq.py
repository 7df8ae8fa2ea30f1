"""The RabbitMQ broker: Dramatiq's own, with every publication confirmed by the server."""

from __future__ import annotations

from typing import Any

import pika
from dramatiq.brokers import rabbitmq as stock
from dramatiq.errors import ConnectionClosed

from chatbot.brokers.admission import Admission


class RabbitmqBroker(Admission, stock.RabbitmqBroker):
    """A drop-in for dramatiq.brokers.rabbitmq.RabbitmqBroker; `url` may name several nodes, separated by `;`."""

    def __init__(self, *, url: str, **options: Any) -> None:
        super().__init__(url=url, confirm_delivery=True, **options)

    def ping(self) -> None:
        """Raise ConnectionClosed unless a node accepts a connection."""
        try:
            pika.BlockingConnection(parameters=self.parameters).close()
        except (pika.exceptions.AMQPError, OSError) as exc:
            raise ConnectionClosed(exc) from None
