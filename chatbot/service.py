"""The composition root: settings become a store, a broker, actors, and from these a web application or a worker."""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from dramatiq.errors import BrokerConnectionError
from dramatiq.message import Message
from dramatiq.middleware import Middleware

from chatbot import actors, bridge, brokers, channels, responders, settings, stores, tracing
from chatbot.actors import Actors
from chatbot.actors.history import History
from chatbot.actors.keys import by_target
from chatbot.brokers.admission import Admission
from chatbot.channels.base import Channel
from chatbot.errors import ConfigurationError, StoreUnavailable, Unreachable
from chatbot.logs.runs import Runs
from chatbot.metrics.counting import Counting
from chatbot.metrics.exposition import Exposition
from chatbot.metrics.meters import Meters
from chatbot.metrics.responder import Measured
from chatbot.metrics.standing import Standing
from chatbot.middleware import guarded_stack
from chatbot.middleware.journal import Journal
from chatbot.middleware.observer import Observer
from chatbot.model import InboundMessage
from chatbot.responders.base import Responder
from chatbot.scheduling import Periodic
from chatbot.settings import Settings
from chatbot.stores import Store

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.routing import BaseRoute

    from chatbot.tracing.spans import Tracing
    from chatbot.web.first_use import Make

logger = logging.getLogger(__name__)

