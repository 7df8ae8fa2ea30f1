"""Network policies: each role reaches what it needs, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.docker.kustomize import BROKERS, HOME, Tree, build, container, is_ours, labels, named, pods, selected

BUILT = {broker: build(HOME / broker) for broker in BROKERS}
both = pytest.mark.parametrize("objects", BUILT.values(), ids=BUILT.keys())

#: Labels of the pods and namespaces that are not ours.
STRANGER: Mapping[str, str] = {"app.kubernetes.io/name": "somebody"}
PROXY, PROMETHEUS = {"chatbot/webhooks": "yes"}, {"chatbot/metrics": "yes"}
#: Names and, for workers, whatever is there by HTTPS.
DNS, HTTPS = ("UDP", 53), ("TCP", 443)


def policies(objects: list[Tree], pod: Mapping[str, str], kind: str) -> list[Tree]:
    """Return the policies for a pod, of a direction."""
    found = (one["spec"] for one in named(objects, "NetworkPolicy").values())
    return [spec for spec in found if selected(spec["podSelector"], pod) and kind in spec["policyTypes"]]


def rules(objects: list[Tree], pod: Mapping[str, str], kind: str) -> Iterator[tuple[list[Tree], Tree]]:
    """Return who and what each rule for a pod lets through; an empty list of who is everybody."""
    for spec in policies(objects, pod, kind):
        for rule in spec.get(kind.lower(), ()):
            for one in rule["ports"]:
                yield rule.get("to" if kind == "Egress" else "from", []), one


def means(peers: list[Tree], pod: Mapping[str, str], namespace: Mapping[str, str] | None) -> bool:
    """Say whether a rule is about a pod: of the own namespace, or of one with labels."""
    for peer in peers:
        assert len(peer) == 1, "no rule of ours needs more"
        if "namespaceSelector" in peer and namespace is not None:
            if selected(peer["namespaceSelector"], namespace):
                return True
        elif "podSelector" in peer and namespace is None and selected(peer["podSelector"], pod):
            return True
    return not peers


def enters(objects: list[Tree], one: Tree, pod: Mapping[str, str], namespace: Mapping[str, str] | None) -> set[Any]:
    """Return the ports of a pod where somebody gets in."""
    found = {what["port"] for who, what in rules(objects, labels(one), "Ingress") if means(who, pod, namespace)}
    return found & listens(one)


def leaves(objects: list[Tree], one: Tree, target: Tree) -> set[Any]:
    """Return the ports by which a pod may get out to another."""
    return {
        what["port"]
        for who, what in rules(objects, labels(one), "Egress")
        if means(who, labels(target), None) and what["protocol"] == "TCP"
    }  # fmt: skip


def listens(one: Tree) -> set[int]:
    return {each["containerPort"] for each in container(one)["ports"]}


@both
def test_nobody_does_anything_unless_a_policy_says_so(objects: list[Tree]) -> None:
    for kind in ("Ingress", "Egress"):
        assert any(spec["podSelector"] == {} and kind.lower() not in spec for spec in policies(objects, STRANGER, kind))


@both
def test_ours_reach_the_servers_and_nobody_reaches_anybody_else(objects: list[Tree]) -> None:
    found = pods(objects)
    for name, one in found.items():
        reached = {
            target: both_agree
            for target, other in found.items()
            if (both_agree := leaves(objects, one, other) & enters(objects, other, labels(one), None))
        }
        servers = {target: listens(other) for target, other in found.items() if not is_ours(other)}
        assert reached == (servers if is_ours(one) else {}), name


@both
def test_the_world_is_reached_by_workers_and_by_https_only(objects: list[Tree]) -> None:
    for name, one in pods(objects).items():
        out = {(what["protocol"], what["port"]) for who, what in rules(objects, labels(one), "Egress") if not who}
        names = {DNS, ("TCP", 53)} if is_ours(one) else set()
        assert out == names | ({HTTPS} if name == "worker" else set()), name


@both
def test_the_proxy_reaches_web_and_prometheus_the_metrics(objects: list[Tree]) -> None:
    for name, one in pods(objects).items():
        assert enters(objects, one, STRANGER, PROXY) == ({8000} if name == "web" else set())
        measured = listens(one) if name in ("web", "worker", "scheduler") else set()
        assert enters(objects, one, STRANGER, PROMETHEUS) == measured


@both
def test_a_stranger_reaches_nobody(objects: list[Tree]) -> None:
    for one in pods(objects).values():
        assert enters(objects, one, STRANGER, None) == set()
        assert enters(objects, one, labels(one), {"kubernetes.io/metadata.name": "another"}) == set()
