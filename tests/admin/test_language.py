"""Which language a page is in: what somebody chose, else what their browser asks for, else English."""

from __future__ import annotations

import pytest

from chatbot.admin.language import preferred
from tests.admin.conftest import Browse, House

PORTUGUESE = {"accept_language": "pt-BR,pt;q=0.9,en;q=0.8"}


@pytest.mark.parametrize(
    ("accepted", "code"),
    [
        ("", "en"), ("pt", "pt-BR"), ("pt-BR", "pt-BR"), ("PT-pt", "pt-BR"), ("fr", "en"), ("en", "en"), ("*", "en"),
        ("pt-BR,pt;q=0.9,en;q=0.8", "pt-BR"), ("en-US,en;q=0.9,pt;q=0.8", "en"), ("en;q=0.3,pt;q=0.4", "pt-BR"),
        ("fr,pt;q=0.5", "pt-BR"), ("pt;q=0", "en"), ("pt;q=0,en;q=0", "en"), ("pt,en", "pt-BR"), ("en,pt", "en"),
        ("pt ; Q=0.7 , *;q=0.2", "pt-BR"), ("ptx", "en"), ("pt_BR", "en"),
    ],
)  # fmt: skip
def test_the_language_is_the_one_that_is_liked_best(accepted: str, code: str) -> None:
    assert preferred(accepted) == code


@pytest.mark.parametrize(
    "garbage",
    ["pt;q=nan", "pt;q=9", "pt;q=-1", "pt;q=1;q=1", "pt;q=", ";;;,,,;q=1", "=", "pt;level=1", "pt;q=\u0661", "\x00",
     ",", "q" * 60_000, ";" * 60_000, "pt;q=0." + "9" * 60_000],
)  # fmt: skip
def test_garbage_is_answered_in_english(garbage: str) -> None:
    assert preferred(garbage) == "en"


def test_a_page_tells_its_language(browse: Browse) -> None:
    browser = browse()
    for accepted, code, said in (("pt", "pt-BR", "Senha"), ("fr", "en", "Password"), ("\xff;q=\xfe", "en", "Password")):
        answer = browser.send("GET", "/login", headers={"accept-language": accepted.encode("latin-1")})
        assert answer.headers["content-language"] == code
        assert f'<html lang="{code}">' in answer.text
        assert said in answer.text
        assert [part.strip() for part in answer.headers["vary"].split(",")].count("Cookie") == 1
        assert "Accept-Language" in answer.headers["vary"]


def test_what_somebody_chose_holds_on_all_pages_whatever_the_browser_asks_for(browse: Browse) -> None:
    browser = browse()
    browser.log_in()
    answer = browser.get("/?lang=en", **PORTUGUESE)
    assert '<html lang="en">' in answer.text
    (cookie,) = [one for one in answer.headers.get_list("set-cookie") if one.startswith("chatbot_language=")]
    assert {"path=/", "httponly", "samesite=lax"} <= {part.strip().lower() for part in cookie.split(";")}
    assert "secure" not in cookie
    assert '<html lang="en">' in browser.get("/below/home", **PORTUGUESE).text
    assert '<html lang="pt-BR">' in browser.get("/below/home?lang=pt-BR", accept_language="en").text
    assert '<html lang="pt-BR">' in browser.get("/", accept_language="en").text


def test_the_choice_is_kept_to_https_where_the_browser_speaks_it(browse: Browse) -> None:
    answer = browse(host="https://chatbot.test").get("/login?lang=pt-BR")
    (cookie,) = [one for one in answer.headers.get_list("set-cookie") if one.startswith("chatbot_language=")]
    assert cookie.endswith("; secure")


def test_an_unknown_choice_is_none(browse: Browse) -> None:
    browser = browse()
    browser.cookies.set("chatbot_language", "../../etc")
    answer = browser.get("/login?lang=fr%0d%0aset-cookie:x", **PORTUGUESE)
    assert '<html lang="pt-BR">' in answer.text
    assert "chatbot_language" not in str(answer.headers.get_list("set-cookie"))


def test_the_link_to_the_other_language_keeps_where_one_is(browse: Browse) -> None:
    page = browse().get("/login?next=%2Fdead-letters%3Fsearch%3Da%26b&lang=pt-BR").text
    assert '<a href="?next=%2Fdead-letters%3Fsearch%3Da%26b&amp;lang=en" lang="en" hreflang="en">English</a>' in page


def test_choosing_a_language_changes_nothing_else(browse: Browse) -> None:
    browser = browse()
    browser.log_in()
    before = dict(browser.cookies)
    browser.get("/?lang=pt-BR")
    after = dict(browser.cookies)
    assert after.pop("chatbot_language") == "pt-BR"
    assert after.keys() == before.keys()
    assert browser.get("/").status_code == 200


def test_what_is_refused_is_said_in_the_language_of_the_page(browse: Browse, house: House) -> None:
    browser = browse()
    assert "Nada foi mudado" in browser.post("/login", {"user": "x"}, **PORTUGUESE).text
    browser.get("/login?lang=pt-BR")
    assert "O usuário ou a senha não confere." in browser.log_in("not the password").text
    for _ in range(5):
        refused = browser.log_in("not the password")
    assert refused.status_code == 429
    assert "Aguarde 60 segundos." in refused.text
    assert "Tentativas demais" in refused.text
