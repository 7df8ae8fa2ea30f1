"""The compose files: valid, alike but for the broker, and with every container restrained."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.docker.compose import DEPLOYMENTS, ROOT, SHARED, Tree, mounts, project, read, seconds
from tests.docker.env_production import CHANNEL_SECRETS, SECRETS

SCHEMA = json.loads((Path(__file__).parent / "compose-spec.json").read_text())
PROJECTS = {name: project(path) for name, path in DEPLOYMENTS.items()}
SERVICES = [
    pytest.param(service, id=f"{broker}-{name}")
    for broker, found in PROJECTS.items()
    for name, service in found["services"].items()
]
OURS = ("web", "dashboard", "worker", "scheduler")
OF_BROKER = ("CHATBOT_BROKER_URL", "CHATBOT_BROKER_PASSWORD_FILE", "CHATBOT_RABBITMQ_MANAGEMENT_URL")

both = pytest.mark.parametrize("deployment", PROJECTS.values(), ids=PROJECTS.keys())
each = pytest.mark.parametrize("service", SERVICES)


def problems(tree: Tree) -> list[str]:
    return [error.message for error in jsonschema.Draft7Validator(SCHEMA).iter_errors(tree)]


@pytest.mark.parametrize("path", [*DEPLOYMENTS.values(), *SHARED], ids=lambda path: path.name)
def test_a_file_is_as_the_specification_says(path: Path) -> None:
    assert problems(read(path)) == []


@both
def test_what_the_files_make_together_is_as_the_specification_says(deployment: Tree) -> None:
    assert problems(deployment) == []


def test_the_schema_would_see_a_word_that_it_does_not_know() -> None:
    assert problems({"services": {"web": {"image": "x", "restrat": "always"}}})


@both
def test_the_services_are_those_of_the_documentation(deployment: Tree) -> None:
    broker = {"rabbitmq"} if deployment is PROJECTS["rabbitmq"] else set()
    assert deployment["services"].keys() == {*OURS, "caddy", "store", "prometheus", "grafana"} | broker


def without_broker(deployment: Tree) -> Tree:
    found = json.loads(json.dumps(deployment))
    for kind, name in (("services", "rabbitmq"), ("volumes", "rabbitmq-data"), ("secrets", "rabbitmq_password")):
        found[kind].pop(name, None)
    for service in (found["services"][name] for name in OURS):
        service["environment"] = {key: v for key, v in service["environment"].items() if key not in OF_BROKER}
        service["secrets"] = [secret for secret in service["secrets"] if secret != "rabbitmq_password"]
        service["depends_on"].pop("rabbitmq", None)
    return dict(found)


def test_the_two_deployments_differ_by_the_broker_and_by_nothing_else() -> None:
    assert without_broker(PROJECTS["redis"]) == without_broker(PROJECTS["rabbitmq"])


# --- each container ---
@each
def test_an_image_is_built_here_or_pinned_to_a_version(service: Tree) -> None:
    tag = service["image"].partition(":")[2]
    assert "build" in service or re.search(r"\d+\.\d+\.\d+", tag), service["image"]


@each
def test_a_container_can_do_nothing_that_it_need_not(service: Tree) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["user"].partition(":")[0] not in ("", "0", "root")
    assert "privileged" not in service
    assert not any("docker.sock" in source for source, _, _ in mounts(service))


@each
def test_what_is_mounted_from_the_project_is_there_and_stays_as_it_is(service: Tree) -> None:
    for source, place, read_only in mounts(service):
        if source.startswith("/"):
            assert Path(source).exists(), source
            assert read_only, place


@each
def test_a_container_has_its_limits(service: Tree) -> None:
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}
    assert service["logging"]["driver"] == "json-file"
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


@each
def test_a_container_starts_again_and_says_how_it_is(service: Tree) -> None:
    assert service["restart"] == "unless-stopped"
    assert seconds(service["stop_grace_period"]) >= 10
    check = service["healthcheck"]
    assert check["test"][0] in ("CMD", "CMD-SHELL")
    assert seconds(check["timeout"]) <= seconds(check["interval"])
    assert {"retries", "start_period"} <= check.keys()


@each
def test_any_number_of_copies_can_run_but_of_what_has_a_port(service: Tree) -> None:
    assert "container_name" not in service
    replicas = service["deploy"].get("replicas", 1)
    assert replicas == 1 or "ports" not in service


def test_the_scripts_that_servers_start_with_are_clean_under_shellcheck() -> None:
    program = shutil.which("shellcheck")
    assert program, "shellcheck is missing: apt-get install shellcheck, or brew install shellcheck"
    scripts = sorted(map(str, (ROOT / "docker").glob("*/start.sh")))
    assert len(scripts) == 2
    done = subprocess.run([program, *scripts], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (0, "")


# --- the whole ---
@both
def test_what_is_named_is_declared(deployment: Tree) -> None:
    for service in deployment["services"].values():
        for kind in ("networks", "secrets"):
            assert set(service.get(kind, ())) <= deployment[kind].keys()
        volumes = {source for source, _, _ in mounts(service) if not source.startswith("/")}
        assert volumes <= deployment["volumes"].keys()


@both
def test_nobody_waits_for_somebody_without_a_health_check(deployment: Tree) -> None:
    for service in deployment["services"].values():
        for name, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert "healthcheck" in deployment["services"][name]


@both
def test_ours_wait_for_every_server_that_they_use(deployment: Tree) -> None:
    servers = deployment["services"].keys() & {"store", "rabbitmq"}
    assert all(deployment["services"][name]["depends_on"].keys() == servers for name in OURS)


@both
def test_only_the_proxy_is_open_to_other_hosts(deployment: Tree) -> None:
    published = {name: service["ports"] for name, service in deployment["services"].items() if "ports" in service}
    assert published.keys() == {"caddy", "dashboard", "prometheus", "grafana"}
    assert published.pop("caddy") == ["80:80", "443:443", "443:443/udp"]
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)
    assert published["dashboard"] == ["127.0.0.1:5555:8000"]


@both
def test_store_and_broker_have_no_way_to_the_internet(deployment: Tree) -> None:
    assert deployment["networks"]["data"] == {"internal": True}
    for name in deployment["services"].keys() & {"store", "rabbitmq"}:
        assert deployment["services"][name]["networks"] == ["data"]


@both
def test_there_are_as_many_of_each_as_promised(deployment: Tree) -> None:
    services: dict[str, Any] = deployment["services"]
    assert services["web"]["command"][-2:] == ["--workers", "2"]
    assert services["scheduler"]["deploy"]["replicas"] == 2
    monitoring = {name for name, service in services.items() if service.get("profiles") == ["monitoring"]}
    assert monitoring == {"prometheus", "grafana"}


@both
def test_a_worker_is_not_killed_before_its_grace_is_over(deployment: Tree) -> None:
    worker = deployment["services"]["worker"]
    grace = float(worker["command"][worker["command"].index("--grace") + 1])
    assert seconds(worker["stop_grace_period"]) >= grace + 5


# --- secrets ---
@both
def test_every_secret_is_a_file_that_git_never_sees(deployment: Tree) -> None:
    ignored = (ROOT / "docker" / ".gitignore").read_text().split()
    assert {"secrets/", ".env"} <= set(ignored)
    for name, secret in deployment["secrets"].items():
        assert secret["file"] == str(ROOT / "docker" / "secrets" / name)


@both
def test_a_service_gets_the_secrets_that_it_reads_and_no_others(deployment: Tree) -> None:
    for name, service in deployment["services"].items():
        read_by_it = set(re.findall(r"/run/secrets/(\w+)", all_that_it_reads(service)))
        assert read_by_it == set(service.get("secrets", ())), name


def all_that_it_reads(service: Tree) -> str:
    scripts = [Path(source) for source, _, _ in mounts(service) if source.startswith("/")]
    files = [path for script in scripts for path in ([script] if script.is_file() else script.glob("*.sh"))]
    return json.dumps(service) + "".join(path.read_text() for path in files)


@both
def test_ours_get_every_secret_that_the_settings_know(deployment: Tree) -> None:
    of_channels = {f"{channel}_{name}" for channel, names in CHANNEL_SECRETS.items() for name in names}
    variables = {f"CHATBOT_{name.upper()}_FILE" for name in {*SECRETS, *of_channels}}
    for name in OURS:
        environment = deployment["services"][name]["environment"]
        assert {key for key in environment if key.endswith("_FILE")} == variables


def test_the_table_of_secrets_names_who_reads_each() -> None:
    section = (ROOT / "docker" / "README.md").read_text().partition("| secret file |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", section, re.M)
    told = {secret: set(services.strip().split(", ")) for secret, services in rows}
    services = PROJECTS["rabbitmq"]["services"].items()
    secrets = {secret for _, service in services for secret in service.get("secrets", ())}
    assert told == {secret: {name for name, one in services if secret in one.get("secrets", ())} for secret in secrets}
