"""The wheel is complete: it has every file, and runs where there is nothing but it and the locked packages."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_string
from email.message import Message
from pathlib import Path
from zipfile import ZipFile

import httpx
import msgspec
import pytest

from tests.packaging.building import PROJECT, ROOT, build, install, interpreter, package
from tests.processes.running import Running
from tests.servers import free_port
from tests.waiting import wait_until

#: The Pythons that the project names.
VERSIONS = [
    version
    for classifier in PROJECT["classifiers"]
    if (version := classifier.removeprefix("Programming Language :: Python :: ")).startswith("3.")
]
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
PAGES = ("/", "/playground", "/dead-letters", "/dashboard/", "/static/admin/style.css", "/static/console/live.js")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with ZipFile(wheel) as opened:
        (name,) = (name for name in opened.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_string(opened.read(name).decode())


def test_it_has_every_file_of_the_package_and_no_other(wheel: Path) -> None:
    with ZipFile(wheel) as opened:
        packed = {name for name in opened.namelist() if ".dist-info/" not in name}
    assert packed == package()
    assert {Path(name).suffix for name in packed} >= {".py", ".lua", ".html", ".css", ".js", ".svg", ".toml", ".typed"}


def test_it_has_its_license(wheel: Path) -> None:
    with ZipFile(wheel) as opened:
        (name,) = (name for name in opened.namelist() if name.endswith("/LICENSE"))
        assert opened.read(name) == (ROOT / "LICENSE").read_bytes()


def test_it_says_what_it_needs_and_what_its_extras_bring(metadata: Message) -> None:
    assert (metadata["Requires-Python"], metadata["License-Expression"]) == (">=3.11", "MIT")
    assert set(metadata.get_all("Provides-Extra", [])) == set(PROJECT["optional-dependencies"])
    needed = metadata.get_all("Requires-Dist", [])
    assert len(needed) == len(PROJECT["dependencies"]) + sum(map(len, PROJECT["optional-dependencies"].values()))


def test_its_readme_is_for_an_index(metadata: Message) -> None:
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert str(metadata.get_payload()).startswith("# chatbot\n")


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("version", sorted({HERE, *VERSIONS}))
def test_chatbot_dev_answers_a_burst_from_an_empty_environment(version: str, wheel: Path, tmp_path: Path) -> None:
    programs, port = install(wheel, tmp_path / "environment", interpreter(version)), free_port()
    with dev(programs, port, tmp_path) as running:
        wait_until(lambda: "working on all queues" in running.text(), 60, "it does not start")
        assert running.says(r"(\S+) simulate") == ["environment/bin/chatbot"], "its advice names another program"
        report = simulate(programs, port, tmp_path)
        assert {name: report["totals"][name] for name in ("bursts", "turns", "replies")} == dict.fromkeys(
            ("bursts", "turns", "replies"), 1
        )
        statuses = {page: httpx.get(f"http://127.0.0.1:{port}{page}").status_code for page in PAGES}
        assert set(statuses.values()) == {200}, statuses
        running.process.terminate()
        assert running.ends() == 0, running.text()
    assert "Warning" not in running.text()


@contextmanager
def dev(programs: Path, port: int, folder: Path) -> Iterator[Running]:
    """Run an installed `chatbot dev` in a folder outside of the tree."""
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [programs / "chatbot", "dev", "--port", str(port)],
            cwd=folder,
            env=environment(folder) | {"CHATBOT_DEBOUNCE_WAIT_MS": "1500"},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        yield Running(process, log)
    finally:
        process.kill()
        process.wait()


def simulate(programs: Path, port: int, folder: Path) -> dict[str, dict[str, int]]:
    played = subprocess.run(
        [programs / "chatbot", "simulate", "--url", f"http://127.0.0.1:{port}", "--conversations", "1", "--json"],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert played.returncode == 0, played.stdout + played.stderr
    return msgspec.json.decode(played.stdout, type=dict)


def environment(folder: Path) -> dict[str, str]:
    """Return an environment in which nothing leads back to the tree, and every warning is shown."""
    return {"PATH": os.defpath, "HOME": str(folder), "PYTHONWARNINGS": "default"}
