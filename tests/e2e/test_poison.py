"""A message that kills whatever works on it ends as a dead letter, alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.deployment import Deployment, message
from tests.waiting import wait_until

KILLER = """
import os, signal

def reply(turn):
    texts = [message.text for message in turn.messages]
    if "poison" in texts:
        os.kill(os.getpid(), signal.SIGKILL)
    return [" + ".join(texts)]
"""


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_message_that_kills_every_worker_is_buried_and_its_neighbours_are_answered(
    deploy: Callable[..., Deployment], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "killer.py").write_text(KILLER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    house = deploy(CHATBOT_RESPONDER="killer:reply", CHATBOT_DEBOUNCE_WAIT_MS="200")
    house.start_web()
    worker = house.start("worker", "--processes", "3", "--threads", "3")
    house.post(message("A", 1) | {"text": "poison"}, message("A", 2)).raise_for_status()

    def replies() -> list[str]:
        return [reply.body["text"] for reply in list(house.partners.received)]

    wait_until(lambda: "line 2" in replies(), 240, "the neighbour was not answered")
    assert replies() == ["line 2"]
    # Its reply is out before its delivery is settled.
    wait_until(lambda: ["}d:process_turn/" in key for key in house.open_keys()] == [True])
    assert worker.popen.poll() is None
    house.post(message("A", 3)).raise_for_status()
    wait_until(lambda: "line 3" in replies(), 60)
