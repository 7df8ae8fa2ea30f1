"""What every page keeps: links lead somewhere, names are those of the code, one sentence is one line."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from tests.docs.known import is_variable, wrong
from tests.docs.markdown import DOCS, ROOT
from tests.docs.shell import LANGUAGES, blocks, fences, lines, pages, prose, told

PAGES = {str(page.relative_to(ROOT)): page for page in pages()}
ABOUT = pytest.mark.parametrize("page", PAGES)
#: Languages of fences that nobody types into a shell.
OTHERS = {"", "python", "json", "yaml", "text", "ini", "promql", "diff", "javascript", "mermaid"}
#: What begins a line that somebody is to type.
TYPED = re.compile(r"(\$ |sudo |docker |make [a-z]|curl |git |(\.venv/bin/)?chatbot [a-z]|\./?docker/)")
#: What no test may run.
HARMFUL = re.compile(r"(^|[ (|;&])(sudo|docker|ssh|scp|rsync|systemctl|crontab|ufw|docker/deploy\.\w+)( |$)")
#: These end no sentence.
SHORT = re.compile(r"\b(e\.g|i\.e|etc|vs|ex|p\.ex|art|n)\. ", re.IGNORECASE)


@cache
def anchors(page: Path) -> frozenset[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    found: dict[str, int] = {}
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", prose(page), re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        found[slug] = found.get(slug, -1) + 1
        if found[slug]:
            found[f"{slug}-{found[slug]}"] = 0
    return frozenset(found) | set(re.findall(r'<a (?:id|name)="([^"]+)"', page.read_text()))


def links(page: Path) -> list[str]:
    """Return what a page links to, without code, where brackets mean something else."""
    text = re.sub(r"`[^`\n]*`", "", prose(page))
    return re.findall(r"\]\(<?([^)\s>]+)", text) + re.findall(r"^\[[^]]+\]: +(\S+)", text, re.MULTILINE)


def broken(page: Path, link: str) -> bool:
    if re.match(r"(https|mailto):", link):
        return False
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    return not target.exists() or bool(anchor and anchor not in anchors(target))


@ABOUT
def test_links_and_anchors_lead_somewhere(page: str) -> None:
    assert [link for link in links(PAGES[page]) if broken(PAGES[page], link)] == []


@ABOUT
def test_commands_options_services_and_targets_exist(page: str) -> None:
    problems = [f"{where}: {problem}" for where, command in told(PAGES[page]) if (problem := wrong(command))]
    assert problems == []


@ABOUT
def test_variables_exist(page: str) -> None:
    named = set(re.findall(r"\bCHATBOT_[A-Z0-9_]+", PAGES[page].read_text()))
    assert sorted(name for name in named if not is_variable(name)) == []


@pytest.mark.parametrize("page", [name for name, page in PAGES.items() if page.is_relative_to(DOCS)])
def test_a_line_holds_one_sentence(page: str) -> None:
    """Items of lists and cells of tables are free, as a list in Markdown has no lines."""
    plain = [re.sub(r"`[^`]*`", "code", SHORT.sub(r"\1 ", line)) for line in prose(PAGES[page]).splitlines()]
    running = [line for line in plain if not re.match(r"\s*(\||#|<|[-*+] |\d+\. )", line)]
    assert [line for line in running if re.search(r"[.!?][)*\"”]* +[A-ZÀ-Ý`*\[]", line)] == []


@ABOUT
def test_what_is_typed_is_in_a_block_that_says_so(page: str) -> None:
    """Otherwise nothing would run it."""
    for fence in fences(PAGES[page]):
        assert fence.language in OTHERS.union(LANGUAGES), fence.where
        if fence.language not in LANGUAGES:
            assert not TYPED.match(fence.text), f"{fence.where} is to be sh or console"


@ABOUT
def test_nothing_runs_that_could_change_this_machine_or_a_deployment_on_it(page: str) -> None:
    for block in blocks(PAGES[page]):
        harmless = [re.sub(r".*--(dry-run|help)\b.*", "", line) for line in lines(block.script)]
        assert block.reason or not any(map(HARMFUL.search, harmless)), f"{block.where} is to be marked as not run"


@ABOUT
def test_a_mark_is_right_before_the_block_that_it_is_about(page: str) -> None:
    marks = re.findall(r"^ *<!-- not run", PAGES[page].read_text(), re.MULTILINE)
    assert len(marks) == sum(bool(block.reason) for block in blocks(PAGES[page])), "no line may be between them"


@ABOUT
def test_every_fence_is_closed(page: str) -> None:
    assert len(re.findall(r"^ *```", PAGES[page].read_text(), re.MULTILINE)) == 2 * len(fences(PAGES[page]))


TRANSLATED = [str(page.relative_to(DOCS / "pt-BR")) for page in pages() if page.parent.name == "pt-BR"]


@pytest.mark.parametrize("page", TRANSLATED)
def test_a_translation_has_the_commands_and_sections_of_its_page(page: str) -> None:
    """So they are run, where that page's are."""
    here, there = DOCS / "pt-BR" / page, DOCS / page
    assert [fence.text for fence in fences(here)] == [fence.text for fence in fences(there)]
    assert [block.reason != "" for block in blocks(here)] == [block.reason != "" for block in blocks(there)]
    levels = [re.findall(r"^(#+) ", prose(each), re.MULTILINE) for each in (here, there)]
    assert levels[0] == levels[1]
