"""The configuration: `CHATBOT_*` variables of the environment, and of a `.env` file for what that leaves open.

`CHATBOT_X_FILE` names a file that holds `CHATBOT_X`, whichever variable that is: so secrets of containers stay files.
One error lists every bad value. Reading it is a call, never an import.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote, urlsplit

from dotenv import dotenv_values
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from chatbot.errors import ConfigurationError

PREFIX = "CHATBOT_"
#: The end of a variable that names a file.
OF_FILE = "_FILE"

Positive = Annotated[int, Field(gt=0)]
Network = IPvAnyNetwork


class Settings(BaseModel):
    """What a deployment chooses. Each field is the variable `CHATBOT_<NAME>`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    broker_url: str = Field(description="The broker: `redis://`, `rediss://`, `unix://`, `amqp://`, `amqps://`.")
    store_url: str = Field(
        description="The store, which is the ledger: `redis://`, `rediss://`, `unix://`, `redis+sentinel://`, "
        "`redis+cluster://`, `rediss+cluster://`."
    )
    store_password: SecretStr | None = Field(
        None, description="The password of the store, where `CHATBOT_STORE_URL` has none."
    )
    broker_password: SecretStr | None = Field(
        None,
        description="The password of the broker, where `CHATBOT_BROKER_URL` or `CHATBOT_RABBITMQ_MANAGEMENT_URL` has "
        "none.",
    )
    store_partitions: Annotated[int, Field(ge=1, le=4_096)] | None = Field(
        None, description="Into how many partitions the store is cut, for good: 64 on a cluster, else 1."
    )
    store_replicas: Annotated[int, Field(ge=0)] = Field(
        0, description="What is accepted is answered when so many replicas of the store have it."
    )
    responder: str = Field(
        "echo", description="`echo`, an `http(s)://` URL, `openai:MODEL` (the extra `openai`), or `module:callable`."
    )
    channels: tuple[str, ...] = Field(("generic",), description="Comma-separated: names, or `name=module:factory`.")
    namespace: str = Field("chatbot", pattern=r"^[A-Za-z0-9._-]+$", description="First part of every key in the store.")
    debounce_wait_ms: Annotated[int, Field(ge=0)] = Field(2_000, description="Quiet time that ends a burst.")
    debounce_max_wait_ms: Annotated[int, Field(ge=0)] = Field(
        10_000, description="A burst is answered after this long."
    )
    debounce_max_messages: Annotated[int, Field(ge=1, le=1_000)] = Field(
        50, description="So many are answered at once."
    )
    message_ttl_s: Positive = Field(86_400, description="How long the id of an answered message is remembered.")
    turn_ttl_s: Positive = Field(3_600, description="How long the result of a turn is remembered.")
    turn_attempts: Positive = Field(5, description="How often a failing turn is tried before it is bisected or buried.")
    delivery: Literal["at_least_once", "at_most_once"] = Field(
        "at_least_once", description="Whether a reply whose delivery is unknown is sent again."
    )
    delivery_attempts: Positive = Field(10, description="How often a reply is tried before it is a dead letter.")
    history_messages: Annotated[int, Field(ge=0, le=200)] = Field(20, description="Lines of history a responder gets.")
    history_ttl_s: Positive = Field(2_592_000, description="How long a quiet conversation's history is kept.")
    republish_after_ms: Annotated[int, Field(ge=500)] = Field(
        30_000, description="A turn that a worker did not begin by then may be lost in the broker."
    )
    responder_timeout_s: Annotated[float, Field(gt=0)] = Field(60.0, description="Time limit of one responder call.")
    openai_api_key: SecretStr | None = Field(
        None, description="The key of `openai:MODEL`; a server of yours may need none."
    )
    openai_base_url: str = Field(
        "https://api.openai.com/v1",
        pattern=r"^https?://.+$",
        description="Any API that speaks OpenAI's chat completions.",
    )
    openai_system_prompt: str = Field("", description="What the model is told before every conversation.")
    rabbitmq_queues: Literal["quorum", "classic"] = Field("quorum", description="The type of RabbitMQ's queues.")
    rabbitmq_management_url: str = Field(
        "",
        pattern=r"^(https?://.*)?$",
        description="RabbitMQ's management API, for the dashboard, such as `http://user:password@127.0.0.1:15672`.",
    )
    admin_user: str = Field("admin", min_length=1, description="Who may log in to the pages.")
    admin_password: SecretStr | None = Field(None, description="The password, or its argon2 hash; `web` needs one.")
    admin_proxy_header: str = Field("", description="The header in which a trusted proxy names whom it has logged in.")
    admin_proxy_ips: tuple[Network, ...] = Field(
        (), description="Comma-separated: addresses or networks of proxies that are believed."
    )
    playground: bool = Field(False, description="Whether the console has a playground; in `chatbot dev` it always has.")
    timezone: str = Field("UTC", description="Where the times of periodic work are read, such as `Europe/Paris`.")
    catch_up: Literal["latest", "all"] = Field("latest", description="Which missed ticks of periodic work are made up.")
    catch_up_horizon_s: Annotated[int, Field(ge=60)] = Field(
        3_600, description="A tick that was missed for longer than this is not made up."
    )
    metrics_port: Annotated[int, Field(ge=1, le=65_535)] | None = Field(
        None, description="Where workers tell their metrics; the web process does at `/metrics`."
    )
    metrics_host: str = Field("127.0.0.1", description="The address of that port.")
    otel_endpoint: str = Field(
        "",
        pattern=r"^(https?://.+)?$",
        description="Where traces go, by OTLP over HTTP, such as `http://127.0.0.1:4318` (the extra `otel`).",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="How much is logged.")
    log_format: Literal["auto", "json", "pretty"] = Field(
        "auto", description="`pretty` is for people; `auto` is that on a terminal and in `chatbot dev`, else `json`."
    )
    log_messages: bool = Field(
        False, description="Whether texts of messages, and what errors say, may be in the log; in `chatbot dev`, yes."
    )

    @field_validator("rabbitmq_management_url")
    @classmethod
    def _is_a_url(cls, given: str) -> str:
        try:
            urlsplit(given)
        except ValueError:
            raise ValueError("is no URL") from None
        return given

    @model_validator(mode="after")
    def _max_wait_is_not_shorter(self) -> Settings:
        if self.debounce_max_wait_ms < self.debounce_wait_ms:
            raise ValueError("CHATBOT_DEBOUNCE_MAX_WAIT_MS must be at least CHATBOT_DEBOUNCE_WAIT_MS")
        return self


