"""What operators' commands print, and how they end: 0, 1 for not found or refused, 2 for a wrong use."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from chatbot.commands import operators
from chatbot.commands.dead import dead
from chatbot.operations.dead import letters
from tests.operations.house import House

Run = Callable[..., Result]


@pytest.fixture
def chatbot(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command against the house."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "")

    def run(command: click.Command, *arguments: str) -> Result:
        return CliRunner(env=house.variables).invoke(command, arguments)

    return run


@pytest.mark.parametrize(
    "command", [operators.explain, operators.inspect, operators.unlock, operators.forget, dead, *dead.commands.values()]
)
def test_every_command_has_help_with_an_example(command: click.Command) -> None:
    result = CliRunner().invoke(command, ["--help"])
    assert result.exit_code == 0
    assert "Example:" in result.output
    assert "--json" in result.output or command is dead


def test_nothing_that_somebody_said_is_printed_unless_asked_for(house: House, chatbot: Run) -> None:
    house.run("bad1", "m1")
    house.stop()
    house.admit("bad1", "m2")
    house.service.journal.flush()
    (letter,) = letters(house.service)
    asked: list[tuple[click.Command, *tuple[str, ...]]] = [
        (operators.explain, "m1"),
        (operators.inspect, "generic:bad1"),
        (dead, "show", letter.id),
    ]
    for command, *words in [*asked, (dead, "list"), (dead, "collect")]:
        for form in ([], ["--json"]):
            result = chatbot(command, *words, *form)
            assert result.exit_code == 0, result.output
            assert "secret" not in result.output
            if form:
                json.loads(result.stdout)
    for command, *words in asked:
        for form in ([], ["--json"]):
            assert "secret" in chatbot(command, *words, "--show-text", *form).output


def test_explain_prints_a_story_or_json(house: House, chatbot: Run) -> None:
    house.run("c1", "m1")
    result = chatbot(operators.explain, "m1")
    assert result.exit_code == 0, result.output
    assert "m1 in generic::c1: completed" in result.stdout
    (story,) = json.loads(chatbot(operators.explain, "m1", "--json").stdout)
    assert story["verdict"] == "completed"


def test_what_is_unknown_ends_with_status_1_and_a_cure(house: House, chatbot: Run) -> None:
    for command in (operators.explain, operators.inspect, operators.forget):
        result = chatbot(command, "generic:none")
        assert (result.exit_code, result.stdout) == (1, "")
        assert "nothing is known of" in result.stderr


def test_unlock_takes_what_inspect_printed_and_ends_with_1_when_it_is_refused(house: House, chatbot: Run) -> None:
    house.admit_at_once("c1", "m1")
    (check,) = house.service.store.take_due(10, 5_000, 30_000).checks
    house.service.store.begin(check, "m/d", 60_000)
    box = json.loads(chatbot(operators.inspect, "generic:c1", "--json").stdout)["mailboxes"][0]
    seen = [box["key"], "--epoch", str(box["epoch"]), "--owner"]
    assert chatbot(operators.unlock, *seen, "other").exit_code == 1
    assert chatbot(operators.unlock, *seen, box["owner"]).exit_code == 0


def test_forget_prints_what_is_gone(house: House, chatbot: Run) -> None:
    house.run("c1", "m1")
    result = chatbot(operators.forget, "generic:c1")
    assert result.exit_code == 0
    assert "Erased of generic::c1: 0 open or buried messages" in result.stdout


def test_dead_letters_are_listed_shown_replayed_and_dropped(house: House, chatbot: Run) -> None:
    house.run("bad1", "m1")
    house.run("bad2", "m2")
    house.stop()
    listed = json.loads(chatbot(dead, "list", "--json", "--since", "1h").stdout)
    assert [letter["key"] for letter in listed] == ["process_turn/generic::bad2", "process_turn/generic::bad1"]
    assert "Traceback" in chatbot(dead, "show", listed[0]["id"]).stdout
    assert "1 dead letter replayed." in chatbot(dead, "replay", listed[0]["id"]).stdout
    assert "1 dead letter dropped." in chatbot(dead, "drop", "--all", "--actor", "process_turn", "--yes").stdout
    assert letters(house.service) == []
    assert "There are no dead letters." in chatbot(dead, "list").stdout


@pytest.mark.parametrize(
    ("arguments", "cure"),
    [
        (["drop", "--all"], "would drop 1 dead letters for good: add --yes"),
        (["drop", "--yes"], "give the ids of dead letters, or --all"),
        (["replay"], "give the ids of dead letters, or --all"),
        (["list", "--since", "yesterday"], "give 90s, 15m, 6h, 2d"),
    ],
)
def test_a_wrong_use_ends_with_status_2_and_the_cure(
    house: House, chatbot: Run, arguments: list[str], cure: str
) -> None:
    house.run("bad1", "m1")
    result = chatbot(dead, *arguments)
    assert result.exit_code == 2
    assert cure in result.stderr
    assert len(letters(house.service)) == 1


def test_without_a_store_the_missing_variable_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner(env={"CHATBOT_STORE_URL": None, "CHATBOT_BROKER_URL": None}).invoke(operators.inspect, ["a:b"])
    assert result.exit_code == 2
    assert "CHATBOT_STORE_URL is missing" in result.stderr
