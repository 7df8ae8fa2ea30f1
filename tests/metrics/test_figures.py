"""Every figure that operators were promised, on /metrics of real web and worker processes, with something to tell."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from chatbot import stores
from chatbot.bench.servers import free_port
from chatbot.metrics.catalog import CATALOG
from chatbot.stores import Store
from tests.e2e.deployment import Deployment, deployed, message
from tests.metrics.reading import Numbers
from tests.waiting import wait_until

Figure = tuple[str, dict[str, str]]
TURN, DELIVERY = {"actor": "process_turn"}, {"actor": "deliver_replies"}

#: What is promised, where it is driven, and the sample that tells it.
FIGURES: dict[str, tuple[str, Figure]] = {
    "accepted": ("web", ("chatbot_webhook_messages_total", {"outcome": "absorbed"})),
    "duplicates": ("web", ("chatbot_webhook_messages_total", {"outcome": "duplicate"})),
    "suppressed by guarantee and actor": (
        "web",
        ("chatbot_decisions_total", {**TURN, "guarantee": "debounced", "outcome": "duplicate"}),
    ),
    "store errors": ("web", ("chatbot_store_errors_total", {**TURN, "decision": "failed"})),
    "window length": ("worker", ("chatbot_window_seconds_sum", TURN)),
    "items per turn": ("worker", ("chatbot_turn_items_sum", TURN)),
    "overshoot": ("worker", ("chatbot_overshoot_seconds_count", TURN)),
    "queue age": ("worker", ("chatbot_queue_seconds_count", {"queue": "default"})),
    "turn latency": ("worker", ("chatbot_turn_latency_seconds_sum", TURN)),
    "delivery latency": ("worker", ("chatbot_turn_latency_seconds_sum", DELIVERY)),
    "responder latency": ("worker", ("chatbot_responder_seconds_sum", {})),
    "responder errors": ("worker", ("chatbot_responder_errors_total", {"error": "permanent"})),
    "retries": ("worker", ("chatbot_retries_total", TURN)),
    "dead letters": ("worker", ("chatbot_dead_letters_total", TURN)),
    "leases lost": ("worker", ("chatbot_leases_lost_total", {})),
    "broker errors": ("worker", ("chatbot_broker_errors_total", {})),
    "open windows": ("both", ("chatbot_open_windows", {})),
    "running turns": ("both", ("chatbot_running_turns", {})),
    "oldest due score": ("web", ("chatbot_overdue_seconds", {})),
}


#: What both processes tell, whatever has happened yet.
FAMILIES = {metric.name.removesuffix("_total") for metric in CATALOG}


class Watch:
    """Scrapes both processes, and remembers the highest value of each figure."""

    def __init__(self, web: str, worker: str) -> None:
        self.urls = {"web": web, "worker": worker}
        self.highest: dict[tuple[str, str], float] = {}

    def look(self) -> None:
        for role, url in self.urls.items():
            with contextlib.suppress(httpx.TransportError):  # one that was killed has told what it had to tell
                self._read(role, Numbers(httpx.get(f"{url}/metrics", timeout=15, trust_env=False).text))

    def _read(self, role: str, seen: Numbers) -> None:
        if seen("chatbot_store_up"):
            assert set(seen.families) == FAMILIES, role
        for figure, (_, (sample, labels)) in FIGURES.items():
            known = self.highest.get((role, figure), 0.0)
            self.highest[role, figure] = max(known, seen(sample, **labels))

    def sees(self, *figures: str) -> None:
        """Wait until these are more than nothing where they are driven."""

        def seen() -> bool:
            self.look()
            return all(self.highest[role, figure] > 0 for figure in figures for role in self._where(figure))

        wait_until(seen, 40, f"{figures} are not all told", interval=0.3)

    def _where(self, figure: str) -> list[str]:
        place = FIGURES[figure][0]
        return ["web", "worker"] if place == "both" else [place]


@contextlib.contextmanager
def slow_answers(deployment: Deployment) -> Iterator[None]:
    """Let the responder fail for `dead-...`, fail once for `flaky`, and take its time for `slow`, until the end."""
    gate, failed = threading.Event(), []

    def answer(turn: dict[str, Any]) -> Any:
        name = turn["conversation_id"]
        if name == "slow":
            gate.wait(30)
        if name == "flaky" and not failed:
            failed.append(name)
            raise ConnectionError("the responder hangs up")
        return [5] if name == "dead" else ["a reply"]  # 5 is no text: a permanent error

    deployment.partners.answer = answer
    try:
        yield
    finally:
        gate.set()


@pytest.mark.long
def test_every_figure_is_told_by_web_and_worker_and_moves_with_what_it_is_named_after(
    private_redis: Callable[..., Any],
) -> None:
    store, broker, port = private_redis(), private_redis(), free_port()
    quick = {"CHATBOT_DEBOUNCE_WAIT_MS": "300", "CHATBOT_DEBOUNCE_MAX_WAIT_MS": "1000"}
    with deployed(store, broker, **quick) as house, slow_answers(house), opened(store.url) as ledger:
        house.start_web()
        worker = house.start_worker("--metrics-port", str(port))
        watch = Watch(house.url, f"http://127.0.0.1:{port}")
        burst = [message("c1", 1), message("c1", 2), message("flaky", 1), message("dead", 1), message("slow", 1)]
        house.post(*burst).raise_for_status()
        assert house.post(message("c1", 1)).json()["duplicates"] == 1
        watch.sees("running turns", "open windows")
        take_away(ledger, "process_turn/generic::slow")
        watch.sees("leases lost", "retries", "dead letters", "responder errors", "delivery latency")
        broker.kill()
        house.post(message("c2", 1)).raise_for_status()
        watch.sees("broker errors")
        worker.kill()  # and with it the last pump
        house.post(message("c3", 1)).raise_for_status()
        watch.sees("oldest due score")
        store.kill()
        wait_until(lambda: house.post(message("c4", 1)).status_code == 503, 20, interval=0.2)
        watch.sees(*FIGURES)
        store.restart()
        broker.restart()


@contextlib.contextmanager
def opened(url: str) -> Iterator[Store]:
    with contextlib.closing(stores.create(url, namespace="chatbot")) as store:
        yield store


def take_away(ledger: Store, key: str) -> None:
    """Take a turn from the run that has it, as `chatbot unlock` does."""
    state = wait_until(lambda: (found := ledger.inspect(key)).state == "running" and found, 20)
    assert ledger.unlock(key, state.epoch, state.owner)
