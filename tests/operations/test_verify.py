"""`chatbot verify` against real deployments: a good one, and ones with one thing wrong each."""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner

from chatbot.channels import generic
from chatbot.channels.base import Channel
from chatbot.commands.check import verify
from chatbot.errors import Permanent
from chatbot.model import TurnRequest
from tests.e2e.deployment import Deployment, deployed, stays
from tests.e2e.partners import SECRET
from tests.operations.bad_service import bad_service
from tests.operations.test_forget import everything
from tests.servers import RedisServer, free_port

#: ms. The quiet time of these services: long enough for a busy machine to deliver the burst in it.
WAIT_MS = "2000"


def refuse(turn: TurnRequest) -> str:
    raise Permanent("there is no model of this name")


class Open(generic.Generic):
    """A channel that takes what anybody signs."""

    def verify(self, headers: Mapping[str, str], body: bytes) -> None:
        pass


def open_channel(name: str, options: Mapping[str, str]) -> Channel:
    return Open(name, (), options["outbound_url"])


class Verified:
    """How it ended, with its proofs by name."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err
        self.report: dict[str, Any] = json.loads(out) if out.startswith("{") else {}
        self.proofs: dict[str, dict[str, Any]] = {proof["name"]: proof for proof in self.report.get("proofs", [])}

    def held(self) -> dict[str, bool | None]:
        return {name: proof["held"] for name, proof in self.proofs.items()}


@pytest.fixture(scope="module")
def good() -> Iterator[Deployment]:
    """A deployment that is as it should be."""
    with RedisServer() as server, deployed(server, server, CHATBOT_DEBOUNCE_WAIT_MS=WAIT_MS) as deployment:
        deployment.start_web()
        deployment.start_worker()
        yield deployment


@pytest.fixture
def house(redis_server: RedisServer) -> Iterator[Callable[..., Deployment]]:
    """Starts a deployment; the roles that are to run are named."""
    with ExitStack() as stack:

        def start(*roles: str, **settings: str) -> Deployment:
            chosen = {"CHATBOT_DEBOUNCE_WAIT_MS": WAIT_MS, **settings}
            made = stack.enter_context(deployed(redis_server, redis_server, **chosen))
            if "web" in roles:
                made.start_web()
            if "worker" in roles:
                made.start_worker()
            return made

        yield start


def verified(house: Deployment, *arguments: str, **settings: str) -> Verified:
    """Run it with the deployment's own environment, but for these settings."""
    environment = {
        "CHATBOT_STORE_URL": house.store.url,
        "CHATBOT_BROKER_URL": house.broker.url,
        "CHATBOT_GENERIC_SECRET": SECRET,
        "CHATBOT_GENERIC_OUTBOUND_URL": f"{house.partners.url}/replies",
        **house.settings,
        **settings,
    }
    clean = {name: None for name in os.environ if name.startswith("CHATBOT_")}
    ran = CliRunner(env={**clean, **environment}).invoke(verify, ["--url", house.url, *arguments])
    if ran.exception and not isinstance(ran.exception, SystemExit):
        raise ran.exception
    return Verified(ran.exit_code, ran.stdout, ran.stderr)


def test_a_good_deployment_is_shown_to_be_one_and_nothing_of_it_stays(good: Deployment) -> None:
    ran = verified(good, "--json")
    assert ran.status == 0, ran.out
    names = ["health", "ready", "signature", "deduplication", "debounce", "replies", "idempotency", "cleanup"]
    assert ran.held() == dict.fromkeys(names, True)
    assert ran.report["seconds"] < 30
    assert ran.proofs["deduplication"]["came"] == "3 accepted, 1 duplicate"
    after = re.fullmatch("one turn of 3, formed ([0-9.]+) s after the last", ran.proofs["debounce"]["came"])
    assert after
    assert float(after[1]) >= int(WAIT_MS) / 1000
    assert ran.proofs["replies"]["came"] == "1 reply, sent once"

    conversation = ran.report["conversation"]
    assert conversation.startswith("verify-")
    assert len(good.partners.asked_about(conversation)) == 1
    assert [reply.body["text"] for reply in good.partners.replies_to(conversation)] == ["3 messages"]
    # Nor does what the processes of the service write down a little later.
    assert stays(lambda: traces_of(good, conversation) == [], 0.6)


def test_it_prints_a_line_a_proof_and_keeps_the_conversation_if_told_to(good: Deployment) -> None:
    ran = verified(good, "--keep")
    assert ran.status == 0, ran.out
    assert "ok   idempotency    all 3 messages again, after their turn -> 3 duplicate (" in ran.out
    assert "debounce, deduplication and idempotency hold: one burst, one turn, each reply once" in ran.out
    assert traces_of(good, good.partners.asked[-1].body["conversation_id"]) != []


def traces_of(deployment: Deployment, conversation: str) -> list[str]:
    """Return the keys of the store that name a conversation, in their name or in what they hold."""
    with contextlib.closing(redis.Redis.from_url(deployment.store.url)) as client:
        return [key for key, content in everything(client) if conversation in key or conversation.encode() in content]


def test_without_the_store_it_says_what_answers_do_not_show(good: Deployment) -> None:
    ran = verified(good, "--http-only")
    assert ran.status == 0, ran.out
    assert "?    debounce       the burst -> not looked at: that is in the ledger" in ran.out
    assert "all that answers can show holds; not shown: debounce, replies" in ran.out
    assert "only answers were looked at" in ran.out


