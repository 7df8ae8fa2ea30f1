"""Two workers that are alike but for the library, and who sends to them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import msgspec

from chatbot.bench.places import Place
from chatbot.bench.probe import Actors, Probe, declared
from chatbot.bench.programs import Program

SIDES = ("chatbot", "stock")


def probe(here: Place, side: str, **options: Any) -> Probe:
    """Return the specification of a side's worker and sender."""
    broker = here.stock if side == "stock" else here.broker
    return Probe(side=side, broker=broker, store=here.store, **options)


@contextlib.contextmanager
def working(chosen: Probe) -> Iterator[Program]:
    """Run a worker; its events are lists: number or key, when (s since 1970), how many items."""
    with Program("-m", "chatbot.bench.probe", spec=msgspec.to_builtins(chosen)) as program:
        program.ready()
        yield program


@contextlib.contextmanager
def sending(chosen: Probe) -> Iterator[Actors]:
    """Declare a worker's actors here, to send to them."""
    actors = declared(chosen, lambda _: None)
    for queue in {actor.queue_name for actor in (actors.single, actors.burst) if actor}:
        actors.broker.declare_queue(queue)
    try:
        yield actors
    finally:
        actors.broker.close()
        if actors.store is not None:
            actors.store.close()
