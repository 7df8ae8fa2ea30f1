"""Everything dies, again and again: `chatbot bench chaos` finds nothing lost, doubled, reordered or left behind."""

from __future__ import annotations

import msgspec
import pytest

from chatbot.bench.chaos.command import Options, chaos, run
from chatbot.bench.chaos.faults import FAULTS
from chatbot.bench.chaos.report import Report


def kept_every_promise(report: Report) -> None:
    assert report.problems == []
    assert report.ok
    assert report.accepted > report.turns > 0


def test_nothing_is_lost_doubled_or_reordered_while_what_matters_most_dies(
    capsys: pytest.CaptureFixture[str],
) -> None:
    faults = ("worker killed", "store killed", "web killed", "queues deleted", "store cut off")
    assert chaos(Options(conversations=20, seconds=9, faults=faults, json=True)) == 0
    report = msgspec.json.decode(capsys.readouterr().out, type=Report)
    kept_every_promise(report)
    assert set(report.faults) <= set(faults)
    assert len(report.faults) > 2


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("broker", "seed"), [("redis", 1), ("rabbitmq", 2)])
def test_nothing_is_lost_doubled_or_reordered_while_everything_dies(broker: str, seed: int) -> None:
    report = run(Options(broker=broker, conversations=150, seconds=100, seed=seed))
    kept_every_promise(report)
    assert set(report.faults) == set(FAULTS)
