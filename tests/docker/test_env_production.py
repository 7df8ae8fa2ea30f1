"""docker/env.production names every variable that there is, and cannot drift from what the code reads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from dotenv import dotenv_values

from chatbot import channels
from chatbot.errors import ConfigurationError
from chatbot.operations.doctor.secrets import ENDINGS
from chatbot.settings import PREFIX, Settings, read
from tests.docker import env_production
from tests.docker.env_production import CHANNEL_SECRETS, CHANNELS, FILE, GROUPS, OF_COMPOSE, OF_DEPLOYMENT, SECRETS

ROOT = Path(__file__).parents[2]


class Recording(Mapping[str, str]):
    """Settings of a channel of which none is given, but which notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def test_the_file_is_what_the_settings_say() -> None:
    """To renew it: python -m tests.docker.env_production"""
    assert FILE.read_text() == env_production.text()


def test_every_setting_is_in_exactly_one_group() -> None:
    named = [name for group in GROUPS for name in group.settings] + [*OF_COMPOSE, *SECRETS]
    assert sorted(named) == sorted(Settings.model_fields)


def test_every_secret_is_a_file_and_no_variable() -> None:
    ours = {PREFIX + name.upper() for name in Settings.model_fields}
    secret = {name for name in ours if name.endswith((*ENDINGS, "_KEY"))}
    assert {PREFIX + name.upper() for name in SECRETS} == secret
    assert not [name for name in dotenv_values(FILE) if name.endswith((*ENDINGS, "_KEY"))]


@pytest.mark.parametrize("channel", sorted(channels.CHANNELS))
def test_every_variable_of_a_channel_is_there(channel: str) -> None:
    options = Recording()
    with suppress(ConfigurationError):
        channels.create(channel, options)
    assert options.asked == {*CHANNELS[channel], *CHANNEL_SECRETS[channel]}


def test_what_the_compose_files_put_in_is_there() -> None:
    paths = [*ROOT.glob("compose.*.yml"), *(ROOT / "docker").glob("*.yml"), ROOT / "docker" / "caddy" / "Caddyfile"]
    put_in = {name for path in paths for name in re.findall(r"(?:\$\{|\{\$)(CHATBOT_\w+)", path.read_text())}
    assert put_in == set(OF_DEPLOYMENT)


def test_the_file_as_it_is_can_be_read_by_the_service() -> None:
    given = {name: value for name, value in dotenv_values(FILE).items() if value is not None}
    settings = read({**given, "CHATBOT_STORE_URL": "redis://store/0", "CHATBOT_BROKER_URL": "redis://store/1"})
    assert settings.responder == "echo"


def test_the_defaults_that_it_shows_are_the_defaults() -> None:
    shown = dict(re.findall(r"^#?(CHATBOT_\w+)=(.*)$", FILE.read_text(), re.M))
    urls = {"CHATBOT_STORE_URL": "redis://store/0", "CHATBOT_BROKER_URL": "redis://store/1"}
    assert read({**urls, **shown}) == read(urls)
