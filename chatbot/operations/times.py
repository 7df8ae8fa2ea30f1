"""Times and numbers as operators read them."""

from __future__ import annotations

from datetime import UTC, datetime

_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"))


def stamp(at: int) -> str:
    """Return a time (ms since 1970) in UTC."""
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.") + f"{at % 1000:03}"


def span(ms: int) -> str:
    """Return a duration in the largest unit that fits."""
    for length, unit in _UNITS:
        if abs(ms) >= length:
            return f"{ms / length:.3g} {unit}"
    return f"{ms} ms"


def since(ms: int) -> str:
    """Return how long after the beginning something was."""
    return f"+{span(ms)}"


def ago(ms: int) -> str:
    """Return how long ago something was."""
    return f"{span(max(0, ms))} ago"


def moment(text: str, now: int) -> int:
    """Return the time that `90s`, `15m`, `6h` or `2d` ago, or an ISO 8601 time, means, in ms. Raises ValueError."""
    unit = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}.get(text[-1:])
    if unit and text[:-1].isdecimal():
        return now - int(text[:-1]) * unit
    at = datetime.fromisoformat(text)
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def count(number: int, noun: str) -> str:
    """Return a number of things."""
    plural = noun[:-1] + "ies" if noun.endswith("ly") else noun + "s"
    return f"{number} {noun if number == 1 else plural}"
