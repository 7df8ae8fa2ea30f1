"""What an error leaves behind is shown without what it says."""

from __future__ import annotations

import pytest

from chatbot.admin.tracebacks import kind, without_words


def test_a_traceback_without_words_keeps_places_and_kinds() -> None:
    told = (
        "Traceback (most recent call last):\n"
        '  File "app.py", line 3, in answer\n'
        "    raise ValueError(name)\n"
        "    ^^^^^^^^^^^^^^^^^^^^^^\n"
        "ValueError: Maria\n"
        "Smith: wrote\n"
        "    indented by Maria\n"
        "\nDuring handling of the above exception, another exception occurred:\n\n"
        "Traceback (most recent call last):\n"
        '  File "app.py", line 5, in <module>\n'
        "    answer()\n"
        "app.errors.Broken: Maria"
    )
    kept = without_words(told)
    for gone in ("Maria", "Smith", "wrote", "indented"):
        assert gone not in kept
    for place in ("line 3, in answer", "raise ValueError(name)", "ValueError: •••", "app.errors.Broken: •••"):
        assert place in kept


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("ValueError('Maria')", "ValueError"),
        ("app.errors.Broken()", "app.errors.Broken"),
        ("unknown", "unknown"),
        ("RabbitMQ: expired", "RabbitMQ: expired"),
        # Some libraries repeat there what they were given.
        ("1 validation error for Order\nname\n  Input should be a number [input_value='Maria']", "an error"),
        ("<Broken: Maria>", "an error"),
        ("Maria", "an error"),
        ("", "an error"),
    ],
)
def test_the_kind_of_an_error_tells_nothing_of_what_it_says(error: str, told: str) -> None:
    assert kind(error) == told
