"""Sessions and CSRF tokens: what a browser must bring, and what it cannot make up."""

from __future__ import annotations

import asyncio
import base64
import json
import time

import itsdangerous
import pytest

from chatbot.admin.credentials import Credentials
from chatbot.admin.personal import SHOWN_FOR
from chatbot.admin.sessions import COOKIE, LONGEST
from chatbot.errors import StoreUnavailable
from tests.admin.browser import PASSWORD
from tests.admin.conftest import Browse, House


def cookie_of(text: str) -> set[str]:
    return {part.strip().lower() for part in text.split(";")[1:]}


def forged(key: str) -> str:
    data = base64.b64encode(json.dumps({"user": "admin", "csrf": "x"}).encode())
    return itsdangerous.TimestampSigner(key).sign(data).decode()


@pytest.mark.parametrize(
    "cookie", [forged("a guess"), "garbage", "a.b.c", "ä", ""], ids=["forged", "garbage", "parts", "umlaut", "empty"]
)
def test_a_session_that_we_have_not_signed_is_none(browse: Browse, cookie: str) -> None:
    browser = browse()
    answer = browser.send("GET", "/", headers={"cookie": f"{COOKIE}={cookie}".encode()})
    assert answer.status_code == 303


def test_a_session_that_was_changed_is_none(browse: Browse) -> None:
    browser = browse()
    browser.log_in()
    data, rest = browser.cookies[COOKIE].split(".", 1)
    changed = json.loads(base64.b64decode(data)) | {"user": "root"}
    browser.cookies.clear()
    browser.cookies[COOKIE] = f"{base64.b64encode(json.dumps(changed).encode()).decode()}.{rest}"
    assert browser.get("/").status_code == 303


def test_a_session_holds_in_every_web_process_of_the_deployment(browse: Browse, house: House) -> None:
    one, other = (browse(house.app(CHATBOT_ADMIN_PASSWORD=PASSWORD)) for _ in range(2))
    assert one.log_in().status_code == 303
    other.cookies[COOKIE] = one.cookies[COOKIE]
    assert "for admin" in other.get("/").text


def test_another_password_ends_all_sessions(browse: Browse, house: House) -> None:
    one, other = browse(house.app()), browse(house.app(CHATBOT_ADMIN_PASSWORD="another password"))
    one.log_in()
    other.cookies[COOKIE] = one.cookies[COOKIE]
    assert other.get("/").status_code == 303


def test_a_session_of_somebody_who_is_no_longer_the_user_is_none(browse: Browse, house: House) -> None:
    one, other = browse(house.app()), browse(house.app(CHATBOT_ADMIN_USER="olga"))
    one.log_in()
    other.cookies[COOKIE] = one.cookies[COOKIE]
    assert other.get("/").status_code == 303


def test_a_session_ends_in_time_even_if_its_cookie_is_renewed(browse: Browse, monkeypatch: pytest.MonkeyPatch) -> None:
    browser, now = browse(), time.time()
    browser.log_in()
    monkeypatch.setattr("time.time", lambda: now + LONGEST - 60)
    browser.submit("/personal-data", "/", show="1", next="/")  # which signs the cookie anew
    assert "for admin" in browser.get("/").text
    monkeypatch.setattr("time.time", lambda: now + LONGEST + 60)
    assert browser.get("/").status_code == 303
    assert LONGEST <= 86_400


def test_logging_out_ends_the_session_for_a_copy_of_its_cookie_in_every_web_process(
    browse: Browse, house: House
) -> None:
    one, thief, other = browse(house.app()), browse(house.app()), browse(house.app())
    one.log_in()
    other.log_in()
    thief.cookies[COOKIE] = one.cookies[COOKIE]
    token = thief.token("/")
    one.submit("/logout", "/")
    assert thief.get("/").status_code == 303
    assert thief.post("/act", {"csrf_token": token, "what": "it"}).status_code == 401
    assert "for admin" in other.get("/").text, "another session goes on"


def test_a_session_without_a_name_or_a_time_is_none(browse: Browse, house: House) -> None:
    """Nobody can make one, but an older version has."""
    browser = browse()
    browser.log_in()
    key = Credentials(house.settings()).key("chatbot", house.settings().store_url)
    for session in ({"user": "admin"}, {"user": "admin", "id": "x"}, {"user": "admin", "id": 5, "until": 2**40}):
        signed = itsdangerous.TimestampSigner(key).sign(base64.b64encode(json.dumps(session).encode())).decode()
        browser.cookies.clear()
        browser.cookies[COOKIE] = signed
        assert browser.get("/").status_code == 303
    whole = {"user": "admin", "id": "x", "until": 2**40}
    browser.cookies[COOKIE] = (
        itsdangerous.TimestampSigner(key).sign(base64.b64encode(json.dumps(whole).encode())).decode()
    )
    assert browser.get("/").status_code == 200, "the key of this test is right"


def test_a_session_that_somebody_planted_is_not_the_one_that_a_login_begins(browse: Browse) -> None:
    victim, attacker = browse(), browse()
    attacker.get("/login")
    victim.cookies[COOKIE] = attacker.cookies[COOKIE]
    victim.log_in()
    assert attacker.get("/").status_code == 303
    assert attacker.token() not in victim.get("/").text


