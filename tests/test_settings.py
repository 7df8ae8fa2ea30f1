"""Settings: one error lists every bad value, and nothing is guessed that must be known."""

from __future__ import annotations

from pathlib import Path

import pytest

from chatbot.errors import ConfigurationError
from chatbot.settings import channel_options, environment, read, with_password

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


def test_a_variable_may_be_what_is_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("pass word \n")
    variables = environment({"CHATBOT_GENERIC_SECRET_FILE": str(tmp_path / "secret")}, tmp_path / "none")
    assert variables == {"CHATBOT_GENERIC_SECRET": "pass word "}


def test_an_empty_file_is_as_good_as_none(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("\n")
    variables = environment({"CHATBOT_STORE_PASSWORD_FILE": str(tmp_path / "secret")}, tmp_path / "none")
    assert read({**GOOD, **variables}).store_password is None


def test_every_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    given = {"CHATBOT_A_TOKEN_FILE": f"{tmp_path}/gone", "CHATBOT_B_TOKEN_FILE": f"{tmp_path}/bytes"}
    with pytest.raises(ConfigurationError) as caught:
        environment(given, tmp_path / "none")
    assert caught.value.problems == [
        f"CHATBOT_A_TOKEN_FILE: {tmp_path}/gone cannot be read: No such file or directory",
        f"CHATBOT_B_TOKEN_FILE: {tmp_path}/bytes cannot be read: it is no text",
    ]


def test_a_variable_and_its_file_are_not_both_given(tmp_path: Path) -> None:
    given = {"CHATBOT_ADMIN_PASSWORD": "one", "CHATBOT_ADMIN_PASSWORD_FILE": "/another"}
    with pytest.raises(ConfigurationError, match="CHATBOT_ADMIN_PASSWORD_FILE are both set"):
        environment(given, tmp_path / "none")


def test_a_file_of_the_environment_wins_over_the_env_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("CHATBOT_ADMIN_PASSWORD=of-the-env-file\n")
    (tmp_path / "secret").write_text("of-the-secret\n")
    given = {"CHATBOT_ADMIN_PASSWORD_FILE": str(tmp_path / "secret")}
    assert environment(given, tmp_path / ".env") == {"CHATBOT_ADMIN_PASSWORD": "of-the-secret"}


def test_passwords_that_were_given_apart_are_put_into_the_urls() -> None:
    settings = read(
        {
            "CHATBOT_STORE_URL": "redis://store:6379/0",
            "CHATBOT_STORE_PASSWORD": "a/b@c:d\\1",
            "CHATBOT_BROKER_URL": "amqp://chatbot@one:5672;amqp://chatbot@two:5672",
            "CHATBOT_RABBITMQ_MANAGEMENT_URL": "http://chatbot@one:15672",
            "CHATBOT_BROKER_PASSWORD": "pw",
        }
    )
    assert settings.store_url == "redis://:a%2Fb%40c%3Ad%5C1@store:6379/0"
    assert settings.broker_url == "amqp://chatbot:pw@one:5672;amqp://chatbot:pw@two:5672"
    assert settings.rabbitmq_management_url == "http://chatbot:pw@one:15672"


def test_a_management_url_that_is_none_is_told_before_a_page_is_looked_at() -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(GOOD | {"CHATBOT_RABBITMQ_MANAGEMENT_URL": "http://[::1:15672"})
    assert caught.value.problems == ["CHATBOT_RABBITMQ_MANAGEMENT_URL: is no URL"]


@pytest.mark.parametrize(
    "url", ["redis://:own@store/0", "amqp://u:own@h/?ssl_options={'cafile': '/a@b'}", "my.module:create"]
)
def test_a_url_that_has_a_password_keeps_it(url: str) -> None:
    assert with_password(url, "other") == url
