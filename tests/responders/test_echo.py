"""The echo shows what became one turn."""

from __future__ import annotations

import pytest

from chatbot.model import Attachment, Interactive
from chatbot.responders.echo import Echo
from tests.responders.turns import message, turn


def test_a_burst_becomes_one_reply_with_a_line_for_each_text():
    burst = [message("m1", text="hi"), message("m2", text="are you\nthere?"), message("m3", text="hello?")]
    drafts = Echo().respond(turn(*burst))
    assert [draft.text for draft in drafts] == ["hi\nare you\nthere?\nhello?"]


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"text": "look", "attachments": (Attachment(filename="a.jpg", kind="image"),)}, "look\n[a.jpg]"),
        ({"text": None, "attachments": (Attachment(kind="image"), Attachment())}, "[image]\n[attachment]"),
        ({"text": None, "kind": "location"}, "[location]"),
        ({"text": None, "kind": "interactive", "interactive": Interactive(payload="yes", title="Yes!")}, "Yes!"),
        ({"text": None, "kind": "interactive", "interactive": Interactive(payload="yes")}, "yes"),
    ],
)
def test_what_is_not_text_is_named(fields, shown):
    [draft] = Echo().respond(turn(message(**fields)))
    assert draft.text == shown
