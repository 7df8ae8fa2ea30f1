"""On RabbitMQ every confirmed message runs, and none runs again after the server has its acknowledgement."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
import urllib.error
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import dramatiq
import pytest
from dramatiq.errors import BrokerConnectionError

from chatbot.brokers.rabbitmq_nodes import answering, close, wrapped
from tests.brokers.rabbitmq_house import THREADS, House
from tests.brokers.rabbitmq_server import INSPECTED, manage
from tests.servers import RabbitmqServer
from tests.waiting import wait_until

#: As /proc/net/tcp writes it.
ESTABLISHED = "01"


@pytest.fixture(scope="module")
def server() -> Iterator[RabbitmqServer]:
    """A server that every test leaves running."""
    with RabbitmqServer(INSPECTED) as server:
        yield server


@pytest.fixture(params=["quorum", pytest.param("classic", marks=pytest.mark.long)])
def house(server: RabbitmqServer, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[House]:
    with contextlib.closing(House(server, tmp_path, queue_type=request.param)) as house:
        yield house


def has_connection(pid: int, port: int) -> bool:
    """Say whether a process has a connection to a port of this machine that the other side has not closed."""
    owned = {str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir()}
    found = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(
        state == ESTABLISHED and int(remote.partition(":")[2], 16) == port and f"socket:[{inode}]" in owned
        for _, _, remote, state, _, _, _, _, _, inode, *_ in found
    )


# --- workers ---
def test_what_a_killed_worker_had_in_flight_runs_within_three_seconds_and_nothing_else_again(house: House) -> None:
    house.send(range(50))
    house.send(range(50, 50 + THREADS), held=True)
    house.send(range(60, 80))
    for number in range(80, 85):
        house.actor.send_with_options(args=(number,), delay=2_000)
    child = house.child()
    wait_until(lambda: set(range(50, 50 + THREADS)) <= set(house.runs("start")))
    with house.working():
        wait_until(lambda: set(range(60, 80)) <= set(house.runs()))  # so it is there when the other one dies
        child.kill()
        killed = time.time()
        house.gate.touch()
        wait_until(lambda: set(range(50, 50 + THREADS)) <= set(house.runs()))
        wait_until(lambda: len(house.runs()) == 50 + THREADS + 20 + 5)
    assert house.times()[50] - killed < 3
    again = {number for number, count in house.runs("start").items() if count > 1}
    assert again == set(range(50, 50 + THREADS))


def test_a_frozen_worker_neither_runs_nor_acknowledges_what_others_took_over(house: House) -> None:
    house.send(range(THREADS), held=True)
    house.send(range(10, 10 + THREADS))  # these wait in the child's memory
    child = house.child(prefetch=2 * THREADS)
    wait_until(lambda: set(range(THREADS)) <= set(house.runs("start")))
    child.send_signal(signal.SIGSTOP)
    house.gate.touch()
    with house.working():
        # The server misses two heartbeats.
        wait_until(lambda: len(house.runs(who="parent")) == 2 * THREADS, 15)
    # It gives to others what a connection had before it closes that; until then the child cannot know.
    wait_until(lambda: not has_connection(child.pid, house.server.port), 15)
    house.send(range(20, 20 + THREADS))  # with the tags of those that the child holds
    child.send_signal(signal.SIGCONT)
    wait_until(lambda: set(range(20, 20 + THREADS)) <= set(house.runs(who="child")), 15)
    assert set(house.runs("start", "child")) == set(range(THREADS)) | set(range(20, 20 + THREADS))
    once = [*range(10, 10 + THREADS), *range(20, 20 + THREADS)]
    assert house.runs() == {**dict.fromkeys(range(THREADS), 2), **dict.fromkeys(once, 1)}


def test_a_worker_whose_connections_are_cut_goes_on_at_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    # Dramatiq itself looks again after so long only.
    monkeypatch.setattr(dramatiq.worker, "CONSUMER_RESTART_DELAY_SECS", 60.0)
    with house.working():
        house.send(range(1))
        wait_until(lambda: house.runs()[0] == 1)
        cut_all(house.server)
        house.send(range(1, 2))
        wait_until(lambda: house.runs()[1] == 1)


def cut_all(server: RabbitmqServer) -> None:
    """Close every connection from the server's side."""
    wait_until(lambda: len(manage(server, "connections")) >= 3)
    for connection in manage(server, "connections"):
        with contextlib.suppress(urllib.error.HTTPError):  # one that has just been closed by its client
            manage(server, f"connections/{urllib.parse.quote(connection['name'], safe='')}", "DELETE")


