"""The image: pinned, hashed, without a compiler or a secret, and nobody's root."""

from __future__ import annotations

import fnmatch
import json
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

from dotenv import dotenv_values

from tests.docker.compose import DEPLOYMENTS, ROOT, project, seconds

DOCKERFILE = ROOT / "docker" / "Dockerfile"


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile, each on one line."""
    text = re.sub(r"(?m)^#.*\n", "", DOCKERFILE.read_text()).replace("\\\n", " ")
    lines = [re.sub(r"\s+", " ", line).strip() for line in text.splitlines()]
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines if line]


def stages() -> list[list[tuple[str, str]]]:
    """Return the instructions of each stage."""
    found: list[list[tuple[str, str]]] = []
    for word, rest in instructions():
        if word == "FROM":
            found.append([])
        found[-1].append((word, rest))
    return found


def of(stage: list[tuple[str, str]], word: str) -> list[str]:
    return [rest for name, rest in stage if name == word]


def copied() -> list[str]:
    """Return what is copied from the project."""
    given = [rest.split()[:-1] for rest in of(instructions(), "COPY") if not rest.startswith("--from")]
    return [source for sources in given for source in sources]


def test_hadolint_finds_nothing() -> None:
    hadolint = shutil.which("hadolint", path=sysconfig.get_path("scripts")) or shutil.which("hadolint")
    assert hadolint, "hadolint is missing: `make setup` installs it"
    done = subprocess.run([hadolint, str(DOCKERFILE)], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (0, "")


def test_both_stages_are_of_one_slim_python_with_its_full_version() -> None:
    images = {of(stage, "FROM")[0].partition(" ")[0] for stage in stages()}
    assert len(stages()) == 2
    assert len(images) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", *images)


def test_every_package_is_a_wheel_of_the_lock_with_its_hash() -> None:
    installs = [part for run in of(instructions(), "RUN") for part in run.split("&&") if " install " in part]
    locked = [part for part in installs if "-r " in part]
    assert [re.findall(r"-r (\S+)", part)[0] for part in locked] == [
        "requirements/run.txt",
        "requirements/dashboard.txt",
    ]
    assert all("--require-hashes" in part and "--only-binary :all:" in part for part in locked)
    assert "--no-deps" in locked[1]
    (ours,) = (part for part in installs if part not in locked)
    assert {"--no-deps", "--no-build-isolation", "."} <= set(ours.split())


def test_the_final_stage_installs_nothing() -> None:
    final = stages()[-1]
    assert not any(word in run for run in of(final, "RUN") for word in ("apt", "pip", "install", "curl", "wget"))
    assert of(final, "COPY") == ["--from=build /opt/chatbot /opt/chatbot"]


def test_it_runs_as_nobody_and_the_compose_files_say_the_same() -> None:
    (user,) = of(stages()[-1], "USER")
    assert user.partition(":")[0] != "0"
    assert project(DEPLOYMENTS["redis"])["services"]["web"]["user"] == user


def test_its_command_and_health_check_are_those_of_web() -> None:
    final, web = stages()[-1], project(DEPLOYMENTS["redis"])["services"]["web"]
    assert json.loads(of(final, "ENTRYPOINT")[0]) == ["chatbot"]
    assert json.loads(of(final, "CMD")[0]) == web["command"]
    (check,) = of(final, "HEALTHCHECK")
    assert ["CMD", *json.loads(check.partition("CMD ")[2])] == web["healthcheck"]["test"]
    assert of(final, "STOPSIGNAL") == ["SIGTERM"]


def test_a_health_check_answers_before_it_is_given_up() -> None:
    """The command's own limit is shorter, so that the log of the check says what was wrong."""
    from chatbot.commands.health import health

    own = next(option for option in health.params if option.name == "timeout").default
    given = [found for path in DEPLOYMENTS.values() for found in project(path)["services"].values() if "build" in found]
    assert all(own < seconds(service["healthcheck"]["timeout"]) for service in given)


def test_it_has_labels() -> None:
    (labels,) = of(stages()[-1], "LABEL")
    keys = set(re.findall(r"org\.opencontainers\.image\.([\w.]+)=", labels))
    assert keys >= {"title", "description", "licenses", "version", "revision", "base.name"}


def test_what_is_copied_is_there_and_nothing_else_goes_to_the_builder() -> None:
    ignore = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert ignore[0] == "*"
    let_in = {line.removeprefix("!") for line in ignore if line.startswith("!")}
    assert let_in == set(copied())
    assert all((ROOT / source).exists() for source in copied())


def test_no_compiled_file_and_no_secret_goes_to_the_builder() -> None:
    ignore = (ROOT / ".dockerignore").read_text().split()
    assert {"**/__pycache__", "**/*.pyc"} <= set(ignore)
    secrets = [
        name for name in dotenv_values(ROOT / "docker" / "env.production") if fnmatch.fnmatch(name, "*PASSWORD*")
    ]
    assert secrets == []
    assert not [word for word, rest in instructions() if word in ("ARG", "ENV") and re.search("PASSWORD|SECRET", rest)]


def test_the_lock_has_what_a_variable_may_choose() -> None:
    locked = (ROOT / "requirements" / "run.txt").read_text()
    assert all(re.search(rf"(?m)^{name}==", locked) for name in ("redis", "pika", "openai", "opentelemetry-sdk"))


def test_modules_of_ones_own_are_found_where_they_are_mounted() -> None:
    final = stages()[-1]
    (where,) = of(final, "WORKDIR")
    assert any(f"PYTHONPATH={where}" in rest for rest in of(final, "ENV"))
    worker = project(DEPLOYMENTS["redis"])["services"]["worker"]
    assert f"{ROOT / 'docker' / 'bot'}:{where}:ro" in worker["volumes"]
    assert Path(ROOT / "docker" / "bot").is_dir()
