"""The command line: it parses, calls and prints. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from chatbot.service import Service

STATE = Path(".state")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="chatbot")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.pass_context
def main(context: click.Context, debug: bool) -> None:
    """One reply per burst and one effect per message: chat webhooks on Dramatiq, with Redis or RabbitMQ.

    \b
    Example:
        chatbot dev                      # everything, on this machine
        chatbot web --port 8000          # with CHATBOT_STORE_URL, CHATBOT_BROKER_URL, ... in the environment
        chatbot worker --threads 16
    """
    context.obj = debug


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

    return main.command()(guarded)


@command
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65_535), help="Port to listen on.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1), help="Processes that share the port.")
@click.option("--fd", type=int, hidden=True, help="A listening socket that was inherited.")
def web(host: str, port: int, workers: int, fd: int | None) -> int | None:
    """Accept webhooks.

    \b
    Example:
        CHATBOT_STORE_URL=redis://127.0.0.1:6379/0 CHATBOT_BROKER_URL=amqp://guest:guest@127.0.0.1:5672 \\
        CHATBOT_GENERIC_SECRET=whsec_... CHATBOT_GENERIC_OUTBOUND_URL=https://example.com/replies \\
        chatbot web --host 0.0.0.0 --port 8000 --workers 2
    """
    import socket

    from chatbot import roles

    service = _service(broker=False)
    sock = roles.listen(host, port) if fd is None else socket.socket(fileno=fd)
    with sock:
        logging.getLogger("chatbot").info("listening on %s", sock.getsockname())
        if workers > 1:
            service.close()
            grace = roles.WEB_GRACE + 2.0
            return roles.several("web", ["web", "--fd", str(sock.fileno())], workers, grace=grace, fds=(sock.fileno(),))
        secret = os.environ.get("CHATBOT_GENERIC_SECRET") if os.environ.get("CHATBOT_DEV_OUTBOX") else None
        roles.serve(service, sock, outbox_secret=secret)
    return None


@command
@click.option("--queues", default="", help="Comma-separated; all of them unless given.")
@click.option("--processes", default=1, show_default=True, type=click.IntRange(1), help="Worker processes.")
@click.option("--threads", default=8, show_default=True, type=click.IntRange(1), help="Threads in each process.")
@click.option("--grace", default=25.0, show_default=True, help="Seconds to finish what runs when told to stop.")
def worker(queues: str, processes: int, threads: int, grace: float) -> int | None:
    """Run turns and send replies.

    \b
    Example:
        chatbot worker --processes 2 --threads 16 --queues high,default
    """
    from chatbot import roles

    service = _service()
    names = [name.strip() for name in queues.split(",") if name.strip()]
    if processes > 1:
        service.close()
        arguments = ["worker", "--queues", queues, "--threads", str(threads), "--grace", str(grace)]
        return roles.several("worker", arguments, processes, grace=grace + 2)
    roles.work(service, queues=names, threads=threads, grace=grace)
    return None


@command
def scheduler() -> int | None:
    """Send periodic actors at their ticks. Run as many as you like: each tick runs once.

    \b
    Example:
        CHATBOT_TIMEZONE=Europe/Paris CHATBOT_CATCH_UP=all chatbot scheduler
    """
    from chatbot import roles

    roles.schedule(_service())
    return None


@command
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65_535), help="Port to listen on.")
@click.option("--threads", default=8, show_default=True, type=click.IntRange(1), help="Threads of the worker.")
@click.option("--state", default=STATE, show_default=True, type=click.Path(path_type=Path), help="Where data is kept.")
def dev(host: str, port: int, threads: int, state: Path) -> int:
    """Run everything on this machine: a persistent Valkey, web, worker and scheduler, with one log.

    Variables such as CHATBOT_BROKER_URL, CHATBOT_STORE_URL and CHATBOT_RESPONDER are respected.

    \b
    Example:
        CHATBOT_RESPONDER=my_bot:reply chatbot dev --port 8080
    """
    from chatbot.embedded.dev import dev as run
    from chatbot.settings import environment

    return run(environment(), host=host, port=port, state=state, threads=threads)


@command
@click.option("--url", default="http://127.0.0.1:8000", show_default=True, help="The running service.")
@click.option("--channel", default="generic", show_default=True, type=click.Choice(["generic", "whatsapp"]))
@click.option("--conversations", default=3, show_default=True, type=click.IntRange(1, 1000), help="At the same time.")
@click.option("--messages", default=5, show_default=True, type=click.IntRange(1, 50), help="In each burst.")
@click.option("--bursts", default=1, show_default=True, type=click.IntRange(1, 100), help="In each conversation.")
@click.option("--pause", type=click.FloatRange(0), help="Seconds before the next burst; more than the quiet time.")
@click.option("--rate", default=30.0, show_default=True, type=click.FloatRange(0.1, 1e4), help="Deliveries a second.")
@click.option("--timeout", default=60.0, show_default=True, type=click.FloatRange(0.1), help="Seconds for a reply.")
@click.option("--seed", default=1, show_default=True, help="The same seed plays the same bursts.")
@click.option("--secret", default="", help="What webhooks are signed with, if not of the environment or --state.")
@click.option("--listen", default="", metavar="HOST:PORT", help="Receive the replies here, not from the dev outbox.")
@click.option("--state", default=STATE, show_default=True, type=click.Path(path_type=Path), help="As of `chatbot dev`.")
@click.option("--json", is_flag=True, help="Print the report as JSON.")
def simulate(**options: Any) -> int:
    """Play bursts with duplicates against a running service, and show which turns and replies came of them.

    Status 1 when a reply is missing, doubled or out of order, or a burst became several turns. For a service other
    than `chatbot dev`, give its CHATBOT_GENERIC_SECRET (or CHATBOT_WHATSAPP_APP_SECRET), let its
    CHATBOT_GENERIC_OUTBOUND_URL (or CHATBOT_WHATSAPP_GRAPH_URL) point to --listen, and give its
    CHATBOT_DEBOUNCE_WAIT_MS if it is not 2000.

    \b
    Example:
        chatbot simulate --conversations 2
        chatbot simulate --url https://bot.example.com --listen 0.0.0.0:9000 --rate 100 --json
    """
    from chatbot.operations.simulate.command import Options
    from chatbot.operations.simulate.command import simulate as play
    from chatbot.settings import environment

    return play(Options(**options), environment())


def _service(*, broker: bool = True) -> Service:
    """Build this process's share of the service; it ends with its supervisor, if it has one."""
    from chatbot import logs
    from chatbot.processes import lifeline
    from chatbot.service import build
    from chatbot.settings import environment

    supervised = lifeline.VARIABLE in os.environ
    lifeline.watch()
    service = build(environment())
    logs.configure(service.settings.log_level)
    # Messages are accepted without the broker, and what runs under a supervisor has seen it once.
    service.check(broker=broker and not supervised)
    return service
