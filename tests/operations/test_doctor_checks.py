"""Each check says what is wrong, with a cure, and nothing where all is well: facts in, findings out."""

from __future__ import annotations

from typing import Any

import click
import msgspec
import pytest

from chatbot.operations.doctor.diagnosis import CHECKS, diagnose
from chatbot.operations.doctor.facts import (
    Configuration,
    Facts,
    Finding,
    Policy,
    Queue,
    Rabbitmq,
    Server,
    Unseen,
    Work,
)
from chatbot.operations.doctor.secrets import weaknesses
from chatbot.operations.doctor.words import words

STORE = Server(name="store", variable="CHATBOT_STORE_URL", ledger=True, version="7.0.15", partitions=(1, 1))
BROKER = Server(name="broker", variable="CHATBOT_BROKER_URL", ledger=False, version="7.0.15", blocks_for=2.0)
RABBIT = Rabbitmq(version="3.10.8", confirm_timeout=3_000, queues=[Queue(name="high", work=True, consumers=1)])
WORK = Work(open=3, workers=1, last_tick=30_000)
ENVIRONMENT = Configuration(waits_for=20.0)
GOOD = [ENVIRONMENT, STORE, BROKER, RABBIT, WORK]

#: Every way to be wrong: the good part, what is different, the check that sees it, how grave it is, and what it says.
WRONG: list[tuple[Any, dict[str, Any], str, str, str]] = [
    (STORE, {"policy": "allkeys-lru"}, "eviction", "error", "may drop accepted messages"),
    (BROKER, {"policy": "volatile-ttl"}, "eviction", "error", "may drop messages that wait in queues"),
    (STORE, {"maxmemory": 1 << 30, "used": 900 << 20}, "memory", "warning", "uses 88% of its maxmemory of 1024 MiB"),
    (STORE, {"appendonly": False}, "persistence", "error", "its next crash loses accepted messages"),
    (BROKER, {"appendonly": False}, "persistence", "warning", "turns come back from the ledger"),
    (STORE, {"fsync": "everysec"}, "persistence", "warning", "appendfsync everysec"),
    (STORE, {"writes_fail": True}, "persistence", "error", "cannot write its file"),
    (STORE, {"replica": True}, "replication", "error", "is a replica, which takes no writes"),
    (STORE, {"replicas": 2, "awaited_replicas": 0}, "replication", "warning", "has 2 replicas"),
    (STORE, {"version": "6.2.14"}, "version", "error", "runs redis 6.2.14"),
    (STORE, {"cluster": True}, "cluster", "error", "is used as if it were alone"),
    (BROKER, {"cluster": True}, "cluster", "error", "is used as if it were alone"),
    (STORE, {"partitions": (4, 1)}, "partitions", "error", "begun with 4 partitions, and this version uses 1"),
    (STORE, {"socket_timeout": 3.0}, "socket timeouts", "error", "wait on it for up to 4 s by design"),
    (STORE, {"socket_timeout": None}, "socket timeouts", "warning", "for ever"),
    (BROKER, {"socket_timeout": 0.4, "blocks_for": 0.2}, "socket timeouts", "error", "after 0.4 s"),
    (STORE, {"ahead": 3_000}, "clock", "warning", "clock is 3 s ahead of that of the store"),
    (STORE, {"ahead": -200_000}, "clock", "error", "3.33 min behind"),
    (RABBIT, {"version": "3.8.34"}, "version", "error", "older than 3.10"),
    (RABBIT, {"version": "4.0.2"}, "version", "warning", "may run a dead letter again"),
    (RABBIT, {"version": "3.12.4", "nodes": 3}, "version", "warning", "may wait until a lost node is back"),
    (RABBIT, {"queues": [Queue(name="low", work=True, mismatch="x-queue-type")]}, "queue types", "error", "queue low"),
    (RABBIT, {"queues": [Queue(name="low", work=True, limited=True)]}, "delivery limits", "warning", "after 20"),
    (
        RABBIT,
        {"policies": [Policy(name="all", queue="low", delivery_limit=5)]},
        "delivery limits",
        "warning",
        "the policy all makes messages of low dead letters after 5 deliveries",
    ),
    (RABBIT, {"consumer_timeout": 60_000}, "consumer timeout", "warning", "within 1 min"),
    (RABBIT, {"time_limit": 1_200_000}, "consumer timeout", "warning", "within 30 min"),
    (
        RABBIT,
        {"policies": [Policy(name="all", queue="low", consumer_timeout=1_000)]},
        "consumer timeout",
        "warning",
        "the policy all closes the channel",
    ),
    (RABBIT, {"confirm_timeout": 180_000}, "confirm timeout", "warning", "late by 3 min"),
    (RABBIT, {"heartbeat": 0}, "heartbeat", "warning", "no heartbeat"),
    (RABBIT, {"alarms": ["a@b is short of memory"]}, "alarms", "error", "a@b is short of memory"),
    (ENVIRONMENT, {"problems": ["CHATBOT_X is missing: set it"]}, "settings", "error", "CHATBOT_X is missing"),
    (ENVIRONMENT, {"weak": [("CHATBOT_X_SECRET", "is short")]}, "secrets", "warning", "CHATBOT_X_SECRET is short"),
    (ENVIRONMENT, {"waits_for": 60.0}, "time limits", "note", "has 25 s"),
    (ENVIRONMENT, {"waits_for": 900.0, "grace": 1e3}, "time limits", "warning", "is interrupted after 10 min"),
    (WORK, {"overdue": 70_000}, "pumps", "error", "do not keep up or do not run"),
    (WORK, {"overdue": 2 * 86_400_000}, "pumps", "error", "the oldest overdue by 2 d: no pump runs"),
    (WORK, {"workers": 0, "unserved": ["high", "low"]}, "workers", "error", "no worker is connected"),
    (WORK, {"unserved": ["low"]}, "workers", "error", "no worker takes from the queue low"),
    (WORK, {"last_tick": None}, "scheduler", "warning", "no scheduler has ever run here"),
    (WORK, {"last_tick": 7_200_000}, "scheduler", "warning", "no scheduler has run for 2 h"),
    (WORK, {"uncollected": 1}, "uncollected", "note", "has 1 dead letter more than our journal"),
    (WORK, {"dead_turns": 1, "dead_messages": 2}, "dead letters", "warning", "1 turn and 2 other messages"),
]


