"""What every command shares: how it ends, and how it gets at the service that the environment describes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from chatbot.service import Service

#: Where `chatbot dev` keeps its data.
STATE = Path(".state")


class InOrder(click.Group):
    """Lists its commands in the order in which they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


def command(run: Callable[..., int | None]) -> click.Command:
    """Make a subcommand: a bad configuration is one line a problem and status 2, never a traceback."""

    @wraps(run)
    @click.pass_context
    def guarded(context: click.Context, /, **options: Any) -> None:
        from chatbot.errors import ConfigurationError, Unreachable
        from chatbot.processes.lifeline import VARIABLE

        supervised = VARIABLE in os.environ
        try:
            sys.exit(run(**options) or 0)
        except ConfigurationError as exc:
            if context.obj:
                raise
            for problem in exc.problems:
                click.echo(f"chatbot {context.command.name}: {problem}", err=True)
            # Its supervisor got through this check: what is down now will be back, so we are to be started again.
            sys.exit(1 if supervised and isinstance(exc, Unreachable) else 2)

    return click.command()(guarded)


def service_of_environment(*, broker: bool = True) -> Service:
    """Build this process's share of the service; it ends with its supervisor, if it has one."""
    from chatbot import logs
    from chatbot.processes import lifeline
    from chatbot.service import build
    from chatbot.settings import environment

    supervised = lifeline.VARIABLE in os.environ
    lifeline.watch()
    variables = environment()
    service = build(variables)
    chosen = service.settings
    secrets = logs.secrets_of(variables)
    logs.configure(chosen.log_level, chosen.log_format, messages=chosen.log_messages, secrets=secrets)
    # Messages are accepted without the broker, and what runs under a supervisor has seen it once.
    service.check(broker=broker and not supervised)
    return service
