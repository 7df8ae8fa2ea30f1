"""`forget` erases every trace of a conversation; what it leaves is known, and cannot be read back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import dramatiq
import httpx
import pytest
import redis

from chatbot.errors import ConfigurationError, Permanent
from chatbot.middleware import events
from chatbot.operations.conversations import NotFound
from chatbot.operations.forget import forget
from chatbot.stores.values import digest
from tests.operations.house import House
from tests.servers import free_port
from tests.waiting import wait_until


def everything(client: redis.Redis) -> Iterator[tuple[str, bytes]]:
    """Give the name and the whole content of every key of the store."""
    for key in client.scan_iter():
        kind = client.type(key).decode()
        read = {
            "string": client.get,
            "hash": client.hgetall,
            "list": lambda k: client.lrange(k, 0, -1),
            "zset": lambda k: client.zrange(k, 0, -1, withscores=True),
            "set": client.smembers,
            "stream": lambda k: client.xrange(k),
        }[kind]
        yield key.decode(), repr(read(key)).encode()


def traces(house: House, *words: str) -> list[str]:
    """Return the keys in whose name or content one of these occurs."""
    found = everything(house.service.store.client)
    return sorted(key for key, content in found if any(word in key or word.encode() in content for word in words))


def a_life(house: House, name: str) -> None:
    """Leave every kind of trace that a conversation leaves when it was worked on."""
    house.run(name, f"{name}-answered")
    house.run(f"bad-{name}", f"bad-{name}-dead")
    house.run(f"unreachable-{name}", f"unreachable-{name}-unsent")


def report(house: House, message: dict[str, str]) -> None:
    """Let a call of another actor become a dead letter."""

    def fail(_: dict[str, str]) -> None:
        raise Permanent("nobody reports this")

    actor: Any = dramatiq.actor(fail, broker=house.service.broker, queue_name="default")
    actor.send(message)
    wait_until(lambda: len(house.dead_letters.letters()) == 1)


@pytest.fixture
def lived(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """A house without a worker, in which two conversations, and those of their kind, have left their traces."""
    for name in ("anna", "bert"):
        a_life(house, name)
    report(house, {"conversation_id": "anna", "channel": "generic"})
    house.stop()
    for name in ("anna", "bert"):
        house.admit(name, f"{name}-answered", f"{name}-waiting")
    house.service.journal.flush()
    # All of it is written down already.
    monkeypatch.setattr("chatbot.operations.forget.WRITTEN", 0.0)
    return house


def test_what_waits_to_be_written_down_is_erased_as_well(house: House) -> None:
    house.admit("c1", "m1")
    forget(house.service, "generic:c1")
    house.service.journal.flush()
    assert events.happened(house.service.store, subject="generic::c1") == []


def test_nothing_of_a_forgotten_conversation_is_left_in_the_store(lived: House) -> None:
    assert traces(lived, "anna")
    for name in ("anna", "bad-anna", "unreachable-anna"):
        forget(lived.service, f"generic:{name}")
    assert traces(lived, "anna", "secret of anna") == []


def test_other_conversations_keep_theirs(lived: House) -> None:
    before = traces(lived, "bert")
    for name in ("anna", "bad-anna", "unreachable-anna"):
        forget(lived.service, f"generic:{name}")
    assert traces(lived, "bert") == before


def test_what_remains_are_hashes_of_completed_ids_so_a_resend_is_still_a_duplicate(lived: House) -> None:
    forget(lived.service, "generic:anna")
    hashed = digest("process_turn/generic::anna", "generic::anna:anna-answered")
    remaining = [key for key, _ in everything(lived.service.store.client) if hashed in key]
    assert [re.sub(r"^\{.*\}", "", key) for key in remaining] == [f"i:{hashed}"]
    assert lived.admit("anna", "anna-answered", "anna-waiting") == ["duplicate", "absorbed"]


def test_it_says_what_was_erased_and_what_remains(lived: House) -> None:
    found = forget(lived.service, "generic:anna")
    assert (found.messages, found.replies, found.history, found.letters) == (1, 0, 1, 1)
    assert found.notes > 0
    assert "What remains by design" in found.words()
    found = forget(lived.service, "generic:unreachable-anna")
    assert (found.messages, found.replies) == (0, 1)


def test_a_forgotten_conversation_is_unknown(lived: House) -> None:
    forget(lived.service, "generic:anna")
    with pytest.raises(NotFound):
        forget(lived.service, "generic:anna")


def test_the_outbox_of_chatbot_dev_forgets_too(house: House, outbox_url: str) -> None:
    house.admit("c1", "m1")
    assert forget(house.service, "generic:c1", url=outbox_url).shown_replies == 2
    left = httpx.get(f"{outbox_url}/dev/replies", trust_env=False).json()["replies"]
    assert [reply["conversation_id"] for reply in left] == ["c2"]


def test_an_outbox_that_is_not_there_is_said(house: House) -> None:
    house.admit("c1", "m1")
    with pytest.raises(ConfigurationError, match="no dev outbox answers there"):
        forget(house.service, "generic:c1", url=f"http://127.0.0.1:{free_port()}")
