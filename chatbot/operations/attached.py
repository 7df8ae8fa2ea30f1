"""How an operator's command gets at a deployment: that of the environment, or the `chatbot dev` of this directory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from chatbot.embedded import dev
from chatbot.embedded.valkey import EmbeddedValkey
from chatbot.service import Service, build


@contextmanager
def attached(variables: Mapping[str, str], state: Path, *, broker: bool = False) -> Iterator[Service]:
    """Give the service of these `CHATBOT_*` variables, or where they name no store, of the `chatbot dev` that keeps its
    data in `state`. Raises ConfigurationError unless its store answers, and if asked for its broker."""
    service = build(described(variables, state))
    try:
        service.check(broker=broker)
        yield service
    finally:
        service.close()


def described(variables: Mapping[str, str], state: Path) -> Mapping[str, str]:
    """Return these variables, or where they name no store, with those of the `chatbot dev` in `state`."""
    return variables if variables.get("CHATBOT_STORE_URL") else {**_dev(state), **variables}


def _dev(state: Path) -> dict[str, str]:
    valkey = EmbeddedValkey(state / "valkey")
    if not valkey.directory.exists():
        return {}
    # Nothing is sent from here: these only have to be there.
    here = {"CHATBOT_GENERIC_SECRET": dev.secret(state, "generic"), "CHATBOT_GENERIC_OUTBOUND_URL": "http://127.0.0.1/"}
    return {"CHATBOT_STORE_URL": valkey.url, "CHATBOT_BROKER_URL": valkey.url, **here}
