"""Logging in and out: who gets in, how often one may try, and what is said about it."""

from __future__ import annotations

import logging

import pytest

from chatbot.admin.attempts import MOST_OF_ALL, MOST_OF_ONE, Attempts
from chatbot.errors import StoreUnavailable
from tests.admin.browser import PASSWORD
from tests.admin.conftest import HASHED, Browse, House
from tests.servers import RedisServer


def test_who_is_not_logged_in_is_led_to_the_login_and_back(browse: Browse) -> None:
    browser = browse()
    answer = browser.get("/below/home?x=1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/below/home%3Fx%3D1")
    assert 'value="/below/home?x=1"' in browser.get(answer.headers["location"]).text
    answer = browser.log_in(after="/below/home?x=1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/below/home?x=1")
    assert "for admin" in browser.get("/below/home?x=1").text


def test_a_program_that_is_not_logged_in_gets_401(browse: Browse) -> None:
    for path in ("/", "/below/home", "/act"):
        answer = browse().send("POST" if path == "/act" else "GET", path, headers={"accept": "application/json"})
        assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")


@pytest.mark.parametrize(("user", "password"), [("admin", "wrong horse"), ("Admin", PASSWORD), ("", ""), ("admin", "")])
def test_a_wrong_user_or_password_is_refused(browse: Browse, user: str, password: str) -> None:
    browser = browse()
    answer = browser.log_in(password, user)
    assert answer.status_code == 401
    assert "The user or the password is wrong." in answer.text
    assert browser.get("/").status_code == 303


def test_the_password_may_be_given_as_its_hash(browse: Browse, house: House) -> None:
    browser = browse(house.app(CHATBOT_ADMIN_PASSWORD=HASHED, CHATBOT_ADMIN_USER="olga"))
    assert browser.log_in(HASHED, "olga").status_code == 401
    assert browser.log_in(PASSWORD, "olga").status_code == 303
    assert "for olga" in browser.get("/").text


def test_the_password_may_be_given_plain(browse: Browse, house: House) -> None:
    browser = browse(house.app(CHATBOT_ADMIN_PASSWORD="as plain as can be"))
    assert browser.log_in("as plain as can bE").status_code == 401
    assert browser.log_in("as plain as can be").status_code == 303


def test_a_failed_login_is_logged_without_what_was_typed(browse: Browse, caplog: pytest.LogCaptureFixture) -> None:
    browse().log_in("hunter2hunter2", "my-password-by-mistake")
    assert "a login from 203.0.113.7 failed" in caplog.text
    assert "hunter2" not in caplog.text
    assert "my-password" not in caplog.text


@pytest.mark.parametrize(
    "after", ["//evil.example", "https://evil.example", "/\\evil.example", "/\tevil", "\\\\evil.example", "evil", ""]
)
def test_a_login_leads_nowhere_else(browse: Browse, after: str) -> None:
    assert browse().log_in(after=after).headers["location"] == "/"


def test_logging_out_ends_the_session(browse: Browse) -> None:
    browser = browse()
    browser.log_in()
    assert "Log out" in browser.get("/").text
    answer = browser.submit("/logout", "/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert browser.get("/").status_code == 303


# --- how often ---
def test_after_five_failures_an_address_waits_a_minute_even_with_the_right_password(
    browse: Browse, house: House
) -> None:
    app = house.app()
    browser = browse(app)
    assert [browser.log_in("wrong horse").status_code for _ in range(MOST_OF_ONE)] == [401] * MOST_OF_ONE
    answer = browser.log_in()
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
    assert browse(app, address="203.0.113.8").log_in().status_code == 303
    house.clock.advance(60_000)
    assert browser.log_in().status_code == 303


def test_a_login_that_succeeds_does_not_count(browse: Browse) -> None:
    browser = browse()
    for _ in range(MOST_OF_ONE + 1):
        assert browser.log_in().status_code == 303
        browser.submit("/logout", "/")


def test_the_count_holds_for_all_web_processes_together(browse: Browse, house: House) -> None:
    one, other = browse(house.app()), browse(house.app())
    for browser in [one] * 3 + [other] * 2:
        assert browser.log_in("wrong horse").status_code == 401
    assert (one.log_in().status_code, other.log_in().status_code) == (429, 429)


def test_all_addresses_together_have_a_bound(house: House) -> None:
    attempts = Attempts(house.store)
    for number in range(MOST_OF_ALL):
        assert not attempts.begin(f"10.0.0.{number}").retry_after
    refused = attempts.begin("10.0.1.1")
    assert 0 < refused.retry_after <= 60
    house.clock.advance(60_000)
    # Nothing that was refused counts.
    assert [attempts.begin("10.0.1.1").retry_after for _ in range(MOST_OF_ONE)] == [0] * MOST_OF_ONE


def test_a_network_of_ipv6_counts_as_one_address(house: House) -> None:
    attempts = Attempts(house.store)
    tries = [attempts.begin(f"2001:db8:1:2::{number:x}").retry_after for number in range(MOST_OF_ONE + 1)]
    assert [bool(wait) for wait in tries] == [False] * MOST_OF_ONE + [True]
    assert not attempts.begin("2001:db8:1:3::1").retry_after


def test_an_address_of_ipv4_is_the_same_on_a_socket_for_both_versions(house: House) -> None:
    attempts = Attempts(house.store)
    for _ in range(MOST_OF_ONE):
        attempts.begin("::ffff:192.0.2.1")
    assert attempts.begin("192.0.2.1").retry_after
    assert not attempts.begin("::ffff:192.0.2.2").retry_after


def test_tries_are_counted_in_a_real_store(redis_server: RedisServer) -> None:
    from chatbot.stores import create

    store = create(redis_server.url, namespace="admin-attempts")
    attempts = Attempts(store)
    begun = [attempts.begin("203.0.113.9") for _ in range(MOST_OF_ONE)]
    assert 0 < attempts.begin("203.0.113.9").retry_after <= 60
    attempts.succeeded(begun[0])
    assert attempts.begin("203.0.113.9").retry_after == 0
    store.close()


def test_while_the_store_is_down_nobody_logs_in_and_is_told_so(
    browse: Browse, house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def down(*_: object, **__: object) -> None:
        raise StoreUnavailable

    monkeypatch.setattr(house.store, "claim", down)
    caplog.set_level(logging.WARNING)
    answer = browse().log_in()
    assert answer.status_code == 503
    assert "The store does not answer" in answer.text
    assert "nobody can log in" in caplog.text
