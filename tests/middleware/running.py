"""Guarded actors on a real worker: in this process, or on a Redis. Trouble can be made for the store and the broker."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import dramatiq
from dramatiq.asyncio import EventLoopThread, set_event_loop_thread
from dramatiq.brokers import stub
from dramatiq.errors import ConnectionClosed
from dramatiq.message import Message
from dramatiq.middleware import AsyncIO, GroupCallbacks, Middleware
from dramatiq.rate_limits.backends import StubBackend as StubBarriers
from dramatiq.results import ResultMissing, Results
from dramatiq.results.backends import StubBackend

from chatbot.brokers.stub import StubBroker
from chatbot.brokers.worker import Worker
from chatbot.errors import StoreUnavailable
from chatbot.middleware import Debounced, declare, guarded_stack
from chatbot.stores.base import Store
from chatbot.stores.memory import MemoryStore
from chatbot.stores.values import Offer, Window
from tests.waiting import wait_until

NUMBERS = itertools.count()
#: Retries of plain actors come soon in tests, ms.
QUICK = {"min_backoff": 1, "max_backoff": 5}


class PatientAsyncIO(AsyncIO):
    """Dramatiq's own does without an event loop that has not begun within a second, as on a busy machine."""

    def before_worker_boot(self, broker: Any, worker: Any) -> None:
        loop = EventLoopThread(self.logger)
        loop.start()
        set_event_loop_thread(loop)


def by_letter(item: str) -> str:
    """`a1` and `a2` belong together."""
    return item[0]


def window(wait: int = 40, max_wait: int = 5_000, **more: Any) -> Debounced:
    """Return a policy that does not let a test wait long."""
    return Debounced(key=by_letter, wait=wait, max_wait=max_wait, **{"backoff": 1, "max_backoff": 5, **more})


class House:
    """A store, a broker with our guards on it, and a worker when it is wanted."""

    def __init__(self, store: Store, broker: Any) -> None:
        self.store, self.broker = store, broker
        self.results = StubBackend()
        self.workers: list[Worker] = []
        broker.add_middleware(Results(backend=self.results))
        broker.add_middleware(GroupCallbacks(StubBarriers()))

    def declare(self, fn: Callable[..., Any], **options: Any) -> Any:
        return declare(self.broker, fn, **{"actor_name": f"{fn.__name__}{next(NUMBERS)}", **QUICK, **options})

    def work(self, threads: int = 4) -> Worker:
        worker = Worker(self.broker, worker_threads=threads, worker_timeout=10)
        worker.start()
        self.workers.append(worker)
        return worker

    def stop(self) -> None:
        """Stop the workers; whatever is down stays down."""
        while self.workers:
            self.workers.pop().stop(timeout=10_000)

    def close(self) -> None:
        """Stop, and let the pumps end that still sleep."""
        self.stop()
        if isinstance(self.store, TroubledStore):
            self.store.down, self.store.mute = set(), set()
        now = Window(wait=0, max_wait=0)
        self.store.offer([Offer(key=f"end/{next(NUMBERS)}", item_id="1", body=b"0", window=now)])

    def state(self, actor: Any, key: str = "a") -> str:
        return self.store.inspect(f"{actor.actor_name}/{key}").state

    def settled(self, actor: Any, key: str = "a") -> None:
        """Return when nothing of a key is open any more."""
        wait_until(lambda: self.state(actor, key) == "idle", message=f"{key} is still {self.state(actor, key)}")

    def result(self, message: Message[Any]) -> Any:
        """Return a message's result, once it is there."""
        found: list[Any] = []

        def look() -> bool:
            with suppress(ResultMissing):
                found.append(message.get_result(backend=self.results))
            return bool(found)

        wait_until(look, message=f"there is no result of {message}")
        return found[0]

    def drained(self) -> None:
        """Return when every message of a stub broker was acknowledged or dead-lettered."""
        wait_until(lambda: not any(queue.unfinished_tasks for queue in self.broker.queues.values()))

    @property
    def dead(self) -> list[Any]:
        """The dead letters of a stub broker."""
        return self.broker.dead_letters


class TroubledStore(MemoryStore):
    """Counts its calls. Verbs that are `down` do not happen; of those that are `mute`, the answer gets lost."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.calls: Counter[str] = Counter()
        self.down: set[str] = set()
        self.mute: set[str] = set()


def _troubled(verb: str) -> Callable[..., Any]:
    def call(self: TroubledStore, *args: Any, **kwargs: Any) -> Any:
        self.calls[verb] += 1
        if verb in self.down:
            raise StoreUnavailable()
        answer = getattr(super(TroubledStore, self), verb)(*args, **kwargs)
        if verb in self.mute:
            raise StoreUnavailable()
        return answer

    return call


VERBS = ["offer", "take_due", "handed_over", "begin", "renew", "finish", "claim", "settle", "release", "sleep"]
for _verb in VERBS:
    setattr(TroubledStore, _verb, _troubled(_verb))


class _Cable(stub.StubBroker):
    cut = False
    published: int = 0

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        if self.cut:
            raise ConnectionClosed(OSError("the cable is cut"))
        returned = super().enqueue(message, delay=delay)
        self.published += 1
        return returned


class CutBroker(StubBroker, _Cable):
    """Loses its connection while it is `cut`."""


def memory_house(
    store: Store | None = None, stack: list[Middleware] | None = None, kind: type[dramatiq.Broker] = CutBroker
) -> House:
    """Return a house in this process."""
    store = store or TroubledStore()
    return House(store, kind(middleware=guarded_stack(store, again=500) if stack is None else stack))
