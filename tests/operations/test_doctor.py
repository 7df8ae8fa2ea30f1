"""`chatbot doctor` on real servers and a real worker: well at first, and then with problems that are planted there."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pika
import pytest
import redis
from click.testing import CliRunner

from chatbot.commands.check import doctor
from chatbot.stores.memory import MemoryStore
from tests.operations.house import House
from tests.operations.house import house as running
from tests.servers import RabbitmqServer, RedisServer, free_port
from tests.waiting import wait_until

PASSWORD = "a password that nobody guesses"


def memory(namespace: str) -> MemoryStore:
    return MemoryStore()


class Examined:
    """How it ended, and what it told, by check."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.err = status, err
        self.told: dict[str, Any] = json.loads(out) if out else {}
        self.found = {one["check"]: one["found"] for one in self.told.get("findings", [])}
        self.unseen = {one["what"]: one["why"] for one in self.told.get("unseen", [])}


def invoke(variables: Mapping[str, str], *arguments: str) -> Any:
    clean = {name: None for name in os.environ if name.startswith("CHATBOT_")}
    ran = CliRunner(env={**clean, **variables}).invoke(doctor, arguments)
    if ran.exception and not isinstance(ran.exception, SystemExit):
        raise ran.exception
    return ran


def examined(variables: Mapping[str, str], **settings: str) -> Examined:
    ran = invoke({**variables, "CHATBOT_ADMIN_PASSWORD": PASSWORD, **settings}, "--json")
    return Examined(ran.exit_code, ran.stdout, ran.stderr)


@pytest.fixture
def server(private_redis: Callable[..., RedisServer]) -> RedisServer:
    return private_redis()


@pytest.fixture
def client(server: RedisServer) -> Iterator[Any]:
    with contextlib.closing(redis.Redis.from_url(server.url)) as client:
        yield client


@pytest.fixture
def house(server: RedisServer) -> Iterator[House]:
    """A service with a worker and a scheduler that has just published."""
    with running(server.url) as house:
        house.work()
        ticked(house)
        yield house


def ticked(house: House) -> None:
    now = round(time.time())
    house.service.store.remember("tick:sweep", str(now), str(now).encode(), 8, 3_600_000)


def well(house: House, **settings: str) -> Examined:
    """Return the first diagnosis without findings: workers come up in their own time."""
    return wait_until(lambda: (seen := examined(house.variables, **settings)).status == 0 and seen, 20, interval=0.2)


def test_a_service_that_is_well_on_redis(house: House) -> None:
    seen = well(house)
    assert seen.found == {}
    assert seen.unseen == {}
    assert [one["part"].partition(" ")[0] for one in seen.told["checked"]][-1] == "service"
    text = invoke({**house.variables, "CHATBOT_ADMIN_PASSWORD": PASSWORD}).stdout
    assert "eviction, memory, persistence" in text
    assert text.endswith("nothing is wrong\n")


def test_what_is_planted_on_the_server_is_found(house: House, client: Any) -> None:
    well(house)
    for name, value in {"maxmemory-policy": "allkeys-lru", "appendfsync": "everysec"}.items():
        client.config_set(name, value)
    seen = examined(house.variables)
    assert seen.status == 1
    assert set(seen.found) == {"eviction", "persistence"}
    client.config_set("appendonly", "no")
    assert "appendonly no" in examined(house.variables).found["persistence"]


def test_what_is_planted_in_the_ledger_is_found(house: House, client: Any) -> None:
    house.run("bad1", "m1")
    house.stop()
    house.admit("c1", "m2")
    (due,) = client.keys("{*}due")
    (key,) = [key for key, _ in client.zrange(due, 0, -1, withscores=True) if b"c1" in key]
    client.zadd(due, {key: round((time.time() - 2 * 86_400) * 1000)})
    client.hset(due.removesuffix(b"due") + b"m", "partitions", "4")
    seen = examined(house.variables)
    assert seen.status == 1
    assert seen.found["dead letters"] == "dead letters wait: 1 turn"
    assert "the oldest overdue by 2 d: no pump runs" in seen.found["pumps"]
    assert seen.found["workers"] == "no worker is connected to the broker"
    assert "begun with 4 partitions" in seen.found["partitions"]


def test_what_is_planted_in_the_environment_is_found(house: House) -> None:
    url = house.variables["CHATBOT_STORE_URL"]
    well(house)
    settings = {
        "CHATBOT_STORE_URL": f"{url}?socket_timeout=3",
        "CHATBOT_ADMIN_PASSWORD": "password1",
        "CHATBOT_RESPONDER": "https://example.com/answer",
        "CHATBOT_RESPONDER_TIMEOUT_S": "700",
    }
    seen = examined(house.variables, **settings)
    assert seen.status == 1
    assert set(seen.found) == {"socket timeouts", "secrets", "time limits"}
    assert "password1" not in json.dumps(seen.told)

    missing = examined({name: house.variables[name] for name in ("CHATBOT_STORE_URL", "CHATBOT_BROKER_URL")})
    assert "CHATBOT_GENERIC_" in missing.found["settings"]
    assert "CHATBOT_ADMIN_PASSWORD" in examined(house.variables, CHATBOT_ADMIN_PASSWORD="").found["settings"]


def test_what_it_may_not_ask_is_said_to_be_unseen(house: House, client: Any) -> None:
    well(house)
    client.acl_setuser(
        "tenant", enabled=True, passwords=["+a-long-password"], keys=["*"], channels=["*"],
        commands=["+@all", "-config"],
    )  # fmt: skip
    url = house.variables["CHATBOT_STORE_URL"].replace("redis://", "redis://tenant:a-long-password@")
    seen = examined(house.variables, CHATBOT_STORE_URL=url, CHATBOT_BROKER_URL=url)
    assert (seen.status, seen.found) == (0, {})
    assert "does not let us ask" in seen.unseen["appendfsync and min-replicas-to-write"]


