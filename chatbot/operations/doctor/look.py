"""Looking at a deployment: the environment, then the servers that it names, then the service's work there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import msgspec
import redis
from dramatiq.common import xq_name
from dramatiq.errors import BrokerConnectionError
from dramatiq.middleware import TimeLimit

from chatbot import brokers, settings, stores
from chatbot.admin import doors
from chatbot.brokers.admission import Admission
from chatbot.errors import ConfigurationError, StoreUnavailable
from chatbot.middleware.dead_letters import DeadLetters
from chatbot.operations.doctor import look_redis
from chatbot.operations.doctor.facts import Configuration, Facts, Finding, Part, Rabbitmq, Server, Unseen, Work
from chatbot.operations.doctor.secrets import weaknesses
from chatbot.service import build, hidden
from chatbot.settings import Settings
from chatbot.stores import Store
from chatbot.stores.redis import RedisStore

#: The service's queues.
QUEUES = ("default", "high", "low")
#: Whom the scheduler publishes every minute.
SWEEP = "sweep"
_DOWN = (StoreUnavailable, BrokerConnectionError, ConfigurationError, redis.exceptions.RedisError, OSError)


class Looker:
    """Gathers what is seen. A server that does not answer keeps nobody from looking at the others."""

    def __init__(self, variables: Mapping[str, str], chosen: Settings, *, grace: float, dev: bool) -> None:
        self._variables, self._settings, self._grace, self._dev = variables, chosen, grace, dev
        self._parts: list[Part] = []
        self._broken: list[Finding] = []
        self._unseen: list[Unseen] = []
        self._time_limit = round(TimeLimit().time_limit)

    def look(self) -> Facts:
        """Return all that can be seen."""
        problems = self._problems()
        # A plain function of the user's bounds its own time.
        bounded = self._settings.responder.startswith(("http://", "https://", "openai:"))
        waits = self._settings.responder_timeout_s if bounded else None
        self._parts.append(
            Configuration(
                problems=problems,
                weak=weaknesses(self._variables),
                grace=self._grace,
                time_limit=self._time_limit,
                waits_for=waits,
            )
        )
        with self._made() as (store, broker):
            server = self._reach("store", self._settings.store_url, lambda: self._store(store)) if store else None
            seen = self._reach("broker", self._settings.broker_url, lambda: self._broker(broker, server))
            if store and (server or not isinstance(store, RedisStore)):
                self._reach("store", self._settings.store_url, lambda: self._work(store, seen))
        return Facts(parts=self._parts, broken=self._broken, unseen=self._unseen)

    def _problems(self) -> list[str]:
        """Return what keeps the service from starting, as the service says it."""
        problems: list[str] = []
        try:
            service = build(self._variables)
            limits = [actor.options.get("time_limit") for actor in service.broker.actors.values()]
            self._time_limit = max([self._time_limit, *(limit for limit in limits if limit)])
            service.close()
        except ConfigurationError as exc:
            problems += exc.problems
        if not self._dev:
            try:
                doors.check(self._settings)
            except ConfigurationError as exc:
                problems += exc.problems
        return problems

    @contextmanager
    def _made(self) -> Iterator[tuple[Store | None, Admission | None]]:
        """Give store and broker; what cannot be made is among the problems of the environment."""
        chosen, store, broker = self._settings, None, None
        own = {"queue_type": chosen.rabbitmq_queues} if chosen.broker_url.startswith("amqp") else {}
        with suppress(ConfigurationError):
            store = stores.create(chosen.store_url, namespace=chosen.namespace, partitions=chosen.store_partitions)
        with suppress(ConfigurationError):
            broker = brokers.create(chosen.broker_url, [], **own)
        try:
            yield store, broker
        finally:
            if store is not None:
                store.close()
            if broker is not None:
                broker.close()

    def _reach(self, what: str, url: str, look: Callable[[], Any]) -> Any:
        """Look, unless nobody answers: that is a finding."""
        try:
            return look()
        except _DOWN as exc:
            first = f"{exc}".partition("\n")[0]
            found = f"the {what} at {hidden(url)} does not answer us: {first}"
            cure = f"start it, or put CHATBOT_{what.upper()}_URL right"
            if all(known.found != found for known in self._broken):
                self._broken.append(Finding(severity="error", found=found, cure=cure))
        return None

    # --- the servers ---
    def _store(self, store: Store) -> Server | None:
        if not isinstance(store, RedisStore):
            store.ping()
            self._unseen.append(Unseen(what="the store's server", why="it is not Redis or Valkey: see to it yourself"))
            return None
        server = look_redis.ledger(store, self._unseen)
        self._parts.append(server)
        return server

    def _broker(self, broker: Admission | None, store: Server | None) -> tuple[int | None, list[str]] | None:
        """Note what the broker is; return how many workers it knows, and the queues that nobody takes from."""
        if broker is None:
            return None
        url = self._settings.broker_url
        if url.startswith("amqp"):
            from chatbot.operations.doctor import look_rabbitmq

            seen = look_rabbitmq.rabbitmq(broker, self._settings, QUEUES, self._time_limit, self._unseen)
            self._parts.append(seen)
            unserved = _unserved(seen)
            return (0 if len(unserved) == len(QUEUES) else None), unserved
        if url.partition(":")[0] not in brokers.TABLE:
            broker.ping()
            self._unseen.append(Unseen(what="the broker's server", why="it is of your own making"))
            return None
        server = look_redis.broker(broker, url, self._unseen)
        known = store is not None and server.run_id == store.run_id
        self._parts.append(msgspec.structs.replace(server, known=known))
        return look_redis.workers(broker, QUEUES)

    # --- the work ---
    def _work(self, store: Store, seen: tuple[int | None, list[str]] | None) -> None:
        surveys = store.survey()
        due = [one.oldest_due_in for one in surveys if one.oldest_due_in is not None]
        now = store.inspect("doctor/").now
        ticks = [int(entry) * 1000 for entry in store.recall(f"tick:{SWEEP}")]
        workers, unserved = seen or (None, [])
        letters = len(DeadLetters(store).letters())
        self._parts.append(
            Work(
                open=sum(one.open for one in surveys),
                overdue=max(0, -min(due, default=0)),
                dead_turns=sum(one.dead for one in surveys),
                dead_messages=letters,
                uncollected=max(0, self._buried() - letters),
                workers=workers,
                unserved=unserved,
                last_tick=max(0, now - max(ticks)) if ticks else None,
            )
        )

    def _buried(self) -> int:
        """Return how many dead letters RabbitMQ has."""
        of_dead = {xq_name(name) for name in QUEUES}
        seen = (queue for part in self._parts if isinstance(part, Rabbitmq) for queue in part.queues)
        return sum(queue.messages for queue in seen if queue.name in of_dead)


def _unserved(seen: Rabbitmq) -> list[str]:
    served = {queue.name for queue in seen.queues if queue.consumers}
    return [name for name in QUEUES if name not in served]


def look(variables: Mapping[str, str], *, grace: float, dev: bool) -> Facts:
    """Return what can be seen of the deployment of these variables; `dev`: it is a `chatbot dev`. Raises
    ConfigurationError if they cannot be read at all."""
    return Looker(variables, settings.read(variables), grace=grace, dev=dev).look()
