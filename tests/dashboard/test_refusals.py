"""What the dashboard refuses before anybody else sees it, whatever the broker."""

from __future__ import annotations

import pytest
from starlette.types import Receive, Scope, Send

from tests.admin.browser import PASSWORD, browsing
from tests.dashboard.conftest import Dashboard, House


@pytest.fixture
def kind() -> str:
    return "redis"


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "", "1e3", "9" * 40, "%C2%B2", "0&cursor=x"])
def test_a_bad_cursor_is_said(dashboard: Dashboard, house: House, cursor: str) -> None:
    assert dashboard.get(f"queues/{house.queue}/failed?cursor={cursor}").status_code == 400


def test_a_query_that_is_garbage_is_said(house: House) -> None:
    app = house.app()

    async def garbling(scope: Scope, receive: Receive, send: Send) -> None:
        garbled = scope["path"].startswith("/dashboard")
        await app({**scope, "query_string": b"x=\xff\xfe"} if garbled else scope, receive, send)

    with browsing(garbling) as browser:
        browser.log_in(PASSWORD)
        assert browser.get("/dashboard/").status_code == 400


@pytest.mark.parametrize(
    "path",
    ["queues/nowhere", "queues/nowhere/failed", "queues/nowhere/failed/x", "queues/%00", "nowhere", "queues/a/b/c/d"],
)
def test_what_is_not_there_is_404(dashboard: Dashboard, path: str) -> None:
    assert dashboard.get(path).status_code == 404


def test_an_unknown_tab_is_404_and_an_unknown_message_leads_to_its_tab(dashboard: Dashboard, house: House) -> None:
    assert dashboard.get(f"queues/{house.queue}/eternal").status_code == 404
    answer = dashboard.get(f"queues/{house.queue}/failed/nobody")
    assert (answer.status_code, answer.headers["location"]) == (302, f"/dashboard/queues/{house.queue}/failed")


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({}, 400),
        ({"queue": "QUEUE.XQ"}, 400),
        ({"id": "x"}, 400),
        ({"queue": "nowhere", "id": "x"}, 404),
        ({"queue": "__heartbeats__", "id": "x"}, 404),
        ({"queue": "QUEUE.XQ", "id": "x"}, 410),
        ({"queue": "QUEUE.XQ.XQ", "id": "x"}, 404),
    ],
)
def test_a_garbled_form_changes_nothing(dashboard: Dashboard, house: House, form: dict[str, str], status: int) -> None:
    given = {name: value.replace("QUEUE", house.queue) for name, value in form.items()}
    for action in ("delete", "requeue"):
        answer = dashboard.browser.submit(f"/dashboard/{action}-message", "/dashboard/", **given)
        assert answer.status_code == status


def test_only_what_failed_can_be_requeued(dashboard: Dashboard, house: House) -> None:
    assert dashboard.act("requeue", "standard", "x").status_code == 400


def test_its_own_cookie_and_inline_style_are_gone(dashboard: Dashboard, house: House) -> None:
    for path in ("", f"queues/{house.queue}", f"queues/{house.queue}/failed"):
        page = dashboard.get(path)
        assert "__dd_csrf" not in str(page.headers) + page.text
        assert "<style" not in page.text
        assert page.headers["content-security-policy"]


def test_without_the_package_the_page_says_how_to_install_it(
    dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatbot.dashboard.pages.find_spec", lambda _: None)
    page = dashboard.get()
    assert page.status_code == 501
    assert "pip install --no-deps dramatiq-dashboard" in page.text


def test_a_broker_of_a_foreign_kind_is_said(house: House) -> None:
    from starlette.applications import Starlette

    from chatbot.admin.access import Admin
    from chatbot.brokers.stub import StubBroker
    from chatbot.dashboard import routes

    admin = Admin(house.settings, house.store)
    app = Starlette(routes=[*admin.routes(), *admin.protect(routes(house.settings, house.store, StubBroker()))])
    with browsing(app) as browser:
        browser.log_in(PASSWORD)
        assert browser.get("/dashboard/").status_code == 501
        assert browser.submit("/dashboard/delete-message", "/dashboard/", queue="a", id="x").status_code == 404
