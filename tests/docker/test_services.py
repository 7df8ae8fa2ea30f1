"""Each deployment runs: every service of ours as a process, by its command, environment and health check, on a store
and a broker that are started as their containers are."""

from __future__ import annotations

import base64
import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from dotenv import dotenv_values

from chatbot.bench.deployment import webhook
from chatbot.operations.doctor.diagnosis import doctor as examine
from chatbot.settings import environment
from tests.docker.compose import DEPLOYMENTS, ROOT, Tree, project
from tests.docker.containers import Container, running, url_of
from tests.docker.shipped import ShippedRabbitmq, ShippedValkey
from tests.e2e.deployment import message, stays, texts
from tests.e2e.partners import SECRET, Partners
from tests.waiting import wait_until

OURS = ("web", "dashboard", "worker", "scheduler")
SCALE = {"worker": 2}
PASSWORDS = {
    "store_password": "st0re-0123456789",
    "rabbitmq_password": "r4bbit-0123456789",
    "admin_password": "adm1n-0123456789",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """A deployment at work."""

    kind: str
    containers: dict[str, Container]
    store: ShippedValkey
    partners: Partners
    services: dict[str, Tree]

    def post(self, *messages: dict[str, object]) -> httpx.Response:
        headers, body = webhook(*messages)
        url = f"{url_of(self.containers['web-1'])}/webhooks/generic"
        return httpx.post(url, content=body, headers=headers, timeout=15, trust_env=False)


def place(directory: Path, partners: Partners) -> dict[str, str]:
    """Lay out docker/.env and docker/secrets as a deployment does; return where they are."""
    secrets = directory / "secrets"
    secrets.mkdir()
    for name in project(DEPLOYMENTS["rabbitmq"])["secrets"]:
        (secrets / name).write_text(PASSWORDS.get(name, SECRET if name == "generic_secret" else "") + "\n")
    chosen = {
        "CHATBOT_RESPONDER": f"{partners.url}/respond",
        "CHATBOT_GENERIC_OUTBOUND_URL": f"{partners.url}/replies",
        "CHATBOT_DEBOUNCE_WAIT_MS": "2000",
    }
    settings = (ROOT / "docker" / "env.production").read_text()
    (directory / ".env").write_text(settings + "".join(f"{name}={value}\n" for name, value in chosen.items()))
    return {"/run/secrets": str(secrets), str(ROOT / "docker" / ".env"): str(directory / ".env")}


@pytest.fixture(scope="module", params=sorted(DEPLOYMENTS))
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    directory = tmp_path_factory.mktemp(request.param)
    with ExitStack() as stack:
        partners = stack.enter_context(Partners())
        where = place(directory, partners)
        found = project(DEPLOYMENTS[request.param], dict(dotenv_values(directory / ".env")))["services"]
        store = ShippedValkey(directory / "secrets")
        stack.enter_context(store)
        where["store:6379"] = f"127.0.0.1:{store.port}"
        if request.param == "rabbitmq":
            broker = ShippedRabbitmq(directory / "secrets")
            stack.enter_context(broker)
            where["rabbitmq:5672"] = f"127.0.0.1:{broker.port}"
            where["rabbitmq:15672"] = f"127.0.0.1:{broker.management_port}"
        services = {name: found[name] for name in OURS}
        up = {"store", "rabbitmq"} & found.keys()
        containers = stack.enter_context(running(services, where, directory, up=up, scale=SCALE))
        yield House(kind=request.param, containers=containers, store=store, partners=partners, services=found)


pytestmark = pytest.mark.long


def test_every_service_becomes_healthy_in_its_order(house: House) -> None:
    assert sorted(house.containers) == [
        "dashboard-1", "scheduler-1", "scheduler-2", "web-1", "worker-1", "worker-2",
    ]  # fmt: skip
    for one in house.containers.values():
        assert json.loads(one.check().stdout)["status"] == "ready"


def test_a_burst_delivered_twice_is_answered_once(house: House) -> None:
    for number in range(3):
        for _ in range(2):
            house.post(message("A", number)).raise_for_status()
    wait_until(lambda: house.partners.replies_to("A"), 30)
    (turn,) = house.partners.asked_about("A")
    assert texts(turn) == ["line 0", "line 1", "line 2"]
    assert stays(lambda: len(house.partners.replies_to("A")) == 1, 1.5)


def test_the_pages_are_served_where_the_dashboard_is(house: House) -> None:
    with httpx.Client(base_url=url_of(house.containers["dashboard-1"]), timeout=15, trust_env=False) as client:
        answer = client.get("/dashboard/", headers={"accept": "text/html"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/dashboard/")


def test_nothing_is_wrong_for_the_doctor(house: House) -> None:
    given = environment(house.containers["worker-1"].environment(), Path("none"))
    given["CHATBOT_GENERIC_SECRET"] = f"whsec_{base64.b64encode(os.urandom(32)).decode()}"  # that of the tests is weak

    def wrong() -> list[str]:
        told = examine(given, Path("none"), grace=65.0)
        return [finding.found for finding in told.findings if finding.severity != "note"]

    wait_until(lambda: not wrong(), 20, f"the doctor says: {wrong()}")


def test_the_store_answers_its_health_check_and_nobody_without_the_password(house: House, tmp_path: Path) -> None:
    check = house.services["store"]["healthcheck"]["test"][1]
    assert house.store.healthy(check)
    other = tmp_path / "secrets"
    other.mkdir()
    (other / "store_password").write_text("another")
    mine, house.store.secrets = house.store.secrets, other
    try:
        assert not house.store.healthy(check)
    finally:
        house.store.secrets = mine


def test_a_container_that_lost_its_store_says_so(house: House) -> None:
    house.store.pause()
    try:
        for name in ("web-1", "worker-1", "scheduler-1"):
            wait_until(lambda name=name: not house.containers[name].healthy(), 20, f"{name} says it is well")
    finally:
        house.store.resume()
    for one in house.containers.values():
        wait_until(one.healthy, 30, f"{one.name} does not come back")


def test_every_service_stops_within_its_grace(house: House) -> None:
    """The last of these tests: it stops them."""
    for one in house.containers.values():
        assert one.stop() in (0, -signal.SIGTERM), one.log()  # uvicorn ends by the signal that it was told with
        assert "Traceback" not in one.log(), one.log()


def test_a_store_without_a_password_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "store_password").write_text("\n")
    server = ShippedValkey(tmp_path)
    with closing(server), pytest.raises(RuntimeError, match="the secret store_password is empty"):
        server.start()
