"""grow: whether accepting gets slower when a great deal is remembered.

Two services take turns: one has an empty store, the other's remembers a million ids and holds 100,000 open windows.
"""

from __future__ import annotations

from contextlib import ExitStack

from chatbot.bench.filling import SUBJECT, in_a_hurry, open_windows, remember
from chatbot.bench.options import Options
from chatbot.bench.places import ledger, settings, started
from chatbot.bench.programs import service
from chatbot.bench.report import Check, Figure, Report, at_least, check, merged, ratio, spread
from chatbot.bench.servers import RedisServer
from chatbot.bench.web import Endpoint, service_endpoint


def run(options: Options) -> Report:
    """Measure; the broker has no part in accepting."""
    ids, windows = options.pick(50_000, 1_000_000), options.pick(5_000, 100_000)
    rates: dict[str, list[float]] = {"empty": [], "full": []}
    checks: list[Check] = []
    with ExitStack() as stack:
        servers = {name: started(stack) for name in rates}
        _fill(servers["full"], ids, windows, options)
        sides = [_side(stack, name, server) for name, server in servers.items()]
        for number in range(options.turns(3, 7)):
            for side in sides:
                options.say(f"grow: round {number + 1}, {side.name}")
                rates[side.name].append(_round(side, f"r{number}", options.pick(1, 3), checks))
        checks.append(check("the full store holds its windows still", _kept(servers["full"], windows), [5, 5, 5]))
    found = ratio("full / empty", rates["full"], rates["empty"])
    figure = Figure(
        title="accepted webhooks", unit="/s", more_is_better=True,
        sides=tuple(spread(name, values) for name, values in rates.items()),
        ratios=(found,), verdicts=(at_least("full at least 0.9x empty", found.median, 0.9),),
    )  # fmt: skip
    return Report(
        command="grow", title="Accepting with much in the store", figures=(figure,), checks=merged(checks),
        settings={"remembered ids": ids, "open windows of 5 messages": windows, **settings(())},
    )  # fmt: skip


def _fill(server: RedisServer, ids: int, windows: int, options: Options) -> None:
    with in_a_hurry(server.url), ledger(server.url) as store:
        remember(store, ids, options.say)
        options.say(f"filling: {windows:,} windows")
        open_windows(store, windows)


def _side(stack: ExitStack, name: str, server: RedisServer) -> Endpoint:
    return service_endpoint(stack, service(server.url, f"{server.url.rpartition('/')[0]}/1"), name)


def _round(side: Endpoint, tag: str, seconds: float, checks: list[Check]) -> float:
    answers = side.round(seconds, f"{side.name}-{tag}")
    count = sum(answers.statuses.values())
    found = (answers.statuses, answers.accepted)
    checks.append(check(f"{side.name}: every webhook is accepted", found, ({"200": count}, count)))
    return answers.rate


def _kept(server: RedisServer, windows: int) -> list[int]:
    """Look at some of the windows that were there before: how many messages wait in each."""
    with ledger(server.url) as store:
        return [store.inspect(f"open/{SUBJECT.format(n)}").buffered for n in (0, windows // 2, windows - 1)]
