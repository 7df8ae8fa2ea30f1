"""Who needs no password: whom a trusted proxy names, and who is at the machine of `chatbot dev`."""

from __future__ import annotations

import pytest

from chatbot.admin.doors import check
from chatbot.errors import ConfigurationError
from chatbot.settings import read
from tests.admin.conftest import Browse, House

URLS = {"CHATBOT_BROKER_URL": "redis://127.0.0.1/0", "CHATBOT_STORE_URL": "redis://127.0.0.1/1"}
PROXY = {"CHATBOT_ADMIN_PROXY_HEADER": "X-Remote-User", "CHATBOT_ADMIN_PROXY_IPS": "10.0.0.0/8, 192.0.2.1"}
NO_PASSWORD = {"CHATBOT_ADMIN_PASSWORD": ""}


# --- the configuration ---
@pytest.mark.parametrize(
    ("settings", "cure"),
    [
        ({}, "CHATBOT_ADMIN_PASSWORD is missing"),
        ({"CHATBOT_ADMIN_PASSWORD": "short"}, "shorter than 8 characters"),
        ({"CHATBOT_ADMIN_PASSWORD": "$argon2id$v=19$m=65"}, "in single quotes"),
        ({"CHATBOT_ADMIN_PROXY_HEADER": "X-User"}, "CHATBOT_ADMIN_PROXY_IPS"),
        ({"CHATBOT_ADMIN_PASSWORD": "long enough", "CHATBOT_ADMIN_PROXY_HEADER": "X-User"}, "CHATBOT_ADMIN_PROXY_IPS"),
        ({"CHATBOT_ADMIN_PROXY_IPS": "10.0.0.0/8"}, "CHATBOT_ADMIN_PASSWORD is missing"),
    ],
)
def test_a_configuration_that_lets_nobody_or_anybody_in_is_refused(settings: dict[str, str], cure: str) -> None:
    with pytest.raises(ConfigurationError, match="CHATBOT_ADMIN") as caught:
        check(read(URLS | settings))
    assert cure in str(caught.value)


def test_networks_that_are_none_are_named() -> None:
    with pytest.raises(ConfigurationError, match="CHATBOT_ADMIN_PROXY_IPS"):
        read(URLS | {"CHATBOT_ADMIN_PROXY_IPS": "10.0.0.0/8,everybody"})


def test_settings_do_not_show_the_password() -> None:
    assert "hunter2hunter2" not in repr(read(URLS | {"CHATBOT_ADMIN_PASSWORD": "hunter2hunter2"}))


# --- a proxy ---
def test_whom_a_trusted_proxy_names_is_let_in(browse: Browse, house: House) -> None:
    browser = browse(house.app(**PROXY, **NO_PASSWORD), address="10.9.8.7")
    page = browser.get("/", x_remote_user="olga").text
    assert "for olga" in page
    assert "Log out" not in page, "only the proxy can"
    assert browser.get("/").status_code == 303


def test_nobody_else_can_send_the_proxys_header(browse: Browse, house: House) -> None:
    browser = browse(house.app(**PROXY))
    assert browser.get("/", x_remote_user="olga").status_code == 303
    assert browser.get("/", x_remote_user="olga", x_forwarded_for="10.0.0.1").status_code == 303


def test_two_names_are_none(browse: Browse, house: House) -> None:
    browser = browse(house.app(**PROXY), address="192.0.2.1")
    twice = [("x-remote-user", "olga"), ("x-remote-user", "root"), ("accept", "text/html")]
    assert browser.send("GET", "/", headers=twice).status_code == 303


def test_actions_behind_a_proxy_need_their_token(browse: Browse, house: House) -> None:
    browser = browse(house.app(**PROXY, **NO_PASSWORD), address="10.9.8.7")
    assert browser.post("/act", {"what": "it"}, x_remote_user="olga").status_code == 403
    form = {"what": "it", "csrf_token": browser.token("/", x_remote_user="olga")}
    assert browser.post("/act", form, x_remote_user="olga").text == "acted on it"


def test_without_a_password_no_session_lets_anybody_in(browse: Browse, house: House) -> None:
    app = house.app(**PROXY, **NO_PASSWORD)
    browser = browse(app)
    answer = browser.get("/login")
    assert answer.status_code == 401
    assert "password" not in answer.text
    assert browser.submit("/login", user="admin", password="").status_code == 401


