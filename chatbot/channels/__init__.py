"""The channels by name, and making one from its settings."""

from __future__ import annotations

import re
from collections.abc import Mapping

from chatbot.channels.base import Channel, Parsed, Rejected
from chatbot.errors import ConfigurationError
from chatbot.importing import load

#: A factory is called as `factory(name, options)`; options are the channel's own settings, such as `secret`.
CHANNELS: Mapping[str, str] = {
    "generic": "chatbot.channels.generic:create",
    "whatsapp": "chatbot.channels.whatsapp:create",
}

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")  # it is part of a path and of variables
_PARTS = ("name", "media_types", "resend_horizon", "sender_mends", "verify", "parse", "handshake", "send", "close")


def create(spec: str, options: Mapping[str, str]) -> tuple[str, Channel]:
    """Return a channel and its name. Raises ConfigurationError, which lists every problem with its settings.

    Args:
        spec: a known name (`generic`), `name=module:factory` for a channel of your own, or `name=known` for a second
            channel of a known kind.
        options: the channel's settings: `CHATBOT_GENERIC_SECRET` is `secret` here.
    """
    name, named, path = (part.strip() for part in spec.partition("="))
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"channel {name!r}: a name is made of a-z, 0-9, '-' and '_', at most 64 of them")
    factory = load(_path(path if named else name))
    channel: Channel = factory(name, options)
    if missing := [part for part in _PARTS if not hasattr(channel, part)]:
        raise ConfigurationError(f"channel {name!r}: what {path or name} made is no channel; no {', '.join(missing)}")
    return name, channel


def _path(wanted: str) -> str:
    if ":" in wanted:
        return wanted
    try:
        return CHANNELS[wanted]
    except KeyError:
        known = ", ".join(sorted(CHANNELS))
        raise ConfigurationError(
            f"there is no channel {wanted!r}; known are {known}, and name=module:factory for one of your own"
        ) from None


__all__ = ["CHANNELS", "create", "Channel", "Parsed", "Rejected"]
