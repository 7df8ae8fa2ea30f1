"""The roles of a running service: web, worker, scheduler, and `dev`, which is all of them."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chatbot.commands.command import STATE, command, service_of_environment

if TYPE_CHECKING:
    from starlette.routing import BaseRoute


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
        CHATBOT_ADMIN_PASSWORD=... \\
        chatbot web --host 0.0.0.0 --port 8000 --workers 2
    """
    import socket

    from chatbot import roles
    from chatbot.admin import doors

    service = service_of_environment(broker=False)
    doors.check(service.settings)
    sock = roles.listen(host, port) if fd is None else socket.socket(fileno=fd)
    with sock:
        logging.getLogger("chatbot").info("listening on %s", sock.getsockname())
        if workers > 1:
            service.close()
            grace = roles.WEB_GRACE + 2.0
            arguments, fds = ["web", "--fd", str(sock.fileno())], (sock.fileno(),)
            return roles.several("web", arguments, workers, grace=grace, settings=service.settings, fds=fds)
        secret = os.environ.get("CHATBOT_GENERIC_SECRET") if os.environ.get(roles.OUTBOX) else None

        def pages() -> list[BaseRoute]:
            from chatbot.pages import routes

            return routes(service, sock, dev=bool(os.environ.get(roles.DEV)))

        roles.serve(service, sock, pages=pages, outbox_secret=secret)
    return None


@command
@click.option("--queues", default="", help="Comma-separated; all of them unless given.")
@click.option("--processes", default=1, show_default=True, type=click.IntRange(1), help="Worker processes.")
@click.option("--threads", default=8, show_default=True, type=click.IntRange(1), help="Threads in each process.")
@click.option("--grace", default=25.0, show_default=True, help="Seconds to finish what runs when told to stop.")
@click.option(
    "--metrics-port", type=click.IntRange(1, 65_535), help="Tell metrics here; CHATBOT_METRICS_PORT does, too."
)
@click.option("--metrics-fd", type=int, hidden=True, help="A listening socket that was inherited.")
def worker(
    queues: str, processes: int, threads: int, grace: float, metrics_port: int | None, metrics_fd: int | None
) -> int | None:
    """Run turns and send replies.

    \b
    Example:
        chatbot worker --processes 2 --threads 16 --queues high,default --metrics-port 9100
    """
    import socket

    from chatbot import roles

    service = service_of_environment()
    inherited = None if metrics_fd is None else socket.socket(fileno=metrics_fd)
    metrics = inherited or roles.metrics_socket(service.settings, metrics_port)
    names = [name.strip() for name in queues.split(",") if name.strip()]
    if processes > 1:
        service.close()
        arguments = ["worker", "--queues", queues, "--threads", str(threads), "--grace", str(grace)]
        fds = () if metrics is None else (metrics.fileno(),)
        arguments += [argument for fd in fds for argument in ("--metrics-fd", str(fd))]
        return roles.several("worker", arguments, processes, grace=grace + 2, settings=service.settings, fds=fds)
    roles.work(service, queues=names, threads=threads, grace=grace, metrics=metrics)
    return None


@command
@click.option("--metrics-port", type=click.IntRange(1, 65_535), help="Tell metrics here, at CHATBOT_METRICS_HOST.")
def scheduler(metrics_port: int | None) -> int | None:
    """Send periodic actors at their ticks. Run as many as you like: each tick runs once.

    \b
    Example:
        CHATBOT_TIMEZONE=Europe/Paris CHATBOT_CATCH_UP=all chatbot scheduler
    """
    from chatbot import roles

    service = service_of_environment()
    # Not on CHATBOT_METRICS_PORT: a worker beside us, with the same environment, has it.
    metrics = roles.metrics_socket(service.settings, metrics_port) if metrics_port else None
    roles.schedule(service, metrics=metrics)
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