def test_tries_are_counted_for_whom_the_proxy_speaks_for(browse: Browse, house: House) -> None:
    browser = browse(house.app(**PROXY), address="10.0.0.1")
    form = {"csrf_token": browser.token(), "user": "admin", "password": "wrong horse"}

    def tried(forwarded: str) -> int:
        return browser.post("/login", form, x_forwarded_for=forwarded).status_code

    # What the client itself puts in front changes nothing: the proxy adds the last one.
    assert [tried(f"198.51.100.{number}, 203.0.113.1") for number in range(6)] == [401] * 5 + [429]
    assert tried("203.0.113.2, 10.0.0.9") == 401


@pytest.mark.parametrize("client", ["203.0.113.9:{port}", "[2001:db8::9]:{port}", "unknown", "made up {port}", ""])
def test_a_proxy_that_tells_ports_or_nonsense_gives_nobody_more_tries(
    browse: Browse, house: House, client: str
) -> None:
    browser = browse(house.app(**PROXY), address="10.0.0.1")
    form = {"csrf_token": browser.token(), "user": "admin", "password": "wrong horse"}

    def tried(port: int) -> int:
        return browser.post("/login", form, x_forwarded_for=client.format(port=port)).status_code

    assert [tried(40_000 + number) for number in range(6)] == [401] * 5 + [429]


@pytest.mark.parametrize("pair", [("203.0.113.9:1", "203.0.113.10:1"), ("[2001:db8:1::9]:1", "[2001:db8:2::9]:1")])
def test_a_proxy_that_tells_ports_tells_clients_apart(browse: Browse, house: House, pair: tuple[str, str]) -> None:
    browser = browse(house.app(**PROXY), address="10.0.0.1")
    form = {"csrf_token": browser.token(), "user": "admin", "password": "wrong horse"}
    tries = [browser.post("/login", form, x_forwarded_for=pair[0]).status_code for _ in range(6)]
    assert tries == [401] * 5 + [429]
    assert browser.post("/login", form, x_forwarded_for=pair[1]).status_code == 401


def test_what_is_no_address_is_not_logged_as_one(
    browse: Browse, house: House, caplog: pytest.LogCaptureFixture
) -> None:
    browser = browse(house.app(**PROXY), address="10.0.0.1")
    form = {"csrf_token": browser.token(), "user": "admin", "password": "wrong horse"}
    browser.post("/login", form, x_forwarded_for="root logged in from 203.0.113.9")
    assert "a login from 10.0.0.1 failed" in caplog.text


def test_what_a_client_claims_without_a_trusted_proxy_gives_nobody_more_tries(browse: Browse, house: House) -> None:
    browser = browse(house.app())
    form = {"csrf_token": browser.token(), "user": "admin", "password": "wrong horse"}
    claims = [browser.post("/login", form, x_forwarded_for=f"198.51.100.{n}").status_code for n in range(6)]
    assert claims == [401] * 5 + [429]


# --- chatbot dev ---
@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("127.0.0.1", "http://localhost:8000"),
        ("127.0.0.1", "http://127.0.0.1"),
        ("::ffff:127.0.0.1", "http://localhost"),
        ("::1", "http://[::1]:80"),
    ],
)
def test_who_is_at_the_machine_of_chatbot_dev_needs_no_login_and_reads_so(
    browse: Browse, house: House, address: str, host: str
) -> None:
    answer = browse(house.app(is_open=True), address=address, host=host).get("/")
    assert answer.status_code == 200
    assert "no login is needed" in answer.text
    assert "Log out" not in answer.text


@pytest.mark.parametrize(
    ("address", "host", "headers"),
    [
        ("192.168.1.5", "http://192.168.1.4:8000", {}),
        ("192.168.1.5", "http://localhost:8000", {}),
        ("127.0.0.1", "http://rebound.example", {}),
        ("127.0.0.1", "http://localhost", {"x_forwarded_for": "203.0.113.7"}),
        ("127.0.0.1", "http://localhost", {"via": "1.1 tunnel"}),
    ],
)
def test_who_comes_from_elsewhere_needs_one(
    browse: Browse, house: House, address: str, host: str, headers: dict[str, str]
) -> None:
    browser = browse(house.app(is_open=True), address=address, host=host)
    assert browser.get("/", **headers).status_code == 303


def test_outside_chatbot_dev_everybody_needs_one(browse: Browse) -> None:
    assert browse(address="127.0.0.1", host="http://localhost").get("/").status_code == 303


def test_actions_in_chatbot_dev_need_their_token(browse: Browse, house: House) -> None:
    browser = browse(house.app(is_open=True), address="127.0.0.1", host="http://localhost")
    assert browser.post("/act", {"what": "it"}).status_code == 403
    assert browser.submit("/act", "/", what="it").text == "acted on it"
