"""The public API is typed: what is right passes `mypy --strict`, what is wrong is refused, and others get the types."""

from __future__ import annotations

import re
from pathlib import Path

from mypy import api

import chatbot

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def check(name: str) -> list[str]:
    """Return mypy's errors in a file, as `line: code`."""
    out, err, _ = api.run(["--strict", "--config-file", str(ROOT / "pyproject.toml"), str(HERE / name)])
    assert not err, err
    return sorted(re.findall(r"^\S+?:(\d+: error: .*)$", out, re.MULTILINE), key=lambda error: int(error.split(":")[0]))


def test_what_is_right_is_accepted() -> None:
    assert check("accepted.py") == []


def test_what_is_wrong_is_refused_for_the_right_reason_and_nothing_else() -> None:
    lines = (HERE / "refused.py").read_text().splitlines()
    wanted = [
        (number, code)
        for number, line in enumerate(lines, 1)
        if (codes := re.search(r"  # ([\w-]+(?:, [\w-]+)*)$", line))
        for code in codes[1].split(", ")
    ]
    assert len(wanted) > 20
    errors = [re.match(r"(\d+): .*\[([\w-]+)\]$", error) for error in check("refused.py")]
    assert [(int(error[1]), error[2]) for error in errors if error] == wanted


def test_the_types_are_shipped() -> None:
    assert (Path(chatbot.__file__).parent / "py.typed").exists()
    assert '"py.typed"' in (ROOT / "pyproject.toml").read_text()
