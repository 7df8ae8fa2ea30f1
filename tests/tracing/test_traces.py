"""One trace goes from the webhook to the delivery, through the ledger and either broker."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from chatbot import tracing
from chatbot.errors import ConfigurationError
from tests.e2e.deployment import Deployment, message
from tests.servers import free_port
from tests.tracing.collector import Collector, attributes
from tests.waiting import wait_until

Deploy = Callable[..., Deployment]
SENDER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
NAMES = ("POST /webhooks/{channel}", "process_turn", "respond", "deliver_replies")


def started(deploy: Deploy, collector: Collector, **settings: str) -> Deployment:
    soon = {"CHATBOT_DEBOUNCE_WAIT_MS": "300", "OTEL_BSP_SCHEDULE_DELAY": "100"}
    house = deploy(CHATBOT_OTEL_ENDPOINT=collector.url, **soon | settings)
    house.start_web()
    house.start_worker()
    return house


@pytest.mark.long
def test_one_trace_leads_from_the_webhook_to_the_delivery(deploy: Deploy, collector: Collector) -> None:
    house = started(deploy, collector)
    house.client.headers["traceparent"] = SENDER
    house.post(message("A", 1)).raise_for_status()
    wait_until(lambda: house.partners.replies_to("A"))
    wait_until(lambda: all(map(collector.named, NAMES)), message="some span is missing")
    webhook, turn, asked, delivery = (collector.named(name)[0] for name in NAMES)
    _, trace, sender, _ = SENDER.split("-")
    assert {span.trace_id.hex() for span in (webhook, turn, asked, delivery)} == {trace}
    parents = [span.parent_span_id.hex() for span in (webhook, turn, asked, delivery)]
    assert parents == [sender, webhook.span_id.hex(), turn.span_id.hex(), turn.span_id.hex()]
    (question,) = house.partners.asked_about("A")
    assert question.headers["traceparent"] == f"00-{trace}-{asked.span_id.hex()}-01"
    assert {name for name, _ in collector.spans} == {"chatbot"}
    assert (attributes(webhook)["http.response.status_code"], attributes(turn)["chatbot.outcome"]) == (200, "settled")


@pytest.mark.long
@pytest.mark.parametrize("broker_kind", ["redis"], indirect=True)
def test_a_turn_of_several_webhooks_is_linked_to_all_of_them(deploy: Deploy, collector: Collector) -> None:
    # Long enough for a busy machine to post a burst in it.
    house = started(deploy, collector, OTEL_SERVICE_NAME="a name of the user's", CHATBOT_DEBOUNCE_WAIT_MS="2000")
    for number in range(3):
        house.post(message("A", number)).raise_for_status()
    wait_until(lambda: collector.named("deliver_replies"))
    wait_until(lambda: len(collector.named(NAMES[0])) == 3)
    first, *others = sorted(collector.named(NAMES[0]), key=lambda span: span.start_time_unix_nano)
    (turn,) = collector.named("process_turn")
    assert attributes(first)["chatbot.correlation_id"] == first.trace_id.hex(), "lines of the log have another id"
    assert (turn.trace_id, turn.parent_span_id) == (first.trace_id, first.span_id)
    assert [(link.trace_id, link.span_id) for link in turn.links] == [(o.trace_id, o.span_id) for o in others]
    assert attributes(turn)["chatbot.items"] == 3
    assert {name for name, _ in collector.spans} == {"a name of the user's"}
    told = b"".join(collector.raw)
    assert not [word for word in (b"line 1", b"user-of-A", b"generic::A") if word in told], "that is personal"


@pytest.mark.long
@pytest.mark.parametrize("broker_kind", ["redis"], indirect=True)
def test_an_attempt_that_failed_and_the_next_one_are_two_spans(deploy: Deploy, collector: Collector) -> None:
    house = started(deploy, collector, CHATBOT_RESPONDER=f"http://127.0.0.1:{free_port()}/nobody")
    house.post(message("A", 1)).raise_for_status()
    wait_until(lambda: len(collector.named("process_turn")) > 1)
    first, second = collector.named("process_turn")[:2]
    assert first.trace_id == second.trace_id
    assert first.span_id != second.span_id
    assert (first.status.code, attributes(first)["error.type"]) == (2, "Transient")
    assert attributes(first)["chatbot.outcome"] == "kept"


@pytest.mark.long
@pytest.mark.parametrize("broker_kind", ["redis"], indirect=True)
def test_a_collector_that_is_down_is_nobodys_concern(deploy: Deploy) -> None:
    house = deploy(CHATBOT_DEBOUNCE_WAIT_MS="300", CHATBOT_OTEL_ENDPOINT=f"http://127.0.0.1:{free_port()}")
    web, worker = house.start_web(), house.start_worker()
    house.post(message("A", 1)).raise_for_status()
    wait_until(lambda: house.partners.replies_to("A"))
    web.stop()
    assert worker.stop() == 0


def test_without_an_endpoint_nothing_is_loaded() -> None:
    assert tracing.create("") is None


def test_without_its_extra_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'chatbot\[otel\]'"):
        tracing.create("http://127.0.0.1:4318")
