"""Replies never wait behind slow responders, however many of them there are."""

from __future__ import annotations

from collections.abc import Callable

from tests.e2e.deployment import Deployment, message
from tests.waiting import wait_until

Deploy = Callable[..., Deployment]


def test_a_reply_leaves_while_every_other_thread_waits_for_a_responder(deploy: Deploy) -> None:
    house = deploy(CHATBOT_DEBOUNCE_WAIT_MS="100")
    house.start_web()
    house.start_worker("--threads", "3")
    house.partners.free.clear()
    house.post(message("quick", 1))
    wait_until(lambda: house.partners.asked_about("quick"))
    slow = [f"slow{number}" for number in range(10)]
    house.partners.slow |= set(slow)
    for conversation in slow:
        house.post(message(conversation, 1))
    wait_until(lambda: any(house.partners.asked_about(c) for c in slow))
    # Both threads that take anything are at a responder now, and turns wait for them.
    house.partners.free.set()
    wait_until(lambda: house.partners.replies_to("quick"))
    assert not any(house.partners.replies_to(c) for c in slow)