def test_while_the_store_is_down_a_session_holds_and_logging_out_says_what_it_could_not_do(
    browse: Browse, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object) -> None:
        raise StoreUnavailable

    browser = browse()
    browser.log_in()
    for verb in ("recall", "remember"):
        monkeypatch.setattr(house.store, verb, down)
    assert "for admin" in browser.get("/").text
    answer = browser.submit("/logout", "/")
    assert answer.status_code == 503
    assert "Logged out here only" in answer.text
    assert browser.get("/").status_code == 303


def test_the_cookie_is_kept_from_scripts_and_other_sites_and_is_secure_behind_https(browse: Browse) -> None:
    plain = cookie_of(browse().get("/login").headers["set-cookie"])
    assert {"httponly", "samesite=lax", "path=/", f"max-age={LONGEST}"} == plain
    secure = cookie_of(browse(host="https://chatbot.test").get("/login").headers["set-cookie"])
    assert secure == plain | {"secure"}
    proxied = browse().get("/login", x_forwarded_proto="https").headers["set-cookie"]
    assert cookie_of(proxied) == plain | {"secure"}


@pytest.mark.parametrize("host", ["[::1", "", "a b", "\\", "x" * 5_000, "[not-an-address]:80:80"])
def test_a_host_that_is_garbage_is_no_accident(browse: Browse, house: House, host: str) -> None:
    for app in (house.app(), house.app(is_open=True)):
        browser = browse(app, address="127.0.0.1", host="http://localhost")
        asked = [browser.send("GET", path, headers={"host": host, "accept": "text/html"}) for path in ("/", "/login")]
        assert [answer.status_code for answer in asked] == [303, 200]


# --- CSRF ---
@pytest.mark.parametrize("path", ["/act", "/below/act", "/logout", "/personal-data"])
@pytest.mark.parametrize("token", [None, "", "wrong"])
def test_an_action_without_the_token_is_refused(browse: Browse, path: str, token: str | None) -> None:
    browser = browse()
    browser.log_in()
    answer = browser.post(path, {"what": "it"} if token is None else {"what": "it", "csrf_token": token})
    assert answer.status_code == 403
    assert "acted" not in answer.text
    assert "for admin" in browser.get("/").text


@pytest.mark.parametrize("path", ["/act", "/below/act"])
def test_an_action_with_the_token_reads_its_form(browse: Browse, path: str) -> None:
    browser = browse()
    browser.log_in()
    assert browser.submit(path, "/", what="it").text == "acted on it"


def test_a_script_sends_the_token_as_a_header(browse: Browse) -> None:
    browser = browse()
    browser.log_in()
    assert browser.post("/act", {"what": "it"}, x_csrf_token=browser.token("/")).text == "acted on it"
    assert browser.post("/act", {"what": "it"}, x_csrf_token="wrong").status_code == 403


def test_the_token_of_another_session_does_not_do(browse: Browse, house: House) -> None:
    app = house.app()
    one, other = browse(app), browse(app)
    one.log_in()
    other.log_in()
    assert one.post("/act", {"csrf_token": other.token("/")}).status_code == 403


def test_a_login_needs_a_token_too_and_gets_a_new_one(browse: Browse) -> None:
    browser = browse()
    before = browser.token()
    assert browser.post("/login", {"user": "admin", "password": "x"}).status_code == 403
    browser.log_in()
    assert browser.token("/") != before


def test_a_form_that_is_too_large_is_refused(browse: Browse) -> None:
    browser = browse()
    browser.log_in()
    token = browser.token("/")
    assert browser.post("/act", {"csrf_token": token, "what": "x" * 1_048_576}).status_code == 413


def test_garbage_for_a_form_is_refused(browse: Browse) -> None:
    browser = browse()
    browser.log_in()
    browser.token("/")
    form = {"content-type": "application/x-www-form-urlencoded"}
    for body, headers in (
        (b"\xff\xfe", form),
        (b"csrf_token=%ff", form),
        (b"{}", {}),
        (b"a" * 99, {"content-type": "x"}),
    ):
        assert browser.send("POST", "/act", content=body, headers=headers).status_code == 403


def test_an_answer_that_goes_on_learns_that_its_session_has_ended(browse: Browse, house: House) -> None:
    browser = browse()
    browser.log_in()
    browser.get("/person")
    state = house.seen[-1].state
    assert asyncio.run(state.holds())
    browser.submit("/logout", "/")
    assert not asyncio.run(state.holds())


def test_an_answer_that_goes_on_learns_that_personal_data_is_masked_again(
    browse: Browse, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = browse()
    browser.log_in()
    browser.submit("/personal-data", "/", show="1", next="/")
    browser.get("/person")
    state, later = house.seen[-1].state, time.time() + SHOWN_FOR + 1
    assert asyncio.run(state.holds())
    monkeypatch.setattr("chatbot.admin.personal.time.time", lambda: later)
    assert not asyncio.run(state.holds())
