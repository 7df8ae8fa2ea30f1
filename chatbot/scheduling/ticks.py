"""When a periodic actor is due. A tick is a minute, named by the second since the epoch at which it begins.

periodiq parses the specification; that it applies is said here, for its own test takes Sundays for 7 only.

Where clocks change, a specification that names hours fires once for each time that it names: a time that is skipped
comes as much later as the clock jumped, one that is repeated counts the first time. One for every hour (`*/5 * * * *`)
goes by the time that really passes.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

from periodiq import CronSpec

from chatbot.errors import PolicyInvalid

MINUTE = 60
#: s. No clock is put forward by more than this at once.
_LONGEST_JUMP = 3_600
_LONGEST_MONTH = dict(zip(range(1, 13), (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31), strict=True))


def fires(spec: CronSpec, zone: tzinfo, tick: int) -> bool:
    """Say whether a specification fires in this minute, by the clocks of a zone."""
    wall = datetime.fromtimestamp(tick, zone)
    if len(spec.hour) == 24:
        return _matches(spec, wall)
    if wall.fold == 0 and _matches(spec, wall):
        return True
    skipped = _skipped(wall, tick)
    return skipped is not None and _matches(spec, skipped)


def stamp(tick: int) -> str:
    """Return a tick as people and messages write it, in UTC."""
    return datetime.fromtimestamp(tick, UTC).strftime("%Y-%m-%dT%H:%MZ")


def check(spec: CronSpec) -> None:
    """Raise PolicyInvalid for what periodiq parses, but what never comes: minute 75, or 31 February."""
    fields = [
        ("minute", spec.minute, 0, 59),
        ("hour", spec.hour, 0, 23),
        ("day", spec.dom, 1, 31),
        ("month", spec.month, 1, 12),
        ("weekday", spec.dow, 0, 7),
    ]
    for name, values, least, most in fields:
        if not least <= values[0] <= values[-1] <= most:
            raise PolicyInvalid(f"cron {str(spec)!r}: a {name} is from {least} to {most}")
    if not spec.is_dow_restricted and all(spec.dom[0] > _LONGEST_MONTH[month] for month in spec.month):
        raise PolicyInvalid(f"cron {str(spec)!r}: there is no such day")


def _matches(spec: CronSpec, wall: datetime) -> bool:
    if wall.minute not in spec.minute or wall.hour not in spec.hour or wall.month not in spec.month:
        return False
    day = wall.day in spec.dom
    weekday = wall.isoweekday() % 7 in {number % 7 for number in spec.dow}
    # As cron has it: with both given, either will do.
    return day or weekday if spec.is_dow_restricted and spec.is_dom_restricted else day and weekday


def _skipped(wall: datetime, tick: int) -> datetime | None:
    """Return the time that clocks would show now had they not just jumped over it; None: they did not."""
    before = datetime.fromtimestamp(tick - _LONGEST_JUMP, wall.tzinfo).utcoffset()
    if before is None or before == wall.utcoffset():
        return None
    missing = (datetime.fromtimestamp(tick, UTC) + before).replace(tzinfo=wall.tzinfo)
    exists = missing.astimezone(UTC).astimezone(wall.tzinfo).replace(tzinfo=None) == missing.replace(tzinfo=None)
    return None if exists else missing
