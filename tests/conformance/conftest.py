"""Fixtures of the conformance suites: every test runs once per store."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.ledgers import LEDGERS, Ledger

#: What servers do not keep yet, by test.
NOT_YET = {
    "test_a_follow_up_for_another_subject_is_an_error_before_anything_is_written": "only another partition is refused",
    "test_a_result_must_live_for_some_time": "finish.lua raises halfway",
    "test_parts_keep_apart_also_when_max_bytes_shrank_meanwhile": "take_due.lua drops what is left of a part",
    "test_a_turn_of_one_cannot_be_split": "the driver's error is not wrapped",
    "test_forget_counts_buried_items_whose_ids_are_forgotten": "forget.lua counts ids",
    "test_a_value_need_not_be_kept_at_all": "settle.lua raises halfway",
}


@pytest.fixture(params=LEDGERS)
def ledger(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    """An empty ledger. Whatever a test does to it, no key may be left without a time to live."""
    if request.param != "memory" and (reason := NOT_YET.get(request.node.originalname)):
        request.node.add_marker(pytest.mark.xfail(reason=reason, strict=True))
    ledger = LEDGERS[request.param](request)
    yield ledger
    immortal = ledger.immortal()
    ledger.close()
    assert immortal == [], "keys without a time to live"
