"""The same application on this project's brokers: a suppressed call raises nothing, it says its outcome.

Work: `dramatiq own_brokers`. Send: `python own_brokers.py`. BROKER_URL is a redis:// or an amqp:// one.
"""

import os

import dramatiq

from chatbot.brokers import create as connect
from chatbot.middleware import Debounced, Deduplicated, Idempotent, guarded_stack
from chatbot.stores import create

broker = connect(os.environ["BROKER_URL"], guarded_stack(create(os.environ["STORE_URL"])))
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
        calls = [charge.message("o1", 500), report.message("monday")]
        calls += [index.message({"title": title, "shelf": "Austen"}) for title in ("Emma", "Persuasion")]
        print(*(call.options["outcome"] for call in broker.enqueue_many(calls)))
