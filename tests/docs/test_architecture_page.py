"""The page about the architecture names every room, and no other."""

from __future__ import annotations

import re

from tests.docs.markdown import DOCS, ROOT
from tests.model.configurations import MUTATIONS

PAGE = (DOCS / "architecture.md").read_text()
ROOMS = {path.name for path in (ROOT / "chatbot").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
#: Files that only say where something begins.
DOORS = {"__init__.py", "__main__.py"}


def test_every_room_is_on_the_plan_and_every_room_of_the_plan_is_there() -> None:
    plan = PAGE.partition("```\nchatbot/\n")[2].partition("```")[0]
    named = {name.rstrip("/") for name in re.findall(r"\b[a-z_]+(?:/(?= |:)|\.py\b)", plan)}
    assert named == ROOMS - DOORS


def test_files_that_it_names_are_there() -> None:
    for name in re.findall(r"`([a-z_]+/[\w./]+\.(?:py|md|yml)|tests/\w+)`", PAGE):
        assert (ROOT / name).exists() or (ROOT / "chatbot" / name).exists(), name


def test_as_many_guards_of_the_model_were_dropped_as_it_says() -> None:
    assert f"{len(MUTATIONS)} of its guards" in PAGE
