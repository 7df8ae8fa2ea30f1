"""How far it is: a bar on a terminal, a line now and then elsewhere. Always on stderr, so that stdout is the report."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from typing import Any

import click

#: s between two lines where there is no bar.
EVERY = 5.0


class Progress(ExitStack):
    """Counts deliveries and answered bursts. It shows nothing until the service has said something: a refusal for good
    is then the only line."""

    def __init__(self, title: str, *, deliveries: int, bursts: int) -> None:
        super().__init__()
        self._title = title
        self._all = (deliveries, bursts)
        self._deliveries = self._bursts = 0
        self._delay = ""
        self._bar: Any = None
        self._begun = False
        self._said = 0.0

    def step(self, deliveries: int, bursts: int) -> None:
        """Note that so many more are done."""
        self._deliveries += deliveries
        self._bursts += bursts
        self._delay = ""
        self._show(deliveries + bursts)

    def delayed(self, problem: str) -> None:
        """Note that a delivery has to be repeated, and why."""
        self._delay = f"; it is sent again: {problem}"
        self._show(0)

    def _show(self, steps: int) -> None:
        if not self._begun:
            self._begin()
            self._said = time.monotonic() if steps else 0.0  # what is wrong is said at once
        if self._bar is not None:
            self._bar.update(steps, self._text())
        elif time.monotonic() - self._said > EVERY:
            self._said = time.monotonic()
            click.echo(self._text(), err=True)

    def _begin(self) -> None:
        self._begun = True
        click.echo(self._title, err=True)
        if not sys.stderr.isatty():
            return
        self.callback(click.echo, err=True)
        bar: Any = click.progressbar(
            length=sum(self._all),
            width=24,
            show_eta=False,
            show_percent=False,
            item_show_func=lambda text: text,
            file=sys.stderr,
        )
        self._bar = self.enter_context(bar)

    def _text(self) -> str:
        if (self._deliveries, self._bursts) == self._all:
            return "all answered; does anything come twice?"
        return f"{self._deliveries} of {self._all[0]} delivered, {self._bursts} of {self._all[1]} answered{self._delay}"
