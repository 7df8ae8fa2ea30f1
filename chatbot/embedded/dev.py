"""`chatbot dev`: the whole service on one machine, with a store of its own and a place to look at replies.

What the environment does not say is chosen here: an embedded Valkey as store and broker, a generated secret for the
generic channel, and the service itself as the receiver of its replies.
"""

from __future__ import annotations

import base64
import secrets
import shlex
import shutil
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import httpx

from chatbot import roles
from chatbot.admin.proxies import is_loopback
from chatbot.embedded.valkey import EmbeddedValkey
from chatbot.errors import ConfigurationError
from chatbot.metrics.directory import shared_directory
from chatbot.metrics.meters import shared
from chatbot.processes.child import Role
from chatbot.processes.supervisor import Supervisor
from chatbot.service import build
from chatbot.web.outbox import GRAPH_PATH, PATH

#: s. Ctrl-C ends everything within this.
GRACE = 5.0


def dev(variables: Mapping[str, str], *, host: str, port: int, state: Path, threads: int) -> int:
    """Run everything in the foreground; return the exit status."""
    with ExitStack() as stack:
        chosen = dict(variables)
        stores: list[Role] = []
        if not chosen.get("CHATBOT_STORE_URL"):
            valkey = stack.enter_context(EmbeddedValkey(state / "valkey"))
            stores.append(valkey.role())
            chosen["CHATBOT_STORE_URL"] = valkey.url
        chosen["CHATBOT_BROKER_URL"] = chosen.get("CHATBOT_BROKER_URL") or chosen["CHATBOT_STORE_URL"]
        here = _here(host, port)
        chosen |= _generic(chosen, state, here) | _whatsapp(chosen, state, here) | _admin(chosen, state)
        chosen |= _log(chosen)
        build(chosen).close()  # what is wrong is said once, before anything starts
        sock = stack.enter_context(roles.listen(host, port))
        web = roles.command("web", "--fd", str(sock.fileno()))
        numbers = stack.enter_context(shared_directory())
        worker = roles.command("worker", "--threads", str(threads), "--grace", str(GRACE - 1))
        supervisor = Supervisor(
            [
                *stores,
                Role(
                    name="web",
                    argv=web,
                    env=chosen | shared(numbers, "web"),
                    pass_fds=(sock.fileno(),),
                    ready=lambda: _answers(here),
                ),
                Role(name="worker", argv=worker, env=chosen | shared(numbers, "worker")),
                Role(name="scheduler", argv=roles.command("scheduler"), env=chosen),
            ],
            name="dev",
            grace=GRACE,
            on_up=lambda: _greet(supervisor, here, state, sock.getsockname()[0]),
            form="json" if chosen[roles.LOG_FORMAT] == "json" else "pretty",
        )
        return supervisor.run()


def _here(host: str, port: int) -> str:
    """Return how this machine reaches the service."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def _generic(given: Mapping[str, str], state: Path, here: str) -> dict[str, str]:
    chosen = {} if given.get("CHATBOT_GENERIC_SECRET") else {"CHATBOT_GENERIC_SECRET": secret(state, "generic")}
    if not given.get("CHATBOT_GENERIC_OUTBOUND_URL"):
        chosen |= {"CHATBOT_GENERIC_OUTBOUND_URL": here + PATH, roles.OUTBOX: "1"}
    return chosen


def _whatsapp(given: Mapping[str, str], state: Path, here: str) -> dict[str, str]:
    """Without settings of the user's, the service itself plays Meta."""
    if given.get("CHATBOT_CHANNELS") or any(name.startswith("CHATBOT_WHATSAPP_") for name in given):
        return {}
    return {
        "CHATBOT_CHANNELS": "generic,whatsapp",
        "CHATBOT_WHATSAPP_APP_SECRET": secret(state, "whatsapp"),
        "CHATBOT_WHATSAPP_VERIFY_TOKEN": secret(state, "whatsapp"),
        "CHATBOT_WHATSAPP_ACCESS_TOKEN": secret(state, "whatsapp"),
        "CHATBOT_WHATSAPP_GRAPH_URL": here + GRAPH_PATH,
    }


def _log(given: Mapping[str, str]) -> dict[str, str]:
    """Here people read the log, and what they write themselves may be in it."""
    form = given.get(roles.LOG_FORMAT, "")
    return {
        roles.LOG_FORMAT: "pretty" if form in ("", "auto") else form,
        "CHATBOT_LOG_MESSAGES": given.get("CHATBOT_LOG_MESSAGES") or "true",
    }


def _admin(given: Mapping[str, str], state: Path) -> dict[str, str]:
    """A password for those who are not at this machine."""
    if given.get("CHATBOT_ADMIN_PASSWORD") or given.get("CHATBOT_ADMIN_PROXY_HEADER"):
        return {roles.DEV: "1"}
    return {roles.DEV: "1", "CHATBOT_ADMIN_PASSWORD": secret(state, "admin")}


def secret(state: Path, channel: str) -> str:
    """Return a channel's secret of this state directory; the first call makes it."""
    file = state / f"{channel}.secret"
    try:
        if not file.exists():
            state.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)
            file.write_text("whsec_" + base64.b64encode(secrets.token_bytes(32)).decode() + "\n")
        return file.read_text().strip()
    except OSError as exc:
        raise ConfigurationError(
            f"{file} cannot be written ({exc.strerror}): choose another --state directory"
        ) from exc


def _answers(here: str) -> bool:
    try:
        return httpx.get(f"{here}/health", timeout=0.5, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def _program() -> str:
    """Return how to call this very installation, from this directory."""
    program = Path(sys.executable).with_name("chatbot")
    if shutil.which("chatbot") == str(program):
        return "chatbot"
    return str(program.relative_to(Path.cwd()) if program.is_relative_to(Path.cwd()) else program)


def _greet(supervisor: Supervisor, here: str, state: Path, bound: str) -> None:
    arguments = [] if here.endswith("//127.0.0.1:8000") else ["--url", here]
    arguments += [] if state == Path(".state") else ["--state", str(state)]
    supervisor.say(f"chatbot is on {here} (Ctrl-C stops it). In another terminal, see bursts become one reply each:")
    supervisor.say("    " + shlex.join([_program(), "simulate", *arguments]))
    supervisor.say(f"or chat with it: {here}/playground")
    if not is_loopback(bound):
        supervisor.say(
            "Its pages can be reached from elsewhere, where they need a login: the user is admin, the password"
        )
        supervisor.say(f"is CHATBOT_ADMIN_PASSWORD, or else what is in {state / 'admin.secret'}.")
