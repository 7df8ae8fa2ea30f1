"""What answers a turn: a name from the table, an `http(s)://` URL, or a `module:callable` of the user's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from chatbot.errors import ConfigurationError
from chatbot.importing import load
from chatbot.responders.base import Responder

#: Name -> factory, which takes the options. A new responder is one file and one line here, or `module:callable`.
NAMES: Final[Mapping[str, str]] = {"echo": "chatbot.responders.echo:Echo", "openai": "chatbot.responders.openai:OpenAI"}


def create(spec: str, options: Mapping[str, Any] | None = None) -> Responder:
    """Build the responder that CHATBOT_RESPONDER names.

    `options` are keyword arguments of its factory, such as `timeout` in s. Raises ConfigurationError with the cure;
    what a user's module raises while it is imported is passed on.
    """
    try:
        factory, arguments = _factory(spec.strip())
        return factory(*arguments, **(options or {}))
    except ConfigurationError as exc:
        raise ConfigurationError(f"CHATBOT_RESPONDER: {exc}. {_allowed()}") from exc


def _factory(spec: str) -> tuple[Callable[..., Responder], tuple[str, ...]]:
    name, _, model = spec.partition(":")
    if spec in NAMES or name == "openai":
        return cast(Callable[..., Responder], load(NAMES[name])), (model,) if model else ()
    if spec.lower().startswith(("http://", "https://")):
        from chatbot.responders.http import Http

        return Http, (spec,)
    if ":" in spec:
        from chatbot.responders.python import from_path

        return from_path, (spec,)
    raise ConfigurationError(f"{spec!r} names no responder")


def _allowed() -> str:
    return "Set CHATBOT_RESPONDER to one of: echo, openai:MODEL, http(s)://host/path, module:callable (on PYTHONPATH)"
