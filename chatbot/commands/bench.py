"""`chatbot bench`: measure this installation, or break it, on servers of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from chatbot.bench.options import BENCHMARKS, BROKERS
from chatbot.commands.command import InOrder, command


@click.group(cls=InOrder)
def bench() -> None:
    """Measure this installation on servers of its own, and check every answer.

    Status 1 when an answer was wrong; a missed target is shown.

    \b
    Example:
        chatbot bench accept --quick
        chatbot bench all --html bench.html --json bench.json
    """


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    a_file = click.Path(path_type=Path, dir_okay=False)
    for option in (
        click.option("--html", type=a_file, metavar="FILE", help="Write a page with charts."),
        click.option("--json", type=a_file, metavar="FILE", help="Write what was found."),
        click.option("--rounds", type=click.IntRange(1), help="In how many rounds to measure."),
        click.option("--broker", type=click.Choice([*BROKERS, "both"]), default="both", show_default=True),
        click.option("--quick", is_flag=True, help="Less than a minute; the figures are rougher."),
    ):
        function = option(function)
    return function


def _benchmark(name: str, what: str, names: tuple[str, ...]) -> click.Command:
    @_options
    def run(broker: str, json: Path | None, html: Path | None, **chosen: Any) -> int:
        from chatbot.bench.command import bench as measure
        from chatbot.bench.options import Options

        brokers = BROKERS if broker == "both" else (broker,)
        return measure(names, Options(brokers=brokers, **chosen), json=json, html=html)

    run.__name__ = name
    run.__doc__ = f"{what[0].upper()}{what[1:]}.\n\n\b\nExample:\n    chatbot bench {name} --quick --broker redis"
    return command(run)


for each, about in BENCHMARKS.items():
    bench.add_command(_benchmark(each, about, (each,)))
bench.add_command(_benchmark("all", "all of these, one after the other", tuple(BENCHMARKS)))


@command
@click.option("--broker", default="redis", show_default=True, type=click.Choice(BROKERS))
@click.option("--conversations", default=200, show_default=True, type=click.IntRange(1, 2000), help="At the same time.")
@click.option("--seconds", default=120.0, show_default=True, type=click.FloatRange(1), help="How long things break.")
@click.option("--seed", default=1, show_default=True, help="The same seed breaks the same things in the same order.")
@click.option("--json", is_flag=True, help="Print the report as JSON.")
def chaos(**options: Any) -> int:
    """Kill, pause and cut off everything while people talk.

    It counts what was lost, doubled or reordered. Status 1 if anything was, or was left open, too early or wrong.

    \b
    Example:
        chatbot bench chaos --broker rabbitmq --conversations 300 --seconds 180 --seed 7
    """
    from chatbot.importing import needs

    needs("pika", "bench", what="chatbot bench")
    from chatbot.bench.chaos.command import Options
    from chatbot.bench.chaos.command import chaos as run

    return run(Options(**options))


bench.add_command(chaos)


@command
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--docs", default="docs", show_default=True, type=click.Path(path_type=Path, file_okay=False))
@click.option("--messages", default=10_000, show_default=True, type=click.IntRange(1), help="New ones a second.")
@click.option("--conversations", default=10_000_000, show_default=True, type=click.IntRange(1), help="With a history.")
def pages(files: tuple[Path, ...], docs: Path, **wanted: int) -> int:
    """Write what was found as benchmarks.md and sizing.md, with charts.

    FILES are what `--json` wrote; of two with the same benchmark the later one counts. Status 2 if a figure is missing.
    All that the pages were made from is kept as benchmarks/run.json beside them. choosing-a-broker.md, if it is there,
    gets its figures.

    \b
    Example:
        chatbot bench pages bench.json --docs docs
        chatbot bench pages docs/benchmarks/run.json newer.json --docs docs
    """
    from chatbot.bench.written.command import write
    from chatbot.bench.written.sizing import Deployment

    return write(files, docs, Deployment(**wanted))


bench.add_command(pages)
