"""What `chatbot simulate` says of services that do it badly, over real HTTP."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.operations.bad_service import BadService, bad_service
from tests.operations.simulating import QUICKLY, Ran, simulate, start
from tests.waiting import wait_until

IMPATIENT = ("--messages", "4", "--rate", "150", "--timeout", "2", "--pause", "1.6")


def run(fault: str, *arguments: str, words: str = "echo") -> Ran:
    with bad_service(fault, words) as service:
        # Only who waits for what never comes need be impatient.
        return simulate(service.url, *arguments, quickly=IMPATIENT if fault in ("drop", "lose", "deaf") else QUICKLY)


@pytest.mark.parametrize("words", ["echo", "own", "halves"])
def test_a_good_service_is_found_good(words: str) -> None:
    ran = run("", words=words)
    assert (ran.status, "every burst became one turn" in ran.out) == (0, True), ran
    assert "bad" not in ran.out


@pytest.mark.parametrize(
    ("fault", "words", "kind", "told"),
    [
        ("drop", "echo", "missing", "no reply within 2 s"),
        ("drop", "own", "missing", "no reply within 2 s"),
        ("lose", "echo", "missing", "message 1 in no reply within 2 s"),
        ("double", "own", "doubled", "came 2 times"),
        ("split", "echo", "split", "became 4 turns, although its messages came within"),
        ("split", "own", "split", "became 4 turns, although its messages came within"),
        ("swap", "halves", "order", "came at positions 1, 0"),
        ("shuffle", "echo", "order", "has its messages in the order 4, 3, 2, 1"),
        ("forget", "echo", "doubled", "answered by 2 turns"),
        ("forget", "own", "split", "became 2 turns"),
        ("deaf", "echo", "unaccepted", "it answered 503: not now"),
    ],
)
def test_a_bad_service_is_found_out(fault: str, words: str, kind: str, told: str) -> None:
    ran = run(fault, "--json", words=words)
    assert ran.status == 1
    assert not ran.report["ok"]
    assert ran.kinds == {kind}, ran.report["faults"]
    assert all(told in found["detail"] for found in ran.report["faults"])
    if fault != "deaf":
        assert {found["conversation_id"][-2:] for found in ran.report["faults"]} == {"-1"}


def test_what_is_wrong_is_shown_where_it_happened() -> None:
    ran = run("drop")
    assert ran.status == 1
    first, second, *_ = ran.out.split("\n\n")
    assert "bad   missing: no reply within 2 s" in first
    assert "bad" not in second
    assert ran.out.rstrip().endswith("1 fault: 1 missing")


def test_deliveries_that_are_refused_for_the_moment_are_sent_again() -> None:
    with bad_service("refuse") as service:
        quickly = ("--messages", "2", "--conversations", "1", "--timeout", "10")
        ran = simulate(service.url, "--json", quickly=quickly)
    assert ran.status == 0, ran
    assert any("sent again" in note for note in ran.report["notes"])
    assert "it answered 503: not now" in ran.err


def test_a_conversation_with_several_bursts_waits_for_each_reply() -> None:
    ran = run("", "--bursts", "3", "--conversations", "2", "--json")
    assert ran.status == 0, ran
    totals = ran.report["totals"]
    assert (totals["bursts"], totals["turns"], totals["replies"], totals["messages"]) == (6, 6, 6, 24)
    for conversation in ran.report["conversations"]:
        said = [[message["message_id"] for message in burst["messages"]] for burst in conversation["bursts"]]
        assert said == [turn["messages"] for burst in conversation["bursts"] for turn in burst["turns"]]


def test_after_a_missing_reply_the_conversation_ends() -> None:
    ran = run("drop", "--bursts", "2", "--conversations", "1", "--json")
    assert ran.report["totals"]["bursts"] == 1
    assert "1 bursts were not played, because of the one before them" in ran.report["notes"]


def test_many_conversations_are_a_line_each_and_then_a_number() -> None:
    ran = run("double", "--conversations", "26", words="own")
    lines = ran.out.splitlines()
    assert sum(line.startswith("ok  sim-") for line in lines) == 20
    assert "ok  ... and 5 more" in lines
    assert sum("came 2 times" in line for line in lines) == 1


def test_json_is_the_only_thing_on_stdout_and_complete() -> None:
    ran = run("", "--json", "--seed", "3")
    assert len(ran.out.splitlines()) == 1
    report = ran.report
    assert (report["ok"], report["seed"], report["faults"]) == (True, 3, [])
    assert [len(conversation["bursts"][0]["messages"]) for conversation in report["conversations"]] == [4, 4, 4]
    for conversation in report["conversations"]:
        outcomes = [done["outcome"] for done in conversation["bursts"][0]["deliveries"]]
        repeats = [done["repeat"] for done in conversation["bursts"][0]["deliveries"]]
        assert outcomes == ["duplicate" if repeat else "accepted" for repeat in repeats]


def test_the_same_seed_plays_the_same_deliveries() -> None:
    with bad_service() as service:
        first, second = (simulate(service.url, "--json", "--seed", "9") for _ in range(2))

    def played(ran: Ran) -> list[list[tuple[str, bool]]]:
        bursts = [conversation["bursts"][0] for conversation in ran.report["conversations"]]
        return [[(done["message_id"], done["late"]) for done in burst["deliveries"]] for burst in bursts]

    assert (first.status, second.status) == (0, 0)
    assert played(first) == played(second)


def test_ctrl_c_prints_what_is_known_so_far(tmp_path: Path) -> None:
    with bad_service("drop") as service:
        process = start(service.url, "--json", cwd=tmp_path)
        wait_until(lambda: len(service.replies) >= 2 and len(service.seen) == 12, 30)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        ran = Ran(process.returncode, out, err)
    assert ran.status == 1
    assert ran.report["interrupted"]
    assert ran.report["totals"]["messages"] == 12
    assert ran.report["faults"] == []
    assert "Traceback" not in ran.err


def test_progress_is_lines_on_stderr_where_there_is_no_terminal() -> None:
    ran = run("")
    assert ran.err.startswith("Playing 3 conversations on http://127.0.0.1:")
    assert "[#" not in ran.err


def test_progress_is_a_bar_on_a_terminal(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with bad_service() as service, os.fdopen(ours, "rb", buffering=0) as terminal:
        process = start(service.url, "--json", cwd=tmp_path, stderr=theirs)
        os.close(theirs)
        shown = b"".join(_until_closed(terminal)).decode()
        out, _ = process.communicate(timeout=30)
    assert "[######" in shown
    assert "all answered" in shown
    assert Ran(process.returncode, out, "").report["ok"]


def _until_closed(terminal: IO[bytes]) -> Iterator[bytes]:
    with contextlib.suppress(OSError):  # that is how Linux says that nobody writes any more
        while chunk := terminal.read(4096):
            yield chunk


def _refused(service: BadService | None, *arguments: str, **settings: str) -> Ran:
    ran = simulate(service.url if service else "http://127.0.0.1:1", *arguments, **settings)
    assert ran.status == 2, ran
    assert ran.out == ""
    assert len(ran.err.splitlines()) == 1, ran.err
    return ran


@pytest.mark.parametrize(
    ("arguments", "settings", "cure"),
    [
        (("--secret", "whsec_" + "QUFB" * 8), {}, "does not accept our signature: give its CHATBOT_GENERIC_SECRET"),
        (("--secret", "hunter2"), {}, "does not begin with whsec_; give the one that the service has"),
        (("--channel", "whatsapp", "--secret", "s"), {}, "no channel whatsapp: start it with CHATBOT_CHANNELS"),
        (("--channel", "whatsapp"), {}, "start `chatbot dev` first, in this folder, or give --secret"),
        (("--rate", "1"), {}, "give at least --rate"),
        (("--pause", "0.5"), {}, "--pause 0.5 is not longer than the service's quiet time of 1.5 s"),
        (("--messages", "9"), {"CHATBOT_DEBOUNCE_MAX_MESSAGES": "8"}, "give at most that many"),
        ((), {"CHATBOT_DEBOUNCE_WAIT_MS": "soon"}, "give the number that the service has"),
        ((), {"CHATBOT_DEBOUNCE_WAIT_MS": "0"}, "there is nothing to simulate"),
        (("--listen", "9000"), {}, "is no HOST:PORT"),
        (("--url", "localhost:8000"), {}, "is no http:// or https:// URL"),
    ],
)
def test_what_cannot_work_is_one_line_with_the_cure(
    arguments: tuple[str, ...], settings: dict[str, str], cure: str
) -> None:
    with bad_service() as service:
        assert cure in _refused(service, *arguments, **settings).err


def test_an_address_in_use_is_said() -> None:
    with bad_service() as service:
        address = service.url.removeprefix("http://")
        assert f"--listen {address} cannot be had" in _refused(service, "--listen", address).err


def test_nothing_there_is_said() -> None:
    assert "start `chatbot dev` first, or give --url" in _refused(None).err
