"""The dashboard in a real browser, on both brokers: list, open, delete, requeue."""

from __future__ import annotations

import pytest
from dramatiq.message import Message
from selenium.webdriver.common.by import By

from chatbot import brokers
from tests.browser.chromium import Browser
from tests.browser.conftest import DEV
from tests.e2e.deployment import Deployment
from tests.waiting import wait_until

BROKERS = ["redis", pytest.param("rabbitmq", marks=pytest.mark.long)]


def send(house: Deployment, *actors: str) -> None:
    """Send calls of actors that no worker knows."""
    broker = brokers.create(house.broker.url, [])
    broker.declare_queue("low")
    for actor in actors:
        call: Message[None] = Message(queue_name="low", actor_name=actor, args=("a secret",), kwargs={}, options={})
        broker.enqueue(call)
    broker.close()


@pytest.mark.parametrize("kind", BROKERS)
def test_what_failed_is_listed_opened_requeued_and_deleted(
    browser: Browser, kind: str, request: pytest.FixtureRequest
) -> None:
    house = _house(kind, request)
    send(house, "unknown_first", "unknown_second")

    def failed() -> list[str]:
        browser.open("/dashboard/queues/low/failed")
        return sorted(text.partition("(")[0] for text in browser.texts("main a") if text.startswith("unknown_"))

    wait_until(lambda: failed() == ["unknown_first", "unknown_second"], 30, "both are to be listed", interval=0.3)
    browser.open("/dashboard/")
    browser.follow("low")
    browser.sees("Failed (2)")
    failed()
    browser.driver.find_element(By.PARTIAL_LINK_TEXT, "unknown_first").click()
    browser.sees("ActorNotFound")
    assert "a secret" not in browser.text()
    failed()
    browser.press("Requeue", "unknown_first")
    wait_until(lambda: ran(house, "unknown_first") == 2)
    assert ran(house, "unknown_second") == 1
    wait_until(lambda: failed() == ["unknown_first", "unknown_second"], message="it failed again", interval=0.3)
    browser.press("Delete", "unknown_first")
    browser.sees("Failed (1)")
    browser.press("Delete", "unknown_second")
    browser.sees("Failed (0)")
    assert failed() == []


def ran(house: Deployment, actor: str) -> int:
    """Return how often the worker was given a call of this actor."""
    return house.processes[1].output().count(f"undefined actor '{actor}'")


def _house(kind: str, request: pytest.FixtureRequest) -> Deployment:
    """Return a deployment with a web process and a worker."""
    if kind == "redis":
        shared: Deployment = request.getfixturevalue("dev")
        return shared
    made: Deployment = request.getfixturevalue("deploy")(kind, **DEV)
    made.start_worker()
    return made
