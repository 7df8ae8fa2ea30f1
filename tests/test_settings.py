"""Settings: one error lists every bad value, and nothing is guessed that must be known."""

from __future__ import annotations

from pathlib import Path

import pytest

from chatbot.errors import ConfigurationError
from chatbot.settings import channel_options, environment, read

GOOD = {"CHATBOT_BROKER_URL": "redis://127.0.0.1/0", "CHATBOT_STORE_URL": "redis://127.0.0.1/1"}


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = read(GOOD)
    assert (settings.debounce_wait_ms, settings.debounce_max_wait_ms, settings.debounce_max_messages) == (
        2000,
        10000,
        50,
    )
    assert (settings.message_ttl_s, settings.turn_ttl_s, settings.responder) == (86_400, 3_600, "echo")
    assert settings.channels == ("generic",)


def test_every_problem_is_named_with_its_variable() -> None:
    with pytest.raises(ConfigurationError) as caught:
        read({"CHATBOT_DEBOUNCE_WAIT_MS": "soon", "CHATBOT_TURN_TTL_S": "0", "CHATBOT_DELIVERY": "twice"})
    assert [problem.split()[0].rstrip(":") for problem in caught.value.problems] == [
        "CHATBOT_BROKER_URL", "CHATBOT_STORE_URL", "CHATBOT_DEBOUNCE_WAIT_MS", "CHATBOT_TURN_TTL_S", "CHATBOT_DELIVERY",
    ]  # fmt: skip
    assert "for example redis://" in caught.value.problems[0]


def test_a_max_wait_below_the_wait_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="CHATBOT_DEBOUNCE_MAX_WAIT_MS must be at least"):
        read({**GOOD, "CHATBOT_DEBOUNCE_WAIT_MS": "5000", "CHATBOT_DEBOUNCE_MAX_WAIT_MS": "1000"})


def test_an_empty_variable_is_as_good_as_none() -> None:
    assert read({**GOOD, "CHATBOT_RESPONDER": ""}).responder == "echo"


def test_channels_are_a_list() -> None:
    assert read({**GOOD, "CHATBOT_CHANNELS": "generic, mine=my.module:make"}).channels == (
        "generic",
        "mine=my.module:make",
    )


def test_the_environment_wins_over_the_env_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("CHATBOT_RESPONDER=echo\nCHATBOT_STORE_URL=redis://file/0\nOTHER=1\n")
    variables = environment({"CHATBOT_STORE_URL": "redis://env/0", "PATH": "/bin"}, file)
    assert variables == {"CHATBOT_RESPONDER": "echo", "CHATBOT_STORE_URL": "redis://env/0"}


def test_a_channel_gets_its_own_variables() -> None:
    variables = {"CHATBOT_MY_CHANNEL_SECRET": "s", "CHATBOT_GENERIC_SECRET": "other"}
    assert channel_options(variables, "my-channel") == {"secret": "s"}
