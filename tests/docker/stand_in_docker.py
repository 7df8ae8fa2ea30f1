"""A program in Docker's place: it writes down each call, and plays an engine whose containers live in a file.

It plays what deploy.sh relies on, and is strict: a call that it does not know fails. `world` says how the machine
is (`engine`, `compose`, `memory`), what goes wrong (`sick`: service -> state, `fails`: part of a call -> status) and
which containers there are; `calls` gets each call, with how many web containers are healthy after it.

It is called ten to fifty times by each run, so it imports as little as it can.
"""

# Importing pathlib takes longer than all that this program does.
# ruff: noqa: PTH103, PTH109, PTH110, PTH118, PTH119, PTH120, PTH123

from __future__ import annotations

import marshal
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    World = dict[str, Any]

HERE = os.environ["STAND_IN"]
PROJECT = os.getcwd()
#: How many containers `up` makes of a service, unless told or unless there are some.
SERVICES = {"store": 1, "web": 1, "worker": 1, "scheduler": 2, "dashboard": 1, "caddy": 1}
OURS = ("web", "worker", "scheduler", "dashboard")
TAKES_VALUE = ("-f", "--env-file", "--format", "--scale", "--entrypoint", "--profile", "--tail", "--wait-timeout")


def main(argv: list[str]) -> int:
    """Act on one call, and write it down."""
    with open(f"{HERE}/world", "rb") as before:
        world: World = marshal.load(before)
    status = next((status for part, status in world["fails"].items() if part in " ".join(argv)), None)
    if status is None:
        status = 1 if not world["engine"] and argv[:2] != ["compose", "version"] else act(world, argv)
    with open(f"{HERE}/world", "wb") as after:
        marshal.dump(world, after)
    healthy = sum(one["service"] == "web" and one["health"] == "healthy" for one in world["containers"])
    with open(f"{HERE}/calls", "a", encoding="utf-8") as file:
        file.write(repr({"argv": argv, "healthy_web": healthy, "status": status}) + "\n")
    return int(status)


def act(world: World, argv: list[str]) -> int:
    """Do what `docker` is asked to."""
    match argv:
        case ["info", "--format", "{{.MemTotal}} {{.DockerRootDir}}"]:
            print(world["memory"], "/var/lib/docker")
        case ["compose", "version", "--short"]:
            print(world["compose"])
        case ["tag", source, target]:
            world["images"][target] = world["images"].get(source, source)
        case ["inspect", "--format", "{{.Image}}", container]:
            print(next(one["image"] for one in world["containers"] if one["id"] == container))
        case ["stop", container]:
            one = next(one for one in world["containers"] if one["id"] == container)
            one.update(state="exited", health="")
        case ["rm", *options, container]:
            found = [one for one in world["containers"] if one["id"] == container]
            if not found or (found[0]["state"] == "running" and options != ["--force"]):
                return 1
            world["containers"].remove(found[0])
        case ["compose", "-f", file, "--env-file", "docker/.env", *words]:
            return compose(world, file, words)
        case _:
            return unknown(argv)
    return 0


def unknown(argv: list[str]) -> int:
    """Refuse what the stand-in was not taught."""
    print(f"stand-in: unknown call {argv}", file=sys.stderr)
    return 125


def compose(world: World, file: str, words: list[str]) -> int:
    """Do what `docker compose` is asked to; without its files it can do nothing."""
    if not os.path.exists("docker/.env"):
        print("couldn't find env file: docker/.env", file=sys.stderr)
        return 14
    if words[:2] == ["--profile", "*"]:
        words = words[2:]
    services = [*SERVICES, "rabbitmq"] if "rabbitmq" in file else list(SERVICES)
    verb, options, names = words[0], *parted(words[1:])
    match verb:
        case "ps":
            return ps(world, options, names)
        case "build":
            world["images"]["chatbot:latest"] = f"sha256:{world['source']}"
        case "up" | "create":
            up(world, options, names or services, started=verb == "up")
        case "stop":
            for one in world["containers"]:
                one.update(state="exited", health="")
        case "down":
            world["containers"] = []
        case "cp":
            return copy(world, *names)
        case "exec" | "run":
            return run(verb, names, options)
        case "logs":
            print("logs of", *words[1:])
        case _:
            return unknown(words)
    return 0


