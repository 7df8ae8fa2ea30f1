"""`chatbot bench pages`: write what runs have found as pages of the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from chatbot.bench.written import benchmarks, choosing, sizing_page
from chatbot.bench.written.found import read
from chatbot.bench.written.sizing import Deployment

PICTURES = "benchmarks"
#: What the pages were made from: the next run may be of a part only.
RUN = f"{PICTURES}/run.json"


def write(files: Sequence[Path], docs: Path, wanted: Deployment) -> int:
    """Write both pages, the charts and what they were made from into a folder, and the figures into the comparison of
    the brokers if that is there.

    Raises ConfigurationError, and writes nothing, where a figure is missing or an answer was wrong.
    """
    found = read(files)
    pages = {"benchmarks.md": benchmarks.page(found, PICTURES), "sizing.md": sizing_page.page(found, wanted)}
    if (compared := docs / choosing.PAGE).exists():
        pages[choosing.PAGE] = choosing.filled(compared.read_text(), found)
    pages[RUN] = msgspec.json.format(msgspec.json.encode(list(found.reports.values()))).decode() + "\n"
    pages |= {f"{PICTURES}/{name}": drawn for name, drawn in benchmarks.charts(found).items()}
    (docs / PICTURES).mkdir(parents=True, exist_ok=True)
    for old in (docs / PICTURES).glob("*.svg"):
        old.unlink()  # of a benchmark that is not among these
    for name, content in pages.items():
        (docs / name).write_text(content)
        click.echo(docs / name)
    return 0
