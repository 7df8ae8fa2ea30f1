"""docs/kubernetes.md: the overlay that it has people write is whole, and what scales workers is asked rightly."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from chatbot.settings import read
from tests.docker.compose import ROOT
from tests.docker.kustomize import BROKERS, HOME, Tree, build, container, is_ours, labels, named, pods
from tests.docker.test_kubernetes import problems
from tests.metrics.test_rules import promtool, unknown

PAGE = (ROOT / "docs" / "kubernetes.md").read_text()
BLOCKS = re.findall(r"^```yaml\n# (?P<file>.*)\n(?P<text>(?s:.*?))^```$", PAGE, re.MULTILINE)
FILES = {name.partition(",")[0]: text for name, text in BLOCKS if name.startswith("production/")}
ADDED = [yaml.safe_load(text) for name, text in BLOCKS if name == "added to production/kustomization.yaml"]
#: By when a test of promtool looks, and what there has been since the beginning.
MINUTE = 10


def written(directory: Path, broker: str = "redis", *, added: Tree | None = None) -> list[Tree]:
    """Return what the overlay of the page makes: with a broker, and with more in its kustomization."""
    shutil.copytree(HOME, directory / "docker" / "kubernetes")
    for name in ("valkey", "rabbitmq"):
        shutil.copytree(ROOT / "docker" / name, directory / "docker" / name)
    for name, text in FILES.items():
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(text)
    shutil.copy(ROOT / "docker" / "env.production", directory / "production" / "settings.env")
    text = yaml.safe_load(FILES["production/kustomization.yaml"].replace("kubernetes/redis", f"kubernetes/{broker}"))
    text["resources"].append("network.yaml")
    (directory / "production" / "kustomization.yaml").write_text(yaml.safe_dump({**text, **(added or {})}))
    return build(directory / "production")


@pytest.mark.parametrize("broker", BROKERS)
def test_the_overlay_of_the_page_makes_valid_objects_in_its_namespace(broker: str, tmp_path: Path) -> None:
    objects = written(tmp_path, broker)
    assert len(objects) == len(build(HOME / broker)) + 2
    assert [problem for one in objects for problem in problems(one)] == []
    assert {one["metadata"]["namespace"] for one in objects} == {"chatbot"}
    images = {container(one)["image"] for one in pods(objects).values() if is_ours(one)}
    assert images == {"registry.example.com/chatbot:1"}


def test_the_settings_of_the_overlay_can_be_read_by_the_service(tmp_path: Path) -> None:
    data = named(written(tmp_path), "ConfigMap")["chatbot"]["data"]
    assert data["CHATBOT_TIMEZONE"] == "UTC"
    assert read({name: value for name, value in data.items() if not name.endswith("_FILE")}).responder == "echo"


@pytest.mark.parametrize("added", ADDED, ids=lambda added: "-".join(added))
def test_what_the_page_adds_to_the_overlay_fits_it(added: Tree, tmp_path: Path) -> None:
    assert [problem for one in written(tmp_path, added=added) for problem in problems(one)] == []


def test_what_the_page_adds_is_a_component_and_a_server_less(tmp_path_factory: pytest.TempPathFactory) -> None:
    scaled, smaller = (written(tmp_path_factory.mktemp("one"), added=added) for added in ADDED)
    triggers = named(scaled, "ScaledObject")["worker"]["spec"]["triggers"]
    assert {each["metadata"]["serverAddress"] for each in triggers} == {"http://prometheus.example.svc:9090"}
    assert pods(smaller)["store"]["spec"]["replicas"] == 0


def test_the_ingress_opens_what_the_proxy_of_the_compose_files_opens() -> None:
    (rule,) = yaml.safe_load(FILES["production/ingress.yaml"])["spec"]["rules"]
    opened = {path["path"] + ("*" if path["pathType"] == "Prefix" else "") for path in rule["http"]["paths"]}
    (door,) = re.findall(r"@open path (.*)", (ROOT / "docker" / "caddy" / "Caddyfile").read_text())
    assert opened == set(door.split())
    web = named(build(HOME / "redis"), "Service")["web"]
    ports = {(web["metadata"]["name"], port["name"]) for port in web["spec"]["ports"]}
    services = [path["backend"]["service"] for path in rule["http"]["paths"]]
    assert {(service["name"], service["port"]["name"]) for service in services} == ports


def test_the_page_makes_every_secret_that_is_read_and_no_other() -> None:
    made = set(re.findall(r"--from-literal=(\w+)=", PAGE))
    text = json.dumps(build(HOME / "rabbitmq"))
    assert made == set(re.findall(r"/run/secrets/(\w+)", text))
    assert {item for items in re.findall(r'"items": (\[.*?\])', text) for item in keys(json.loads(items))} <= made


def keys(items: list[dict[str, str]]) -> list[str]:
    return [item["key"] for item in items]


def test_prometheus_takes_the_job_of_the_page_which_keeps_what_tells_metrics(tmp_path: Path) -> None:
    (job,) = (text for name, text in BLOCKS if name == "added to prometheus.yml")
    # Debian's Prometheus is built without the discovery of Kubernetes.
    known = re.sub(r"kubernetes_sd_configs: .*", "static_configs: [{targets: ['web:8000']}]", job)
    (tmp_path / "prometheus.yml").write_text(known)
    done = promtool("check", "config", "--syntax-only", str(tmp_path / "prometheus.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
    (scrape,) = yaml.safe_load(job)["scrape_configs"]
    kept = {name: one for name, one in pods(build(HOME / "rabbitmq")).items() if keeps(scrape["relabel_configs"], one)}
    assert kept.keys() == {"web", "worker", "scheduler"}
    assert all([each["name"] for each in container(one)["ports"]] == ["http"] for one in kept.values())


def keeps(relabel: list[Tree], one: Tree) -> bool:
    """Say whether Prometheus would scrape a pod."""
    meta = {f"__meta_kubernetes_pod_label_{re.sub('[./-]', '_', name)}": text for name, text in labels(one).items()}
    drops = {"keep": False, "drop": True}
    return not any(
        (meta[label] == each["regex"]) == drops[each["action"]]
        for each in relabel
        if "action" in each
        for label in each["source_labels"]
    )


# --- how many workers ---
def scaled() -> Tree:
    (found,) = yaml.safe_load_all((HOME / "keda" / "workers.yaml").read_text())
    return dict(found)


def trigger(name: str) -> Tree:
    (found,) = (each for each in scaled()["spec"]["triggers"] if each["name"] == name)
    return dict(found)


def test_what_scales_is_a_deployment_that_no_longer_says_how_many(tmp_path: Path) -> None:
    objects = written(tmp_path, added={"components": ["../docker/kubernetes/keda"]})
    assert "replicas" not in pods(objects)[scaled()["spec"]["scaleTargetRef"]["name"]]["spec"]
    assert scaled()["spec"]["minReplicaCount"] == pods(build(HOME / "redis"))["worker"]["spec"]["replicas"]


def test_triggers_ask_for_what_is_exposed() -> None:
    assert [unknown(each["metadata"]["query"]) for each in scaled()["spec"]["triggers"]] == [set(), set()]


def test_a_worker_is_full_before_another_comes_but_not_quite() -> None:
    args = container(pods(build(HOME / "redis"))["worker"])["args"]
    threads = int(args[args.index("--threads") + 1])
    assert threads / 2 < int(trigger("running")["metadata"]["threshold"]) < threads
    assert trigger("running")["metricType"] == "AverageValue", "so many for each worker"
    assert trigger("age")["metricType"] == "Value", "an age is no sum over workers"


def test_the_age_is_that_of_one_message_in_twenty_and_0_without_messages(tmp_path: Path) -> None:
    """100 messages a minute: all wait for 5 to 10 s, or nobody sends any."""
    late = [bucket("10", 100), bucket("5", 0), bucket("+Inf", 100)]
    quiet = [bucket("10", 0), bucket("5", 0), bucket("+Inf", 0)]
    tests = [expected(late, 9.75), expected(quiet, 0), expected([], 0)]
    (tmp_path / "tests.yml").write_text(json.dumps({"rule_files": [], "evaluation_interval": "15s", "tests": tests}))
    done = promtool("test", "rules", str(tmp_path / "tests.yml"))
    assert done.returncode == 0, done.stdout + done.stderr


def bucket(le: str, a_minute: int) -> dict[str, str]:
    name = f'chatbot_queue_seconds_bucket{{queue="default", le="{le}"}}'
    return {"series": name, "values": f"0+{a_minute}x{MINUTE}"}


def expected(series: list[dict[str, str]], value: float) -> dict[str, Any]:
    sample = {"labels": "{}", "value": value}
    ask = {"expr": trigger("age")["metadata"]["query"], "eval_time": f"{MINUTE}m", "exp_samples": [sample]}
    return {"interval": "1m", "input_series": series, "promql_expr_test": [ask]}
