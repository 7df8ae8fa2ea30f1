"""A responder is chosen by name, URL or module:callable, and a bad choice says how to mend it."""

from __future__ import annotations

import pytest

from chatbot.errors import ConfigurationError
from chatbot.responders import create
from chatbot.responders.echo import Echo
from chatbot.responders.http import Http
from chatbot.responders.python import Python
from tests.responders.turns import turn


def greet(request: object) -> str:
    return "hello"


not_callable = 42


@pytest.mark.parametrize(
    ("spec", "kind"),
    [("echo", Echo), (" echo ", Echo), ("http://127.0.0.1:1/x", Http), ("HTTPS://bot.example/reply", Http)],
)
def test_a_name_or_a_url_chooses_a_responder(spec, kind):
    responder = create(spec, {"timeout": 3.0})
    assert type(responder) is kind
    responder.close()


def test_module_and_callable_choose_a_function():
    responder = create(f"{__name__}:greet", {})
    assert isinstance(responder, Python)
    assert [draft.text for draft in responder.respond(turn())] == ["hello"]


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("", "names no responder"),
        ("ecco", "'ecco' names no responder"),
        ("no_such_module:respond", "no module 'no_such_module'"),
        (f"{__name__}:gret", "no attribute 'gret'"),
        (f"{__name__}:not_callable", "is a int, which cannot be called"),
        ("localhost:9000/reply", "no module 'localhost'"),
        ("http://", "has no host"),
        ("http://bot.example:port/", "not a URL"),
        (":", "module:attribute"),
    ],
)
def test_a_bad_choice_names_the_variable_the_reason_and_what_is_allowed(spec, why):
    with pytest.raises(ConfigurationError) as caught:
        create(spec, {})
    said = str(caught.value)
    assert why in said
    for part in ("CHATBOT_RESPONDER", "echo", "http(s)://", "module:callable"):
        assert part in said


def test_a_broken_module_of_the_user_shows_its_own_error(tmp_path, monkeypatch):
    (tmp_path / "broken_replies.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ZeroDivisionError):
        create("broken_replies:respond", {})
