"""What runs on Kubernetes is what the compose files run: commands, environment, secrets, files, health, grace."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from chatbot.commands.health import health
from chatbot.metrics.exposition import HEALTH, READY
from chatbot.roles import WEB_GRACE
from chatbot.settings import PREFIX, Settings
from chatbot.web.app import create_app
from tests.docker.compose import DEPLOYMENTS, Tree, mounts, project, seconds
from tests.docker.env_production import CHANNEL_SECRETS
from tests.docker.kustomize import BROKERS, HOME, build, container, is_ours, named, pods, port
from tests.docker.shipped import ShippedValkey
from tests.waiting import wait_until
from tests.web.house import Ledger

BUILT = {broker: build(HOME / broker) for broker in BROKERS}
COMPOSED = {broker: project(DEPLOYMENTS[broker])["services"] for broker in BROKERS}
OURS = ("web", "dashboard", "worker", "scheduler")
#: The units of memory of the compose files (and of Kubernetes), in MiB.
UNITS = {"M": 1, "G": 1024, "Mi": 1, "Gi": 1024}

#: Each of what makes pods, beside the service of the compose files that it stands for.
PODS = [
    pytest.param(one, COMPOSED[broker][name], id=f"{broker}-{name}")
    for broker, objects in BUILT.items()
    for name, one in pods(objects).items()
]
each = pytest.mark.parametrize(("one", "service"), PODS)
both = pytest.mark.parametrize("objects", BUILT.values(), ids=BUILT.keys())


# --- what runs ---
def test_every_service_runs_but_proxy_and_monitoring() -> None:
    for broker, objects in BUILT.items():
        assert pods(objects).keys() == COMPOSED[broker].keys() - {"caddy", "prometheus", "grafana"}


@each
def test_ours_have_the_user_of_the_image(one: Tree, service: Tree) -> None:
    user, group = (one["spec"]["template"]["spec"]["securityContext"][name] for name in ("runAsUser", "runAsGroup"))
    # The images of the servers have these numbers under the names that the compose files say.
    known = {"valkey": "999:1000", "rabbitmq": "100:101"}
    assert f"{user}:{group}" == known.get(service["user"], service["user"])


@each
def test_a_pod_runs_the_same_command_of_the_same_image(one: Tree, service: Tree) -> None:
    assert container(one)["args"] == service["command"]
    assert "command" not in container(one), "it would take the place of the image's entrypoint"
    assert container(one)["image"] == service["image"]


@each
def test_a_container_has_the_same_limits(one: Tree, service: Tree) -> None:
    limits, theirs = container(one)["resources"]["limits"], service["deploy"]["resources"]["limits"]
    assert mebibytes(limits["memory"]) == mebibytes(theirs["memory"])
    assert cores(limits["cpu"]) == cores(theirs["cpus"])
    requests = container(one)["resources"]["requests"]
    assert mebibytes(requests["memory"]) <= mebibytes(limits["memory"])
    assert cores(requests["cpu"]) <= cores(limits["cpu"])


def mebibytes(amount: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(\w+)", amount).groups()  # type: ignore[union-attr]
    return int(number) * UNITS[unit]


def cores(amount: str) -> float:
    return float(amount[:-1]) / 1000 if amount.endswith("m") else float(amount)


@both
def test_ours_get_the_environment_of_the_compose_files(objects: list[Tree]) -> None:
    (services,) = (COMPOSED[broker] for broker, found in BUILT.items() if found is objects)
    for name in OURS:
        assert container(pods(objects)[name])["envFrom"] == [{"configMapRef": {"name": "chatbot"}}]
        assert named(objects, "ConfigMap")["chatbot"]["data"] == services[name]["environment"]


@both
def test_every_variable_is_one_that_is_read(objects: list[Tree]) -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    known |= {f"{PREFIX}{channel}_{name}".upper() for channel, names in CHANNEL_SECRETS.items() for name in names}
    variables = named(objects, "ConfigMap")["chatbot"]["data"]
    assert {name.removesuffix("_FILE") for name in variables} <= known


@each
def test_a_pod_gets_as_files_the_secrets_that_it_reads(one: Tree, service: Tree) -> None:
    (volume,) = (each["secret"] for each in one["spec"]["template"]["spec"]["volumes"] if "secret" in each)
    assert volume["secretName"] == "chatbot"
    (mount,) = (each for each in container(one)["volumeMounts"] if each["name"] == "secrets")
    assert mount["mountPath"] == "/run/secrets"
    # Ours get all keys of the Secret: what it holds is for them.
    assert is_ours(one) or [item["path"] for item in volume["items"]] == service["secrets"]
    assert all(item["path"] == item["key"] for item in volume.get("items", ()))
    assert volume["defaultMode"] == 0o440
    assert one["spec"]["template"]["spec"]["securityContext"]["fsGroup"] > 0, "otherwise nobody may read them"


@each
def test_a_server_finds_its_files_and_its_data_where_the_compose_files_put_them(one: Tree, service: Tree) -> None:
    if is_ours(one):
        return
    there = dict(files(one, named(BUILT["rabbitmq"], "ConfigMap")))
    theirs = {place: Path(source) for source, place, _ in mounts(service) if source.startswith("/")}
    for place, source in theirs.items():
        for file in [source] if source.is_file() else [file for file in source.iterdir() if file.suffix != ".yaml"]:
            assert there.pop(place if source.is_file() else f"{place}/{file.name}") == file.read_text()
    assert there == {}
    (claim,) = one["spec"]["volumeClaimTemplates"]
    (data,) = (place for source, place, _ in mounts(service) if not source.startswith("/"))
    assert [each["mountPath"] for each in container(one)["volumeMounts"] if each["name"] == "data"] == [data]
    assert claim["metadata"]["name"] == "data"


def files(one: Tree, maps: dict[str, Tree]) -> Iterator[tuple[str, str]]:
    volumes = {volume["name"]: volume for volume in one["spec"]["template"]["spec"]["volumes"]}
    for mount in container(one)["volumeMounts"]:
        if "configMap" in volumes.get(mount["name"], {}):
            data = maps[volumes[mount["name"]]["configMap"]["name"]]["data"]
            if "subPath" in mount:
                yield mount["mountPath"], data[mount["subPath"]]
            else:
                yield from ((f"{mount['mountPath']}/{name}", text) for name, text in data.items())


@each
def test_what_may_be_written_is_in_memory_as_large_as_there(one: Tree, service: Tree) -> None:
    volumes = {volume["name"]: volume.get("emptyDir") for volume in one["spec"]["template"]["spec"]["volumes"]}
    mounted = {each["mountPath"]: volumes.get(each["name"]) for each in container(one)["volumeMounts"]}
    theirs = {place.partition(":")[0]: place for place in service["tmpfs"]}
    assert {place: size for place, size in mounted.items() if size} == {
        place: {"medium": "Memory", "sizeLimit": re.search(r"size=(\d+)m", text)[1] + "Mi"}  # type: ignore[index]
        for place, text in theirs.items()
    }


def test_there_are_two_of_what_must_not_stand_still() -> None:
    deployments = named(BUILT["redis"], "Deployment")
    assert {name: one["spec"]["replicas"] for name, one in deployments.items()} == {
        "web": 2, "dashboard": 1, "worker": 2, "scheduler": 2,
    }  # fmt: skip


# --- health ---
@each
def test_ready_means_what_healthy_means_there(one: Tree, service: Tree) -> None:
    probe, check = container(one)["readinessProbe"], service["healthcheck"]
    assert asked(one, probe) == check["test"]
    assert probe["periodSeconds"] == seconds(check["interval"])
    assert probe["timeoutSeconds"] == seconds(check["timeout"])
    assert probe["failureThreshold"] == check["retries"]


def asked(one: Tree, probe: Tree) -> list[str]:
    """Return a probe as the health check of a compose file."""
    if "exec" in probe:
        shell = probe["exec"]["command"][:2] == ["sh", "-c"]
        return ["CMD-SHELL", *probe["exec"]["command"][2:]] if shell else ["CMD", *probe["exec"]["command"]]
    url = f"http://127.0.0.1:{port(one, probe['httpGet']['port'])}{probe['httpGet']['path']}"
    return ["CMD", "python", "-m", health.callback.__module__, url]  # type: ignore[union-attr]


@each
def test_a_pod_has_the_time_to_start_that_it_has_there(one: Tree, service: Tree) -> None:
    probe = container(one)["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= seconds(service["healthcheck"]["start_period"])


@each
def test_nobody_is_started_again_because_of_somebody_else(one: Tree, service: Tree) -> None:
    """What is ready depends on the store; what is alive only on the process itself."""
    ready = container(one)["readinessProbe"]
    for probe in (container(one)["startupProbe"], container(one)["livenessProbe"]):
        assert len(probe.keys() & {"httpGet", "tcpSocket", "exec"}) == 1
        assert probe.get("httpGet", 0) != ready.get("httpGet", 1)
        assert probe.get("exec", 0) != ready.get("exec", 1)
        if "tcpSocket" in probe:
            assert port(one, probe["tcpSocket"]["port"])


def test_the_paths_of_the_probes_exist() -> None:
    app = create_app(channels={}, admit=Ledger().admit, ready=lambda: {"store": "ok", "broker": "ok"})
    with TestClient(app) as client:
        for one in named(BUILT["redis"], "Deployment").values():
            paths = [probe["httpGet"]["path"] for probe in container(one).values() if "httpGet" in (probe or ())]
            of_web = container(one)["args"][0] == "web"
            assert paths
            assert all(client.get(path).status_code == 200 if of_web else path in (HEALTH, READY) for path in paths)


def test_a_store_that_anybody_can_ask_is_alive_and_one_that_is_down_is_not(tmp_path: Path) -> None:
    check = container(pods(BUILT["redis"])["store"])["livenessProbe"]["exec"]["command"]
    (tmp_path / "store_password").write_text("st0re-0123456789")
    with ShippedValkey(tmp_path) as store:
        assert store.healthy(" ".join(check))
        store.kill()
        wait_until(lambda: not store.healthy(" ".join(check)), 10, "the probe says that a killed store is alive")


@each
def test_a_pod_is_not_killed_before_its_grace_is_over(one: Tree, service: Tree) -> None:
    spec = one["spec"]["template"]["spec"]
    sleep = container(one).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    assert spec["terminationGracePeriodSeconds"] >= seconds(service["stop_grace_period"]) + sleep
    args = container(one)["args"]
    own = float(args[args.index("--grace") + 1]) if "--grace" in args else WEB_GRACE if args[0] == "web" else 0
    assert spec["terminationGracePeriodSeconds"] >= own + sleep + 5
