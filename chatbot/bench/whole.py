"""A whole service: web and worker processes between a store, a broker and a receiver of replies."""

from __future__ import annotations

import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import msgspec

from chatbot.bench.places import Place
from chatbot.bench.programs import Program, service
from chatbot.bench.servers import free_port
from chatbot.bench.waiting import wait_until
from chatbot.bench.web import answers


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where replies go."""

    program: Program
    url: str

    def counts(self, named: str = "") -> dict[str, Any]:
        """Return what it has seen, and whether one reply names a message."""
        with urllib.request.urlopen(f"{self.url}?named={named}", timeout=10) as answer:
            return msgspec.json.decode(answer.read(), type=dict[str, Any])


def receiver(stack: ExitStack) -> Receiver:
    """Start a receiver."""
    port = free_port()
    program = stack.enter_context(Program("-m", "chatbot.bench.sink", str(port)))
    program.ready()
    wait_until(lambda: answers(port, program), 30, "the receiver does not answer")
    return Receiver(program, f"http://127.0.0.1:{port}/")


def environment(here: Place, replies: Receiver, **more: str) -> dict[str, str]:
    """Return the environment of a service that answers with the names of what it was told."""
    chosen = {"CHATBOT_RESPONDER": "chatbot.bench.respond:names", "CHATBOT_LOG_LEVEL": "info", **more}
    return service(here.store, here.broker, outbound=replies.url, **chosen)


def worker(stack: ExitStack, environment: dict[str, str], *arguments: str) -> Program:
    """Start `chatbot worker`."""
    program = stack.enter_context(Program("-m", "chatbot", "worker", *arguments, env=environment))
    wait_until(lambda: working(program), 30, f"the worker does not start: {program}", 0.005)
    return program


def working(program: Program) -> bool:
    """Say whether a worker process has begun. Raises RuntimeError if it has ended."""
    if program.process.poll() is not None:
        raise RuntimeError(f"{program} ended")
    return "working on" in program.output()
