"""`chatbot bench`: run benchmarks, show what they found, and write it down."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import click
import msgspec
from msgspec import structs

from chatbot.bench.machine import machine
from chatbot.bench.options import Options
from chatbot.bench.page import page
from chatbot.bench.report import Report
from chatbot.bench.servers import MissingServerError
from chatbot.bench.text import text
from chatbot.errors import ConfigurationError
from chatbot.importing import needs


def bench(names: Sequence[str], options: Options, *, json: Path | None = None, html: Path | None = None) -> int:
    """Run benchmarks one after the other; return 1 if an answer was wrong, else 0.

    Files are written after each, so an interrupted run leaves what it has. Raises ConfigurationError where a server is
    missing.
    """
    reports: list[Report] = []
    shown = replace(options, say=lambda what: click.echo(f"  {what}", err=True))
    for name in names:
        reports.append(measured(name, shown))
        click.echo(text(reports[-1]))
        if json is not None:
            json.write_bytes(msgspec.json.format(msgspec.json.encode(reports)))
        if html is not None:
            html.write_text(page(reports))
    return 0 if all(report.ok for report in reports) else 1


def measured(name: str, options: Options) -> Report:
    """Run one benchmark; note where and when."""
    here, began, started = machine(), datetime.now(UTC), time.monotonic()
    needs("pika", "bench", what="chatbot bench")
    try:
        report: Report = import_module(f"chatbot.bench.{name}").run(options)
    except MissingServerError as exc:
        raise ConfigurationError(str(exc)) from exc
    seconds = time.monotonic() - started
    return structs.replace(report, machine=here, started=f"{began:%Y-%m-%d %H:%M} UTC", seconds=seconds)
