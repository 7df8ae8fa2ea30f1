"""Idempotency: at most one completed execution per key; a duplicate gets the first one's result.

It decides at execution, so a duplicate that somebody waits for (a group, a pipeline, a stored result) still answers.
Debounced actors are not its business: there the key is the item id, and the window does the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dramatiq.middleware import Middleware
from dramatiq.results import Results

from chatbot.middleware.ahead import Ahead
from chatbot.middleware.calls import parameters_hash, record_key, resolve, short_hash
from chatbot.middleware.claims import Record
from chatbot.middleware.guard import Guard
from chatbot.middleware.leases import Heartbeat
from chatbot.middleware.observer import NOBODY, Observer
from chatbot.middleware.policies import Idempotent, ms, policy_of
from chatbot.middleware.records import RecordRunner
from chatbot.middleware.retries import HOPELESS
from chatbot.middleware.settler import Settler, may_wait
from chatbot.stores.base import Store

if TYPE_CHECKING:
    from dramatiq import Actor, Broker, Worker
    from dramatiq.broker import MessageProxy
    from dramatiq.worker import ConsumerThread


class Idempotency(Guard):
    """At most one completed execution per key."""

    option, policy, rank = "idempotent", Idempotent, 2

    def __init__(self, store: Store, *, heartbeat: Heartbeat | None = None, observer: Observer = NOBODY) -> None:
        super().__init__(observer)
        heartbeat = heartbeat or Heartbeat(store, observer)
        #: Those that this guard runs.
        self._actors: dict[str, Actor[..., Any]] = {}
        self._ahead = Ahead(store, self._record)
        self._settler = Settler(store, self.patience)
        #: The middleware that was looked at, and whether one of them stores every result.
        self._seen, self._stored = list[Middleware](), False
        self._runner = RecordRunner(
            store, heartbeat, self.patience, self.observer, "idempotent", self._ahead, self._settler
        )

    def after_declare_actor(self, broker: Broker, actor: Actor[..., Any]) -> None:
        if actor.options.get("debounced") is not None or actor.options.get(self.option) is None:
            return
        super().after_declare_actor(broker, actor)
        self._actors[actor.actor_name] = actor
        # Stock Retries, too, give up at once on what the actor `throws`.
        throws = actor.options.get("throws") or ()
        actor.options["throws"] = (*(throws if isinstance(throws, tuple) else (throws,)), *HOPELESS)

    def run(self, broker: Broker, actor: Actor[..., Any], fn: Callable[..., Any], message: MessageProxy) -> Any:
        def call() -> Any:
            return fn(*message.args, **message.kwargs)

        if self._seen != broker.middleware:
            self._look_at(list(broker.middleware))
        record = self._ahead.record(message) or _record(actor, message)
        if record is None:
            return call()
        return self._runner.run(broker, record, call, message, may_wait=may_wait(actor, message, stored=self._stored))

    def _look_at(self, middleware: list[Middleware]) -> None:
        self._ahead.unchanged = all(map(_leaves_alone, middleware))
        self._stored = any(isinstance(one, Results) and one.store_results for one in middleware)
        self._seen = middleware

    # --- the calls that wait in this process ---
    def _record(self, message: MessageProxy) -> Record | None:
        actor = self._actors.get(message.actor_name)
        return _record(actor, message) if actor else None

    def after_worker_boot(self, broker: Broker, worker: Worker) -> None:
        # Dramatiq's own queue does not tell what waits in it.
        self._ahead.waiting = getattr(worker.work_queue, "waiting", self._ahead.waiting)

    def before_consumer_thread_shutdown(self, broker: Broker, thread: ConsumerThread) -> None:
        # The worker's threads have ended, and consumers are not closed yet: they acknowledge what this settles.
        self._settler.flush()

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        self._ahead.end_all()

    def after_process_message(
        self, broker: Broker, message: MessageProxy, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        super().after_process_message(broker, message, result=result, exception=exception)
        self._ahead.end(message)

    def after_skip_message(self, broker: Broker, message: MessageProxy) -> None:
        super().after_skip_message(broker, message)
        self._ahead.end(message)


def _leaves_alone(middleware: Middleware) -> bool:
    """Say whether it changes no call before it runs: Dramatiq's own and ours do not."""
    hook: Any = getattr(middleware, "before_process_message", None)
    return getattr(hook, "__module__", "").partition(".")[0] in ("dramatiq", "chatbot")


def _record(actor: Actor[..., Any], message: MessageProxy) -> Record | None:
    policy = policy_of("idempotent", Idempotent, actor, message)
    if policy is None or (key := resolve(policy.key, actor, message)) is None:
        return None
    told_apart_by = None if policy.fingerprint is None else resolve(policy.fingerprint, actor, message)
    # Hashed, as a record has no room for whatever a payload may hold.
    fingerprint = parameters_hash(actor, message) if told_apart_by is None else short_hash(told_apart_by.encode())
    return Record(
        record_key("run", actor.actor_name, key), fingerprint, policy.remembered(message), ms(policy.result_ttl),
        ms(policy.lease), policy.on_store_error,
    )  # fmt: skip
