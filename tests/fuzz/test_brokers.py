"""Whatever lies in a queue, a worker goes on: what is no message becomes a dead letter, what is a strange one runs or
fails like any other, and the good one behind them runs."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
import redis
from dramatiq import Message, Worker
from dramatiq.encoder import JSONEncoder
from dramatiq.errors import DecodeError
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from chatbot.brokers.messages import read
from chatbot.middleware import Debounced, Idempotent, declare
from tests.conformance.broker_harness import BROKERS, RabbitmqTransport, RedisTransport, Transport
from tests.waiting import wait_until

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ["queue_name", "actor_name", "args", "kwargs", "options", "message_id", "message_timestamp", "strange"]
OPTIONS = [
    "eta", "retries", "max_retries", "turn", "outcome", "pipe_target", "group_info", "waits", "redis_message_id",
    "amends", "withdraws", "debounced", "idempotent", "deduplicated", "store_results", "requeue_timestamp", "traceback",
]  # fmt: skip
ACTORS = ["plain", "debounced", "idempotent"]
FUZZ = settings(
    max_examples=10, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip


@st.composite
def strange(draw: Callable[[Any], Any]) -> bytes:
    """A message of which some fields, or some options, are anything."""
    message: dict[str, Any] = {
        "queue_name": "q", "actor_name": draw(st.sampled_from(ACTORS)), "args": ["x"], "kwargs": {},
        "options": draw(st.dictionaries(st.sampled_from(OPTIONS), JSON, max_size=3)),
        "message_id": str(uuid.uuid4()), "message_timestamp": 1,
    }  # fmt: skip
    message |= draw(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=2))
    for gone in draw(st.lists(st.sampled_from(FIELDS), max_size=1)):
        message.pop(gone, None)
    return json.dumps(message).encode()


BODIES = st.lists(st.binary(max_size=30) | JSON.map(lambda value: json.dumps(value).encode()) | strange(), max_size=12)


def put(transport: Transport, queue: str, bodies: list[bytes]) -> None:
    """Lay bodies into a queue, as a producer of another kind may."""
    if isinstance(transport, RedisTransport):
        with redis.Redis.from_url(transport.server.url) as client:
            for body in bodies:
                name = str(uuid.uuid4())
                client.hset(f"dramatiq:{queue}.msgs", name, body)
                client.rpush(f"dramatiq:{queue}", name)
    elif isinstance(transport, RabbitmqTransport):
        with transport.channel() as channel:
            for body in bodies:
                channel.basic_publish("", queue, body)


class Office:
    """A worker with one actor of each kind, and word of every good message that ran."""

    def __init__(self, transport: Transport) -> None:
        self.transport, self.queue, self.ran = transport, transport.queue(), set[str]()
        broker = transport.broker()
        options: dict[str, Any] = {"queue_name": self.queue, "max_retries": 1, "min_backoff": 1, "max_backoff": 2}
        self.plain = declare(broker, self.note, actor_name="plain", **options)
        declare(broker, self.note, actor_name="idempotent", idempotent=Idempotent(key="{item}"), **options)
        debounced = Debounced(key=str, wait=0, max_wait=0, attempts=2, backoff=1)
        declare(broker, self.note_all, actor_name="debounced", debounced=debounced, **options)
        self.plain.send("first")  # declares the queue
        self.worker = Worker(broker, worker_threads=2, worker_timeout=40)

    def note(self, item: Any) -> None:
        self.ran.add(str(item))

    def note_all(self, items: list[Any]) -> None: ...

    def goes_on(self) -> None:
        good = self.plain.message(f"good {uuid.uuid4()}")
        put(self.transport, self.queue, [good.encode()])
        wait_until(lambda: good.args[0] in self.ran, 10, "the worker does not go on")


@pytest.mark.parametrize("kind", ["redis", "rabbitmq"])
def test_a_worker_goes_on_behind_anything(request: pytest.FixtureRequest, kind: str) -> None:
    transport = BROKERS[kind](request)
    office = Office(transport)
    office.worker.start()

    @FUZZ
    @given(BODIES)
    def check(bodies: list[bytes]) -> None:
        put(transport, office.queue, bodies)
        office.goes_on()

    try:
        office.goes_on()
        check()
    finally:
        office.worker.stop(timeout=10_000)
        transport.close()


# Whatever the arguments are, Dramatiq makes a tuple of them.
@pytest.mark.parametrize("name", ["queue_name", "actor_name", "message_id", "kwargs", "options"])
@pytest.mark.parametrize("bad", [None, 1, [["x"]], {"x": [1]}], ids=repr)
def test_what_a_worker_cannot_handle_is_no_message(name: str, bad: Any) -> None:
    good = {"queue_name": "q", "actor_name": "a", "args": [], "kwargs": {}, "options": {}, "message_id": "m"}
    if isinstance(bad, type(good[name])):
        assert read(json.dumps({**good, "message_timestamp": 1, name: bad}).encode())
    else:
        with pytest.raises(DecodeError):
            read(json.dumps({**good, "message_timestamp": 1, name: bad}).encode())


def told(read_it: Callable[[bytes], Any], body: bytes) -> str:
    """Return a message with all that is in it, or whether there is none."""
    try:
        found = vars(read_it(body))
    except DecodeError:
        return "no message"
    made_up = {name for name in ("message_id", "message_timestamp") if f'"{name}"'.encode() not in body}
    return repr({name: value for name, value in found.items() if name not in made_up})


@settings(FUZZ, max_examples=300)
@given(strange())
@example(
    b'{"queue_name":"q","actor_name":"a","args":[1e400,NaN,-0.0],"kwargs":{"k":"\\ud800"},"options":{},"message_id":"m",'
    b'"message_timestamp":1}'
)
@example(
    b'{"queue_name":"q","actor_name":"a","args":"ab","kwargs":{},"options":{},"message_id":"m","message_timestamp":1}'
)
@example(
    b'{"queue_name":"q","actor_name":"a","args":[],"kwargs":{},"options":{},"message_id":"m","message_timestamp":1.0}'
)
def test_a_message_is_what_dramatiq_makes_of_it(body: bytes) -> None:
    assert told(read, body) in (told(Message.decode, body), "no message")


def test_a_message_that_somebodys_own_encoder_wrote_is_read_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Reversed(JSONEncoder):
        def encode(self, data: dict[str, Any]) -> bytes:
            return super().encode(data)[::-1]

        def decode(self, data: bytes) -> dict[str, Any]:
            return super().decode(data[::-1])

    monkeypatch.setattr("dramatiq.message.global_encoder", Reversed())
    message = Message[Any]("q", "a", (1,), {}, {})
    assert read(message.encode()) == message
