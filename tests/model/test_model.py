"""The protocol holds in every state that its model can reach, and each of its guards is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from chatbot.stores.scripts import VERBS
from tests.model.configurations import (
    BRIEF,
    COMPLETE,
    IMPLIED,
    MODELLED,
    MUTATIONS,
    OUTSIDE,
    AnyConfig,
    mutant,
    searched,
)
from tests.model.mailboxes import Config
from tests.model.search import Model, search

LUA = Path(__file__).parents[2] / "chatbot" / "stores" / "lua"
#: One mutation per property, and those that guard what is most likely to be changed.
QUICK = [
    "append_before_id", "open_state_expires", "supersede_unfenced", "take_ignores_turn", "handed_over_no_epoch",
    "begin_no_epoch", "begin_keeps_publication", "steal_live_lease", "not_reentrant", "renew_no_owner",
    "renew_keeps_publication", "losses_uncounted", "finish_not_repeatable", "replies_before_finish",
    "retry_to_the_back", "no_bisection", "pending_suppresses", "steal_pending", "claim_not_reentrant",
    "settle_no_owner", "never_settles", "claim_no_grace", "suspects_other_calls", "suspects_the_settled",
]  # fmt: skip


def _named(c: AnyConfig) -> str:
    return f"{c.name} {c.messages}" if isinstance(c, Config) else c.name


@pytest.mark.parametrize("config", BRIEF, ids=_named)
def test_the_protocol_holds(config: AnyConfig) -> None:
    found = searched(config)
    assert not found.wrong, found.trace


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("config", COMPLETE, ids=_named)
def test_the_protocol_holds_under_many_faults(config: AnyConfig) -> None:
    found = searched(config)
    assert not found.wrong, found.trace


@pytest.mark.parametrize(
    "bug", [pytest.param(bug, marks=[] if bug in QUICK else pytest.mark.long) for bug in MUTATIONS]
)
def test_a_dropped_guard_is_missed(bug: str) -> None:
    assert searched(mutant(bug)).wrong.startswith(MUTATIONS[bug][1])


@pytest.mark.long
@pytest.mark.parametrize("bug", IMPLIED)
def test_an_implied_guard_is_not_missed(bug: str) -> None:
    assert searched(mutant(bug)).wrong == ""


def test_every_verb_is_in_the_model_or_says_why_it_is_not() -> None:
    assert set(VERBS) == set(MODELLED) | set(OUTSIDE)
    assert not set(MODELLED) & set(OUTSIDE)


def test_every_script_is_a_verb_or_a_part_of_one() -> None:
    parts = {part for verb in VERBS for part in _includes(verb)}
    assert {path.stem for path in LUA.glob("*.lua")} == set(VERBS) | parts


def _includes(verb: str) -> list[str]:
    return (LUA / f"{verb}.lua").read_text().partition("\n")[0].removeprefix("-- include: ").split()


# --- the search itself ---
def _walk(*ways: tuple[int, bool, int], goal: int, wrong: int = -1) -> Model[int]:
    """A model whose states are numbers: from, whether it is a fault, to."""
    return Model(
        start=0,
        steps=lambda s: [(f"{s}>{to}", fault, to) for at, fault, to in ways if at == s],
        broken=lambda s: "wrong" if s == wrong else "",
        goal=lambda s: s == goal,
        canonical=lambda s: s,
    )


def test_a_wrong_state_is_found_by_the_shortest_way() -> None:
    found = search(_walk((0, False, 1), (1, False, 2), (0, True, 3), (3, True, 2), (2, False, 4), goal=4, wrong=2))
    assert (found.wrong, found.trace) == ("wrong", ("start", "0>1", "1>2"))


def test_a_state_that_only_a_fault_leads_out_of_is_stranded() -> None:
    assert search(_walk((0, False, 1), (1, True, 2), goal=2)).wrong.startswith("stranded")
    assert search(_walk((0, False, 1), (1, False, 2), goal=2)).wrong == ""


def test_a_search_that_is_cut_short_does_not_pass() -> None:
    endless = Model(
        start=0, steps=lambda s: [("on", False, s + 1)], broken=lambda s: "", goal=lambda s: True, canonical=lambda s: s
    )
    assert search(endless, limit=100).wrong == "search limit reached"
