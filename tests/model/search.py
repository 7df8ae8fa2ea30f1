"""Exhaustive search of a model: every state that can be reached, by the shortest way, and what is wrong with it.

Two things are checked: every reachable state satisfies the invariants (`broken`), and from every reachable state some
continuation without faults reaches completion (`goal`), so nothing is ever stranded.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

S = TypeVar("S")
T = TypeVar("T")


class Broken(Exception):
    """A property does not hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model(Generic[S]):
    """What is searched. `steps` says what can happen next: label, whether it is a fault, the state it leads to."""

    start: S
    steps: Callable[[S], Iterable[tuple[str, bool, S]]]
    broken: Callable[[S], str]
    goal: Callable[[S], bool]
    canonical: Callable[[S], S]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a search found: nothing (`wrong` is empty), or the first wrong state and the shortest way to it."""

    states: int
    transitions: int
    depth: int
    wrong: str
    trace: tuple[str, ...]
    seconds: float


def put(seq: tuple[T, ...], i: int, value: T) -> tuple[T, ...]:
    """Return the sequence with another value in one place."""
    return (*seq[:i], value, *seq[i + 1 :])


class _Search(Generic[S]):
    """States by number, each with the step that found it and the fault-free steps that lead to it."""

    def __init__(self, model: Model[S]) -> None:
        self.model, self.began = model, time.monotonic()
        self.number: dict[S, int] = {model.start: 0}
        self.parent: list[tuple[int, str]] = [(-1, "start")]
        self.back: list[list[int]] = [[]]
        self.depth, self.goals, self.transitions = [0], list[int](), 0
        self.todo = deque([model.start])
        self.wrong: tuple[str, int] | None = None

    def expand(self, s: S) -> None:
        """Take every step out of a state, up to the first that leads to a wrong one."""
        n = self.number[s]
        if self.model.goal(s):
            self.goals.append(n)
        try:
            for label, is_fault, following in self.model.steps(s):
                self.transitions += 1
                m = self.meet(self.model.canonical(following), n, label)
                if not is_fault:
                    self.back[m].append(n)
                if self.wrong:
                    break
        except Broken as exc:
            self.wrong = (str(exc), n)

    def meet(self, s: S, parent: int, label: str) -> int:
        """Return the state's number; a new one is checked, and is to be expanded."""
        n = self.number.get(s)
        if n is None:
            n = self.number[s] = len(self.parent)
            self.parent.append((parent, label))
            self.back.append([])
            self.depth.append(self.depth[parent] + 1)
            if wrong := self.model.broken(s):
                self.wrong = (wrong, n)
            self.todo.append(s)
        return n

    def stranded(self) -> int | None:
        """Return a state from which no fault-free way leads to completion."""
        good, stack = set(self.goals), list(self.goals)
        while stack:
            fresh = [n for n in self.back[stack.pop()] if n not in good]
            good.update(fresh)
            stack += fresh
        return next((n for n in range(len(self.parent)) if n not in good), None)

    def report(self, wrong: str = "", at: int | None = None) -> Report:
        trace: list[str] = []
        while at is not None and at >= 0:
            at, label = self.parent[at]
            trace.append(label)
        return Report(
            states=len(self.number), transitions=self.transitions, depth=max(self.depth), wrong=wrong,
            trace=tuple(reversed(trace)), seconds=time.monotonic() - self.began,
        )  # fmt: skip


def search(model: Model[S], limit: int = 3_000_000) -> Report:
    """Go through every reachable state, the nearest first; stop at the first that is wrong."""
    found = _Search(model)
    while found.todo:
        found.expand(found.todo.popleft())
        if found.wrong:
            return found.report(*found.wrong)
        if len(found.number) > limit:
            return found.report("search limit reached")
    stuck = found.stranded()
    return found.report("" if stuck is None else "stranded: no fault-free way to completion", stuck)