def test_connections_say_whose_they_are(house: House) -> None:
    def names() -> set[str]:
        found = [
            connection.get("client_properties", {}).get("connection_name", "")  # of a new one, not all is known yet
            for connection in manage(house.server, "connections")
        ]
        return {role for name in found if name.startswith("chatbot:") for role in [name.split(":", 3)[3]]}

    with house.working():
        house.send(range(1))
        wait_until(lambda: {"publisher", f"consumer:{house.queue}", f"consumer:{house.queue}.DQ"} <= names())


# --- the server ---
def test_a_server_that_says_nothing_is_an_error_in_time_and_the_next_message_arrives(house: House) -> None:
    broker = house.create(confirm_timeout=4, heartbeat=0)
    actor = house.declare(broker)
    actor.send(1)
    house.server.pause()
    started = time.monotonic()
    try:
        with pytest.raises(BrokerConnectionError):
            actor.send(2)
        # A server that lives may owe a confirm, too, and for ever: heartbeats would not tell.
        wait_until(lambda: broker.publisher._session is None)
    finally:
        house.server.resume()
    assert time.monotonic() - started < 8
    house.actor.send(3)
    with house.working():
        wait_until(lambda: {1, 3} <= set(house.runs()))


def test_a_call_without_an_answer_ends_in_time_though_the_connection_seems_to_live(house: House) -> None:
    connection = house.create(heartbeat=0).nodes.open("test")
    house.server.pause()
    try:
        with (
            pytest.raises(BrokerConnectionError, match=r"no answer within 0\.3 s"),
            wrapped(),
            answering(connection, 0.3),
        ):
            connection.channel()
    finally:
        house.server.resume()
        close(connection)


@pytest.mark.long
def test_a_server_killed_under_load_has_every_message_that_it_confirmed(house: House) -> None:
    confirmed: list[int] = []
    stop = threading.Event()

    def produce(first: int) -> None:
        for number in range(first, first + 10_000):
            if stop.is_set():
                return
            with contextlib.suppress(BrokerConnectionError):
                house.actor.send(number)
                confirmed.append(number)

    producers = [threading.Thread(target=produce, args=(n * 10_000,)) for n in range(4)]
    for producer in producers:
        producer.start()
    wait_until(lambda: len(confirmed) >= 200)
    house.server.kill()
    before = len(confirmed)
    house.server.start()
    wait_until(lambda: len(confirmed) > before + 20, 30)
    stop.set()
    for producer in producers:
        producer.join()
    with house.working():
        wait_until(lambda: set(confirmed) <= set(house.runs()), 20)
    assert max(house.runs().values()) == 1


def outage(house: House, seconds: float) -> None:
    """Let the server be gone for at least so long, with work in flight, waiting, delayed, and due meanwhile."""
    house.send(range(50))
    with house.working() as worker:
        wait_until(lambda: len(house.runs()) == 50)
        house.send(range(50, 52), held=True)
        wait_until(lambda: len(house.runs("start")) == 52)
        house.send(range(60, 80))
        sent = time.time()
        due = {100 + i: 400 * i for i in range(1, 30)}
        for number, delay in due.items():
            house.actor.send_with_options(args=(number,), delay=delay)
        house.server.kill()
        back = time.monotonic() + seconds
        wait_until(lambda: time.monotonic() >= back, seconds + 1)
        house.server.start()
        house.gate.touch()
        wait_until(lambda: len(house.runs()) == 50 + 2 + 20 + len(due), 40)
        assert all(thread.is_alive() for thread in worker.workers)
    starts = house.times()
    assert all(starts[number] * 1000 >= sent * 1000 + delay - 1 for number, delay in due.items())
    assert {number for number, count in house.runs("start").items() if count > 1} <= {50, 51}


@pytest.mark.long
def test_an_outage_with_delays_pending_loses_nothing_and_repeats_nothing_that_was_acknowledged(house: House) -> None:
    outage(house, 1)


@pytest.mark.long
def test_a_long_outage_with_delays_pending_loses_nothing(house: House) -> None:
    outage(house, 20)