def environment(base: Mapping[str, str] | None = None, dotenv: Path | None = None) -> dict[str, str]:
    """Return the `CHATBOT_*` variables of `.env` (in this folder) and of the environment, which wins, with what the
    files hold that some of them name. Raises ConfigurationError, which lists every file that cannot be read."""
    problems: list[str] = []
    file = _with_files(dotenv_values(dotenv or Path(".env")), problems)
    merged = file | _with_files(os.environ if base is None else base, problems)
    if problems:
        raise ConfigurationError(problems)
    return merged


def _with_files(given: Mapping[str, str | None], problems: list[str]) -> dict[str, str]:
    """Return our variables, and in the place of each that names a file what is in it."""
    ours = {name: value for name, value in given.items() if name.startswith(PREFIX) and value is not None}
    named = {name: path for name, path in ours.items() if name.endswith(OF_FILE)}
    found = {name: value for name, value in ours.items() if name not in named}
    for name, path in named.items():
        variable = name.removesuffix(OF_FILE)
        if path and found.get(variable):
            problems.append(f"{variable} and {name} are both set: leave one of them out")
        elif path:
            found[variable] = _content(name, Path(path), problems)
    return found


def _content(name: str, path: Path, problems: list[str]) -> str:
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")  # an editor ends the last line
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is no text"
        problems.append(f"{name}: {path} cannot be read: {why}")
        return ""


def read(variables: Mapping[str, str]) -> Settings:
    """Return the settings that `CHATBOT_*` variables make. Raises ConfigurationError, which lists every bad value."""
    values: dict[str, object] = {
        name: variables[PREFIX + name.upper()] for name in Settings.model_fields if variables.get(PREFIX + name.upper())
    }
    for name in ("channels", "admin_proxy_ips"):
        if isinstance(listed := values.get(name), str):
            values[name] = tuple(part.strip() for part in listed.split(",") if part.strip())
    try:
        return _authenticated(Settings.model_validate(values))
    except ValidationError as exc:
        raise ConfigurationError(
            [_problem(error["loc"], error["msg"], error["type"]) for error in exc.errors()]
        ) from None


def _authenticated(chosen: Settings) -> Settings:
    """Put the passwords that were given apart into the URLs."""
    passwords = {
        "store_url": chosen.store_password,
        "broker_url": chosen.broker_password,
        "rabbitmq_management_url": chosen.broker_password,
    }
    completed = {
        name: with_password(getattr(chosen, name), password.get_secret_value())
        for name, password in passwords.items()
        if password is not None
    }
    return chosen.model_copy(update=completed)


def with_password(url: str, password: str) -> str:
    """Return a URL, or several between `;`, with a password where there is none: `redis://host`, `amqp://user@host`."""
    return ";".join(_NO_PASSWORD.sub(rf"\1\2:{quote(password, safe='')}@", one) for one in url.split(";"))


def channel_options(variables: Mapping[str, str], channel: str) -> dict[str, str]:
    """Return a channel's own variables, `CHATBOT_<CHANNEL>_*`, by their lower-case rest."""
    prefix = f"{PREFIX}{channel.upper().replace('-', '_')}_"
    return {name[len(prefix) :].lower(): value for name, value in variables.items() if name.startswith(prefix)}


def table() -> str:
    """Return the reference of all settings as a Markdown table."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = ",".join(field.default) if isinstance(field.default, tuple) else field.default
        shown = "required" if field.is_required() else f"`{default}`" if default else ""
        rows.append(f"| `{PREFIX}{name.upper()}` | {shown} | {field.description} |")
    return "\n".join(rows)


#: The scheme and the user of a URL without a password; what comes after `?` may hold an `@` of its own.
_NO_PASSWORD = re.compile(r"^(\s*[a-z][a-z0-9+.-]*://)(?:([^:@/?]*)@)?(?![^/?]*@)")

_CURES = {
    "broker_url": "for example redis://127.0.0.1:6379/0 or amqp://guest:guest@127.0.0.1:5672",
    "store_url": "for example redis://127.0.0.1:6379/1",
}


def _problem(where: tuple[int | str, ...], message: str, kind: str) -> str:
    message = message.removeprefix("Value error, ")
    if not where:
        return message
    name = str(where[0])
    if kind == "missing":
        return f"{PREFIX}{name.upper()} is missing: set it, {_CURES.get(name, '')}"
    return f"{PREFIX}{name.upper()}: {message}"
