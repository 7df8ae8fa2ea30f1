"""A plain Dramatiq application, on Dramatiq's own brokers, with the three guarantees on its actors.

Work: `dramatiq guarded`. Send: `python guarded.py`. BROKER_URL is a redis:// or an amqp:// one.
"""

import os
from contextlib import suppress

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.brokers.redis import RedisBroker

from chatbot.errors import Suppressed
from chatbot.middleware import Debounced, Deduplicated, Idempotent, guards
from chatbot.stores import create

url = os.environ["BROKER_URL"]
broker = RabbitmqBroker(url=url, confirm_delivery=True) if url.startswith("amqp") else RedisBroker(url=url)
for guard in guards(create(os.environ["STORE_URL"])):
    broker.add_middleware(guard)
dramatiq.set_broker(broker)


@dramatiq.actor(idempotent=Idempotent(key="{order}"))
def charge(order: str, cents: int) -> None:
    print("charged", order, cents, flush=True)


@dramatiq.actor(
    debounced=Debounced(key="{books[shelf]}", wait=500, max_wait=5_000), idempotent=Idempotent(key="{books[title]}")
)
def index(books: list[dict[str, str]]) -> None:
    print("indexed", *(book["title"] for book in books), flush=True)


@dramatiq.actor(deduplicated=Deduplicated(window=60_000))
def report(day: str) -> None:
    print("reported", day, flush=True)


if __name__ == "__main__":
    for _ in range(2):
        charge.send("o1", 500)
        for title in ("Emma", "Persuasion"):
            with suppress(Suppressed):  # it is in its window: Dramatiq's brokers know no other way to say so
                index.send({"title": title, "shelf": "Austen"})
        with suppress(Suppressed):
            report.send("monday")
