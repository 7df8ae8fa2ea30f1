"""The reference of all variables is the settings, and its examples can be used."""

from __future__ import annotations

import re

import pytest

from chatbot import settings
from chatbot.channels import CHANNELS
from chatbot.errors import ConfigurationError
from chatbot.importing import load
from chatbot.settings import PREFIX, Settings
from tests.docs.configuration_page import EXAMPLES, GROUPS, MARKS, PAGE, kind, reference, sections
from tests.docs.known import variables

NEEDED = {"CHATBOT_BROKER_URL": "redis://h", "CHATBOT_STORE_URL": "redis://h"}


def test_the_page_is_the_settings() -> None:
    """To renew it: python -m tests.docs.test_configuration_page"""
    assert reference() in PAGE.read_text()


def test_every_setting_is_in_one_group() -> None:
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(Settings.model_fields)


def test_every_variable_of_the_channels_is_there() -> None:
    asked = {name for name in variables() if re.match(f"{PREFIX}({'|'.join(CHANNELS).upper()})_", name)}
    asked = {name for name in asked if not name.endswith("_FILE")}
    assert asked <= set(sections(PAGE.read_text()))
    assert asked


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_a_value_that_is_not_the_default(name: str) -> None:
    others = {"CHATBOT_DEBOUNCE_MAX_WAIT_MS": "15000"} if name == "debounce_wait_ms" else {}
    read = settings.read({**NEEDED, **others, PREFIX + name.upper(): EXAMPLES[name]})
    assert getattr(read, name) != Settings.model_fields[name].default


@pytest.mark.parametrize("channel", CHANNELS)
def test_examples_of_a_channel_are_taken(channel: str) -> None:
    rows = re.findall(rf"^\| `CHATBOT_{channel.upper()}_(\w+)` \|.*\| `([^`]+)` \|$", PAGE.read_text(), re.MULTILINE)
    assert rows
    load(CHANNELS[channel])(channel, {name.lower(): example for name, example in rows}).close()


def test_limits_are_those_of_the_settings() -> None:
    told = {name: kind(one) for name, one in Settings.model_fields.items()}
    assert told["debounce_max_messages"] == "whole number 1 to 1000"
    assert told["message_ttl_s"] == "whole number above 0"
    assert told["store_replicas"] == "whole number from 0"
    assert told["delivery"] == "`at_least_once`, `at_most_once`"
    for value in ("0", "1001"):
        with pytest.raises(ConfigurationError):
            settings.read({**NEEDED, "CHATBOT_DEBOUNCE_MAX_MESSAGES": value})


if __name__ == "__main__":
    before, rest = PAGE.read_text().split(MARKS[0])
    PAGE.write_text(before + MARKS[0] + reference() + MARKS[1] + rest.split(MARKS[1])[1])