def test_where_all_is_well_no_check_finds_anything() -> None:
    diagnosis = diagnose(Facts(parts=GOOD))
    assert diagnosis.ok
    assert diagnosis.findings == []
    assert len(diagnosis.checked) == sum(len(CHECKS[type(part)]) for part in GOOD)
    assert click.unstyle(words(diagnosis)).endswith("nothing is wrong")


@pytest.mark.parametrize(("part", "change", "check", "severity", "found"), WRONG)
def test_one_thing_that_is_wrong_is_one_finding_with_a_cure(
    part: Any, change: dict[str, Any], check: str, severity: str, found: str
) -> None:
    diagnosis = diagnose(Facts(parts=[msgspec.structs.replace(part, **change)]))
    (told,) = diagnosis.findings
    assert diagnosis.ok == (severity == "note")
    assert (told.check, told.severity) == (check, severity)
    assert found in told.found
    assert told.cure


def test_every_check_is_shown_to_find_something() -> None:
    def topics(checks: Any) -> set[str]:
        return {check.__name__.replace("_", " ") for check in checks}

    for kind, checks in CHECKS.items():
        assert topics(checks) == {check for part, _, check, _, _ in WRONG if type(part) is kind}


def test_what_could_not_be_seen_is_no_finding() -> None:
    blind = [
        msgspec.structs.replace(STORE, fsync=None, awaited_replicas=None, partitions=None),
        msgspec.structs.replace(RABBIT, confirm_timeout=None, consumer_timeout=None, heartbeat=None),
        msgspec.structs.replace(WORK, workers=None),
    ]
    diagnosis = diagnose(Facts(parts=blind, unseen=[Unseen(what="appendfsync", why="CONFIG is not allowed")]))
    assert diagnosis.ok
    assert "Not seen from here:\n  appendfsync: CONFIG is not allowed" in click.unstyle(words(diagnosis))


def test_replicas_that_must_have_a_write_are_well() -> None:
    assert diagnose(Facts(parts=[msgspec.structs.replace(STORE, replicas=2, awaited_replicas=1)])).ok


def test_a_broker_on_the_stores_server_is_looked_at_for_how_we_use_it() -> None:
    wrong = {"policy": "allkeys-lru", "socket_timeout": None}
    broker = msgspec.structs.replace(BROKER, known=True, **wrong)
    assert [one.check for one in diagnose(Facts(parts=[broker])).findings] == ["socket timeouts"]


def test_the_worst_comes_first_and_notes_alone_are_no_harm() -> None:
    note = msgspec.structs.replace(ENVIRONMENT, waits_for=60.0)
    assert diagnose(Facts(parts=[note])).ok
    broken = Finding(severity="error", found="the broker does not answer", cure="start it")
    diagnosis = diagnose(Facts(parts=[note, msgspec.structs.replace(WORK, last_tick=None)], broken=[broken]))
    assert [one.severity for one in diagnosis.findings] == ["error", "warning", "note"]
    assert not diagnosis.ok
    assert "1 error, 1 warning, 1 note" in click.unstyle(words(diagnosis))


RANDOM = "whsec_mDPDIWqk3shLWcdTHkzB1vX8gGy6oyVvcyPl7W5oCJw="


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"CHATBOT_GENERIC_SECRET": "whsec_" + "QUJD" * 10}, "repeats a few bytes"),
        ({"CHATBOT_GENERIC_SECRET": "whsec_dGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcyBvdmVy"}, "is the base64 of a text"),
        ({"CHATBOT_GENERIC_SECRET": f"{RANDOM} whsec_" + "QUJD" * 10}, "repeats a few bytes"),
        ({"CHATBOT_WHATSAPP_VERIFY_TOKEN": "token123"}, "everybody tries first"),
        ({"CHATBOT_WHATSAPP_APP_SECRET": "0a1b2c3d"}, "fewer than 12 characters"),
        ({"CHATBOT_ADMIN_PASSWORD": "aaaaaaaaaaaaaaaa"}, "repeats a few characters"),
        ({"CHATBOT_ADMIN_PASSWORD": "operator-of-ours", "CHATBOT_ADMIN_USER": "operator-of-ours"}, "the user's name"),
        ({"CHATBOT_BROKER_URL": "amqp://guest:guest@10.0.0.7:5672"}, "well-known password"),
    ],
)
def test_a_weak_secret_is_named_and_not_shown(variables: dict[str, str], why: str) -> None:
    ((name, told),) = weaknesses(variables)
    assert name in variables
    assert why in told
    assert variables[name] not in told


@pytest.mark.parametrize(
    "variables",
    [
        {"CHATBOT_GENERIC_SECRET": RANDOM},
        {"CHATBOT_WHATSAPP_APP_SECRET": "5f3c9a2e77b0c1d4a8e1"},
        {"CHATBOT_ADMIN_PASSWORD": "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA"},
        {"CHATBOT_BROKER_URL": "amqp://guest:guest@127.0.0.1:5672"},
        {"CHATBOT_LOG_LEVEL": "info"},
    ],
)
def test_a_good_secret_is_left_alone(variables: dict[str, str]) -> None:
    assert weaknesses(variables) == []
