"""Sentences in English that know what they were made of, so that the console can say them in another language."""

from __future__ import annotations

from chatbot.operations.times import count


class Sentence(str):
    """A pattern, such as `came %(times)s times`, and its values, some of which may be sentences themselves."""

    __slots__ = ("pattern", "values")

    pattern: str
    values: dict[str, object]

    def __new__(cls, pattern: str, **values: object) -> Sentence:
        """Fill a pattern in."""
        made = super().__new__(cls, pattern % values)
        made.pattern, made.values = pattern, values
        return made


class Number(str):
    """A number of things."""

    __slots__ = ("noun", "number")

    number: int
    noun: str

    def __new__(cls, number: int, noun: str) -> Number:
        """Count them."""
        made = super().__new__(cls, count(number, noun))
        made.number, made.noun = number, noun
        return made
