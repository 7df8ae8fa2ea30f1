"""deploy.sh --upgrade: containers are replaced one after the other, and the webhook is always answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docker.deploying import MACHINE, Project

UP = "up -d --no-deps --no-recreate --no-build --scale"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a deployment of the first version with two workers, whose source has a second version by now."""
    project = Project(tmp_path).deployed()
    compose = ["compose", "-f", "compose.redis.yml", "--env-file", "docker/.env"]
    project.run("docker", *compose, "up", "-d", "--no-recreate", "--scale", "worker=2", "worker")
    project.run("docker", *compose, "ps", "--all", "--format", "{{.State}}")
    project.world(source="second")
    (project.machine / "calls").write_text("")
    return project


def images(project: Project, service: str) -> list[str]:
    """Return the images that a service's containers run."""
    return [one["image"] for one in project.world()["containers"] if one["service"] == service]


def test_an_upgrade_replaces_containers_one_by_one_and_web_answers_at_every_moment(project: Project) -> None:
    done = project.deploy("--upgrade")

    assert done.status == 0, done.err
    assert [call.split(" chatbot:")[0] for call in project.changes()] == [
        "tag sha256:first", "build web", "run --rm --no-deps -T web doctor",
        "stop scheduler-4", "rm scheduler-4", f"{UP} scheduler=2 scheduler",
        "stop scheduler-5", "rm scheduler-5", f"{UP} scheduler=2 scheduler",
        "stop worker-3", "rm worker-3", f"{UP} worker=2 worker",
        "stop worker-8", "rm worker-8", f"{UP} worker=2 worker",
        f"{UP} web=2 web", "stop web-2", "rm web-2",
        "up -d --remove-orphans --wait-timeout 300 --scale scheduler=2 --scale worker=2 --scale web=1",
        "exec -T web chatbot verify",
    ]  # fmt: skip
    assert {image for name in ("web", "worker", "scheduler", "dashboard") for image in images(project, name)} == {
        "sha256:second"
    }
    assert min(record["healthy_web"] for record in project.records()) == 1


@pytest.mark.long
def test_an_image_that_does_not_get_healthy_leaves_the_old_web_running_and_tells_the_way_back(project: Project) -> None:
    project.world(sick={"web": "unhealthy"}, sound="sha256:first")

    failed = project.deploy("--upgrade")
    assert failed.status == 1
    assert "cure: to go back: docker tag chatbot:previous chatbot:latest, then docker/deploy.sh --upgrade" in failed.err
    assert [
        one["id"] for one in project.world()["containers"] if one["health"] == "healthy" and one["service"] == "web"
    ]

    project.run("docker", "tag", "chatbot:previous", "chatbot:latest")
    back = project.deploy("--upgrade", "--no-build", "--force")

    assert back.status == 0, back.err
    assert images(project, "web") == ["sha256:first"]
    assert images(project, "worker") == ["sha256:first"] * 2
    assert min(record["healthy_web"] for record in project.records()) == 1


@pytest.mark.long
def test_doctor_is_asked_before_anything_is_replaced(project: Project) -> None:
    project.world(fails={"web doctor": 1})

    refused = project.deploy("--upgrade")
    assert refused.status == 1
    assert "doctor found something; what runs was left as it is" in refused.err
    assert images(project, "web") == ["sha256:first"]

    assert project.deploy("--upgrade", "--force").status == 0
    assert images(project, "web") == ["sha256:second"]


@pytest.mark.long
@pytest.mark.parametrize("call", ["rm scheduler-4", "stop worker-3", "rm worker-3", "stop web-2", "verify"])
def test_an_upgrade_that_was_killed_anywhere_is_finished_by_the_next(project: Project, call: str) -> None:
    project.install("docker", f'case "$*" in *"{call}"*) kill -KILL "$PPID"; exit 1 ;; esac\n{MACHINE["docker"]}')
    assert project.deploy("--upgrade").status == -9
    project.install("docker", MACHINE["docker"])

    done = project.deploy("--upgrade")

    assert done.status == 0, done.err
    assert images(project, "web") == ["sha256:second"]
    assert images(project, "worker") == ["sha256:second"] * 2
    assert images(project, "scheduler") == ["sha256:second"] * 2
    assert project.world()["images"]["chatbot:previous"] == "sha256:first"
    assert min(record["healthy_web"] for record in project.records()) == 1
    assert not (project.root / "docker/.rolling").exists()


def test_what_does_not_run_cannot_be_upgraded(tmp_path: Path) -> None:
    done = Project(tmp_path).deploy("--upgrade")

    assert done.status == 4
    assert "nothing runs here that could be upgraded" in done.err
