"""Each tick is published by one of the schedulers, also when they die, differ or come back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest

from chatbot.errors import ConfigurationError
from chatbot.scheduling import Scheduler
from tests.scheduling.hosts import NOON, Clock, Cluster, Host, minutes
from tests.waiting import wait_until


def settle(host: Host) -> None:
    """Step until nothing is left to be looked at before the next minute, as `run` does."""
    left = 60 - host.clock() % 60
    wait_until(lambda: host.scheduler.step() >= left - 1, message="the scheduler does not come to rest")


# --- any number of schedulers ---
def test_two_schedulers_publish_each_of_100_ticks_once_and_each_runs_once(cluster: Cluster) -> None:
    hosts = [cluster.host(), cluster.host()]
    with ThreadPoolExecutor(2) as threads:
        for _ in range(101):
            list(threads.map(settle, hosts))
            cluster.clock.advance(60)
    expected = minutes(*range(1, 101))
    assert sorted(cluster.ledger.published) == expected
    hosts[0].work(lambda: len(cluster.ledger.runs) >= 100)
    assert sorted(filter(None, cluster.ledger.runs)) == expected


def test_schedulers_whose_clocks_differ_by_seconds_publish_each_tick_once(cluster: Cluster) -> None:
    clocks = [Clock(NOON - 4), Clock(NOON), Clock(NOON + 4)]
    hosts = [cluster.host(clock=clock) for clock in clocks]
    for _ in range(240):
        for host, clock in zip(hosts, clocks, strict=True):
            settle(host)
            clock.advance(5)
    assert sorted(cluster.ledger.published) == minutes(*range(20))


def test_a_tick_is_published_when_its_minute_begins_and_not_before(cluster: Cluster) -> None:
    host = cluster.host(spec="*/5 * * * *")
    host.scheduler.step()
    cluster.clock.advance(299.5)
    assert host.scheduler.step() == pytest.approx(0.5)
    assert cluster.ledger.published == []
    cluster.clock.advance(0.5)
    assert host.scheduler.step() == pytest.approx(60)
    assert cluster.ledger.published == minutes(5)


def test_sundays_tick_is_published_and_runs(cluster: Cluster) -> None:
    host = cluster.host(spec="@weekly")
    for _ in range(3):
        host.scheduler.step()
        cluster.clock.advance(6 * 3600)
        cluster.clock.now -= cluster.clock.now % 60
    host.work(lambda: bool(cluster.ledger.runs))
    assert cluster.ledger.runs == ["2026-02-01T00:00Z"]


def test_a_scheduler_without_a_periodic_actor_is_a_mistake(cluster: Cluster) -> None:
    host = cluster.host()
    del host.broker.actors["tidy"]
    with pytest.raises(ConfigurationError, match="no actor is periodic"):
        Scheduler(host.broker, host.store)


# --- a scheduler that dies ---
KILLED = """
    import os, signal, sys
    from dramatiq.middleware import Middleware
    from tests.scheduling.hosts import NOON, Clock, Cluster

    class Killed(Middleware):
        def {hook}(self, broker, message, delay): os.kill(os.getpid(), signal.SIGKILL)

    cluster = Cluster(*sys.argv[1:3])
    cluster.name, cluster.queue = sys.argv[3:5]
    cluster.clock.advance(60 - 1)
    host = cluster.host(middleware=Killed(), lease={lease})
    host.scheduler.step()
    cluster.clock.advance(1)
    host.scheduler.step()
