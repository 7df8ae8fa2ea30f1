"""deploy.sh run for real, in a copy of the project, on a machine whose Docker is the stand-in."""

from __future__ import annotations

import ast
import marshal
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = Path(__file__).with_name("stand_in_docker.py")
REPLIES = ("--set", "CHATBOT_GENERIC_OUTBOUND_URL=https://example.com/replies")
#: What the script would find on the machine that runs the tests, and has to be the same everywhere.
MACHINE = {
    "docker": f'exec "{sys.executable}" -I -S "{STAND_IN}" "$@"',
    "sleep": "exit 0",
    "ss": 'cat "$STAND_IN/ports"',
    "df": 'printf "Filesystem\\nnone 1 1 %s 1%% /\\n" "$(cat "$STAND_IN/free")"',
}
WORLD: dict[str, Any] = {
    "engine": True, "compose": "2.29.1", "memory": 4_000_000_000, "sick": {}, "fails": {},
    "containers": [], "images": {}, "source": "first", "made": 0,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a run ended."""

    status: int
    out: str
    err: str


class Project:
    """A copy of the project's docker/, with a machine around it."""

    def __init__(self, directory: Path, shell: str = "sh") -> None:
        self.root = directory / "a project's copy"
        self.machine = directory / "the machine"
        self.shell = shell
        self.environment: dict[str, str] = {}
        for path in ("deploy.sh", "deploy", "env.production"):
            _copied(ROOT / "docker" / path, self.root / "docker" / path)
        self._programs = self.machine / "bin"
        self._programs.mkdir(parents=True)
        for name, text in MACHINE.items():
            self.install(name, text)
        (self.machine / "ports").write_text("")
        (self.machine / "free").write_text("90000000")
        self.world(**WORLD)

    def install(self, name: str, text: str) -> None:
        """Put a program first into the search path."""
        program = self._programs / name
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)

    def world(self, **changes: Any) -> dict[str, Any]:
        """Change how the machine is, and return how it is."""
        path = self.machine / "world"
        known = marshal.loads(path.read_bytes()) if path.exists() else {}
        path.write_bytes(marshal.dumps(known | changes))
        return known | changes

    def deploy(self, *options: str, answer: str = "", first: Sequence[str] = ()) -> Result:
        """Run deploy.sh from another directory, and return how it ended."""
        command = [*first, self.shell, str(self.root / "docker/deploy.sh"), *options]
        done = subprocess.run(
            command, cwd=self.machine, env=self.variables(), input=answer, capture_output=True, text=True, check=False
        )
        return Result(status=done.returncode, out=done.stdout, err=done.stderr)

    def deployed(self, *options: str) -> Project:
        """Deploy, and forget the calls that it took."""
        done = self.deploy(*REPLIES, *options)
        assert done.status == 0, done.err
        (self.machine / "calls").write_text("")
        return self

    def run(self, *command: str) -> None:
        """Run another program on the machine, in the copy."""
        subprocess.run(command, cwd=self.root, env=self.variables(), check=True, capture_output=True)

    def variables(self) -> Mapping[str, str]:
        """Return the environment of a run."""
        path = os.pathsep.join([str(self._programs), "/usr/bin", "/bin"])
        return {"PATH": path, "STAND_IN": str(self.machine), "HOME": str(self.machine), **self.environment}

    def records(self) -> list[dict[str, Any]]:
        """Return all calls of docker, with what was healthy after each."""
        path = self.machine / "calls"
        return [ast.literal_eval(line) for line in path.read_text().splitlines()] if path.exists() else []

    def changes(self) -> list[str]:
        """Return the calls of docker that change something, without the part that names the files."""
        calls = [" ".join(record["argv"]) for record in self.records()]
        short = [call.split("--env-file docker/.env ")[-1] for call in calls]
        return [call for call in short if call.split()[0] not in ("ps", "info", "inspect", "compose")]

    def secrets(self) -> dict[str, str]:
        """Return the secrets that there are."""
        return {path.name: path.read_text() for path in sorted((self.root / "docker/secrets").iterdir())}

    def snapshot(self) -> dict[str, tuple[str, int, int]]:
        """Return all files of the copy, with what is in them, when they were written, and their modes."""
        files = [path for path in self.root.rglob("*") if path.is_file()]
        return {str(path): (path.read_text(), path.stat().st_mtime_ns, path.stat().st_mode) for path in files}


def _copied(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)
