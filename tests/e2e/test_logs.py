"""A whole run of real processes is logged without secrets and texts, and one id leads through it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.deployment import Deployment, deployed, message
from tests.waiting import wait_until

TEXT, SECRET = "my cat is called Mitzi", "planted-secret-of-the-admin"

RESPONDER = """
import logging, os
def reply(request):
    texts = [message.text for message in request.messages]
    logging.getLogger("mine").warning("the password is %s", os.environ["CHATBOT_ADMIN_PASSWORD"])
    if request.conversation_id == "bad":
        raise ValueError(f"no answer to {texts}")
    return [f"you said: {text}" for text in texts]
"""


@pytest.fixture
def run_of(private_redis: Callable[..., Any], tmp_path: Path) -> Iterator[Callable[..., Deployment]]:
    """Runs the service, whose responder fails for the conversation `bad`, until all is settled."""
    (tmp_path / "planted.py").write_text(RESPONDER)
    settings = {
        "PYTHONPATH": str(tmp_path),
        "CHATBOT_RESPONDER": "planted:reply",
        "CHATBOT_TURN_ATTEMPTS": "1",
        "CHATBOT_DEBOUNCE_WAIT_MS": "100",
        "CHATBOT_LOG_LEVEL": "debug",
        "CHATBOT_ADMIN_PASSWORD": SECRET,
    }

    def start(**more: str) -> Deployment:
        made = stack.enter_context(deployed(private_redis(), private_redis(), **settings, **more))
        made.start_web()
        made.start_worker("--processes", "2")
        return made

    with ExitStack() as stack:
        yield start


def whole_run(deployment: Deployment) -> tuple[str, str]:
    """Let messages be answered, refused and buried; return the correlation id of the first, and the whole log."""
    answer = deployment.post({**message("good", 1), "text": TEXT})
    deployment.post({**message("good", 2), "text": TEXT})
    deployment.post({**message("bad", 1), "text": TEXT})
    deployment.client.post("/webhooks/generic", content=TEXT, headers={"content-type": "application/json"})
    wait_until(lambda: deployment.partners.replies_to("good"), 20)
    wait_until(lambda: "is a dead letter" in log_of(deployment), 20)
    wait_until(lambda: len(ends(deployment, "deliver_replies")) >= 2, 20)
    return answer.headers["x-request-id"], log_of(deployment)


def log_of(deployment: Deployment) -> str:
    return "".join(process.output() for process in deployment.processes)


def events(deployment: Deployment) -> list[dict[str, Any]]:
    # The last line of a process that runs may be half written.
    whole = [process.output().rpartition("\n")[0].splitlines() for process in deployment.processes]
    return [json.loads(line) for found in whole for line in found]


def ends(deployment: Deployment, actor: str) -> list[dict[str, Any]]:
    return [line for line in events(deployment) if line["event"] == "turn settled" and line.get("actor") == actor]


def test_a_whole_run_logs_neither_secrets_nor_texts_and_one_id_leads_through_it(run_of: Any) -> None:
    deployment = run_of()
    first, log = whole_run(deployment)
    assert TEXT not in log
    assert SECRET not in log
    assert "the password is ***" in log
    accepted = [line for line in events(deployment) if "absorbed" in line["event"] and line["correlation_id"] == first]
    assert [line["logger"] for line in accepted] == ["chatbot.web.webhooks"]
    turns, replies = ends(deployment, "process_turn"), ends(deployment, "deliver_replies")
    of_the_turn = next(line for line in turns if line["correlation_id"] == first)
    assert of_the_turn["role"].startswith("worker-")
    assert len({*of_the_turn.get("joined", ()), *(line["correlation_id"] for line in turns)} - {first}) == 1
    assert first in {line["correlation_id"] for line in replies}
    buried = next(line for line in events(deployment) if "is a dead letter" in line["event"])
    assert buried["correlation_id"] not in ("", first)
    said = next(line for line in events(deployment) if line["logger"] == "mine")
    assert said["turn_id"]
    assert deployment.partners.received
    assert "correlation" not in json.dumps([seen.body for seen in deployment.partners.received])


@pytest.mark.long
def test_texts_are_logged_where_that_is_wanted_but_secrets_never(run_of: Any) -> None:
    _, log = whole_run(run_of(CHATBOT_LOG_MESSAGES="true"))
    assert TEXT in log
    assert SECRET not in log
