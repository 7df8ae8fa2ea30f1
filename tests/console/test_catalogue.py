"""The catalogue has what the pages say, all of it and nothing else, and says it with the same values."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import jinja2
import pytest
from jinja2 import nodes

from chatbot.admin.language import named
from chatbot.admin.pages import environment
from chatbot.console.rendering import PACKAGE
from chatbot.console.wording import ago, count, rate, span

HOUSE = Path(__file__).parent.parent.parent / "chatbot"
ROOMS = ("admin", "console", "operations")
CATALOGUE = named("pt-BR")
#: What takes a text that is in the catalogue.
TAKES_TEXTS = {"_", "mark", "text", "Sentence"}


def templates() -> Iterator[nodes.Template]:
    known = environment(PACKAGE)
    assert isinstance(known.loader, jinja2.BaseLoader)
    for name in known.list_templates(extensions=["html"]):
        yield known.parse(known.loader.get_source(known, name)[0])


def of_templates() -> Iterator[str]:
    for template in templates():
        for call in template.find_all(nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name == "_" and isinstance(call.args[0], nodes.Const):
                yield call.args[0].value


def calls() -> Iterator[tuple[str, ast.Call]]:
    for room in ROOMS:
        for path in (HOUSE / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    yield getattr(node.func, "id", None) or getattr(node.func, "attr", ""), node


def of_python() -> Iterator[str]:
    for name, call in calls():
        if name in TAKES_TEXTS and call.args and isinstance(call.args[0], ast.Constant):
            yield str(call.args[0].value)
    # What `Sentence` takes from a table.
    for path in (HOUSE / "operations").glob("explain*.py"):
        for table in ast.walk(ast.parse(path.read_text())):
            if isinstance(table, ast.Dict) and path.name != "explain_words.py":  # whose words are the command's
                yield from (str(one.value) for one in table.values if isinstance(one, ast.Constant))


def nouns() -> Iterator[str]:
    for template in templates():
        for used in template.find_all(nodes.Filter):
            if used.name == "count":
                assert isinstance(used.args[0], nodes.Const)
                yield used.args[0].value
    for name, call in calls():
        if (name == "Number" or (name == "count" and len(call.args) == 3)) and isinstance(call.args[-1], ast.Constant):
            yield str(call.args[-1].value)


def test_the_catalogue_has_every_text_and_no_other() -> None:
    assert set(CATALOGUE.texts) == {*of_templates(), *of_python()}


def test_the_catalogue_has_every_noun_and_no_other() -> None:
    assert set(CATALOGUE.nouns) == set(nouns())


def test_what_is_filled_in_and_how_it_is_marked_up_agrees() -> None:
    for english, said in CATALOGUE.texts.items():
        # A % that begins no value would end in an error, on a page.
        assert "%" not in re.sub(r"%\(\w+\)[sr]", "", said), said
        for part in (r"%\(\w+\)[sr]", r"</?\w[^>]*>", r"\b[A-Z]+_[A-Z_]+\b", r"`[^`]+`"):
            assert sorted(re.findall(part, said)) == sorted(re.findall(part, english)), english


@pytest.mark.parametrize(
    ("number", "noun", "said"),
    [(0, "message", "0 mensagens"), (1, "message", "1 mensagem"), (2, "item", "2 itens"), (1, "turn", "1 turno")],
)
def test_one_thing_is_singular(number: int, noun: str, said: str) -> None:
    assert count(CATALOGUE, number, noun) == said


def test_times_and_rates_are_written_as_the_language_does() -> None:
    english = named("en")
    assert (ago(english, 1_500), span(english, 90), rate(english, 0.25)) == ("1.5 s ago", "90 ms", "0.25/s")
    assert (ago(CATALOGUE, 1_500), span(CATALOGUE, 90), rate(CATALOGUE, 0.25)) == ("há 1,5 s", "90 ms", "0,25/s")