#: s for which a server may take to come up beside us.
PATIENCE = 5.0
#: A tap on a button ends the burst: nobody types on after it.
_AT_ONCE = {"wait": 0, "max_wait": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One process's share of the service. The web process and the worker process have the same."""

    settings: Settings
    store: Store
    broker: Admission
    channels: Mapping[str, Channel]
    responder: Responder
    actors: Actors
    journal: Journal
    metrics: Exposition
    tracing: Tracing | None = None

    def admit(self, messages: Sequence[InboundMessage]) -> list[str]:
        """Put messages into the ledger, as one batch; return what became of each: absorbed, duplicate or overflow, and
        of edits and deletions amended, withdrawn or late."""
        since = time.monotonic()
        admitted = self.broker.enqueue_many([self._call(message) for message in messages])
        outcomes = [message.options["outcome"] for message in admitted]
        self._measure(messages, outcomes, time.monotonic() - since)
        return outcomes

    def admit_on_loop(self, messages: Sequence[InboundMessage]) -> Awaitable[list[str]]:
        """Do the same on an event loop: they are on their way when this returns."""
        if self.store.cooperates:
            return bridge.begin(self.admit, messages)
        return asyncio.to_thread(self.admit, messages)

    def _measure(self, messages: Sequence[InboundMessage], outcomes: Sequence[str], seconds: float) -> None:
        meters = self.metrics.meters
        meters.observe("chatbot_admit_seconds", seconds)
        found = Counter((message.channel, outcome) for message, outcome in zip(messages, outcomes, strict=True))
        for (channel, outcome), count in found.items():
            meters.count("chatbot_webhook_messages_total", channel, outcome, by=count)

    def _call(self, message: InboundMessage) -> Message[Any]:
        options: dict[str, Any] = {}
        if message.kind == "interactive":
            options["debounced"] = _AT_ONCE
        elif target := by_target(message):
            options["withdraws" if message.kind == "delete" else "amends"] = target
        actor = self.actors.process_turn
        # As `message_with_options` would, but for its id, whose making costs as much as all the rest.
        name = f"{random.getrandbits(128):032x}"
        return Message(actor.queue_name, actor.actor_name, (message,), {}, options, name)

    def ready(self) -> dict[str, str]:
        """Say for store and broker `ok` or `down`."""
        return _ready(self.store, self.broker)

    def close(self) -> None:
        """Give back every connection."""
        closes = [self.responder.close, *(channel.close for channel in self.channels.values())]
        for close in (*closes, self.broker.close, self.journal.close, self.store.close):
            close()
        if self.tracing is not None:
            self.tracing.close()

    def check(self, *, broker: bool) -> None:
        """Raise ConfigurationError unless the store can be trusted with the ledger, and Unreachable unless it, and if
        asked for the broker, answers within seconds."""
        _reached(self.store.check, "CHATBOT_STORE_URL", "store", self.settings.store_url)
        if broker:
            _reached(self.broker.ping, "CHATBOT_BROKER_URL", "broker", self.settings.broker_url)


def build(variables: Mapping[str, str]) -> Service:
    """Build a service from `CHATBOT_*` variables. Connects to nothing yet; raises ConfigurationError, which lists
    everything that is wrong."""
    chosen = settings.read(variables)
    problems: list[str] = []
    meters = Meters()
    made: dict[str, Channel] = {}
    for spec in chosen.channels:
        with _collected(problems):
            name, channel = channels.create(spec, settings.channel_options(variables, spec.partition("=")[0].strip()))
            made[name] = channel
    store = broker = responder = journal = traces = None
    with _collected(problems):
        traces = tracing.create(chosen.otel_endpoint)
    with _collected(problems):
        store = stores.create(
            chosen.store_url,
            namespace=chosen.namespace,
            partitions=chosen.store_partitions,
            replicas=chosen.store_replicas,
        )
    with _collected(problems):
        answering = responders.create(chosen.responder, _responder_options(chosen))
        responder = Measured(traces.responder(answering) if traces else answering, meters)
    if store is not None:
        with _collected(problems):
            journal = Journal(store)
            hearing = [journal, Counting(meters), Runs(), *([traces] if traces else ())]
            stack = _stack(store, hearing, again=chosen.republish_after_ms)
            own = {"queue_type": chosen.rabbitmq_queues} if chosen.broker_url.startswith("amqp") else {}
            broker = brokers.create(chosen.broker_url, stack, **own)
    if problems or store is None or broker is None or responder is None or journal is None:
        raise ConfigurationError(problems)
    history = History(store, most=chosen.history_messages, ttl=chosen.history_ttl_s * 1000)
    declared = actors.declare_actors(broker, chosen, made, responder, history, store)
    return Service(
        settings=chosen,
        store=store,
        broker=broker,
        channels=made,
        responder=responder,
        actors=declared,
        journal=journal,
        tracing=traces,
        metrics=Exposition(meters, Standing(store, partial(_ready, store, broker))),
    )


def _responder_options(chosen: Settings) -> dict[str, Any]:
    options: dict[str, Any] = {"timeout": chosen.responder_timeout_s}
    if chosen.responder.partition(":")[0].strip() == "openai":
        key = chosen.openai_api_key
        options |= {
            "api_key": key.get_secret_value() if key else "",
            "base_url": chosen.openai_base_url,
            "system_prompt": chosen.openai_system_prompt,
        }
    return options


def _stack(store: Store, observers: Sequence[Observer], *, again: int) -> list[Middleware]:
    hearing = [each for each in reversed(observers) if isinstance(each, Middleware)]
    # The interrupts stay last, so what is periodic comes first; before it what hears of everything.
    return [*hearing, Periodic(store), *guarded_stack(store, again=again, observers=observers)]


@contextmanager
def _collected(problems: list[str]) -> Iterator[None]:
    """Go on after a problem, so that one run shows all of them."""
    try:
        yield
    except ConfigurationError as exc:
        problems += exc.problems


def _reached(ask: Callable[[], None], variable: str, what: str, url: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return ask()
        except ConfigurationError:
            raise  # it answers, but not to these credentials
        except (StoreUnavailable, BrokerConnectionError) as exc:
            if time.monotonic() > deadline:
                where = f"{variable}: no {what} answers at {hidden(url)}"
                raise Unreachable(f"{where}: start it, or set the variable to where it is") from exc
        time.sleep(0.2)


def _ready(store: Store, broker: Admission) -> dict[str, str]:
    return {"store": _state(store.ping), "broker": _state(broker.ping)}


def _state(ping: Callable[[], None]) -> str:
    try:
        ping()
    except (StoreUnavailable, BrokerConnectionError) as exc:
        logger.warning("not ready: %s", exc)
        return "down"  # who asks may be anybody: no addresses
    return "ok"


def hidden(url: str) -> str:
    """Return a URL without its password."""
    return re.sub(r"(://[^:/@]*:)[^@/]+@", r"\1***@", url)


def web_app(service: Service, extra_routes: Sequence[BaseRoute] = (), pages: Make | None = None) -> Starlette:
    """Return the web application of a service. It checks the store when it starts; `pages` are made when somebody
    looks at one."""
    from chatbot.web.app import create_app
    from chatbot.web.metrics import metrics

    app = create_app(
        channels=service.channels,
        admit=service.admit_on_loop,
        ready=service.ready,
        on_startup=[service.store.check],
        on_shutdown=[service.close],
        extra_routes=[metrics(service.metrics), *extra_routes],
        pages=pages,
    )
    if service.tracing is not None:
        from chatbot.tracing.web import Traced

        app.add_middleware(Traced, service.tracing)
    return app