"""


def kill_a_scheduler(cluster: Cluster, hook: str, lease: int) -> None:
    """Run a scheduler that is killed where the broker calls that hook, at its first tick, the minute after noon."""
    program = textwrap.dedent(KILLED.format(hook=hook, lease=lease))
    names = [cluster.store_url, cluster.broker_url, cluster.name, cluster.queue]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program, *names], env=environment, timeout=30, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def test_a_scheduler_killed_between_claim_and_publication_delays_its_tick_by_the_lease(cluster: Cluster) -> None:
    survivor = cluster.host()
    survivor.scheduler.step()
    kill_a_scheduler(cluster, "before_enqueue", lease=5_000)
    cluster.clock.advance(60)
    assert 0 < survivor.scheduler.step() <= 5, "the tick is still claimed"
    assert cluster.ledger.published == []
    wait_until(lambda: survivor.scheduler.step() == 60, 15)
    assert cluster.ledger.published == minutes(1)


def test_a_claimed_tick_is_not_forgotten_when_the_next_one_comes(cluster: Cluster) -> None:
    """Only missed ticks are left out: this one is owed by somebody who may have died."""
    survivor = cluster.host()
    survivor.scheduler.step()
    kill_a_scheduler(cluster, "before_enqueue", lease=1_500)
    cluster.clock.advance(60)
    survivor.scheduler.step()
    cluster.clock.advance(60)
    wait_until(lambda: survivor.scheduler.step() == 60)
    assert cluster.ledger.published == minutes(1, 2)


def test_a_tick_whose_scheduler_is_killed_after_the_publication_runs_once(cluster: Cluster) -> None:
    survivor = cluster.host()
    survivor.scheduler.step()
    kill_a_scheduler(cluster, "after_enqueue", lease=300)
    cluster.clock.advance(60)
    wait_until(lambda: survivor.scheduler.step() == 60)
    assert cluster.ledger.published == minutes(1), "published for the second time"
    survivor.work(lambda: bool(cluster.ledger.runs))
    assert cluster.ledger.runs == minutes(1)


# --- ticks that were missed ---
def test_a_new_actor_has_missed_nothing(cluster: Cluster) -> None:
    cluster.clock.advance(30)
    cluster.host(spec="0 12 * * *").scheduler.step()
    assert cluster.ledger.published == []


def away(cluster: Cluster, minutes_away: int, **options: object) -> list[str]:
    """Let every scheduler be gone for some time, and return what the next one publishes at once."""
    cluster.host(**options).scheduler.step()
    cluster.clock.advance(60 * minutes_away + 5)
    settle(cluster.host(**options))
    return cluster.ledger.published


def test_of_missed_ticks_the_latest_is_made_up(cluster: Cluster) -> None:
    assert away(cluster, 14, spec="*/5 * * * *") == minutes(10)


def test_all_missed_ticks_are_made_up_in_order_if_asked(cluster: Cluster) -> None:
    assert away(cluster, 14, spec="*/4 * * * *", catch_up="all") == minutes(4, 8, 12)


def test_an_actor_chooses_for_itself_what_is_made_up(cluster: Cluster) -> None:
    assert away(cluster, 14, spec="*/4 * * * *", actor={"catch_up": "all"}) == minutes(4, 8, 12)


def test_nothing_is_made_up_that_is_older_than_the_horizon(cluster: Cluster) -> None:
    assert away(cluster, 90, spec="15 12 * * *") == []


def test_the_horizon_can_be_chosen(cluster: Cluster) -> None:
    assert away(cluster, 90, spec="*/20 * * * *", catch_up="all", horizon=30 * 60_000) == minutes(80)


def test_a_tick_that_was_published_is_not_made_up_by_the_next_scheduler(cluster: Cluster) -> None:
    first = cluster.host(spec="1 12 * * *")
    first.scheduler.step()
    cluster.clock.advance(60)
    settle(first)
    cluster.clock.advance(600)
    settle(cluster.host(spec="1 12 * * *"))
    assert cluster.ledger.published == minutes(1)


def test_nor_by_one_that_looks_back_for_longer_than_its_record_was_kept(cluster: Cluster) -> None:
    first = cluster.host(spec="1 12 * * *")
    first.scheduler.step()
    cluster.clock.advance(60)
    settle(first)
    assert first.store.client.delete(f"{{{cluster.name}:0}}c:tick/tidy@{minutes(1)[0]}") == 1
    cluster.clock.advance(2 * 3600)
    settle(cluster.host(spec="1 12 * * *", horizon=86_400_000))
    assert cluster.ledger.published == minutes(1)


def test_a_scheduler_that_was_asleep_makes_up_the_latest_tick(cluster: Cluster) -> None:
    host = cluster.host()
    host.scheduler.step()
    cluster.clock.advance(30 * 60)
    settle(host)
    assert cluster.ledger.published == minutes(30)


# --- clocks that are wrong ---
def test_a_clock_that_is_set_back_repeats_nothing_and_stops_nothing(cluster: Cluster) -> None:
    host = cluster.host()
    host.scheduler.step()
    for jump in (60, 60, -120, 60, 60, 60):
        cluster.clock.advance(jump)
        settle(host)
    assert cluster.ledger.published == minutes(1, 2, 3)


def test_a_clock_that_ran_a_day_ahead_does_not_stop_the_ticks_of_the_others(cluster: Cluster) -> None:
    cluster.host(clock=Clock(NOON + 86_400)).scheduler.step()
    right = cluster.host()
    right.scheduler.step()
    cluster.clock.advance(60)
    settle(right)
    assert cluster.ledger.published == minutes(1)


def test_a_clock_that_is_put_right_after_a_day_goes_on_with_the_right_ticks(cluster: Cluster) -> None:
    clock = Clock(NOON + 86_400)
    host = cluster.host(clock=clock)
    for now in (NOON + 86_460, NOON + 5, NOON + 60):
        host.scheduler.step()
        clock.now = now
    settle(host)
    assert cluster.ledger.published[1:] == minutes(1), "the first was a day too early"


# --- actors that cannot be sent ---
def test_an_actor_that_cannot_be_sent_does_not_keep_the_others(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    from chatbot.middleware import Deduplicated, declare
    from chatbot.scheduling import cron

    def broken() -> None:
        raise AssertionError("never sent")

    host = cluster.host()
    # The key cannot be made of a call without arguments.
    policy = Deduplicated(window=1_000, key=lambda order: str(order))
    declare(host.broker, broken, queue_name=cluster.queue, periodic=cron("* * * * *"), deduplicated=policy)
    scheduler = Scheduler(host.broker, host.store, now=cluster.clock)
    scheduler._plans.reverse()
    scheduler.step()
    cluster.clock.advance(60)
    assert scheduler.step() <= 15
    assert cluster.ledger.published == minutes(1)
    assert "broken could not be sent" in caplog.text
