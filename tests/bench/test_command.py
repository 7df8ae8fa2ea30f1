"""`chatbot bench`: real runs, whose answers count."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from chatbot.bench import accept
from chatbot.bench.command import bench, measured
from chatbot.bench.options import BENCHMARKS, BROKERS, Options
from chatbot.bench.report import Check, Figure, Report, at_most, spread
from chatbot.bench.servers import MissingServerError
from chatbot.errors import ConfigurationError

Fake = Callable[[Callable[[Options], Report]], str]


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Makes a benchmark of a function, and returns its name."""

    def make(run: Callable[[Options], Report]) -> str:
        module = ModuleType("chatbot.bench.fake")
        module.__dict__["run"] = run
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return "fake"

    return make


def found(*, right: bool, reached: bool = True) -> Report:
    figure = Figure(title="t", unit="s", sides=(spread("a", [1.0]),), verdicts=(at_most("v", 1, 2 if reached else 0),))
    return Report(command="fake", title="F", figures=(figure,), checks=(Check(text="c", ok=right),), settings={})


def test_a_fast_wrong_result_fails(benchmark: Fake) -> None:
    assert bench([benchmark(lambda _: found(right=False))], Options()) == 1


def test_a_missed_target_is_shown_and_does_not_fail(benchmark: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench([benchmark(lambda _: found(right=True, reached=False))], Options()) == 0
    assert "MISSED" in capsys.readouterr().out


def test_a_missing_server_is_named_with_its_cure(benchmark: Fake) -> None:
    def run(_: Options) -> Report:
        raise MissingServerError("rabbitmq-server is missing: install it")

    with pytest.raises(ConfigurationError, match="install it"):
        measured(benchmark(run), Options())


def test_what_was_found_is_written_after_each_benchmark(benchmark: Fake, tmp_path: Path) -> None:
    """So an interrupted run leaves what it has."""
    json, html = tmp_path / "found.json", tmp_path / "found.html"
    runs = 0

    def run(_: Options) -> Report:
        nonlocal runs
        runs += 1
        if runs == 2:
            raise KeyboardInterrupt
        return found(right=True)

    name = benchmark(run)
    with pytest.raises(KeyboardInterrupt):
        bench([name, name], Options(), json=json, html=html)
    (report,) = msgspec.json.decode(json.read_bytes(), type=list[Report])
    assert report.figures == found(right=True).figures
    assert report.machine["cores"]
    assert html.read_text().startswith("<!doctype html>")


@pytest.mark.long
def test_accepting_is_measured_beside_its_peers_and_every_answer_is_checked() -> None:
    report = accept.run(Options(quick=True, rounds=1))
    assert report.ok, report.checks
    rates, late, cost = report.figures
    for figure in (rates, late, cost):
        assert [side.name for side in figure.sides] == ["chatbot", "no store", "bare"]
        assert all(side.median > 0 for side in figure.sides)
    assert len(rates.verdicts) == 2
    assert [figure.more_is_better for figure in report.figures] == [True, False, False]
    assert any("ledger" in check.text for check in report.checks)


def test_every_benchmark_that_help_names_is_there() -> None:
    for name in BENCHMARKS:
        assert callable(import_module(f"chatbot.bench.{name}").run)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("broker", BROKERS)
@pytest.mark.parametrize("name", [name for name in BENCHMARKS if name not in ("brokers", "peers")])
def test_every_benchmark_gets_right_answers_on_each_broker(name: str, broker: str) -> None:
    report = measured(name, Options(quick=True, rounds=1, brokers=(broker,)))
    assert report.ok, [check.text for check in report.checks if not check.ok]
    assert report.figures


@pytest.mark.long
@pytest.mark.timeout(300)
def test_the_comparison_with_others_gets_right_answers() -> None:
    report = measured("peers", Options(quick=True, rounds=1))
    assert report.ok, [check.text for check in report.checks if not check.ok]
    assert report.figures
