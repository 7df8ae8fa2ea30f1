"""The list of what the image has: `make sbom` names every locked package, with its version and its hashes."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.packaging.building import PROJECT, ROOT


def locked() -> dict[tuple[str, str], set[str]]:
    """Return the hashes of every package that the image installs, by name and version."""
    text = "".join((ROOT / "requirements" / f"{name}.txt").read_text() for name in ("run", "dashboard"))
    entries = re.findall(r"(?m)^([\w.-]+)==(\S+)((?:.*\\\n)+.*)", text)
    return {(name, version): set(re.findall(r"sha256:(\w{64})", rest)) for name, version, rest in entries}


@pytest.mark.long
def test_it_names_every_locked_package_with_its_hashes_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "sbom.json"
    done = subprocess.run(["make", "sbom", f"SBOM={file}"], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    bom = json.loads(file.read_text())
    assert (bom["bomFormat"], bom["metadata"]["component"]["name"]) == ("CycloneDX", PROJECT["name"])
    told = {
        (one["name"], one["version"]): {h["content"] for ref in one["externalReferences"] for h in ref["hashes"]}
        for one in bom["components"]
    }
    assert len(told) > 60
    assert told == locked()
