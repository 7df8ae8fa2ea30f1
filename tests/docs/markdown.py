"""The code of a page: every Python block that begins with a comment naming its file."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"


def python_blocks(page: str) -> list[str]:
    """Return every Python block of a page."""
    return re.findall(r"^```python\n(.*?)^```$", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)


def files(page: str) -> dict[str, str]:
    """Return the page's blocks by the file that their first line names. One without a name fails: nothing would run
    it."""
    named: dict[str, str] = {}
    for block in python_blocks(page):
        name = re.match(r"# (\w+\.py)\n", block)
        assert name, f"docs/{page}: a block does not say which file it is:\n{block}"
        named[name[1]] = block
    return named


def write(page: str, directory: Path) -> list[str]:
    """Write a page's files into a directory and return their names."""
    blocks = files(page)
    for name, code in blocks.items():
        (directory / name).write_text(code)
    return list(blocks)


def pytest_in(directory: Path, *arguments: str) -> str:
    """Run pytest as another project would: in its directory, without our configuration. Returns what it printed."""
    # With a configuration of its own, or pytest would look for one in the directories above.
    (directory / "pytest.ini").write_text("[pytest]\n")
    argv = [sys.executable, "-m", "pytest", "-p", "no:valkey", "-p", "no:cacheprovider", "-W", "error", *arguments]
    done = subprocess.run(argv, cwd=directory, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
