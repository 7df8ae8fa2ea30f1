"""docs/testing.md is true: its files are a project whose tests pass."""

from __future__ import annotations

import re
from pathlib import Path

from tests.docs.markdown import files, pytest_in, write


def test_the_projects_tests_pass(tmp_path: Path) -> None:
    tests = sum(len(re.findall(r"^def test_", code, re.MULTILINE)) for code in files("testing.md").values())
    write("testing.md", tmp_path)
    assert f"{tests} passed" in pytest_in(tmp_path)
    assert tests == 6
