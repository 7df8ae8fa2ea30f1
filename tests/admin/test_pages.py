"""What every page keeps: headers, masks, and the log of who looked."""

from __future__ import annotations

import logging
import re

import pytest

from chatbot.admin.pages import environment
from chatbot.admin.personal import SHOWN_FOR, masked
from tests.admin.conftest import Browse, House


@pytest.mark.parametrize("path", ["/", "/login", "/below/home", "/static/admin/style.css", "/nowhere-below"])
def test_every_answer_tells_browsers_what_to_refuse(browse: Browse, path: str) -> None:
    browser = browse()
    browser.log_in()
    answer = browser.get(path)
    if path == "/nowhere-below":  # not a page of ours
        assert answer.status_code == 404
        return
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert ("no-store" in answer.headers["cache-control"]) == (not path.startswith("/static"))


def test_no_template_has_what_the_policy_refuses() -> None:
    templates = environment()
    for name in templates.list_templates(extensions=["html"]):
        source, *_ = templates.loader.get_source(templates, name)
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon[a-z]+=|javascript:", source), name


def test_what_is_masked_tells_nobodys_name() -> None:
    assert (masked("Maria"), masked("+5511987654321"), masked("I am Maria")) == ("•••", "•••321", "•••")


def test_personal_data_is_masked_until_somebody_asks(
    browse: Browse, house: House, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "chatbot.admin")
    browser = browse()
    browser.log_in()
    assert browser.get("/person").text == "•••"
    assert "shown" not in caplog.text
    answer = browser.submit("/personal-data", "/", show="1", next="/person")
    assert (answer.status_code, answer.headers["location"]) == (303, "/person")
    assert "admin asked to see personal data" in caplog.text
    assert browser.get("/person").text == "Maria"
    assert caplog.text.count("personal data of the person was shown to admin") == 1
    assert "each look is logged" in browser.get("/").text
    browser.submit("/personal-data", "/", show="0", next="/person")
    assert browser.get("/person").text == "•••"


def test_what_somebody_looked_at_cannot_forge_the_log(browse: Browse, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "chatbot.admin")
    browser = browse()
    browser.log_in()
    browser.submit("/personal-data", "/", show="1", next="/")
    browser.get("/person?of=x%0Apersonal data of nobody was shown to root")
    assert "personal data of 'x\\npersonal data" in caplog.text


def test_the_wish_to_see_personal_data_ends_by_itself(browse: Browse, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    browser = browse()
    browser.log_in()
    browser.submit("/personal-data", "/", show="1", next="/")
    later = time.time() + SHOWN_FOR + 1
    monkeypatch.setattr("chatbot.admin.personal.time.time", lambda: later)
    assert browser.get("/person").text == "•••"
