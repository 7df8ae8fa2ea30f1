"""Building the wheel, and installing it where nothing else is."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
#: What setuptools reads besides the package.
SOURCES = ("pyproject.toml", "README.md", "LICENSE")
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet"]


def package() -> set[str]:
    """Return every file of the package as it is in the tree."""
    return {
        str(path.relative_to(ROOT))
        for path in (ROOT / "chatbot").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def build(folder: Path) -> Path:
    """Return the wheel of the tree, built without the network; nothing is left in the tree."""
    # In the tree itself setuptools would also pack what an earlier build has left in build/.
    source = folder / "source"
    shutil.copytree(ROOT / "chatbot", source / "chatbot", ignore=shutil.ignore_patterns("__pycache__"))
    for name in SOURCES:
        shutil.copy(ROOT / name, source)
    _run([*PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source)])
    (wheel,) = folder.glob("chatbot-*.whl")
    return wheel


def install(wheel: Path, folder: Path, python: Path) -> Path:
    """Return the directory of programs of a new environment that has the wheel and the locked packages, no more."""
    # Debian's Python has no pip to put into an environment.
    _run([str(python), "-m", "venv", "--without-pip", str(folder)])
    into = [*_pip_of(python), "--python", str(folder / "bin" / "python"), "install", "--no-deps"]
    locked = [part for name in ("run", "dashboard") for part in ("-r", str(ROOT / "requirements" / f"{name}.txt"))]
    _run([*into, "--require-hashes", *locked])
    _run([*into, "--no-index", str(wheel)])
    return folder / "bin"


def _pip_of(python: Path) -> list[str]:
    """Return a pip that can work for this Python: its own, as ours may be older than it; ours, if it has none."""
    own = [str(python), *PIP[1:]]
    return own if subprocess.run([*own, "--version"], capture_output=True).returncode == 0 else PIP


def interpreter(version: str) -> Path:
    """Return a Python of this version. One that is missing fails the test."""
    for candidate in _candidates(version):
        asked = [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        if subprocess.run(asked, capture_output=True, text=True).stdout.strip() == version:
            return Path(candidate)
    pytest.fail(f"There is no Python {version}: pyenv install {version}, or put a python{version} on PATH", False)


def _candidates(version: str) -> Iterator[str]:
    yield sys.executable
    if found := shutil.which(f"python{version}"):
        yield found
    for path in sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python")):
        yield str(path)


def _run(argv: list[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
