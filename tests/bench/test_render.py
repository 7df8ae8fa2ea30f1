"""A report as text, as a chart and as a page."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from chatbot.bench.chart import LABEL, bars
from chatbot.bench.page import page
from chatbot.bench.report import Check, Figure, Report, at_least, at_most, ratio, spread
from chatbot.bench.text import number, text

FIGURE = Figure(
    title="accepted webhooks",
    unit="/s",
    broker="redis",
    sides=(spread("chatbot", [5_000.0, 6_000.0, 7_000.0]), spread("bare <b>", [1_000.0, 1_500.0, 2_000.0])),
    ratios=(ratio("chatbot / bare", [5_000.0, 6_000.0, 7_000.0], [1_000.0, 1_500.0, 2_000.0]),),
    verdicts=(at_least("at least 5x bare", 4.0, 5), at_most("p99 below 5x", 2.0, 5)),
    note="a note",
)
REPORT = Report(
    command="accept",
    title="Accepting",
    figures=(FIGURE,),
    checks=(Check(text="all answered", ok=True), Check(text="counts: found 1, not 2", ok=False)),
    settings={"connections": 64},
    machine={"cores": "2"},
)


@pytest.mark.parametrize(
    ("value", "shown"), [(12_345.6, "12,346"), (99.94, "99.9"), (0.8137, "0.814"), (0.0, "0"), (2.0, "2")]
)
def test_a_number_has_three_digits_that_count(value: float, shown: str) -> None:
    assert number(value) == shown


def test_the_text_shows_medians_ranges_ratios_targets_and_wrong_answers() -> None:
    shown = re.sub(" +", " ", text(REPORT))
    for line in (
        "accepted webhooks, redis",
        "chatbot 6,000 /s (5,000 to 7,000)",
        "chatbot / bare 4 x (3.5 to 5)",
        "MISSED at least 5x bare: 4",
        "reached p99 below 5x: 2",
        "(a note)",
        "right all answered",
        "WRONG counts: found 1, not 2",
        "connections: 64",
        "cores: 2",
    ):
        assert f" {line}\n" in shown


def test_bars_are_as_long_as_their_values() -> None:
    svg = ElementTree.fromstring(bars(FIGURE.sides, "/s"))
    ours, theirs = (float(bar.attrib["width"]) for bar in svg.iter("rect"))
    assert ours / theirs == pytest.approx(6_000 / 1_500, rel=0.01)


def test_a_line_spans_the_rounds_of_a_bar() -> None:
    svg = ElementTree.fromstring(bars(FIGURE.sides, "/s"))
    bar, line = next(svg.iter("rect")), next(svg.iter("line"))
    length = float(bar.attrib["width"])
    assert float(line.attrib["x1"]) == pytest.approx(LABEL + length * 5 / 6, abs=0.2)
    assert float(line.attrib["x2"]) == pytest.approx(LABEL + length * 7 / 6, abs=0.2)


def test_bars_of_nothing_are_drawn() -> None:
    ElementTree.fromstring(bars((spread("a", [0.0]),), "s"))


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def tags() -> Tags:
    found = Tags()
    found.feed(page([REPORT, REPORT]))
    return found


def test_the_page_is_whole_and_needs_nothing_else() -> None:
    found = tags()
    assert found.open == []
    assert not {"script", "link", "img", "iframe"} & set(found.seen)
    assert all(link.startswith("#") for link in found.links)
    assert "@import" not in page([REPORT])
    assert "url(" not in page([REPORT])


def test_the_page_has_a_chart_for_each_figure() -> None:
    assert tags().seen.count("svg") == 2


def test_names_cannot_break_the_page() -> None:
    assert "bare <b>" not in page([REPORT])
    assert "bare &lt;b&gt;" in page([REPORT])


def test_the_page_says_what_was_missed_and_what_was_wrong() -> None:
    shown = page([REPORT])
    assert '<span class="missed">missed</span> at least 5x bare' in shown
    assert '<span class="missed">WRONG</span> counts: found 1, not 2' in shown
