"""When a specification fires: by the week, by the zone, and where clocks change."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from periodiq import cron

from chatbot.errors import PolicyInvalid
from chatbot.scheduling.ticks import check, fires, stamp

PARIS = ZoneInfo("Europe/Paris")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")


def fired(spec: str, begin: str, end: str, zone: ZoneInfo | None = None) -> list[str]:
    """Return the ticks of a time span in UTC."""
    first, last = (int(datetime.fromisoformat(t).replace(tzinfo=UTC).timestamp()) for t in (begin, end))
    return [stamp(tick) for tick in range(first, last, 60) if fires(cron(spec), zone or UTC, tick)]


@pytest.mark.parametrize("spec", ["0 0 * * 0", "0 0 * * 7", "0 0 * * sun", "0 0 * * SUN", "@weekly"])
def test_sunday_has_many_names_and_comes_once_a_week(spec: str) -> None:
    assert fired(spec, "2026-02-01", "2026-02-15") == ["2026-02-01T00:00Z", "2026-02-08T00:00Z"]


@pytest.mark.parametrize(
    ("spec", "days"),
    [
        ("0 0 * * mon-fri", [2, 3, 4, 5, 6]),
        ("0 0 * * sat,sun", [1, 7]),
        ("0 0 * * 0-6", [1, 2, 3, 4, 5, 6, 7]),
        ("0 0 * * 5-7", [1, 6, 7]),
        ("0 0 3 * mon", [2, 3]),  # either will do
        ("0 0 3 * *", [3]),
    ],
)
def test_days_are_those_of_cron(spec: str, days: list[int]) -> None:
    assert fired(spec, "2026-02-01", "2026-02-08") == [f"2026-02-0{day}T00:00Z" for day in days]


def test_steps_and_lists_fire_at_their_minutes() -> None:
    assert fired("*/20,5 9 * * *", "2026-02-01", "2026-02-02") == [
        f"2026-02-01T09:{minute:02d}Z" for minute in (0, 5, 20, 40)
    ]


def test_a_specification_is_read_where_the_zone_is() -> None:
    assert fired("30 2 * * *", "2026-01-10", "2026-01-11", PARIS) == ["2026-01-10T01:30Z"]
    assert fired("30 2 * * *", "2026-07-10", "2026-07-11", PARIS) == ["2026-07-10T00:30Z"]


# Paris puts its clocks from 02:00 to 03:00 on 29 March 2026 at 01:00 UTC, and from 03:00 to 02:00 on 25 October.
def test_a_time_that_is_skipped_comes_as_much_later_once() -> None:
    assert fired("30 2 * * *", "2026-03-28T12:00", "2026-03-29T12:00", PARIS) == ["2026-03-29T01:30Z"]


def test_a_skipped_time_and_the_one_that_it_falls_on_are_one_tick() -> None:
    assert fired("30 2,3 * * *", "2026-03-28T12:00", "2026-03-29T12:00", PARIS) == ["2026-03-29T01:30Z"]


def test_a_time_that_is_repeated_counts_the_first_time() -> None:
    assert fired("30 2 * * *", "2026-10-24T12:00", "2026-10-25T12:00", PARIS) == ["2026-10-25T00:30Z"]


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
def test_what_fires_every_hour_goes_by_the_time_that_passes(day: str) -> None:
    assert fired("*/30 * * * *", day, f"{day}T04:00", PARIS) == [
        f"{day}T{hour:02d}:{minute}Z" for hour in range(4) for minute in ("00", "30")
    ]


# Lord Howe Island moves its clocks by half an hour: from 02:00 to 02:30 at 15:30 UTC of 3 October 2026.
def test_a_jump_of_half_an_hour_skips_half_an_hour() -> None:
    span = ("2026-10-03T12:00", "2026-10-03T20:00", LORD_HOWE)
    assert fired("15 2 * * *", *span) == ["2026-10-03T15:45Z"]
    assert fired("45 2 * * *", *span) == ["2026-10-03T15:45Z"]
    assert fired("15 3 * * *", *span) == ["2026-10-03T16:15Z"]


@pytest.mark.parametrize("spec", ["75 * * * *", "0 24 * * *", "0 0 0 * *", "0 0 * 13 *", "0 0 * * 8", "0 0 31 2 *"])
def test_what_never_comes_is_refused(spec: str) -> None:
    with pytest.raises(PolicyInvalid, match="cron"):
        check(cron(spec))


@pytest.mark.parametrize("spec", ["0 0 29 2 *", "0 0 31 2 sun", "@yearly", "59 23 31 12 7", "* * * * *"])
def test_what_comes_is_not(spec: str) -> None:
    check(cron(spec))
