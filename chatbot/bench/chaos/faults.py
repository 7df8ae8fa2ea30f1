"""What goes wrong: each fault breaks one thing, lasts a while, and is mended."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from chatbot.bench.chaos.crew import Crew

#: s between two faults: some meet what the one before has left, some meet order.
BETWEEN = (0.2, 2.0)


@dataclass(frozen=True, slots=True)
class Fault:
    """How to break a thing, how to mend it, and how long it lasts in between (least and most, in s)."""

    strike: Callable[[Crew], object]
    mend: Callable[[Crew], object] = lambda crew: None
    lasts: tuple[float, float] = (0.0, 0.0)


def _killed(name: str) -> Fault:
    return Fault(lambda crew: crew.kill(name), lambda crew: crew.start(name), (0.0, 1.0))


def _paused(name: str, lasts: tuple[float, float]) -> Fault:
    return Fault(lambda crew: crew.processes[name].pause(), lambda crew: crew.processes[name].resume(), lasts)


#: A worker sleeps for longer than its lease (5 s) some of the time: it wakes up as somebody else's predecessor.
FAULTS: dict[str, Fault] = {
    "web killed": _killed("web"),
    "worker killed": _killed("worker-1"),
    "scheduler killed": _killed("scheduler"),
    "store killed": Fault(lambda crew: crew.store.kill(), lambda crew: crew.store.start(), (0.0, 2.0)),
    "broker killed": Fault(lambda crew: crew.broker.kill(), lambda crew: crew.broker.start(), (0.0, 2.0)),
    "queues deleted": Fault(lambda crew: crew.house.wipe_broker()),
    "web paused": _paused("web", (0.5, 4.0)),
    "worker paused": _paused("worker-2", (1.0, 9.0)),
    "store paused": Fault(lambda crew: crew.store.pause(), lambda crew: crew.store.resume(), (0.3, 3.0)),
    "broker paused": Fault(lambda crew: crew.broker.pause(), lambda crew: crew.broker.resume(), (0.3, 4.0)),
    "store cut off": Fault(lambda crew: crew.to_store.cut()),
    "broker cut off": Fault(lambda crew: crew.to_broker.cut()),
    "store silent": Fault(lambda crew: crew.to_store.hold(), lambda crew: crew.to_store.release(), (0.3, 3.0)),
    "broker silent": Fault(lambda crew: crew.to_broker.hold(), lambda crew: crew.to_broker.release(), (0.3, 4.0)),
}


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault that was: which, and when it began and was mended (monotonic s)."""

    name: str
    began: float
    mended: float


@dataclass
class Misfortune:
    """Strikes one fault after the other, each of them once before any comes again, in an order that the seed gives."""

    crew: Crew
    seed: int
    names: Sequence[str] = tuple(FAULTS)
    say: Callable[[str], None] = lambda text: None
    struck: list[Struck] = field(default_factory=list)

    def strike(self, seconds: float, over: threading.Event) -> None:
        """Go on for so long, or until told to stop. Everything is mended in the end."""
        dice, until, coming = random.Random(self.seed), time.monotonic() + seconds, list[str]()
        while time.monotonic() < until and not over.is_set():
            if not coming:
                coming = dice.sample(list(self.names), len(self.names))
            self._strike(coming.pop(), dice, over)
            over.wait(min(dice.uniform(*BETWEEN), max(0.0, until - time.monotonic())))

    def _strike(self, name: str, dice: random.Random, over: threading.Event) -> None:
        fault, began = FAULTS[name], time.monotonic()
        lasts = dice.uniform(*fault.lasts)
        self.say(f"{name} for {lasts:.1f} s" if lasts else name)
        fault.strike(self.crew)
        try:
            over.wait(lasts)
        finally:
            fault.mend(self.crew)
        self.struck.append(Struck(name, began, time.monotonic()))
