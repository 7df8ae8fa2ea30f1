"""A sentence is its English text to everybody who does not ask what it was made of."""

from __future__ import annotations

from chatbot.operations.sentences import Number, Sentence


def test_a_sentence_is_the_text_that_it_makes() -> None:
    made = Sentence(
        "%(told)s, with %(items)s of %(name)r", told=Sentence("100 %% %(x)s", x=1), items=Number(2, "reply"), name="%s"
    )
    assert made == "100 % 1, with 2 replies of '%s'"
    assert {made: 1}["100 % 1, with 2 replies of '%s'"] == 1
    assert type(str(made)) is str


def test_a_sentence_knows_what_it_was_made_of() -> None:
    made = Sentence("after %(attempts)s", attempts=Number(1, "attempt"))
    assert made.pattern == "after %(attempts)s"
    (number,) = made.values.values()
    assert isinstance(number, Number)
    assert (number.number, number.noun) == (1, "attempt")
