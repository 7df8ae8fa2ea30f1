"""What the dashboard shows of Redis: what waits, runs, is delayed or unreadable, and who works."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from chatbot.dashboard.look import PAGE
from chatbot.dashboard.redis_look import RedisLook
from tests.dashboard.conftest import Dashboard, House
from tests.waiting import wait_until


@pytest.fixture
def kind() -> str:
    return "redis"


@pytest.fixture
def look(house: House) -> RedisLook:
    return RedisLook(house.broker, house.letters)


def key(house: House, ending: str = "") -> str:
    return f"dramatiq:{house.queue}{ending}"


def test_what_waits_is_listed_in_the_order_in_which_it_runs_page_by_page(house: House, look: RedisLook) -> None:
    sent = [house.actor.send(str(number)).message_id for number in range(PAGE + 5)]
    following, first = look.page(house.queue, "standard", 0)
    assert following == PAGE
    end, second = look.page(house.queue, "standard", following)
    assert end is None
    assert [kept.message.message_id for kept in first + second if kept.message] == sent


def test_the_next_page_is_linked(dashboard: Dashboard, house: House) -> None:
    for number in range(PAGE + 1):
        house.actor.send(str(number))
    assert f"/dashboard/queues/{house.queue}/standard?cursor={PAGE}" in dashboard.get(f"queues/{house.queue}").text
    page = dashboard.get(f"queues/{house.queue}/standard?cursor={PAGE}").text
    assert page.count(">Delete<") == 1
    assert "standard?cursor=" not in page


def test_what_runs_is_listed_first_and_its_worker_has_it(house: House, look: RedisLook) -> None:
    running, go_on = threading.Event(), threading.Event()

    def wait(what: str) -> None:
        running.set()
        go_on.wait(10)

    house.actor.fn = wait
    sent = house.actor.send("now")
    with house.working():
        running.wait(10)
        (kept,) = look.page(house.queue, "standard", 0)[1]
        # The server is shared: others may have left a lease that has not ended yet.
        (seen,) = [one for one in look.workers() if one.name == house.broker.broker_id]
        go_on.set()
    assert kept.message is not None
    assert kept.message.message_id == sent.message_id
    assert (seen.name, seen.running) == (house.broker.broker_id, 1)


def test_a_worker_is_shown_until_its_lease_ends(dashboard: Dashboard, house: House, look: RedisLook) -> None:
    def names() -> set[str]:
        return {seen.name for seen in look.workers()}

    with house.working():
        wait_until(lambda: house.broker.broker_id in names())
        assert house.broker.broker_id in dashboard.get().text
    assert house.broker.broker_id not in names()
    # One that died without a word has a lease that ended.
    house.broker.client.zadd("dramatiq:__workers__", {"dead": 1})
    house.broker.client.zadd("dramatiq:__heartbeats__", {"dead": 1})
    try:
        assert "dead" not in names()
    finally:
        house.broker.client.zrem("dramatiq:__workers__", "dead")
        house.broker.client.zrem("dramatiq:__heartbeats__", "dead")


def test_a_message_that_waits_can_be_deleted(dashboard: Dashboard, house: House) -> None:
    house.actor.send("a lamp")
    house.actor.send("a chair")
    first, second = dashboard.ids("standard")
    assert dashboard.act("delete", "standard", first).status_code == 303
    assert dashboard.ids("standard") == [second]
    with house.working():
        wait_until(lambda: house.done == ["a chair"])
    assert house.broker.client.keys(key(house, "*")) == []


def test_a_message_that_was_taken_back_from_a_dead_worker_leaves_nothing_when_it_is_deleted(
    dashboard: Dashboard, house: House
) -> None:
    house.actor.send("a lamp")
    (message_id,) = dashboard.ids("standard")
    house.broker.client.hset(key(house, ".held"), message_id, "")  # what the next delivery is told by
    dashboard.act("delete", "standard", message_id)
    assert house.broker.client.keys(key(house, "*")) == []


def test_a_message_that_runs_can_be_deleted_and_nobody_takes_it_over(dashboard: Dashboard, house: House) -> None:
    running, go_on = threading.Event(), threading.Event()

    def wait(what: str) -> None:
        running.set()
        go_on.wait(10)

    house.actor.fn = wait
    house.actor.send("now")
    with house.working():
        running.wait(10)
        (message_id,) = dashboard.ids("standard")
        assert dashboard.act("delete", "standard", message_id).status_code == 303
        assert dashboard.ids("standard") == []
        go_on.set()
    assert house.broker.client.keys(key(house, "*")) == []


@pytest.mark.parametrize("promoted_by_a_worker", [True, False])
def test_a_delayed_message_is_listed_and_can_be_deleted(
    dashboard: Dashboard, house: House, promoted_by_a_worker: bool
) -> None:
    def delay() -> None:
        house.actor.send_with_options(args=("a lamp",), delay=600_000)

    if promoted_by_a_worker:  # without one it waits where plain Dramatiq's workers look
        with house.working():
            wait_until(lambda: house.broker.client.zcard("dramatiq:__workers__"))
            delay()
    else:
        delay()
    assert dashboard.counts() == [0, 1, 0]
    (message_id,) = dashboard.ids("delayed")
    assert "in 9 min" in dashboard.get(f"queues/{house.queue}/delayed").text
    assert dashboard.act("delete", "delayed", message_id).status_code == 303
    assert dashboard.counts() == [0, 0, 0]
    assert house.broker.client.keys(key(house, "*")) == []


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\x00 not even text",
        b"[]",
        b"null",
        b"{}",
        b'{"queue_name": 1, "actor_name": 2, "args": 3, "kwargs": 4, "options": 5, "message_id": 6}',
        b'{"queue_name": "q", "actor_name": "a", "args": [], "kwargs": {}, "options": {"eta": "soon"}, '
        b'"message_id": "m", "message_timestamp": "then"}',
        b'{"queue_name": "q", "actor_name": "a", "args": [], "kwargs": {}, "options": {"eta": 1e300, "retries": []}, '
        b'"message_id": "m", "message_timestamp": 1e300}',
    ],
)
@pytest.mark.parametrize("unmasked", [False, True])
def test_a_body_that_nobody_can_read_hides_no_other_and_can_be_deleted(
    dashboard: Dashboard, house: House, body: bytes, unmasked: bool
) -> None:
    house.bury("a lamp")
    (readable,) = dashboard.ids("failed")
    house.broker.client.hset(key(house, ".XQ.msgs"), "broken", body)
    house.broker.client.zadd(key(house, ".XQ"), {"broken": 1})
    if unmasked:
        dashboard.browser.submit("/personal-data", "/dashboard/", show="1")
    assert dashboard.ids("failed") == [readable, "broken"]
    assert dashboard.get(f"queues/{house.queue}/failed/broken").status_code == 200
    refused = dashboard.act("requeue", "failed", "broken")
    assert refused.status_code in (303, 409)
    if refused.status_code == 409:
        assert "Nobody can read this message" in refused.text
        assert dashboard.act("delete", "failed", "broken").status_code == 303
    assert dashboard.ids("failed") == [readable]


def test_what_is_unreadable_says_so(dashboard: Dashboard, house: House) -> None:
    house.broker.client.hset(key(house, ".msgs"), "broken", b"Maria's \xff")
    house.broker.client.rpush(key(house), "broken")
    page = dashboard.get(f"queues/{house.queue}").text
    assert "undecodable(&#39;9 bytes&#39;)" in page
    assert "Maria" not in page
    dashboard.browser.submit("/personal-data", "/dashboard/", show="1")
    assert "Maria" in dashboard.get(f"queues/{house.queue}").text


def test_an_actors_arguments_stay_text(dashboard: Dashboard, house: House) -> None:
    dashboard.browser.submit("/personal-data", "/dashboard/", show="1")
    house.actor.send("<script>alert(1)</script>")
    (message_id,) = dashboard.ids("standard")
    for path in ("standard", f"standard/{message_id}"):
        page = dashboard.get(f"queues/{house.queue}/{path}").text
        assert "<script>alert" not in page
        assert "&lt;script&gt;" in page


def test_a_server_that_is_down_is_said(house_of: Callable[..., House], look_at: Callable[[House], Dashboard]) -> None:
    house = house_of("redis")
    dashboard = look_at(house)
    house.broker.client.connection_pool.connection_kwargs["port"] = 1
    house.broker.client.connection_pool.disconnect()
    for path in ("", f"queues/{house.queue}"):
        page = dashboard.get(path)
        assert (page.status_code, page.headers["retry-after"]) == (503, "5")
    assert (
        dashboard.browser.submit("/dashboard/delete-message", "/dashboard/", queue=house.queue, id="x").status_code
        == 503
    )
