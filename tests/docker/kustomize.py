"""Kustomizations as the objects that they make, for tests that need no kubectl.

It knows as much of kustomize as our files and the guide use, and refuses the rest. ConfigMaps keep their names, where
kustomize adds a hash of what is in them.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values

from tests.docker.compose import ROOT

HOME = ROOT / "docker" / "kubernetes"
BROKERS = ("redis", "rabbitmq")

Tree = dict[str, Any]

_FIELDS = {
    "apiVersion", "kind", "resources", "components", "configMapGenerator", "patches", "namespace", "images"
}  # fmt: skip
#: What names an item of a list; other lists are replaced. https://kubernetes.io/docs/reference/using-api/
_MERGED_BY = {
    "containers": "name", "volumes": "name", "env": "name", "volumeMounts": "mountPath", "ports": "containerPort",
    "topologySpreadConstraints": "topologyKey",
}  # fmt: skip


def build(directory: Path) -> list[Tree]:
    """Return the objects of a kustomization."""
    return _built(directory, [])


def selected(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Say whether a label selector of Kubernetes selects what has these labels."""
    known = {"In": lambda value, values: value in values, "NotIn": lambda value, values: value not in values}
    assert selector.keys() <= {"matchLabels", "matchExpressions"}
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        known[each["operator"]](labels.get(each["key"]), each["values"])
        for each in selector.get("matchExpressions", ())
    )


def _built(directory: Path, before: list[Tree]) -> list[Tree]:
    """Return what was there before, which only a component may change, with what a kustomization adds."""
    text = yaml.safe_load((directory / "kustomization.yaml").read_text())
    assert text.keys() <= _FIELDS, f"{directory} has {text.keys() - _FIELDS}, which this does not know"
    found = [*before, *(each for name in text.get("resources", ()) for each in _resource(directory / name))]
    for component in text.get("components", ()):
        found = _built(directory / component, found)
    for generator in text.get("configMapGenerator", ()):
        _generate(generator, directory, found)
    for patch in text.get("patches", ()):
        _patch(patch, directory, found)
    for each in found:
        _place(each, text)
    return found


def _resource(path: Path) -> Iterable[Tree]:
    return build(path) if path.is_dir() else yaml.safe_load_all(path.read_text())


def _generate(generator: Tree, directory: Path, found: list[Tree]) -> None:
    assert generator.keys() <= {"name", "behavior", "literals", "envs", "files"}
    data = dict(literal.split("=", 1) for literal in generator.get("literals", ()))
    for name in generator.get("envs", ()):
        data |= dotenv_values(directory / name)
    data |= {name: (directory / name).read_text() for name in generator.get("files", ())}
    if generator.get("behavior") == "merge":
        (old,) = (e for e in found if (e["kind"], e["metadata"]["name"]) == ("ConfigMap", generator["name"]))
        old["data"] |= data
    else:
        metadata = {"name": generator["name"]}
        found.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


def _patch(patch: Tree, directory: Path, found: list[Tree]) -> None:
    text = patch["patch"] if "patch" in patch else (directory / patch["path"]).read_text()
    # What begins as JSON is read as JSON by kustomize.
    how = json.loads(text) if text.startswith(("[", "{")) else yaml.safe_load(text)
    target = patch.get("target") or {"kind": how["kind"], "name": how["metadata"]["name"]}
    matching = [each for each in found if _is_target(target, each)]
    assert matching, f"{directory} patches {target}, which is not there"
    for each in matching:
        if isinstance(how, list):
            for step in how:
                _step(step, each)
        else:
            changed = _merged(each, {key: value for key, value in how.items() if key != "metadata"})
            each.update(changed)


def _is_target(target: Mapping[str, str], one: Tree) -> bool:
    assert target.keys() <= {"kind", "name", "labelSelector"}
    labels = dict(pair.split("=") for pair in target["labelSelector"].split(",")) if "labelSelector" in target else {}
    return (
        target.get("kind") in (None, one["kind"])
        and target.get("name") in (None, one["metadata"]["name"])
        and labels.items() <= one["metadata"].get("labels", {}).items()
    )


def _step(step: Mapping[str, Any], one: Tree) -> None:
    """Take one step of a JSON patch (RFC 6902)."""
    *way, last = (part.replace("~1", "/").replace("~0", "~") for part in step["path"].split("/")[1:])
    place: Any = one
    for part in way:
        place = place[int(part)] if isinstance(place, list) else place[part]
    key = int(last) if isinstance(place, list) and last != "-" else last
    assert step["op"] in ("add", "replace", "remove"), step
    if step["op"] == "remove":
        del place[key]
    elif isinstance(place, list) and step["op"] == "add":
        place.insert(len(place) if key == "-" else key, step["value"])
    else:
        assert step["op"] == "add" or key in place or isinstance(place, list)
        place[key] = step["value"]


def _merged(old: Any, new: Any, key: str = "") -> Any:
    """Merge as a strategic merge patch does."""
    if isinstance(old, dict) and isinstance(new, dict):
        both = {name: _merged(old[name], value, name) if name in old else value for name, value in new.items()}
        return copy.deepcopy({**old, **both})
    if isinstance(old, list) and isinstance(new, list) and key in _MERGED_BY:
        name = _MERGED_BY[key]
        items = {each[name]: each for each in old}
        for each in new:
            items[each[name]] = _merged(items.get(each[name], {}), each)
        return list(items.values())
    return copy.deepcopy(new)


def _place(one: Tree, text: Mapping[str, Any]) -> None:
    if "namespace" in text:
        one["metadata"]["namespace"] = text["namespace"]
    for image in text.get("images", ()):
        for container in containers(one):
            name, colon, tag = container["image"].partition(":")
            if name == image["name"]:
                container["image"] = f"{image.get('newName', name)}{colon}{image.get('newTag', tag)}"


def containers(one: Tree) -> Iterator[Tree]:
    """Return the containers of what makes pods, of others none."""
    if one["kind"] in ("Deployment", "StatefulSet"):
        yield from one["spec"]["template"]["spec"]["containers"]


def container(one: Tree) -> Tree:
    """Return the container of what makes pods."""
    (only,) = containers(one)
    return only


def named(objects: Iterable[Tree], *kinds: str) -> dict[str, Tree]:
    """Return the objects of some kinds by their names."""
    return {one["metadata"]["name"]: one for one in objects if one["kind"] in kinds}


def pods(objects: Iterable[Tree]) -> dict[str, Tree]:
    """Return what makes pods, by name."""
    return named(objects, "Deployment", "StatefulSet")


def labels(one: Tree) -> dict[str, str]:
    """Return the labels of the pods that it makes."""
    found: dict[str, str] = one["spec"]["template"]["metadata"]["labels"]
    return found


def port(one: Tree, name: str | int) -> int:
    """Return a port of the pods that it makes, by its name or number."""
    (number,) = (
        each["containerPort"] for each in container(one)["ports"] if name in (each["name"], each["containerPort"])
    )
    return int(number)


def is_ours(one: Tree) -> bool:
    """Say whether it runs the image of this project."""
    return bool(container(one)["name"] == "chatbot")
