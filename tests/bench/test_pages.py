"""The pages that are written from a run: the right figures in, the right words out, and nothing from a wrong run."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from click.testing import CliRunner

from chatbot.bench.options import BROKERS
from chatbot.bench.report import Check, Figure, Report, at_least, at_most, ratio, spread
from chatbot.bench.titles import (
    CALLS,
    COST,
    HISTORY,
    OPEN_WINDOW,
    REMEMBERED_ID,
    SETTLED_TURN,
    SLOW_ANSWER,
    WEB_MEMORY,
    WORKER_MEMORY,
)
from chatbot.bench.written import choosing, sizing
from chatbot.bench.written.sizing import Deployment, fullest
from chatbot.cli import main

HELD = SLOW_ANSWER.format(1_000)


def figure(title: str, unit: str, sides: dict[str, float], broker: str = "") -> Figure:
    found = tuple(spread(name, [value]) for name, value in sides.items())
    return Figure(title=title, unit=unit, broker=broker, sides=found)


def report(command: str, *figures: Figure, ok: bool = True, settings: dict[str, float] | None = None) -> Report:
    checks = (Check(text="every answer was right", ok=ok),)
    return Report(
        command=command, title=f"About {command}", figures=figures, checks=checks, settings=settings or {},
        machine={"cores": "2", "load before": "0.1"}, started="2026-01-31 12:00 UTC", seconds=60,
    )  # fmt: skip


def soaked(broker: str, costs: dict[str, float]) -> list[Figure]:
    return [
        figure(COST, "µs", costs, broker),
        figure(WEB_MEMORY, "MB", {"web": 80.0}, broker),
        figure(WORKER_MEMORY, "MB", {"worker": 100.0}, broker),
    ]


RATES, STOCK = [900.0, 1_000.0, 1_100.0], [450.0, 2_000.0, 2_200.0]
WORK = report(
    "work",
    Figure(
        title=CALLS, unit="/s", more_is_better=True, broker="rabbitmq",
        sides=(spread("unguarded", [3_000.0]), spread("stock", [1_500.0])),
    ),
    Figure(
        title=CALLS, unit="/s", more_is_better=True, broker="redis",
        sides=(spread("idempotent", RATES), spread("stock", STOCK)),
        ratios=(ratio("idempotent / stock", RATES, STOCK),),
        verdicts=(at_least("idempotent at least 1.0x stock", 0.5, 1.0), at_most("quick", 1, 2)),
        note="a note",
    ),
)  # fmt: skip
WAKE = report("wake", figure("from send to start", "ms", {"chatbot": 4.0, "taskiq": 1.0, "stock": 140.0}, "redis"))
ACCEPT = report("accept", figure("time to the answer", "ms", {"chatbot": 3.0, "no store": 1.5, "bare": 9.0}, "redis"))
COSTS = {"web": 200.0, "worker": 400.0, "store": 100.0}
SOAK = report(
    "soak",
    *soaked("redis", {**COSTS, "broker": 50.0}),
    *soaked("rabbitmq", {**COSTS, "broker": 250.0}),
    settings={"share of repetitions": 0.3},
)
MEMORY = report(
    "memory",
    figure(REMEMBERED_ID, "B", {"store": 128.0}),
    figure(SETTLED_TURN, "B", {"store": 400.0}),
    figure(HISTORY, "B", {"store": 12_000.0}),
    figure(OPEN_WINDOW, "B", {"store": 1_000.0}),
)
SLOW = report("slow", *(figure(HELD, "kB", {"threads": 50.0, "event loop": 40.0}, broker) for broker in BROKERS))
PICTURES = ("accept-redis", "slow", "soak", "wake-redis", "work")
RUN = (ACCEPT, WAKE, WORK, MEMORY, SLOW, SOAK)


def written(tmp_path: Path, reports: Iterable[Report] = RUN, *more: str) -> str:
    """Write the pages; return what the command said if it failed."""
    file = tmp_path / "bench.json"
    file.write_bytes(msgspec.json.encode(list(reports)))
    arguments = ["bench", "pages", str(file), "--docs", str(tmp_path), "--messages", "7000", *more]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code in (0, 2), result.output
    return result.output if result.exit_code else ""


def read(tmp_path: Path, name: str = "benchmarks.md") -> str:
    assert written(tmp_path) == ""
    return (tmp_path / name).read_text()


def section(page: str, heading: str) -> str:
    """Return what stands under a heading, down to the next one."""
    return page.partition(f"# {heading}\n")[2].partition("\n#")[0]


def test_a_missed_target_is_told_as_such(tmp_path: Path) -> None:
    page = read(tmp_path)
    missed = section(page, "Targets that were missed")
    assert missed.strip() == (
        "- `work`, calls of one worker process, redis: idempotent at least 1.0x stock, measured 0.5."
    )
    assert "| work | calls of one worker process, redis | quick | 1 | yes |" in page


def test_whoever_is_better_is_named_the_worst_first(tmp_path: Path) -> None:
    """More is better of a rate, less of a time; the rounds are compared one by one, as in the ratios."""
    assert section(read(tmp_path), "Others are better").strip().splitlines() == [
        "- `wake`, from send to start, redis: taskiq 1 ms, chatbot 4 ms: 4x.",
        "- `work`, calls of one worker process, redis: stock 2,000 /s, idempotent 1,000 /s: 2x.",
    ]


def test_the_price_of_the_guarantees_is_told_apart(tmp_path: Path) -> None:
    assert section(read(tmp_path), "What the guarantees cost").strip().splitlines()[-1] == (
        "- `accept`, time to the answer, redis: no store 1.5 ms, chatbot 3 ms: 2x."
    )


def test_a_run_without_losses_says_so(tmp_path: Path) -> None:
    written(tmp_path, [SOAK, MEMORY, SLOW, report("work", WORK.figures[0])])
    page = (tmp_path / "benchmarks.md").read_text()
    assert section(page, "Targets that were missed").strip() == "None in this run."
    assert section(page, "Others are better").strip() == "None in this run."


def test_every_figure_stands_in_a_table_with_its_rounds_and_its_note(tmp_path: Path) -> None:
    page = read(tmp_path)
    for row in (
        "| calls of one worker process, redis | idempotent | 1,000 /s | 900 /s | 1,100 /s | 3 |",
        "|  | stock | 2,000 /s | 450 /s | 2,200 /s | 3 |",
        "|  | idempotent / stock | 0.5 x | 0.5 x | 2 x | 3 |",
        "- calls of one worker process, redis: a note.",
        "- every answer was right",
    ):
        assert f"{row}\n" in page


def test_each_benchmark_that_compares_has_a_picture_of_its_own(tmp_path: Path) -> None:
    shown = re.findall(r"!\[[^]]+\]\(([^)]+)\)", read(tmp_path))
    assert sorted(shown) == [f"benchmarks/{name}.svg" for name in PICTURES]
    for path in shown:
        picture = ElementTree.fromstring((tmp_path / path).read_text())
        assert picture.tag == "{http://www.w3.org/2000/svg}svg"
    texts = [text.text for text in ElementTree.parse(tmp_path / "benchmarks/work.svg").iter() if text.text]
    assert "calls of one worker process, redis (more is better)" in texts


def test_pictures_of_an_earlier_run_do_not_stay(tmp_path: Path) -> None:
    old = tmp_path / "benchmarks/storm.svg"
    old.parent.mkdir()
    old.touch()
    read(tmp_path)
    assert not old.exists()


def test_what_the_pages_were_made_from_is_kept_for_a_run_of_a_part(tmp_path: Path) -> None:
    written(tmp_path)
    pages = {name: (tmp_path / name).read_text() for name in ("benchmarks.md", "sizing.md")}
    kept, newer = tmp_path / "benchmarks/run.json", tmp_path / "newer.json"
    again = CliRunner().invoke(main, ["bench", "pages", str(kept), "--docs", str(tmp_path), "--messages", "7000"])
    assert (again.exit_code, pages) == (0, {name: (tmp_path / name).read_text() for name in pages})
    newer.write_bytes(msgspec.json.encode([report("wake", figure("newer", "ms", {"chatbot": 2.0}))]))
    CliRunner().invoke(main, ["bench", "pages", str(kept), str(newer), "--docs", str(tmp_path)])
    page = (tmp_path / "benchmarks.md").read_text()
    assert "| newer | chatbot | 2 ms |" in page
    assert "| calls of one worker process, redis | idempotent | 1,000 /s |" in page


def compared(redis: dict[str, float], rabbitmq: dict[str, float]) -> list[Report]:
    """A run in which each figure of the comparison is 1, unless its side is given another value."""
    by_title: dict[tuple[str, str, str], list[str]] = {}
    for _, command, title, side, unit in choosing.ROWS:
        by_title.setdefault((command, title, unit), []).append(side)
    found = dict[str, list[Figure]]()
    for (command, title, unit), sides in by_title.items():
        for broker, values in zip(BROKERS, (redis, rabbitmq), strict=True):
            of_broker = {side: values.get(f"{command} {side}", 1.0) for side in sides}
            found.setdefault(command, []).append(figure(title, unit, of_broker, broker))
    return [*(one for one in RUN if one.command not in found), *(report(name, *of) for name, of in found.items())]


@pytest.mark.parametrize(
    ("redis", "rabbitmq", "said"),
    [
        ({"work turns": 200.0, "work idempotent": 300.0, "recover turns": 5.0},
         {"work turns": 100.0, "work idempotent": 200.0, "recover turns": 2.0},
         "with Redis a worker process does 1.5 to 2.0 times the guarded work; RabbitMQ gives a dead worker's work back "
         "sooner."),
        ({"work turns": 200.0, "work idempotent": 200.0, "recover turns": 2.0},
         {"work turns": 300.0, "work idempotent": 300.0, "recover turns": 5.0},
         "with RabbitMQ a worker process does 1.5 times the guarded work; Redis gives a dead worker's work back "
         "sooner."),
        ({"work turns": 101.0}, {"work turns": 100.0},
         "a worker process does about the same guarded work with either; either gives a dead worker's work back as "
         "soon."),
    ],
)  # fmt: skip
def test_the_comparison_of_the_brokers_gets_its_figures(
    tmp_path: Path, redis: dict[str, float], rabbitmq: dict[str, float], said: str
) -> None:
    page = tmp_path / choosing.PAGE
    page.write_text("before\n<!-- measured -->\nold figures\n<!-- /measured -->\nafter\n")
    assert written(tmp_path, compared(redis, rabbitmq)) == ""
    filled = page.read_text()
    turns, of_rabbitmq = redis["work turns"], rabbitmq["work turns"]
    assert f"| turns of one worker process | {turns:.0f} /s | {of_rabbitmq:.0f} /s |\n" in filled
    assert f"So: {said}\n" in filled
    assert filled.startswith("before\n<!-- measured -->\nOn 2 cores")
    assert filled.endswith("<!-- /measured -->\nafter\n")
    assert "old figures" not in filled


def test_a_comparison_without_a_place_for_the_figures_is_an_error(tmp_path: Path) -> None:
    page = tmp_path / choosing.PAGE
    page.write_text("<!-- measured-->\nold\n")
    assert "put a line `<!-- measured -->`" in written(tmp_path, compared({}, {}))
    assert page.read_text() == "<!-- measured-->\nold\n"


@pytest.mark.parametrize("first", ["storm-redis", "storm"])
def test_a_run_with_the_same_brokers_takes_the_place_of_an_older_one(tmp_path: Path, first: str) -> None:
    def storm(value: float, *brokers: str) -> Report:
        return report("storm", *(figure("all done", "s", {"chatbot": value}, broker) for broker in brokers))

    older = [storm(1.0, "redis", "rabbitmq"), storm(2.0, "redis")]
    newer = storm(3.0, *(("redis",) if first == "storm-redis" else ("redis", "rabbitmq")))
    written(tmp_path, [*RUN, *older, newer])
    page = (tmp_path / "benchmarks.md").read_text()
    assert "| all done, redis | chatbot | 2 s |" not in page
    assert "| all done, redis | chatbot | 3 s |" in section(page, f"About storm: {first}")
    assert ("| all done, rabbitmq | chatbot | 1 s |" in page) == (first == "storm-redis")


def test_a_comparison_that_lacks_a_figure_is_not_written(tmp_path: Path) -> None:
    page = tmp_path / choosing.PAGE
    page.write_text("<!-- measured -->\nold\n<!-- /measured -->\n")
    assert "run `chatbot bench" in written(tmp_path)
    assert "old" in page.read_text()


def test_a_section_says_where_it_was_measured_if_that_was_elsewhere(tmp_path: Path) -> None:
    elsewhere = msgspec.structs.replace(report("storm", WORK.figures[0]), machine={"cores": "64", "load before": "9"})
    written(tmp_path, [*RUN, elsewhere])
    page = (tmp_path / "benchmarks.md").read_text()
    assert (
        section(page, "About storm: storm-rabbitmq")
        .strip()
        .endswith("2026-01-31 12:00 UTC, 60 s: cores 64; load before 9")
    )
    assert "cores" not in section(page, "About work: work")
    assert section(page, "About work: work")


def test_the_charts_of_a_picture_do_not_overlap(tmp_path: Path) -> None:
    read(tmp_path)
    picture = ElementTree.parse(tmp_path / "benchmarks/work.svg").getroot()
    tops = [float(str(group.get("transform")).split()[1][:-1]) for group in picture if group.get("transform")]
    heights = [float(str(group[0].get("height"))) for group in picture if group.get("transform")]
    assert tops[0] + heights[0] <= tops[1]
    assert tops[1] + heights[1] <= float(str(picture.get("height")))


def row(page: str, setup: str, what: str) -> list[str]:
    (found,) = [line for line in section(page, setup).splitlines() if line.startswith(f"| {what}")]
    return [cell.strip() for cell in found.split("|")[2:-1]]


def test_processes_follow_from_their_cost_with_head_room(tmp_path: Path) -> None:
    """7,000 messages a second are 10,000 webhooks; 10,000 x 200 µs are 2 cores, twice that with head-room."""
    page = read(tmp_path, "sizing.md")
    assert row(page, "Broker on Redis", "`chatbot web`")[:2] == ["4", "1"]
    assert row(page, "Broker on Redis", "`chatbot web`")[3] == "2 busy cores x 2 = 4"


def test_workers_are_enough_for_the_answers_that_are_given_at_once(tmp_path: Path) -> None:
    """1,400 turns a second that take 5 s are 7,000 at a time: 14 processes of 1,000, where 8 could do the work."""
    page = read(tmp_path, "sizing.md")
    assert row(page, "Broker on Redis", "`chatbot worker`")[0] == "14"
    assert "`chatbot worker --threads 1000`" in page


def test_the_ledger_has_room_in_its_fullest_master(tmp_path: Path) -> None:
    page = read(tmp_path, "sizing.md")
    nodes, _, memory, why = row(page, "Broker on Redis", "ledger")
    assert memory == "32 GiB"
    share = float(re.search(r"has ([\d.]+)% of", why)[1]) / 100  # type: ignore[index]
    held = (8_400 * 86_400 * 128 + 2 * 1_400 * 3_600 * 400 + 10_000_000 * 12_000 + 21_000 * 1_000) / 2**30
    assert int(nodes) % 2 == 0
    assert share * held * 1.5 <= 32
    assert f"{held:,.0f} GiB x" in why


def test_each_kind_of_memory_has_its_formula(tmp_path: Path) -> None:
    held = section(read(tmp_path, "sizing.md"), "What the ledger holds")
    assert "| ids of messages and replies | (7,000 + 1,400) /s x 86,400 s x 128 B | 86.5 GiB |" in held
    assert "| results of turns and replies | 2 x 1,400 /s x 3,600 s x 400 B | 3.76 GiB |" in held
    assert "| histories | 10,000,000 x 12,000 B | 112 GiB |" in held


def test_the_brokers_are_sized_by_what_each_was_measured_to_cost(tmp_path: Path) -> None:
    page = read(tmp_path, "sizing.md")
    assert row(page, "Broker on Redis", "broker:")[:2] == ["2", "2"]
    assert row(page, "Broker on a RabbitMQ cluster", "RabbitMQ nodes")[:2] == ["3", "5"]
    assert "`work` moved 3,000 /s through one queue to one worker process, which is enough" in page


def test_more_messages_need_more(tmp_path: Path) -> None:
    written(tmp_path, RUN, "--messages", "70000")
    page = (tmp_path / "sizing.md").read_text()
    assert row(page, "Broker on Redis", "`chatbot web`")[0] == "40"
    assert row(page, "Broker on Redis", "broker:")[0] == "20"
    assert "which does not show that it is enough" in page


@pytest.mark.parametrize(
    ("left", "named"),
    [("soak", "soak"), ("memory", "memory"), ("slow", "slow"), ("work", "work")],
)
def test_a_missing_figure_names_the_benchmark_to_run_and_nothing_is_written(
    tmp_path: Path, left: str, named: str
) -> None:
    assert f"run `chatbot bench {named}`" in written(tmp_path, [one for one in RUN if one.command != left])
    assert not list(tmp_path.glob("*.md"))


def test_a_figure_of_a_rough_run_does_not_stand_for_the_full_one(tmp_path: Path) -> None:
    rough = report("slow", *(msgspec.structs.replace(one, title=SLOW_ANSWER.format(100)) for one in SLOW.figures))
    assert "run `chatbot bench slow`, in full" in written(tmp_path, [*RUN, rough])


def test_a_run_with_a_wrong_answer_is_not_written_down(tmp_path: Path) -> None:
    said = written(tmp_path, [*RUN, report("storm", ok=False)])
    assert "storm: every answer was right" in said
    assert not list(tmp_path.glob("*.md"))


def test_the_later_of_two_runs_counts(tmp_path: Path) -> None:
    again = report("memory", *(figure(REMEMBERED_ID, "B", {"store": 64.0}), *MEMORY.figures[1:]))
    written(tmp_path, [*RUN, again])
    assert "x 64 B | 43.3 GiB |" in (tmp_path / "sizing.md").read_text()


def test_runs_for_one_broker_each_stand_side_by_side(tmp_path: Path) -> None:
    apart = [msgspec.structs.replace(SOAK, figures=tuple(f for f in SOAK.figures if f.broker == b)) for b in BROKERS]
    written(tmp_path)
    together = (tmp_path / "sizing.md").read_text()
    written(tmp_path, [*RUN[:-1], *apart])
    assert (tmp_path / "sizing.md").read_text() == together
    assert set(re.findall(r"soak-[a-z]+(?=\.svg)", (tmp_path / "benchmarks.md").read_text())) == {
        "soak-redis",
        "soak-rabbitmq",
    }


def test_a_ratio_to_nothing_survives_the_file(tmp_path: Path) -> None:
    """JSON has no infinity."""
    endless = report("storm", Figure(title="t", unit="s", ratios=(ratio("a / b", [1.0], [0.0]),)))
    assert endless.figures[0].ratios[0].median == math.inf
    assert written(tmp_path, [*RUN, endless]) == ""
    assert "| t | a / b | inf x | inf x | inf x | 1 |" in (tmp_path / "benchmarks.md").read_text()


def test_a_file_of_somebody_else_is_named(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text('{"figures": 1}')
    result = CliRunner().invoke(main, ["bench", "pages", str(other), "--docs", str(tmp_path)])
    assert (result.exit_code, "other.json was not written by" in result.output) == (2, True)


@pytest.mark.parametrize("page", ["benchmarks.md", "sizing.md"])
def test_a_line_of_prose_holds_one_sentence(tmp_path: Path, page: str) -> None:
    plain = re.sub(r"`[^`\n]*`", "code", read(tmp_path, page))
    prose = [line for line in plain.splitlines() if not re.match(r"\s*(\||#|<|[-*+] |\d+\. )", line)]
    assert [line for line in prose if re.search(r"[.!?][)*\"]* +[A-Z`*\[]", line)] == []


def test_the_fullest_master_has_its_fair_share_or_more() -> None:
    assert fullest(64, 1) == 1.0
    assert fullest(4_096, 4) == pytest.approx(0.25, rel=0.1)
    assert fullest(64, 8) > 1 / 8


def test_partitions_grow_until_masters_are_filled_evenly() -> None:
    servers = sizing.cluster(Deployment(), cores=10.0, held=2.0**30)
    assert servers.fullest * 10 * 2 <= 1
    assert servers.fullest * servers.masters <= sizing.UNEVEN
    assert servers.partitions > 64


def test_a_small_ledger_is_the_smallest_cluster() -> None:
    servers = sizing.cluster(Deployment(), cores=0.1, held=2.0**30)
    assert (servers.masters, servers.partitions) == (3, 64)
