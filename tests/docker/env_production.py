"""Writes docker/env.production: every variable there is, in groups, with a sentence each.

The variables, their defaults and their sentences are those of `Settings`; only what is no setting has its own here.
To renew the file: python -m tests.docker.env_production
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from chatbot.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker" / "env.production"

HEAD = """\
# Settings of a deployment: copy this file to docker/.env and change it there.
# What has no # before it is for you to decide; the rest are the defaults.
# Secrets are no variables but files in docker/secrets/: docker/README.md lists them.
# Renewed from the settings by: python -m tests.docker.env_production
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Settings that are decided together. `decided` are those that a deployment has to think of."""

    title: str
    settings: tuple[str, ...]
    decided: tuple[str, ...] = ()


GROUPS = (
    Group(title="What answers, and where", settings=("responder", "channels"), decided=("responder", "channels")),
    Group(title="Bursts", settings=("debounce_wait_ms", "debounce_max_wait_ms", "debounce_max_messages")),
    Group(
        title="Turns, replies and what is remembered",
        settings=(
            "message_ttl_s", "turn_ttl_s", "turn_attempts", "responder_timeout_s", "delivery", "delivery_attempts",
            "history_messages", "history_ttl_s",
        ),
    ),
    Group(title="OpenAI", settings=("openai_base_url", "openai_system_prompt")),
    Group(
        title="Store and broker",
        settings=("namespace", "store_partitions", "store_replicas", "rabbitmq_queues", "republish_after_ms"),
    ),
    Group(title="The pages", settings=("admin_user", "admin_proxy_header", "admin_proxy_ips", "playground")),
    Group(title="The clock", settings=("timezone", "catch_up", "catch_up_horizon_s"), decided=("timezone",)),
    Group(title="The log, and traces", settings=("log_level", "log_format", "log_messages", "otel_endpoint")),
)  # fmt: skip

#: The compose files say these: which servers there are, and where metrics are told.
OF_COMPOSE = ("store_url", "broker_url", "rabbitmq_management_url", "metrics_port", "metrics_host")
#: Settings that are secret, by the file that holds each.
SECRETS = {
    "admin_password": "admin_password",
    "store_password": "store_password",
    "broker_password": "rabbitmq_password",
    "openai_api_key": "openai_api_key",
}

#: What no process of ours reads: the value to begin with, and a sentence.
OF_DEPLOYMENT = {
    "CHATBOT_DOMAIN": (
        ":80",
        "The host's name in the DNS, such as bot.example.com: Caddy gets its certificate; `:80` is plain HTTP.",
    ),
    "CHATBOT_HTTP_PORT": ("80", "The port of the host for HTTP, which certificates are got through, too."),
    "CHATBOT_HTTPS_PORT": ("443", "The port of the host for HTTPS."),
    "CHATBOT_DASHBOARD_PORT": ("5555", "The port of the host's loopback where console and dashboard are."),
    "CHATBOT_TAG": ("latest", "Which of the images that were built is run."),
}
DECIDED = ("CHATBOT_DOMAIN",)

#: Per channel, what is no secret (the value to begin with, and a sentence), and what is one (a sentence).
CHANNELS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "generic": {
        "outbound_url": ("", "The URL that takes the replies."),
        "timeout_s": ("10", "Time limit of sending one reply."),
        "resend_horizon_s": ("86400", "For how long the sender may send a webhook again."),
    },
    "whatsapp": {
        "phone_number_id": ("", "Messages to other numbers of the Meta app than this one are left alone."),
        "graph_url": ("https://graph.facebook.com/v23.0", "Meta's API."),
        "timeout_s": ("10", "Time limit of sending one reply."),
    },
}
CHANNEL_SECRETS: Mapping[str, Mapping[str, str]] = {
    "generic": {"secret": "What webhooks and replies are signed with: whsec_ and the base64 of 24 to 64 random bytes."},
    "whatsapp": {
        "app_secret": "What Meta signs webhooks with.",
        "verify_token": "What Meta says at the handshake.",
        "access_token": "What sends replies.",
    },
}
#: Without it the channel, which there is unless you say otherwise, does not start.
NEEDED = ("CHATBOT_GENERIC_OUTBOUND_URL",)


def text() -> str:
    """Return the file."""
    return "\n".join([HEAD, *_blocks()])


def _blocks() -> Iterator[str]:
    yield _block("The deployment", (_entry(n, v, s, n in DECIDED) for n, (v, s) in OF_DEPLOYMENT.items()))
    for group in GROUPS:
        yield _block(group.title, (_setting(name, name in group.decided) for name in group.settings))
    for channel, options in CHANNELS.items():
        named = {f"{PREFIX}{channel}_{option}".upper(): known for option, known in options.items()}
        yield _block(f"The channel {channel}", (_entry(n, v, s, n in NEEDED) for n, (v, s) in named.items()))
    yield _block("Secrets: each is a file in docker/secrets/, not a variable", _secrets())
    yield _block("What the compose files say themselves", (_fixed(name) for name in OF_COMPOSE))


def _block(title: str, entries: Iterable[str]) -> str:
    return f"# --- {title} ---\n" + "".join(entries)


def _setting(name: str, decided: bool) -> str:
    default = Settings.model_fields[name].default
    value = ",".join(default) if isinstance(default, tuple) else "" if default is None else str(default)
    return _entry(PREFIX + name.upper(), value.lower() if isinstance(default, bool) else value, _words(name), decided)


def _entry(name: str, value: str, sentence: str, decided: bool) -> str:
    return f"# {sentence}\n{'' if decided else '#'}{name}={value}\n"


def _secrets() -> Iterator[str]:
    for name, file in SECRETS.items():
        yield f"# {PREFIX}{name.upper()}, in {file}: {_words(name)}\n"
    for channel, secrets in CHANNEL_SECRETS.items():
        for name, sentence in secrets.items():
            yield f"# {PREFIX}{channel.upper()}_{name.upper()}, in {channel}_{name}: {sentence}\n"


def _fixed(name: str) -> str:
    return f"# {PREFIX}{name.upper()}: {_words(name)}\n"


def _words(name: str) -> str:
    return str(Settings.model_fields[name].description).replace("`", "")


if __name__ == "__main__":
    FILE.write_text(text())
