"""Reading one channel's settings, so that one error lists every bad one by the variable's full name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import httpx

from chatbot.errors import ConfigurationError

T = TypeVar("T")


class Options:
    """One channel's settings. Read them all, then call `check`: what was read is only good after that."""

    def __init__(self, name: str, values: Mapping[str, str]) -> None:
        self._name = name
        self._values = values
        self._problems: list[str] = []

    def optional(self, option: str) -> str:
        """Return a setting, or an empty string."""
        return self._values.get(option, "").strip()

    def required(self, option: str, cure: str) -> str:
        """Return a setting; note that it is missing, and the cure, if it is. Empty counts as missing."""
        value = self.optional(option)
        if not value:
            self._note(option, f"is missing: {cure}")
        return value

    def url(self, option: str, cure: str, default: str = "") -> str:
        """Return an http or https URL."""
        value = self.optional(option) or default or self.required(option, cure)
        if value and not _is_http(value):
            self._note(option, f"must be an http:// or https:// URL: {cure}")
        return value

    def seconds(self, option: str, default: float, *, most: float) -> float:
        """Return a number of seconds, more than 0 and at most `most`."""
        value = self.optional(option)
        if not value:
            return default
        try:
            number = float(value)
        except ValueError:
            number = 0.0
        if not 0 < number <= most:  # NaN fails this as well
            self._note(option, f"is {value!r}: it must be a number of seconds, more than 0 and at most {most:.0f}")
        return number

    def parsed(self, option: str, cure: str, parse: Callable[[str], T]) -> T | None:
        """Return what `parse` makes of a required setting. It raises ValueError, whose text must not show a secret."""
        value = self.required(option, cure)
        try:
            return parse(value) if value else None
        except ValueError as exc:
            self._note(option, f"cannot be used: {exc}. {cure}")
            return None

    def check(self) -> None:
        """Raise ConfigurationError if anything was wrong."""
        if self._problems:
            raise ConfigurationError(self._problems)

    def _note(self, option: str, problem: str) -> None:
        variable = f"CHATBOT_{self._name}_{option}".upper().replace("-", "_")
        self._problems.append(f"{variable} {problem}")


def _is_http(value: str) -> bool:
    try:
        url = httpx.URL(value)
    except httpx.InvalidURL:
        return False
    return url.scheme in {"http", "https"} and bool(url.host)
