"""The whole service on a store of more than one server."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.e2e.deployment import deployed, message, stays, texts
from tests.servers import RedisServer
from tests.topologies import CLUSTERED, MASTER, Cluster
from tests.waiting import wait_until

pytestmark = pytest.mark.long

NewRedis = Callable[..., RedisServer]
CONVERSATIONS = [f"c{n}" for n in range(30)]


def test_bursts_on_a_cluster_outlive_one_of_its_masters(private_redis: NewRedis) -> None:
    store = Cluster([private_redis(None, *CLUSTERED, *MASTER) for _ in range(3)])
    for master in list(store.nodes):
        store.add_replica(master, private_redis(None, *CLUSTERED))
    broker = private_redis()
    patience = {"CHATBOT_DEBOUNCE_WAIT_MS": "5000", "CHATBOT_DEBOUNCE_MAX_WAIT_MS": "30000"}
    with deployed(broker, broker, CHATBOT_STORE_URL=store.url, CHATBOT_STORE_REPLICAS="1", **patience) as house:
        house.start_web()
        house.start_worker("--processes", "2", "--threads", "4")
        for number in range(3):
            for conversation in CONVERSATIONS:
                house.post(message(conversation, number)).raise_for_status()
        wait_until(lambda: len(house.partners.received) >= 30, 40)
        assert [texts(turn) for turn in house.partners.asked] == [[f"line {n}" for n in range(3)]] * 30

        for conversation in CONVERSATIONS:
            house.post(message(conversation, 3)).raise_for_status()
        store.nodes[0].kill()
        wait_until(lambda: len(house.partners.received) >= 60, 40)
        assert stays(lambda: len(house.partners.received) == 60, 1.0)
        assert all(len(house.partners.replies_to(conversation)) == 2 for conversation in CONVERSATIONS)


def test_what_no_replica_has_is_answered_503_until_it_is_back(private_redis: NewRedis) -> None:
    store = private_redis(None, *MASTER)
    replica = private_redis(None, "--replicaof", "127.0.0.1", str(store.port))
    with deployed(store, private_redis(), CHATBOT_STORE_REPLICAS="1", CHATBOT_DEBOUNCE_WAIT_MS="200") as house:
        house.start_web()
        house.start_worker()
        wait_until(lambda: house.post(message("A", 1)).status_code == 200)
        replica.pause()
        refused = house.post(message("B", 1))
        replica.resume()
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        wait_until(lambda: house.post(message("B", 1)).status_code == 200)
        wait_until(lambda: house.partners.replies_to("A") and house.partners.replies_to("B"))
        assert stays(lambda: len(house.partners.received) == 2, 1.0)
