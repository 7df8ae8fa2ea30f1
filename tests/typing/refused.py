"""What a type checker must refuse. Each line that ends in a code is checked to be refused for it by test_typing.py."""

from __future__ import annotations

from dramatiq import Broker

import chatbot
from chatbot import Debounced, Deduplicated, Idempotent, current_turn, declare, guarded_stack, once
from chatbot.stores import Store
from chatbot.stores.memory import MemoryStore
from chatbot.stores.values import Lease
from chatbot.testing import ManualClock, drain
from chatbot.testing import MemoryStore as Memory


def charge(order: str, cents: int) -> int:
    raise NotImplementedError


def index(books: list[str]) -> None: ...


class Half(Store):
    def ping(self) -> None: ...


def refused(broker: Broker, store: Store) -> None:
    actor = declare(broker, charge, idempotent=Idempotent(key="{order}"))
    actor.send("o1")  # call-arg
    actor.send(1, 5)  # arg-type
    burst = declare(broker, index, debounced=Debounced(key="all", wait=0, max_wait=0))
    burst.send(["a"])  # arg-type
    burst.send("a", "b")  # call-arg
    declare(broker, charge, debounced=Debounced(key="all", wait=0, max_wait=0))  # arg-type
    declare(broker, charge, idempotent=Deduplicated(window=5))  # call-overload
    declare(charge)  # call-overload
    Idempotent("{order}")  # call-arg
    Idempotent()  # call-arg
    Idempotent(key=5)  # arg-type
    Idempotent(key=lambda order: 5)  # arg-type, return-value
    Debounced(key="all", wait=1.5, max_wait=2)  # arg-type
    Debounced(key="all", wait=1, max_wait=2, on_running="wait")  # arg-type
    Deduplicated(window=5, exclude=["at"])  # arg-type
    Deduplicated(window=5, on_store_error="ignore")  # arg-type
    Deduplicated(window=5).window = 6  # misc
    current_turn().then(actor.message("o1", 5))  # union-attr
    once("step", 5)  # arg-type
    once("step", lambda: 5).upper()  # attr-defined
    guarded_stack(MemoryStore)  # arg-type
    Half()  # abstract
    store.claim("key", "owner", 1.5)  # arg-type
    Lease("window", "key", "owner")  # arg-type
    Memory(clock=ManualClock)  # arg-type
    drain(broker)  # arg-type
    print(chatbot.nothing)  # attr-defined
