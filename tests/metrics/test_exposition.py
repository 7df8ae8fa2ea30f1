"""/metrics of real processes."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from chatbot.bench.servers import free_port
from chatbot.metrics.catalog import CATALOG
from chatbot.metrics.exposition import Exposition
from chatbot.metrics.meters import Meters
from chatbot.metrics.standing import Standing
from chatbot.stores.memory import MemoryStore
from tests.e2e.deployment import deployed, message
from tests.metrics.reading import Numbers
from tests.waiting import wait_until

QUICK = {"CHATBOT_DEBOUNCE_WAIT_MS": "100", "CHATBOT_DEBOUNCE_MAX_WAIT_MS": "1000"}


def scrape(url: str) -> Numbers:
    answer = httpx.get(f"{url}/metrics", timeout=15, trust_env=False)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return Numbers(answer.text)


@pytest.fixture
def deployment(private_redis: Callable[..., Any]) -> Any:
    with deployed(private_redis(), private_redis(), **QUICK) as made:
        yield made


def test_a_message_is_counted_on_its_whole_way_by_every_process(deployment: Any) -> None:
    port = free_port()
    deployment.start_web()
    workers = deployment.start_worker("--processes", "2", "--metrics-port", str(port))
    assert deployment.post(message("c1", 1), message("c1", 2)).json() == {"accepted": 2, "duplicates": 0}
    assert deployment.post(message("c1", 1)).json()["duplicates"] == 1
    wait_until(lambda: deployment.partners.replies_to("c1"), 20)
    url = f"http://127.0.0.1:{port}"
    settled = {"actor": "deliver_replies", "outcome": "settled"}
    wait_until(lambda: scrape(url)("chatbot_turns_total", **settled), 20)
    web, worker = scrape(deployment.url), scrape(url)
    assert web("chatbot_webhook_messages_total", channel="generic", outcome="absorbed") == 2
    assert web("chatbot_webhook_messages_total", channel="generic", outcome="duplicate") == 1
    assert web("chatbot_admit_seconds_count") == 2
    assert worker("chatbot_turn_items_sum", actor="process_turn") == 2
    assert worker("chatbot_responder_seconds_count") == 1
    assert worker("chatbot_turn_latency_seconds_count", actor="deliver_replies") == 1
    # Whichever of the two answers, it tells of both.
    assert {scrape(url)("chatbot_turns_total") for _ in range(10)} == {2}
    for seen in (web, worker):
        assert seen("chatbot_store_up") == seen("chatbot_broker_up") == 1
    assert workers.popen.poll() is None


# --- in this process ---
@pytest.fixture
def exposition() -> Exposition:
    return Exposition(Meters(), Standing(MemoryStore(), lambda: {"store": "ok", "broker": "ok"}))


def test_what_is_exposed_is_what_the_table_says(exposition: Exposition) -> None:
    seen = Numbers(exposition.render().decode())
    types = {metric.name.removesuffix("_total"): metric for metric in CATALOG}
    assert seen.families.keys() == types.keys()
    for name, family in seen.families.items():
        metric = types[name]
        assert (family.type, family.documentation) == (metric.kind, metric.help)


def test_the_server_of_a_worker_answers_one_path_and_no_other(exposition: Exposition) -> None:
    sock = socket.create_server(("127.0.0.1", 0))
    server, url = exposition.serve(sock), f"http://127.0.0.1:{sock.getsockname()[1]}"
    try:
        assert scrape(url)("chatbot_store_up") == 1
        assert httpx.get(f"{url}/", trust_env=False).status_code == 404
    finally:
        server.shutdown()
        server.server_close()


def test_a_client_that_says_nothing_keeps_nobody_waiting(exposition: Exposition) -> None:
    sock = socket.create_server(("127.0.0.1", 0))
    server = exposition.serve(sock)
    try:
        with socket.create_connection(sock.getsockname()):
            assert scrape(f"http://127.0.0.1:{sock.getsockname()[1]}")("chatbot_broker_up") == 1
    finally:
        server.shutdown()
        server.server_close()
