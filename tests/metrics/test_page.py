"""The page of metrics is the table in the program, and what is exposed is what the table says."""

from __future__ import annotations

import re
from pathlib import Path

from chatbot.metrics.catalog import CATALOG, table

PAGE = Path(__file__).parent.parent.parent / "docs" / "metrics.md"
MARKS = "<!-- metrics -->\n", "<!-- /metrics -->"

#: Of Prometheus' naming conventions: base units, and what a counter ends with.
UNITS = ("_seconds", "_total", "_items", "_up", "_windows", "_turns")
#: Labels whose values the program knows. A conversation, a message or an error's text must never be one.
BOUNDED = {"actor", "queue", "channel", "guarantee", "outcome", "verdict", "decision", "error"}


def test_the_page_is_the_table() -> None:
    """To renew it: python -m tests.metrics.test_page"""
    assert table() in PAGE.read_text()


def test_names_follow_the_conventions() -> None:
    for metric in CATALOG:
        assert re.fullmatch(r"chatbot_[a-z_]+", metric.name), metric
        assert metric.name.endswith(UNITS), metric
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric
        assert list(metric.buckets) == sorted(metric.buckets), metric


def test_no_label_has_values_without_bound() -> None:
    assert {label for metric in CATALOG for label in metric.labels} <= BOUNDED


if __name__ == "__main__":
    before, rest = PAGE.read_text().split(MARKS[0])
    PAGE.write_text(before + MARKS[0] + table() + "\n" + MARKS[1] + rest.split(MARKS[1])[1])