def test_without_a_worker_the_turn_is_missed_and_the_cure_is_named(house: Callable[..., Deployment]) -> None:
    deployment = house("web", CHATBOT_DEBOUNCE_WAIT_MS="500")
    ran = verified(deployment, "--timeout", "4", "--json")
    assert (ran.status, ran.held()["debounce"], ran.held()["replies"]) == (1, False, None)
    assert "a window that nobody closes" in ran.proofs["debounce"]["came"]
    assert "start `chatbot worker`" in ran.proofs["debounce"]["cure"]
    assert traces_of(deployment, ran.report["conversation"]) == []

    other = verified(deployment, "--timeout", "2", "--json", CHATBOT_NAMESPACE="another")
    assert (other.status, other.proofs["debounce"]["came"]) == (1, "messages that this ledger does not know")
    assert "CHATBOT_STORE_URL and CHATBOT_NAMESPACE" in other.proofs["debounce"]["cure"]

    wrong = verified(deployment, "--secret", "whsec_" + "QUJD" * 8)
    assert (wrong.status, wrong.out) == (2, "")
    assert "the service does not accept our signature" in wrong.err


@pytest.mark.long
def test_a_channel_that_takes_what_anybody_signs_is_found(house: Callable[..., Deployment]) -> None:
    deployment = house("web", CHATBOT_CHANNELS=f"generic={__name__}:open_channel")
    ran = verified(deployment, "--http-only", "--json")
    assert (ran.status, ran.held()["signature"]) == (1, False)
    assert ran.proofs["signature"]["came"] == "200"


@pytest.mark.long
def test_a_responder_that_gives_up_is_told_with_its_reason(house: Callable[..., Deployment]) -> None:
    ran = verified(house("web", "worker", CHATBOT_RESPONDER=f"{__name__}:refuse"), "--json")
    assert (ran.status, ran.held()["debounce"]) == (1, False)
    assert "there is no model of this name" in ran.proofs["debounce"]["came"]


@pytest.mark.long
def test_replies_that_cannot_be_sent_are_told(house: Callable[..., Deployment]) -> None:
    nobody = f"http://127.0.0.1:{free_port()}/"
    ran = verified(house("web", "worker", CHATBOT_GENERIC_OUTBOUND_URL=nobody), "--timeout", "8", "--json")
    assert (ran.status, ran.held()["debounce"], ran.held()["replies"]) == (1, True, False)
    assert "a reply that is" in ran.proofs["replies"]["came"]


@pytest.mark.long
def test_a_burst_that_was_split_is_not_called_one(house: Callable[..., Deployment]) -> None:
    deployment = house("web", "worker", CHATBOT_DEBOUNCE_MAX_MESSAGES="1")
    ran = verified(deployment, "--json", CHATBOT_DEBOUNCE_MAX_MESSAGES="50")
    assert (ran.status, ran.held()["debounce"], ran.held()["idempotency"]) == (1, False, True)
    assert ran.proofs["debounce"]["came"] == "3 turns"
    # By its own settings that is right: nothing is shown, which is no success.
    unsure = verified(deployment, "--json")
    assert (unsure.status, unsure.held()["debounce"]) == (1, None)


@pytest.mark.long
def test_it_holds_on_rabbitmq_too(redis_server: RedisServer, rabbitmq_server: Any) -> None:
    with deployed(redis_server, rabbitmq_server, CHATBOT_DEBOUNCE_WAIT_MS=WAIT_MS) as deployment:
        deployment.start_web()
        deployment.start_worker()
        ran = verified(deployment, "--json")
        assert ran.status == 0, ran.out
        assert set(ran.held().values()) == {True}


class Meta(BaseHTTPRequestHandler):
    """Meta, to whom a message for a number is sent that is nobody's."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps({"error": {"message": "(#131026) Message undeliverable", "code": 131026}}).encode()
        self.send_response(400)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def meta() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Meta)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.long
def test_whatsapp_is_shown_with_a_number_that_nobody_has(house: Callable[..., Deployment], meta: str) -> None:
    settings = {
        "CHATBOT_CHANNELS": "whatsapp",
        "CHATBOT_WHATSAPP_APP_SECRET": "an app secret",
        "CHATBOT_WHATSAPP_VERIFY_TOKEN": "a verify token",
        "CHATBOT_WHATSAPP_ACCESS_TOKEN": "an access token",
        "CHATBOT_WHATSAPP_PHONE_NUMBER_ID": "42",
        "CHATBOT_WHATSAPP_GRAPH_URL": meta,
    }
    deployment = house("web", "worker", **settings)
    ran = verified(deployment, "--channel", "whatsapp", "--json")
    assert ran.status == 0, ran.out
    assert "1 reply settled once and given up" in ran.proofs["replies"]["came"]
    assert "131026" in ran.proofs["replies"]["came"]
    conversation = ran.report["conversation"]
    assert conversation.startswith("999")
    assert traces_of(deployment, conversation) == []


def test_a_service_that_takes_nothing_is_not_waited_for_longer_than_told(tmp_path: Path) -> None:
    with bad_service("deaf") as service:
        arguments = ["--url", service.url, "--secret", SECRET, "--state", str(tmp_path), "--timeout", "0.2", "--json"]
        ran = CliRunner(env={"CHATBOT_STORE_URL": None}).invoke(verify, arguments)
    found = Verified(ran.exit_code, ran.stdout, ran.stderr)
    assert found.status == 1
    # It has neither /health nor /ready, but it knows a signature.
    assert found.held() == {"health": False, "ready": False, "signature": True, "run": False}
    assert "it ended here: it answered 503: not now" in found.proofs["run"]["came"]


def test_nobody_there_is_status_2(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    ran = CliRunner(env={"CHATBOT_STORE_URL": None}).invoke(
        verify, ["--url", url, "--secret", SECRET, "--state", str(tmp_path), "--http-only"]
    )
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert "nothing answers at" in ran.stderr
