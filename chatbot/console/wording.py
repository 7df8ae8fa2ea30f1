"""Times, and numbers of things, in the language of a page."""

from __future__ import annotations

from chatbot.admin.language import Language
from chatbot.operations import times
from chatbot.operations.sentences import Number, Sentence


def count(language: Language, number: int, noun: str) -> str:
    """Return a number of things."""
    forms = language.nouns.get(noun)
    return f"{number} {forms[number != 1]}" if forms else times.count(number, noun)


def span(language: Language, ms: float) -> str:
    """Return a duration in the largest unit that fits."""
    return times.span(round(ms)).replace(".", language.decimal)


def ago(language: Language, ms: int) -> str:
    """Return how long ago something was."""
    return language.text("%(span)s ago", span=span(language, max(0, ms)))


def told(language: Language, given: object) -> object:
    """Return what was told in English, as far as it is known of what it was made."""
    match given:
        case Sentence():
            return language.text(given.pattern, **{name: told(language, value) for name, value in given.values.items()})
        case Number():
            return count(language, given.number, given.noun)
    return given


def rate(language: Language, per_second: float) -> str:
    """Return how often something was in a second."""
    return f"{per_second:.3g}/s".replace(".", language.decimal)