def parted(words: list[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Part options, up to the first word that is none, from the rest."""
    options: dict[str, list[str]] = {}
    rest = list(words)
    while rest and rest[0].startswith("-"):
        name = rest.pop(0)
        options.setdefault(name, []).extend([rest.pop(0)] if name in TAKES_VALUE else [])
    return options, rest


def ps(world: World, options: dict[str, list[str]], names: list[str]) -> int:
    """List containers; each look with health brings the ones that start a step on."""
    of_names = [one for one in world["containers"] if not names or one["service"] in names]
    seen = of_names if "--all" in options else [one for one in of_names if one["state"] != "exited"]
    if "--format" in options:
        for one in of_names:
            look(world, one)
    template = "{{.ID}}" if "-q" in options else options.get("--format", ["{{.ID}} {{.Service}} {{.State}}"])[0]
    for one in seen:
        line = template
        for field in ("ID", "Service", "State", "Health"):
            line = line.replace(f"{{{{.{field}}}}}", one[field.lower()])
        print(line)
    return 0


def look(world: World, one: dict[str, Any]) -> None:
    """Bring one container a step on: it starts, and then is healthy, or is what the world says of its service."""
    if one["state"] == "exited" or one["health"] != "starting":
        return
    one["looks"] += 1
    if one["looks"] < 2:
        return
    sick = world["sick"].get(one["service"])
    if sick and one["image"] != world.get("sound"):
        one.update({"state": "running", "health": sick} if sick in ("unhealthy", "starting") else {"state": sick})
    else:
        one["health"] = "healthy"


def up(world: World, options: dict[str, list[str]], names: list[str], *, started: bool) -> None:
    """Make as many containers as are wanted, of the image that there is now."""
    scales = dict(scale.split("=") for scale in options.get("--scale", []))
    for name in names:
        image = world["images"]["chatbot:latest"] if name in OURS else name
        there = [one for one in world["containers"] if one["service"] == name]
        if "--no-recreate" not in options:
            world["containers"] = [one for one in world["containers"] if one not in there or one["image"] == image]
        kept = [one for one in world["containers"] if one["service"] == name]
        for one in kept:
            if started and one["state"] == "exited":
                one.update(state="running", health="starting", looks=0)
        for _ in range(int(scales.get(name, len(there) or SERVICES.get(name, 1))) - len(kept)):
            add(world, name, image, started=started)


def add(world: World, name: str, image: str, *, started: bool) -> None:
    """Make one container."""
    world["made"] += 1
    state = {"state": "running", "health": "starting"} if started else {"state": "exited", "health": ""}
    world["containers"].append({"id": f"{name}-{world['made']}", "service": name, "image": image, "looks": 0, **state})


def place(path: str) -> str:
    """Return where a path is here: SERVICE:PATH is a file of that service's volume."""
    service, _, inside = path.rpartition(":")
    return os.path.join(HERE, service, os.path.basename(inside)) if service else path


def copy(world: World, source: str, target: str) -> int:
    """Copy a file between the host and a container's volume."""
    import shutil

    os.makedirs(os.path.dirname(place(target)), exist_ok=True)
    shutil.copy(place(source), place(target))
    return 0


def run(verb: str, names: list[str], options: dict[str, list[str]]) -> int:
    """Run a command in a container: its volume is a directory here, and its /data and secrets are paths here."""
    service, *command = names
    command = options.get("--entrypoint", []) + command
    if service in OURS:
        # The image's entrypoint is `chatbot`: `run` goes through it, `exec` does not.
        known = {"run": ["doctor"], "exec": ["chatbot", "verify"]}
        return 0 if command == known[verb] else unknown(names)
    volume = os.path.join(HERE, service)
    os.makedirs(volume, exist_ok=True)
    for inside, outside in (
        ("/data", volume), ("/var/lib/rabbitmq", volume), ("/run/secrets", f"{PROJECT}/docker/secrets")
    ):  # fmt: skip
        quoted = "'" + outside.replace("'", "'\\''") + "'"
        command = [word.replace(inside, quoted if command[0] == "sh" else outside) for word in command]
    if command[:2] == ["rabbitmqctl", "--quiet"]:
        return definitions(*command[2:])
    import subprocess

    return subprocess.run(command, check=False, cwd=volume).returncode


def definitions(verb: str, path: str) -> int:
    """Write RabbitMQ's definitions, or read them as it would."""
    if verb == "export_definitions":
        with open(path, "w", encoding="utf-8") as file:
            file.write('{"users": [{"name": "chatbot"}]}')
        return 0
    with open(path, encoding="utf-8") as file:
        return 0 if "users" in file.read() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
