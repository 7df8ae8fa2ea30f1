"""What runs have found, read from the files that `chatbot bench --json` wrote."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from chatbot.bench.report import Report
from chatbot.errors import ConfigurationError


class Found:
    """Reports by their label, in the order in which they were made. One that was made again, with at least the same
    brokers, takes the place of what was there.

    Whoever asks for a figure that is missing is told which benchmark measures it.
    """

    def __init__(self, reports: Sequence[Report]) -> None:
        self.reports: dict[str, Report] = {}
        for report in reports:
            again = [name for name, old in self.reports.items() if _covers(report, old)]
            for name in again:
                del self.reports[name]
            self.reports[label(report)] = report

    def median(self, command: str, title: str, side: str, broker: str = "") -> float:
        """Return one side's median. Raises ConfigurationError, which names the benchmark to run."""
        for figure in (figure for report in self._of(command) for figure in report.figures):
            if (figure.title, figure.broker) == (title, broker):
                for found in figure.sides:
                    if found.name == side:
                        return found.median
        where = f", {broker}" if broker else ""
        raise ConfigurationError(f"{title!r}{where}, of {side!r} is missing: run `chatbot bench {command}`, in full")

    def setting(self, command: str, name: str) -> float:
        """Return with what a benchmark was run. Raises ConfigurationError, as `median` does."""
        for report in self._of(command):
            if name in report.settings:
                return float(report.settings[name])
        raise ConfigurationError(f"the setting {name!r} is missing: run `chatbot bench {command}`, in full")

    def _of(self, command: str) -> Iterator[Report]:
        """Yield a benchmark's reports, the latest first: it may have been run for one broker and then for the other."""
        return (report for report in reversed(self.reports.values()) if report.command == command)


def _covers(report: Report, old: Report) -> bool:
    return report.command == old.command and _brokers(old) <= _brokers(report)


def _brokers(report: Report) -> set[str]:
    return {figure.broker for figure in report.figures}


def label(report: Report) -> str:
    """Return what tells a report from others: its benchmark, and its broker if it was run for one of the two."""
    kinds = _brokers(report)
    return f"{report.command}-{kinds.pop()}" if len(kinds) == 1 and "" not in kinds else report.command


def read(files: Sequence[Path]) -> Found:
    """Read files, the older first; where two have the same benchmark, the later one counts.

    Raises ConfigurationError for a file that is none of ours, and for a run with a wrong answer: its figures mean
    nothing.
    """
    found = Found([report for file in files for report in _reports(file)])
    wrong = [
        f"{report.command}: {check.text}"
        for report in found.reports.values()
        for check in report.checks
        if not check.ok
    ]
    if wrong:
        raise ConfigurationError("answers were wrong, so nothing is written: " + "; ".join(wrong))
    return found


def _reports(file: Path) -> list[Report]:
    try:
        return msgspec.convert(_without_null(json.loads(file.read_bytes())), list[Report], strict=False)
    except (ValueError, msgspec.ValidationError) as exc:
        raise ConfigurationError(f"{file} was not written by `chatbot bench --json`: {exc}") from exc


def _without_null(value: Any) -> Any:
    """JSON has no infinity: a ratio to nothing was written as null."""
    if isinstance(value, dict):
        return {name: _without_null(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_without_null(one) for one in value]
    return math.inf if value is None else value
