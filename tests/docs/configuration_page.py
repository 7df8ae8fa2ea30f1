"""The reference of all variables, made from the settings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

import annotated_types
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from chatbot.settings import PREFIX, Network, Settings
from tests.docs.markdown import DOCS

PAGE = DOCS / "configuration.md"
MARKS = "<!-- settings -->\n", "<!-- /settings -->"

#: Which settings belong together, in the order in which one meets them.
GROUPS: Mapping[str, Sequence[str]] = {
    "Store and broker": (
        "store_url", "store_password", "store_partitions", "store_replicas", "namespace",
        "broker_url", "broker_password", "rabbitmq_queues", "rabbitmq_management_url", "republish_after_ms",
    ),
    "Channels and responder": (
        "channels", "responder", "responder_timeout_s", "history_messages", "history_ttl_s",
        "openai_api_key", "openai_base_url", "openai_system_prompt",
    ),
    "Guarantees": (
        "debounce_wait_ms", "debounce_max_wait_ms", "debounce_max_messages", "message_ttl_s", "turn_ttl_s",
        "turn_attempts", "delivery", "delivery_attempts",
    ),
    "Pages and their login": (
        "admin_user", "admin_password", "admin_proxy_header", "admin_proxy_ips", "playground",
    ),
    "Periodic work": ("timezone", "catch_up", "catch_up_horizon_s"),
    "Metrics, logs and traces": (
        "metrics_port", "metrics_host", "log_level", "log_format", "log_messages", "otel_endpoint",
    ),
}  # fmt: skip

#: Values that somebody might choose instead of the default; each is valid.
EXAMPLES: Mapping[str, str] = {
    "store_url": "redis://store.example.com:6379/0",
    "store_password": "a-long-password",
    "broker_password": "another-long-password",
    "openai_api_key": "sk-...",
    "openai_base_url": "http://127.0.0.1:11434/v1",
    "openai_system_prompt": "You answer for a flower shop.",
    "store_partitions": "64",
    "store_replicas": "1",
    "namespace": "staging",
    "broker_url": "amqp://user@rabbitmq.example.com:5672",
    "rabbitmq_queues": "classic",
    "rabbitmq_management_url": "http://user@rabbitmq.example.com:15672",
    "republish_after_ms": "60000",
    "channels": "generic,whatsapp",
    "responder": "https://bot.example.com/turns",
    "responder_timeout_s": "20",
    "history_messages": "50",
    "history_ttl_s": "604800",
    "debounce_wait_ms": "3000",
    "debounce_max_wait_ms": "15000",
    "debounce_max_messages": "20",
    "message_ttl_s": "172800",
    "turn_ttl_s": "7200",
    "turn_attempts": "3",
    "delivery": "at_most_once",
    "delivery_attempts": "5",
    "admin_user": "ada",
    "admin_password": "a long passphrase",
    "admin_proxy_header": "X-Forwarded-User",
    "admin_proxy_ips": "10.0.0.0/8,192.0.2.7",
    "playground": "true",
    "timezone": "Europe/Paris",
    "catch_up": "all",
    "catch_up_horizon_s": "7200",
    "metrics_port": "9100",
    "metrics_host": "0.0.0.0",
    "log_level": "debug",
    "log_format": "json",
    "log_messages": "true",
    "otel_endpoint": "http://127.0.0.1:4318",
}


def reference() -> str:
    """Return one table a group."""
    return "\n".join(f"## {title}\n\n{_table(names)}\n" for title, names in GROUPS.items())


def _table(names: Sequence[str]) -> str:
    rows = ["| variable | type | default | meaning | example |", "|---|---|---|---|---|"]
    for name in names:
        one = Settings.model_fields[name]
        cells = (f"`{PREFIX}{name.upper()}`", kind(one), _default(one), one.description or "", f"`{EXAMPLES[name]}`")
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _default(one: FieldInfo) -> str:
    if one.is_required():
        return "required"
    value = ",".join(one.default) if isinstance(one.default, tuple) else one.default
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return "" if value is None or value == "" else f"`{value}`"


def kind(one: FieldInfo) -> str:
    """Return what a value must be, in words."""
    plain, limits = _plain(one.annotation, list(one.metadata))
    if get_origin(plain) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(plain))
    if get_origin(plain) is tuple:
        return "networks, comma-separated" if get_args(plain)[0] is Network else "list, comma-separated"
    words = {int: "whole number", float: "number", bool: "`true` or `false`", SecretStr: "secret", str: "text"}[plain]
    return " ".join([words, *_limits(limits)])


def _plain(annotation: Any, metadata: list[Any]) -> tuple[Any, list[Any]]:
    """Return a type without its limits and without None, and the limits."""
    for part in get_args(annotation):
        if part is type(None):
            rest = next(arg for arg in get_args(annotation) if arg is not part)
            return _plain(rest, metadata)
    if hasattr(annotation, "__metadata__"):
        more = [limit for extra in annotation.__metadata__ for limit in getattr(extra, "metadata", [extra])]
        return _plain(annotation.__origin__, metadata + more)
    return annotation, metadata


def _limits(limits: Sequence[Any]) -> list[str]:
    low = next((limit.ge for limit in limits if isinstance(limit, annotated_types.Ge)), None)
    high = next((limit.le for limit in limits if isinstance(limit, annotated_types.Le)), None)
    above = next((limit.gt for limit in limits if isinstance(limit, annotated_types.Gt)), None)
    if above is not None:
        return [f"above {above}"]
    if low is not None and high is not None:
        return [f"{low} to {high}"]
    return [f"from {low}"] if low is not None else []


def sections(page: str) -> list[str]:
    """Return the variables that a page's tables name."""
    return re.findall(r"^\| `(CHATBOT_\w+)` \|", page, re.MULTILINE)
