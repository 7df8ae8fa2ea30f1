"""Running the service's roles as processes: one web server or one worker, or several under a supervisor."""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from chatbot import logs, scheduling
from chatbot.brokers.worker import Worker
from chatbot.errors import ConfigurationError
from chatbot.metrics.directory import shared_directory
from chatbot.metrics.meters import shared
from chatbot.processes.child import Role
from chatbot.processes.stopping import StopSignals
from chatbot.processes.supervisor import Supervisor
from chatbot.service import Service, web_app
from chatbot.settings import Settings

if TYPE_CHECKING:
    from chatbot.web.first_use import Make

logger = logging.getLogger(__name__)

#: s. Answers to webhooks take milliseconds; whoever still waits after this long sends again.
WEB_GRACE = 5
#: s. A scheduler looks at the clock every minute.
LONGEST_SILENCE = 150
#: What the processes below a supervisor are told: only it knows whether people read the log.
LOG_FORMAT = "CHATBOT_LOG_FORMAT"
#: What `chatbot dev` tells its web process: to show the replies that it receives, and that its pages need no login of
#: who is at this machine.
OUTBOX, DEV = "CHATBOT_DEV_OUTBOX", "CHATBOT_DEV"


def listen(host: str, port: int, *, option: str = "--port") -> socket.socket:
    """Return a listening socket. Raises ConfigurationError if the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(2048)
    except OSError as exc:
        sock.close()
        why = (
            f"is in use: stop what listens there, or choose another {option}" if exc.errno == errno.EADDRINUSE else exc
        )
        raise ConfigurationError(f"{host}:{port} {why}") from exc
    return sock


def serve(
    service: Service, sock: socket.socket, *, pages: Make | None = None, outbox_secret: str | None = None
) -> None:
    """Serve HTTP on a socket until SIGTERM or SIGINT. `pages` are made when somebody looks at one. With a secret,
    replies can be sent to us, to be looked at."""
    import uvicorn  # the other roles serve nothing

    from chatbot.web import garbage
    from chatbot.web.outbox import Outbox
    from chatbot.web.protocol import OneWrite

    app = web_app(service, Outbox(outbox_secret).routes() if outbox_secret else [], pages)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        http=OneWrite,
        lifespan="on",
        ws="none",
        timeout_graceful_shutdown=WEB_GRACE,
        server_header=False,
        # Whom to believe is CHATBOT_ADMIN_PROXY_IPS' to say; uvicorn would replace the proxy's address.
        proxy_headers=False,
    )
    server = uvicorn.Server(config)
    # Pages that stay open end their streams then: the server waits for its answers.
    app.state.stopping = lambda: server.should_exit
    garbage.look_less_often()
    server.run(sockets=[sock])


def work(
    service: Service, *, queues: Sequence[str], threads: int, grace: float, metrics: socket.socket | None = None
) -> None:
    """Work until SIGTERM or SIGINT, then finish what runs within `grace` s; a second signal stops at once. `metrics` is
    a listening socket on which to tell them."""
    if unknown := set(queues) - service.broker.get_declared_queues():
        known = ", ".join(sorted(service.broker.get_declared_queues()))
        raise ConfigurationError(f"--queues: there is no queue {', '.join(sorted(unknown))}; known are {known}")
    told = StopSignals(again=lambda: os._exit(1))
    worker = Worker(service.broker, queues=queues, worker_threads=threads)
    service.broker.emit_after("process_boot")  # as Dramatiq's own command does: time limits start here
    worker.start()
    if metrics is not None:
        service.metrics.serve(metrics, lambda: {**service.ready(), "threads": threads_of(worker)})
    logger.info("working on %s with %d threads", ", ".join(queues) or "all queues", threads)
    told.wait()
    worker.stop(timeout=round(grace * 1000))
    service.close()


def threads_of(worker: Worker) -> str:
    """Say `ok` while everything runs that a worker is made of."""
    pumps = [thread for thread in threading.enumerate() if thread.name == "pump"]
    ended = [thread.name for thread in (*worker.consumers.values(), *worker.workers) if not thread.is_alive()]
    return "ok" if pumps and not ended else f"ended: {', '.join(ended) or 'pump'}"


def schedule(service: Service, *, metrics: socket.socket | None = None) -> None:
    """Send periodic actors at their ticks until SIGTERM or SIGINT. `metrics` is a listening socket on which to tell
    them."""
    stepped_at = time.monotonic()

    def stepped() -> None:
        nonlocal stepped_at
        stepped_at = time.monotonic()

    def look() -> Mapping[str, str]:
        silent = time.monotonic() - stepped_at
        clock = "ok" if silent < LONGEST_SILENCE else f"not looked at for {silent:.0f} s"
        return {**service.ready(), "clock": clock}

    if metrics is not None:
        service.metrics.serve(metrics, look)
    chosen = service.settings
    # Connections are left to the end of the process: a publication may still be under way on one of them.
    scheduling.run(
        service.broker,
        service.store,
        timezone=chosen.timezone,
        horizon=chosen.catch_up_horizon_s * 1000,
        catch_up=chosen.catch_up,
        stepped=stepped,
    )


def metrics_socket(settings: Settings, port: int | None) -> socket.socket | None:
    """Return where a process is to tell its metrics: on this port, or else on the one of the settings, if any."""
    chosen = port or settings.metrics_port
    return listen(settings.metrics_host, chosen, option="--metrics-port") if chosen else None


def several(
    name: str, arguments: Sequence[str], count: int, *, grace: float, settings: Settings, fds: tuple[int, ...] = ()
) -> int:
    """Run `chatbot ARGUMENTS` as so many processes; one that dies starts again alone. Returns the exit status.

    Each of them can tell the metrics of all.
    """
    form = logs.form_of(settings.log_format)
    names = [f"{name}-{i}" for i in range(1, count + 1)]
    with shared_directory() as numbers:
        roles = [
            Role(name=n, argv=command(*arguments), pass_fds=fds, env={LOG_FORMAT: form, **shared(numbers, n)})
            for n in names
        ]
        return Supervisor(roles, name=name, grace=grace, form=form).run()


def command(*arguments: str) -> list[str]:
    """Return how to start this very installation of chatbot."""
    return [sys.executable, "-m", "chatbot", *arguments]
