"""Every picture of the docs is shown somewhere, has a text, and is one that its script makes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.screenshots import IMAGES, PICTURES
from tests.docs.markdown import DOCS, ROOT
from tests.docs.shell import pages, prose

KINDS = {".svg", ".png", ".webp"}


def shown() -> dict[Path, list[str]]:
    """Return the pictures that pages show, with what stands there for who does not see them."""
    found: dict[Path, list[str]] = {}
    for page in pages():
        for text, link in re.findall(r"!\[([^]]*)\]\(([^)\s]+)\)", prose(page)):
            found.setdefault((page.parent / link).resolve(), []).append(text)
    return found


def size(picture: Path) -> tuple[int, int]:
    """Return the width and the height of an extended WebP, in pixels (RFC 9649, 2.7: each is stored less one)."""
    head = picture.read_bytes()[:30]
    assert (head[:4], head[8:16]) == (b"RIFF", b"WEBPVP8X")
    return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1


def test_every_picture_is_shown_and_every_one_that_is_shown_exists() -> None:
    there = {path for path in DOCS.rglob("*") if path.suffix in KINDS}
    assert set(shown()) == there


def test_every_picture_is_told_in_words() -> None:
    assert [path for path, texts in shown().items() if not all(texts)] == []


def test_the_screenshots_are_those_of_the_script_and_small() -> None:
    assert {path.name: size(path) for path in IMAGES.iterdir()} == {
        f"{name}.webp": (screen.width, screen.height) for name, screen in PICTURES.items()
    }
    assert sum(path.stat().st_size for path in IMAGES.iterdir()) < 600_000


@pytest.mark.long
def test_the_script_makes_every_screenshot_that_is_shown(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "docs.screenshots", "--seconds", "1", "--into", str(tmp_path)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.name: size(path) for path in tmp_path.iterdir()} == {
        path.name: size(path) for path in shown() if path.parent == IMAGES
    }
