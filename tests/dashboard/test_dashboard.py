"""The dashboard on both brokers: list, open, delete, requeue, and nothing else."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.dashboard.conftest import Dashboard, House
from tests.waiting import wait_until


def test_queues_are_counted(dashboard: Dashboard, house: House) -> None:
    house.actor.send("a lamp")
    house.actor.send("a chair")
    house.actor.send_with_options(args=("a table",), delay=600_000)
    jobs, delayed, dead = dashboard.counts()
    assert (jobs, dead) == (2, 0)
    if house.kind == "redis":
        assert delayed == 1
    else:  # all queues share the server's ladder of delays
        assert dashboard.counts("chatbot.delay")[1] >= 1


def test_what_failed_is_listed_and_opened_with_what_is_known_of_it(dashboard: Dashboard, house: House) -> None:
    newest, oldest = house.bury("a lamp of hers", "a chair of hers")
    assert dashboard.counts() == [0, 0, 2]
    first, second = dashboard.ids("failed")
    page = dashboard.get(f"queues/{house.queue}/failed/{first}")
    assert page.status_code == 200
    assert newest in page.text
    for told in ("ship", "Permanent", "Attempts", "Worker"):
        assert told in page.text
    assert oldest in dashboard.get(f"queues/{house.queue}/failed/{second}").text


def test_personal_data_is_masked_until_somebody_asks_and_each_look_is_logged(
    dashboard: Dashboard, house: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "chatbot.admin")
    house.bury("Maria's order")
    (message_id,) = dashboard.ids("failed")
    pages = (f"queues/{house.queue}/failed", f"queues/{house.queue}/failed/{message_id}")
    assert all("Maria" not in dashboard.get(page).text for page in pages)
    assert "was shown" not in caplog.text
    dashboard.browser.submit("/personal-data", "/dashboard/", show="1", next="/dashboard/")
    listed, opened = (dashboard.get(page).text for page in pages)
    assert "Maria&#39;s order" in listed
    assert "nobody ships Maria" in opened
    assert "Traceback (most recent call last)" in opened
    for place in ("failed", f"failed / {message_id}"):
        assert caplog.text.count(f"personal data of queue / {house.queue} / {place} was shown to admin") == 1


def test_a_requeued_message_runs_and_is_no_dead_letter_any_more(dashboard: Dashboard, house: House) -> None:
    kept, requeued = house.bury("a chair", "a lamp")
    (newest, _) = dashboard.ids("failed")
    house.fail.clear()
    with house.working():
        answer = dashboard.act("requeue", "failed", newest)
        assert (answer.status_code, answer.headers["location"]) == (303, f"/dashboard/queues/{house.queue}/failed")
        wait_until(lambda: house.done == ["a lamp"])
    wait_until(lambda: dashboard.counts() == [0, 0, 1])
    assert [letter.message_id for letter in house.letters.letters()] == [requeued]
    assert len(dashboard.ids("failed")) == 1
    assert kept != requeued


def test_a_requeued_message_that_fails_again_is_a_dead_letter_once(dashboard: Dashboard, house: House) -> None:
    (message_id,) = house.bury("a lamp")
    (before,) = house.letters.letters()
    with house.working():
        dashboard.act("requeue", "failed", dashboard.ids("failed")[0])
        wait_until(lambda: [one.last_at > before.last_at for one in house.letters.letters()] == [True])
    wait_until(lambda: dashboard.counts() == [0, 0, 1])
    (letter,) = house.letters.letters()
    assert (letter.message_id, letter.attempts) == (message_id, 1)


def test_a_copy_that_fails_before_the_original_is_removed_stays_a_dead_letter(
    dashboard: Dashboard, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.bury("a lamp")
    (before,) = house.letters.letters()
    enqueue = house.broker.enqueue

    def slowly(message: Any) -> None:
        enqueue(message)
        wait_until(lambda: house.letters.letters()[0].last_at > before.last_at)

    with house.working():
        monkeypatch.setattr(house.broker, "enqueue", slowly)
        assert dashboard.act("requeue", "failed", dashboard.ids("failed")[0]).status_code == 303
        monkeypatch.undo()
    assert [letter.args for letter in house.letters.letters()] == [["a lamp"]]
    assert len(dashboard.ids("failed")) == 1


def test_a_copy_that_is_not_confirmed_leaves_the_original(
    dashboard: Dashboard, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dramatiq.errors import ConnectionClosed

    house.bury("a lamp")

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionClosed(OSError("gone"))

    monkeypatch.setattr(house.broker, "_publish_all", refuse)
    answer = dashboard.act("requeue", "failed", dashboard.ids("failed")[0])
    assert answer.status_code == 503
    assert dashboard.counts() == [0, 0, 1]
    assert len(house.letters.letters()) == 1


def test_a_deleted_dead_letter_is_gone(dashboard: Dashboard, house: House) -> None:
    house.bury("a lamp", "a chair")
    newest, oldest = dashboard.ids("failed")
    assert dashboard.act("delete", "failed", newest).status_code == 303
    assert dashboard.ids("failed") == [oldest]
    wait_until(lambda: dashboard.counts() == [0, 0, 1])
    assert dashboard.act("delete", "failed", newest).status_code == 410
    assert dashboard.act("requeue", "failed", newest).status_code == 410


# --- what is refused ---
@pytest.mark.parametrize("action", ["delete", "requeue"])
def test_an_action_needs_the_token(dashboard: Dashboard, house: House, action: str) -> None:
    house.bury("a lamp")
    (message_id,) = dashboard.ids("failed")
    form = {"queue": f"{house.queue}.XQ", "id": message_id}
    for wrong in ({}, {"csrf_token": "x"}, {"__dd_csrf": "x"}):
        answer = dashboard.browser.post(f"/dashboard/{action}-message", form | wrong, cookie="__dd_csrf=x")
        assert answer.status_code in (401, 403)
    dashboard.browser.token("/dashboard/")
    assert dashboard.browser.post(f"/dashboard/{action}-message", form).status_code == 403
    assert dashboard.counts() == [0, 0, 1]


def test_nothing_is_shown_or_done_without_a_login(dashboard: Dashboard, house: House) -> None:
    house.bury("a lamp")
    (message_id,) = dashboard.ids("failed")
    dashboard.browser.cookies.clear()
    for path in ("", f"queues/{house.queue}", f"queues/{house.queue}/failed/{message_id}", "nowhere"):
        answer = dashboard.get(path)
        assert (answer.status_code, answer.headers["location"][:13]) == (303, "/login?next=/")
    for action in ("delete", "requeue"):
        form = {"queue": f"{house.queue}.XQ", "id": message_id}
        assert dashboard.browser.post(f"/dashboard/{action}-message", form).status_code == 401
    assert len(house.letters.letters()) == 1


def test_a_get_changes_nothing(dashboard: Dashboard, house: House) -> None:
    house.actor.send("a chair")
    house.bury("a lamp")
    house.actor.send("a chair")
    (message_id,) = dashboard.ids("failed")
    before = dashboard.counts()
    for action in ("delete", "requeue"):
        path = f"{action}-message?queue={house.queue}.XQ&id={message_id}"
        assert dashboard.get(path).status_code == 404
    for tab in ("standard", "delayed", "failed"):
        for _ in range(5):
            assert dashboard.get(f"queues/{house.queue}/{tab}").status_code == 200
    assert dashboard.counts() == before
    assert dashboard.ids("failed") == [message_id]
    with house.working():
        wait_until(lambda: house.done.count("a chair") == 2)
