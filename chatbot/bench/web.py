"""Rounds of webhooks against web servers that take turns."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import msgspec

from chatbot.bench.endpoints import Endpoints
from chatbot.bench.load import Answers, Load
from chatbot.bench.machine import cpu
from chatbot.bench.programs import SECRET, Program
from chatbot.bench.servers import free_port
from chatbot.bench.waiting import wait_until

#: Webhooks of a warm-up.
WARM = 1_000


@dataclass(slots=True)
class Endpoint:
    """A web server that is measured; `rate` is what the last round showed, from which the next one's length follows."""

    name: str
    port: int
    program: Program
    rate: float = 0.0
    #: Processor time of the server, in µs a webhook of the last load: it says more than the rate where others work too.
    cost: float = 0.0

    def load(self, count: int, tag: str, repeated: float = 0.0) -> Answers:
        """Send webhooks from another process, and return what was answered."""
        spec = Load(port=self.port, secret=SECRET, count=count, tag=tag, repeated=repeated)
        with Program("-m", "chatbot.bench.load", spec=msgspec.to_builtins(spec)) as sender:
            sender.ready()
            before = cpu(self.program.pid)
            sender.tell("go")
            answers = msgspec.convert(sender.wait_for(1, 600)[0], Answers)
            self.cost = (cpu(self.program.pid) - before) / count * 1e6
        self.rate = answers.rate
        return answers

    def round(self, seconds: float, tag: str) -> Answers:
        """Send webhooks for about so long."""
        if not self.rate:
            self.load(WARM, f"{tag}-warm")
        return self.load(max(200, int(self.rate * seconds)), tag)


def service_endpoint(stack: ExitStack, environment: Mapping[str, str], name: str = "chatbot") -> Endpoint:
    """Start `chatbot web`."""
    port = free_port()
    program = stack.enter_context(Program("-m", "chatbot", "web", "--port", str(port), env=environment))
    wait_until(lambda: answers(port, program), 30, f"the web process does not answer: {program}")
    return Endpoint(name, port, program)


def other_endpoint(stack: ExitStack, kind: str, broker: str = "") -> Endpoint:
    """Start what ours is compared with."""
    port = free_port()
    spec = Endpoints(kind=kind, port=port, secret=SECRET, broker=broker)
    program = stack.enter_context(Program("-m", "chatbot.bench.endpoints", spec=msgspec.to_builtins(spec)))
    program.ready()
    wait_until(lambda: answers(port, program), 30, f"the endpoint does not answer: {program}")
    return Endpoint(kind, port, program)


def answers(port: int, program: Program) -> bool:
    """Say whether a web server answers. Raises RuntimeError if its process has ended."""
    if program.process.poll() is not None:
        raise RuntimeError(f"{program} ended")
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).close()
    except urllib.error.HTTPError as exc:
        exc.close()
        return True  # the others have no such page
    except OSError:
        return False
    return True
