"""The manifests for Kubernetes: valid, complete, restrained, and each selector means whom it should."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.docker.kustomize import BROKERS, HOME, Tree, build, container, is_ours, labels, named, pods, port, selected

BUILT = {broker: build(HOME / broker) for broker in BROKERS}
both = pytest.mark.parametrize("objects", BUILT.values(), ids=BUILT.keys())
each = pytest.mark.parametrize("one", pods(BUILT["rabbitmq"]).values(), ids=pods(BUILT["rabbitmq"]).keys())


def strict(schema: Any) -> Any:
    """KEDA's schema says what there is, not that there is nothing else."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(value) for key, value in schema.items()}
    return {"additionalProperties": False, **closed} if isinstance(schema.get("properties"), dict) else closed


SCHEMAS = strict(json.loads((Path(__file__).parent / "kubernetes-schema.json").read_text())["$defs"])


def problems(one: Tree) -> list[str]:
    """Return what a schema has against an object; unknown fields are errors."""
    (name,) = (name for name in SCHEMAS if name.endswith(f".{one['kind']}"))
    schema = {"$ref": f"#/$defs/{name}", "$defs": SCHEMAS}
    return [error.message for error in jsonschema.Draft7Validator(schema).iter_errors(one)]


# --- the whole ---
@both
def test_every_object_is_as_its_schema_says(objects: list[Tree]) -> None:
    assert [(one["metadata"]["name"], problem) for one in objects for problem in problems(one)] == []


def test_the_schemas_would_see_a_word_that_they_do_not_know() -> None:
    web = copy.deepcopy(pods(BUILT["redis"])["web"])
    container(web)["readinessProb"] = {}
    assert len(problems(web)) == 1
    (scaled,) = yaml.safe_load_all((HOME / "keda" / "workers.yaml").read_text())
    scaled["spec"]["triggers"][0]["metadata"]["threshold"] = 2  # KEDA takes strings only
    scaled["spec"]["minReplicas"] = 2
    assert len(problems(scaled)) == 2


def test_every_manifest_is_of_a_kustomization() -> None:
    for path in HOME.glob("*/*.yaml"):
        text = (path.parent / "kustomization.yaml").read_text()
        assert path.name == "kustomization.yaml" or re.search(rf"\b{path.name}\b", text), path


def test_the_two_deployments_differ_by_the_broker_and_by_nothing_else() -> None:
    redis, rabbitmq = (
        {(one["kind"], one["metadata"]["name"]): one for one in copy.deepcopy(objects)}
        for objects in (BUILT["redis"], BUILT["rabbitmq"])
    )
    assert rabbitmq.keys() - redis.keys() == {
        ("StatefulSet", "rabbitmq"), ("Service", "rabbitmq"), ("ConfigMap", "rabbitmq"), ("NetworkPolicy", "rabbitmq"),
        ("NetworkPolicy", "chatbot-rabbitmq"),
    }  # fmt: skip
    for settings in (redis[("ConfigMap", "chatbot")]["data"], rabbitmq[("ConfigMap", "chatbot")]["data"]):
        for key in [key for key in settings if key.startswith(("CHATBOT_BROKER_", "CHATBOT_RABBITMQ_"))]:
            del settings[key]
    assert redis.items() <= rabbitmq.items()


# --- restraint ---
@each
def test_a_pod_can_do_nothing_that_it_need_not(one: Tree) -> None:
    """What the profile `restricted` of Kubernetes asks for, and a root that is read-only."""
    spec = one["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(one)["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}
    assert all(volume.keys() & {"secret", "configMap", "emptyDir"} for volume in spec["volumes"])
    assert min(spec["securityContext"][name] for name in ("runAsUser", "runAsGroup")) > 0


# --- who means whom ---
@both
def test_a_selector_means_one_kind_of_pod(objects: list[Tree]) -> None:
    found = pods(objects)
    for one in objects:
        if one["kind"] not in ("Deployment", "StatefulSet", "Service", "PodDisruptionBudget"):
            continue
        selector = one["spec"]["selector"]
        plain = {"matchLabels": selector} if one["kind"] == "Service" else selector
        meant = [name for name, pod in found.items() if selected(plain, labels(pod))]
        assert meant == [one["metadata"]["name"]]
        for service_port in one["spec"].get("ports", ()):
            assert port(found[meant[0]], service_port["targetPort"])


@both
def test_a_service_is_where_the_variables_say(objects: list[Tree]) -> None:
    services = {
        f"{name}:{each['port']}" for name, one in named(objects, "Service").items() for each in one["spec"]["ports"]
    }
    told = re.findall(r"[\w@/]*?(\w+:\d+)", " ".join(named(objects, "ConfigMap")["chatbot"]["data"].values()))
    assert len(told) >= 2
    assert set(told) <= services


def test_of_two_one_always_stays_and_of_one_no_machine_is_held_up() -> None:
    for objects in BUILT.values():
        found = pods(objects)
        budgets = named(objects, "PodDisruptionBudget")
        assert budgets.keys() == {name for name, one in found.items() if one["spec"]["replicas"] > 1}
        assert all(one["spec"]["maxUnavailable"] == 1 for one in budgets.values())


def test_copies_are_spread_over_machines() -> None:
    for one in filter(is_ours, pods(BUILT["redis"]).values()):
        (spread,) = one["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert spread["topologyKey"] == "kubernetes.io/hostname"
        assert selected(spread["labelSelector"], labels(one))
        assert "app.kubernetes.io/component" in spread["matchLabelKeys"], "otherwise roles would push each other away"
