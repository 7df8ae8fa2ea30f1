"""The dashboard over a cluster: all keys of a queue are in one slot, and each look is one transaction."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chatbot.dashboard.redis_look import RedisLook
from tests.brokers.test_redis_topologies import Cluster
from tests.dashboard.conftest import Dashboard, House
from tests.servers import RedisServer
from tests.waiting import wait_until


@pytest.mark.long
def test_a_cluster_is_listed_deleted_from_and_requeued_to(
    private_redis: Callable[..., RedisServer], look_at: Callable[[House], Dashboard]
) -> None:
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000")
    house = House("redis", Cluster([private_redis(None, *options) for _ in range(3)]).url)
    dashboard = look_at(house)
    house.bury("a lamp", "a chair")
    assert dashboard.counts() == [0, 0, 2]
    chair, lamp = dashboard.ids("failed")
    house.fail.clear()
    with house.working():
        wait_until(lambda: RedisLook(house.broker, house.letters).workers())
        assert dashboard.act("requeue", "failed", chair).status_code == 303
        wait_until(lambda: house.done == ["a chair"])
    assert dashboard.act("delete", "failed", lamp).status_code == 303
    house.actor.send("a table")
    house.actor.send_with_options(args=("a sofa",), delay=600_000)
    for tab in ("standard", "delayed"):
        (message_id,) = dashboard.ids(tab)
        assert dashboard.act("delete", tab, message_id).status_code == 303
    assert dashboard.counts() == [0, 0, 0]
    house.broker.close()
