"""`chatbot simulate` against the service itself: `chatbot dev`, and a deployment whose replies come to `--listen`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.deployment import Deployment, deployed
from tests.operations.simulating import WAIT_MS, Ran, simulate
from tests.servers import free_port
from tests.waiting import wait_until

WHATSAPP = {
    "CHATBOT_WHATSAPP_APP_SECRET": "an app secret",
    "CHATBOT_WHATSAPP_VERIFY_TOKEN": "a verify token",
    "CHATBOT_WHATSAPP_ACCESS_TOKEN": "an access token",
}
DEV_WAIT = {"CHATBOT_DEBOUNCE_WAIT_MS": str(WAIT_MS)}


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A running `chatbot dev` with both channels: its URL, and its state directory."""
    folder, port = tmp_path_factory.mktemp("dev"), free_port()
    url = f"http://127.0.0.1:{port}"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CHATBOT_")}
    settings = {
        "CHATBOT_CHANNELS": "generic,whatsapp",
        "CHATBOT_WHATSAPP_GRAPH_URL": f"{url}/dev/whatsapp",
        **WHATSAPP,
        **DEV_WAIT,
    }
    log = folder / "log"
    with log.open("wb") as out:
        argv = [sys.executable, "-m", "chatbot", "dev", "--port", str(port)]
        process = subprocess.Popen(
            argv, env=clean | settings, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    try:
        wait_until(lambda: "working on all queues" in log.read_text(), 30, "chatbot dev does not start")
        yield url, folder / ".state"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        print(log.read_text())


def assert_well(ran: Ran, bursts: int) -> None:
    """Check that each burst of four messages became one turn of four, with one reply."""
    assert ran.status == 0, ran
    totals = ran.report["totals"]
    assert (totals["bursts"], totals["turns"], totals["replies"]) == (bursts, bursts, bursts)
    for conversation in ran.report["conversations"]:
        for burst in conversation["bursts"]:
            (turn,) = burst["turns"]
            assert turn["messages"] == [message["message_id"] for message in burst["messages"]]
            assert turn["turn_id"]


def test_dev_answers_each_burst_once(dev: tuple[str, Path]) -> None:
    url, state = dev
    # An empty variable counts as none: the secret is the one that dev made.
    assert_well(simulate(url, "--state", str(state), "--bursts", "2", "--json", CHATBOT_GENERIC_SECRET=""), bursts=6)


def test_dev_answers_whatsapp_too(dev: tuple[str, Path]) -> None:
    ran = simulate(dev[0], "--channel", "whatsapp", "--json", **WHATSAPP)
    assert_well(ran, bursts=3)
    assert ran.report["conversations"][0]["conversation_id"].isdecimal()


def test_a_wrong_app_secret_is_said(dev: tuple[str, Path]) -> None:
    ran = simulate(dev[0], "--channel", "whatsapp", "--secret", "another")
    assert (ran.status, ran.out) == (2, "")
    assert "give its CHATBOT_WHATSAPP_APP_SECRET, or the same as --secret" in ran.err


Deploy = Callable[..., tuple[Deployment, str]]


@pytest.fixture
def deploy(private_redis: Callable[..., Any]) -> Iterator[Deploy]:
    """Starts a service that sends its replies to an address; gives both."""
    left = []

    def start(**settings: str) -> tuple[Deployment, str]:
        here = f"127.0.0.1:{free_port()}"
        chosen = {name: value.replace("HERE", f"http://{here}") for name, value in settings.items()}
        store = private_redis()
        context = deployed(store, store, CHATBOT_RESPONDER="echo", **DEV_WAIT, **chosen)
        house = context.__enter__()
        left.append(context)
        house.start_web()
        house.start_worker()
        return house, here

    yield start
    for context in left:
        context.__exit__(None, None, None)


@pytest.mark.long
def test_it_receives_the_generic_channels_replies_itself(deploy: Deploy) -> None:
    house, here = deploy(CHATBOT_GENERIC_OUTBOUND_URL="HERE/any/path")
    assert_well(simulate(str(house.client.base_url), "--listen", here, "--json"), bursts=3)


ON_WHATSAPP = {"CHATBOT_CHANNELS": "whatsapp", "CHATBOT_WHATSAPP_GRAPH_URL": "HERE/v23.0", **WHATSAPP}


@pytest.mark.long
def test_it_is_whatsapps_graph_api_itself(deploy: Deploy) -> None:
    house, here = deploy(**ON_WHATSAPP, CHATBOT_WHATSAPP_PHONE_NUMBER_ID="42")
    url = str(house.client.base_url)
    number = {"CHATBOT_WHATSAPP_PHONE_NUMBER_ID": "42"}
    assert_well(simulate(url, "--channel", "whatsapp", "--listen", here, "--json", **WHATSAPP, **number), bursts=3)

    other = simulate(url, "--channel", "whatsapp", "--listen", here, **WHATSAPP)
    assert (other.status, other.out) == (2, "")
    assert "set CHATBOT_WHATSAPP_PHONE_NUMBER_ID to the same as there" in other.err


def test_replies_that_cannot_be_proved_are_said(deploy: Deploy) -> None:
    house, here = deploy(**ON_WHATSAPP)
    settings = {**WHATSAPP, "CHATBOT_WHATSAPP_ACCESS_TOKEN": "another"}
    ran = simulate(str(house.client.base_url), "--channel", "whatsapp", "--listen", here, **settings)
    assert (ran.status, ran.out) == (2, "")
    assert "cannot be proved (the access token is not ours): give the service's own" in ran.err


def test_where_replies_go_elsewhere_that_is_said(deploy: Deploy) -> None:
    house, _ = deploy(CHATBOT_GENERIC_OUTBOUND_URL="HERE")
    ran = simulate(str(house.client.base_url))
    assert (ran.status, ran.out) == (2, "")
    assert "let them come here with --listen HOST:PORT" in ran.err
