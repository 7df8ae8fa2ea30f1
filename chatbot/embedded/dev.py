"""`chatbot dev`: the whole service on one machine, with a store of its own and a place to look at replies.

What the environment does not say is chosen here: an embedded Valkey as store and broker, a generated secret for the
generic channel, and the service itself as the receiver of its replies.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import httpx

from chatbot import roles
from chatbot.embedded.child import Role
from chatbot.embedded.supervisor import Supervisor
from chatbot.embedded.valkey import EmbeddedValkey
from chatbot.errors import ConfigurationError
from chatbot.web.outbox import PATH

#: s. Ctrl-C ends everything within this.
GRACE = 5.0
#: Set for the web process, which then shows the replies that it receives.
OUTBOX = "CHATBOT_DEV_OUTBOX"


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
        chosen["CHATBOT_GENERIC_SECRET"] = chosen.get("CHATBOT_GENERIC_SECRET") or secret(state)
        shown = "localhost" if host in ("0.0.0.0", "::") else host
        here = f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
        if not chosen.get("CHATBOT_GENERIC_OUTBOUND_URL"):
            chosen["CHATBOT_GENERIC_OUTBOUND_URL"] = here + PATH
            chosen[OUTBOX] = "1"
        sock = stack.enter_context(roles.listen(host, port))
        web = roles.command("web", "--fd", str(sock.fileno()))
        worker = roles.command("worker", "--threads", str(threads), "--grace", str(GRACE - 1))
        supervisor = Supervisor(
            [
                *stores,
                Role(name="web", argv=web, env=chosen, pass_fds=(sock.fileno(),), ready=lambda: _answers(here)),
                Role(name="worker", argv=worker, env=chosen),
            ],
            name="dev",
            grace=GRACE,
            on_up=lambda: _greet(supervisor, here),
        )
        return supervisor.run()


def secret(state: Path) -> str:
    """Return the generic channel's secret of this state directory; the first call makes it."""
    file = state / "generic.secret"
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


def _greet(supervisor: Supervisor, here: str) -> None:
    supervisor.say(f"chatbot is on {here} (Ctrl-C stops it). In another terminal, see a burst become one reply:")
    supervisor.say("    .venv/bin/chatbot simulate" + ("" if here.endswith("127.0.0.1:8000") else f" --url {here}"))
