"""Compose files as one project: includes, extensions and variables resolved, for tests that need no Docker.

It knows as much of the Compose Specification as our files use. Where a service extends another one, mappings are
merged, sequences are joined and commands replaced; relative paths are of the file that says them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
#: Path of each deployment, by the name of its broker.
DEPLOYMENTS = {name: ROOT / f"compose.{name}.yml" for name in ("redis", "rabbitmq")}
SHARED = (ROOT / "docker" / "compose.base.yml", ROOT / "docker" / "compose.roles.yml")

Tree = dict[str, Any]

_VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\})")
_REPLACED = ("command", "entrypoint", "test")
_RESOURCES = ("services", "networks", "volumes", "secrets")


def project(path: Path, variables: Mapping[str, str] | None = None) -> Tree:
    """Return a compose file with all that it includes and extends."""
    text = _interpolated(read(path), variables or {})
    found: Tree = {"name": text.get("name"), **{kind: dict(text.get(kind) or {}) for kind in _RESOURCES}}
    found["services"] = {name: _service(path, name, variables or {}) for name in found["services"]}
    found["secrets"] = {name: _placed_secret(secret, path.parent) for name, secret in found["secrets"].items()}
    for included in text.get("include", ()):
        other = project(path.parent / included, variables)
        for kind in _RESOURCES:
            both = found[kind].keys() & other[kind].keys()
            assert not both, f"{path.name} and {included} both have {kind} {both}"
            found[kind] |= other[kind]
    return found


def read(path: Path) -> Tree:
    """Return one file as it is written."""
    tree: Tree = yaml.safe_load(path.read_text())
    return tree


def mounts(service: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """Return what a service has mounted: the source (a path, or the name of a volume), the place, and if it is
    read-only."""
    for volume in service.get("volumes", ()):
        source, place, *mode = volume.split(":")
        yield source, place, mode == ["ro"]


def seconds(duration: str) -> float:
    """Return a duration such as `1m30s` in s."""
    units = {"s": 1, "m": 60, "h": 3600}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)([smh])", duration))


def _service(path: Path, name: str, variables: Mapping[str, str]) -> Tree:
    own: Tree = dict(_interpolated(read(path)["services"][name], variables))
    extends = own.pop("extends", None)
    placed = _placed(own, path.parent)
    if extends is None:
        return placed
    base = _service((path.parent / extends["file"]) if "file" in extends else path, extends["service"], variables)
    return _merged(base, placed)


def _merged(base: Tree, own: Tree) -> Tree:
    merged = dict(base)
    for key, value in own.items():
        known = base.get(key)
        if isinstance(known, dict) and isinstance(value, dict):
            merged[key] = _merged(known, value)
        elif isinstance(known, list) and isinstance(value, list) and key not in _REPLACED:
            merged[key] = known + [item for item in value if item not in known]
        else:
            merged[key] = value
    return merged


def _placed(service: Tree, here: Path) -> Tree:
    """Make paths of a service absolute."""
    placed = dict(service)
    if "env_file" in service:
        placed["env_file"] = str((here / service["env_file"]).resolve())
    if "build" in service:
        placed["build"] = service["build"] | {"context": str((here / service["build"]["context"]).resolve())}
    if "volumes" in service:
        placed["volumes"] = [_placed_volume(volume, here) for volume in service["volumes"]]
    return placed


def _placed_volume(volume: str, here: Path) -> str:
    source, colon, rest = volume.partition(":")
    return f"{(here / source).resolve()}{colon}{rest}" if source.startswith(".") else volume


def _placed_secret(secret: Tree, here: Path) -> Tree:
    return {"file": str((here / secret["file"]).resolve())}


def _interpolated(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _interpolated(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [_interpolated(item, variables) for item in value]
    if isinstance(value, str):
        return _VARIABLE.sub(
            lambda found: "$" if found["dollar"] else variables.get(found["name"]) or found["default"] or "", value
        )
    return value