def test_a_node_of_a_cluster_is_only_right_when_it_is_used_as_one(
    house: House, private_redis: Callable[..., RedisServer]
) -> None:
    well(house)
    node = private_redis(None, "--cluster-enabled", "yes")
    with contextlib.closing(redis.Redis.from_url(node.url)) as client:
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        wait_until(lambda: "cluster_state:ok" in str(client.execute_command("CLUSTER", "INFO")))
    alone = examined(house.variables, CHATBOT_BROKER_URL=node.url)
    assert "add ?cluster=true" in next(one["cure"] for one in alone.told["findings"] if one["check"] == "cluster")
    assert set(examined(house.variables, CHATBOT_BROKER_URL=f"{node.url}?cluster=true").found) == {"workers"}
    assert "as if it were alone" in examined(house.variables, CHATBOT_STORE_URL=node.url).found["cluster"]
    assert "cluster" not in examined(house.variables, CHATBOT_STORE_URL=f"{node.url}?cluster=true").found


def test_servers_of_the_users_own_making_are_left_to_the_user() -> None:
    own = {"CHATBOT_STORE_URL": f"{__name__}:memory", "CHATBOT_BROKER_URL": "chatbot.brokers.stub:StubBroker"}
    seen = examined(own)
    assert set(seen.unseen) == {"the store's server", "the broker's server"}
    assert "no scheduler has ever run here" in seen.found["scheduler"]


def test_a_store_that_is_down_is_found_and_the_broker_is_looked_at_all_the_same(server: RedisServer) -> None:
    nobody = f"redis://:a-long-password@127.0.0.1:{free_port()}/0"
    variables = {"CHATBOT_STORE_URL": nobody, "CHATBOT_BROKER_URL": server.url, "CHATBOT_RESPONDER": "echo"}
    seen = examined(variables)
    assert seen.status == 1
    assert "the store at redis://:***@127.0.0.1" in seen.found["answers"]
    assert any(one["part"].startswith("broker (redis") for one in seen.told["checked"])
    assert "a-long-password" not in json.dumps(seen.told)


def test_where_there_is_nothing_to_look_at_it_ends_with_2(tmp_path: Path) -> None:
    ran = invoke({}, "--state", str(tmp_path))
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert "CHATBOT_STORE_URL is missing" in ran.stderr


def test_its_help_has_an_example() -> None:
    assert "chatbot doctor --grace 60 --json" in CliRunner().invoke(doctor, ["--help"]).output


# --- RabbitMQ ---
@pytest.fixture
def rabbit(private_rabbitmq: Callable[[], RabbitmqServer]) -> RabbitmqServer:
    return private_rabbitmq()


@pytest.fixture
def rabbit_house(server: RedisServer, rabbit: RabbitmqServer) -> Iterator[House]:
    with running(
        server.url, CHATBOT_BROKER_URL=rabbit.url, CHATBOT_RABBITMQ_MANAGEMENT_URL=rabbit.management_url
    ) as house:
        house.work()
        ticked(house)
        yield house


def in_its_api(rabbit: RabbitmqServer, path: str, **content: Any) -> None:
    httpx.put(f"{rabbit.management_url}/api/{path}", json=content, trust_env=False).raise_for_status()


@pytest.mark.long
def test_rabbitmq_well_and_then_with_planted_problems(rabbit_house: House, rabbit: RabbitmqServer) -> None:
    seen = well(rabbit_house)
    assert seen.found == {}

    # What its files say is known once its statistics have come.
    advanced = rabbit.directory / "advanced.config"
    wait_until(lambda: examined(rabbit_house.variables).unseen == {}, 30, interval=0.5)
    advanced.write_text("[{rabbit, [{dead_letter_worker_publisher_confirm_timeout, 180000}]}].\n")
    config = rabbit.directory / "rabbitmq.conf"
    config.write_text(config.read_text() + "consumer_timeout = 900000\n")
    in_its_api(rabbit, "policies/%2F/strict", pattern="^low$", definition={"delivery-limit": 3})
    rabbit_house.stop()
    with contextlib.closing(pika.BlockingConnection(pika.URLParameters(rabbit.url))) as connection:
        channel = connection.channel()
        channel.queue_delete("low")
        channel.queue_declare("low", durable=True)
    rabbit_house.service.broker.bury("default", b"what nobody has written down")

    seen = examined(rabbit_house.variables)
    assert seen.status == 1
    assert set(seen.found) == {
        "queue types", "delivery limits", "consumer timeout", "confirm timeout", "workers", "uncollected",
    }  # fmt: skip
    assert "the queue low is not as quorum queues are" in seen.found["queue types"]
    assert "the policy strict makes messages of low dead letters after 3 deliveries" in seen.found["delivery limits"]
    assert seen.found["workers"] == "no worker is connected to the broker"


@pytest.mark.long
def test_rabbitmq_without_its_management_says_what_is_unseen(rabbit_house: House) -> None:
    seen = well(rabbit_house, CHATBOT_RABBITMQ_MANAGEMENT_URL="")
    assert set(seen.unseen) == {
        "RabbitMQ's policies and alarms",
        "RabbitMQ's dead_letter_worker_publisher_confirm_timeout",
    }
    wrong = examined(rabbit_house.variables, CHATBOT_RABBITMQ_MANAGEMENT_URL=f"http://127.0.0.1:{free_port()}")
    assert "does not answer us" in wrong.unseen["RabbitMQ's policies and alarms"]
