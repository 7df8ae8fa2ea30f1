"""Sessions and CSRF tokens: what a browser must bring, and what it cannot make up."""

from __future__ import annotations

import base64
import json

import itsdangerous
import pytest

from chatbot.admin.sessions import COOKIE, LONGEST
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


def test_a_session_ends_after_a_day_at_the_latest() -> None:
    assert LONGEST <= 86_400


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
