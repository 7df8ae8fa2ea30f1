"""What the dashboard shows of RabbitMQ: counts, ours and the management API's; and that it never peeks."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable

import pika
import pytest

from chatbot.dashboard.rabbitmq_look import RabbitmqLook
from tests.dashboard.conftest import Dashboard, House
from tests.servers import RabbitmqServer, free_port
from tests.waiting import wait_until


@pytest.fixture
def kind() -> str:
    return "rabbitmq"


@pytest.fixture
def managed(house_of: Callable[..., House], rabbitmq_server: RabbitmqServer) -> House:
    return house_of("rabbitmq", CHATBOT_RABBITMQ_MANAGEMENT_URL=rabbitmq_server.management_url)


def look(house: House) -> RabbitmqLook:
    return RabbitmqLook(house.broker, house.letters, house.settings.rabbitmq_management_url)


def deliveries(server: RabbitmqServer, queue: str) -> list[int]:
    """Take all messages of a queue, for good; return how often each had been delivered before."""
    found = []
    with contextlib.closing(pika.BlockingConnection(pika.URLParameters(server.url))) as connection:
        channel = connection.channel()
        while True:
            method, properties, _ = channel.basic_get(queue, auto_ack=True)
            if method is None:
                return found
            found.append(int((properties.headers or {}).get("x-delivery-count", 0)))


def test_looking_is_no_delivery(dashboard: Dashboard, house: House, rabbitmq_server: RabbitmqServer) -> None:
    house.actor.send("a chair")
    house.bury("a lamp")
    house.actor.send("a chair")
    (message_id,) = dashboard.ids("failed")
    for tab in ("", "/standard", "/delayed", "/failed", f"/failed/{message_id}", f"/standard/{message_id}"):
        dashboard.get(f"queues/{house.queue}{tab}")
    dashboard.get()
    assert deliveries(rabbitmq_server, house.queue) == [0]
    assert deliveries(rabbitmq_server, f"{house.queue}.XQ") == [0]


def test_a_page_says_that_what_waits_is_counted_only(dashboard: Dashboard, house: House) -> None:
    house.actor.send("a chair")
    page = dashboard.get(f"queues/{house.queue}").text
    assert "cannot show messages that wait" in page
    assert 'class="dashboard unseen"' in page
    assert "Delayed messages of all queues wait here" in dashboard.get("queues/chatbot.delay/delayed").text


def test_a_look_declares_nothing(house: House) -> None:
    counts = next(counts for counts in look(house).queues() if counts.name == house.queue)
    assert (counts.waiting, counts.delayed, counts.dead) == (0, 0, 0)
    with (
        house.broker.nodes.open("test") as connection,
        pytest.raises(pika.exceptions.ChannelClosedByBroker, match="404"),
    ):
        connection.channel().queue_declare(house.queue, passive=True)


def test_removing_one_dead_letter_leaves_the_others_in_the_brokers_queue(
    dashboard: Dashboard, house: House, rabbitmq_server: RabbitmqServer
) -> None:
    house.bury("a lamp", "a chair", "a table")
    _, middle, _ = dashboard.ids("failed")
    dashboard.act("delete", "failed", middle)
    wait_until(lambda: dashboard.counts() == [0, 0, 2])
    assert len(deliveries(rabbitmq_server, f"{house.queue}.XQ")) == 2


def test_a_dead_letter_that_the_broker_has_lost_can_still_be_requeued(
    dashboard: Dashboard, house: House, rabbitmq_server: RabbitmqServer
) -> None:
    house.bury("a lamp")
    deliveries(rabbitmq_server, f"{house.queue}.XQ")
    house.fail.clear()
    with house.working():
        assert dashboard.act("requeue", "failed", dashboard.ids("failed")[0]).status_code == 303
        wait_until(lambda: house.done == ["a lamp"])
    assert house.letters.letters() == []


def test_removing_many_dead_letters_counts_few_deliveries_of_the_others(
    dashboard: Dashboard, house: House, rabbitmq_server: RabbitmqServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue with a delivery limit would drop them."""
    monkeypatch.setattr("chatbot.dashboard.rabbitmq_look.TAKEN_ENOUGH", 2)
    house.bury("a lamp", "a chair", "a table", "a sofa", "a bed", "a desk")
    for message_id in dashboard.ids("failed")[:5]:
        assert dashboard.act("delete", "failed", message_id).status_code == 303
    assert [letter.args for letter in house.letters.letters()] == [["a lamp"]]
    (taken,) = deliveries(rabbitmq_server, f"{house.queue}.XQ")
    assert taken <= 2


def test_the_management_api_counts_and_names_workers(managed: House, look_at: Callable[[House], Dashboard]) -> None:
    go_on = threading.Event()
    managed.actor.fn = lambda what: go_on.wait(90)
    managed.actor.send("a chair")
    managed.actor.send_with_options(args=("a table",), delay=600_000)
    dashboard = look_at(managed)
    here = f":{os.getpid()}"
    with managed.working():
        wait_until(
            lambda: [s.running for s in look(managed).workers() if s.name.endswith(here)] == [1], 30, interval=0.2
        )
        wait_until(lambda: dashboard.counts() == [1, 0, 0], 30, interval=0.2)
        go_on.set()
    assert dashboard.counts("chatbot.delay")[1] >= 1


@pytest.mark.parametrize("user", ["guest:wrong", "guest:guest"])
def test_without_the_management_api_the_queues_themselves_are_asked(
    house_of: Callable[..., House],
    look_at: Callable[[House], Dashboard],
    rabbitmq_server: RabbitmqServer,
    caplog: pytest.LogCaptureFixture,
    user: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    port = rabbitmq_server.management_port if user == "guest:wrong" else free_port()
    house = house_of("rabbitmq", CHATBOT_RABBITMQ_MANAGEMENT_URL=f"http://{user}@127.0.0.1:{port}")
    house.actor.send("a chair")
    dashboard = look_at(house)
    began = time.monotonic()
    wait_until(lambda: dashboard.counts() == [1, 0, 0])
    assert time.monotonic() - began < 30
    assert "management API did not answer" in caplog.text
    assert "guest:" not in caplog.text


def test_a_management_url_that_cannot_be_used_shows_no_workers(house_of: Callable[..., House]) -> None:
    unusable = house_of("rabbitmq", CHATBOT_RABBITMQ_MANAGEMENT_URL="http://guest@:99999999/")
    assert look(unusable).workers() == []


def test_what_is_not_there_and_what_cannot_be_read_is_refused_as_on_redis(dashboard: Dashboard, house: House) -> None:
    for path in ("queues/nowhere", "queues/nowhere/failed/x", f"queues/{house.queue}/eternal", "queues/chatbot.delays"):
        assert dashboard.get(path).status_code == 404, path
    for cursor in ("x", "-1", "9" * 40):
        assert dashboard.get(f"queues/{house.queue}/failed?cursor={cursor}").status_code == 400, cursor
    for queue, status in (("nowhere", 404), ("chatbot.delay", 404), (f"{house.queue}.XQ", 410)):
        for action in ("delete", "requeue"):
            answer = dashboard.browser.submit(f"/dashboard/{action}-message", "/dashboard/", queue=queue, id="x")
            assert answer.status_code == status, (queue, action)


@pytest.mark.long
def test_a_server_that_is_down_is_said_and_loses_nothing(
    private_rabbitmq: Callable[[], RabbitmqServer], look_at: Callable[[House], Dashboard]
) -> None:
    server = private_rabbitmq()
    house = House("rabbitmq", server.url)
    house.bury("a lamp")
    dashboard = look_at(house)
    (letter,) = dashboard.ids("failed")
    form = {"csrf_token": dashboard.browser.token("/dashboard/"), "queue": f"{house.queue}.XQ", "id": letter}
    server.kill()
    assert dashboard.get().status_code == 503
    for action in ("delete", "requeue"):
        assert dashboard.browser.post(f"/dashboard/{action}-message", form).status_code == 503
    assert [one.args for one in house.letters.letters()] == [["a lamp"]]
    server.restart()
    wait_until(lambda: dashboard.get().status_code == 200, 60, interval=0.5)
    house.fail.clear()
    assert dashboard.act("requeue", "failed", letter).status_code == 303
    with house.working():
        wait_until(lambda: house.done == ["a lamp"], 30)
    assert house.letters.letters() == []
    house.broker.close()
