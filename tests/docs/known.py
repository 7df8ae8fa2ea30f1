"""What the pages may name: commands with their options, make's targets, variables, and what Docker is told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import click

from chatbot.channels import CHANNELS
from chatbot.cli import main
from chatbot.errors import ConfigurationError
from chatbot.importing import load
from chatbot.settings import PREFIX, Settings
from tests.docs.markdown import ROOT

#: The scripts that deploy; they take the same options.
DEPLOY = ("deploy.sh", "deploy.ps1")


class _Recording(dict[str, str]):
    """Options of a channel that are never there; it knows which were asked for."""

    def get(self, name: str, default: Any = None) -> Any:
        self[name] = ""
        return default


@cache
def variables() -> frozenset[str]:
    """Return every variable of the settings, of the channels, and of the deployment."""
    settings = {PREFIX + name.upper() for name in Settings.model_fields}
    channels = {f"{PREFIX}{name}_{option}".upper() for name in CHANNELS for option in _options_of(name)}
    files = [*ROOT.glob("docker/env.*"), *ROOT.glob("docker/deploy.*"), *ROOT.glob("compose*.yml")]
    deployment = {name for file in files for name in re.findall(r"\bCHATBOT_[A-Z0-9_]+", file.read_text())}
    return frozenset(settings | channels | deployment)


def _options_of(channel: str) -> list[str]:
    asked = _Recording()
    with suppress(ConfigurationError):  # nothing was given
        load(CHANNELS[channel])(channel, asked)
    return list(asked)


def is_variable(name: str) -> bool:
    """Say whether there is such a variable, or for what ends with `_` one that begins so. `CHATBOT_X` stands for any,
    and each may be told by the name of a file."""
    if name.endswith("_"):
        return any(known.startswith(name) for known in variables())
    return name.removesuffix("_FILE") in {*variables(), f"{PREFIX}X"}


def wrong(command: list[str]) -> str:
    """Return what a command names that there is not; empty if all of it is there, or not ours."""
    names = [word.rpartition("/")[2] for word in command]
    for deploy in DEPLOY:
        if deploy in names:
            return _wrong_options(command[names.index(deploy) + 1 :], deploy)
    compose = command[command.index("compose") + 1 :] if "docker" in names[:2] and "compose" in command else []
    if problem := _wrong_compose(compose):
        return problem
    if "make" in names[:1]:
        return _wrong_targets(command[1:])
    if "chatbot" in names and "/" not in command[names.index("chatbot")].removeprefix(".venv/bin/"):
        return _wrong_call(main, command[names.index("chatbot") + 1 :])
    return ""


def _wrong_options(given: list[str], file: str) -> str:
    if not (ROOT / "docker" / file).exists():
        return f"there is no docker/{file}"
    known = re.findall(r"--[a-z][a-z-]+", (ROOT / "docker" / file).read_text())
    missing = [word for word in given if re.fullmatch(r"--[a-z-]+", word) and word not in known]
    return f"{file} has no {', '.join(missing)}" if missing else ""


def _wrong_targets(given: list[str]) -> str:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    missing = [word for word in given if not word.startswith("-") and "=" not in word and word not in targets]
    return f"make has no {', '.join(missing)}" if missing else ""


def _wrong_call(group: click.Group, given: list[str]) -> str:
    asked = next((word for word in given if not word.startswith("-") and word != "..."), "")
    subs = [each for each in re.split(r"[|/]", asked) if each]
    if not subs:
        return ""
    for sub in subs:
        if not isinstance(found := group.commands.get(sub), click.Command):
            return f"chatbot has no {sub}" if re.fullmatch(r"[a-z]+", sub) else ""
        rest = given[given.index(asked) + 1 :]
        if isinstance(found, click.Group):
            if problem := _wrong_call(found, rest):
                return problem
            continue
        known = {opt for param in found.params for opt in (*param.opts, *param.secondary_opts)} | {"--help", "-h"}
        if missing := [w for w in map(_option, rest) if w.startswith("--") and w not in known]:
            return f"chatbot {sub} has no {', '.join(missing)}"
    return ""


def _option(word: str) -> str:
    return word.partition("=")[0].strip("[]")


def _wrong_compose(given: list[str]) -> str:
    files = [given[i + 1] for i, word in enumerate(given[:-1]) if word in ("-f", "--file")]
    if not files:
        return ""
    if missing := [file for file in files if not (ROOT / file).exists()]:
        return f"there is no {', '.join(missing)}"
    known = {name for file in files for name in services(file)}
    named = [*_scaled(given), *_after_verb(given)]
    missing = [name for name in named if name not in known]
    return f"{files[0]} has no service {', '.join(missing)}" if missing else ""


#: Verbs of `docker compose` that are told services: how many of their words are.
_VERBS = {"logs": 99, "up": 99, "stop": 99, "start": 99, "restart": 99, "ps": 99, "pull": 99, "exec": 1, "run": 1}
_TAKES_VALUE = frozenset({"--tail", "--since", "-e", "--env", "-u", "--user", "-t", "--timeout", "-n", "--scale"})


def _scaled(given: list[str]) -> Iterator[str]:
    for before, word in pairwise(given):
        if before == "--scale":
            yield word.partition("=")[0]


def _after_verb(given: list[str]) -> list[str]:
    at = next((i for i, word in enumerate(given) if word in _VERBS), None)
    if at is None:
        return []
    rest, named = iter(given[at + 1 :]), []
    for word in rest:
        if word in _TAKES_VALUE:
            next(rest, None)
        elif not word.startswith("-"):
            named.append(word)
    return named[: _VERBS[given[at]]]


@cache
def services(file: str) -> frozenset[str]:
    """Return the services of a compose file and of those that it includes."""
    text = (ROOT / file).read_text()
    included = re.search(r"^include:((?:.*\n)(?:[ -].*\n)*)", text, re.MULTILINE)
    own = re.search(r"^services:\n((?:[ #].*\n|\n)*)", text, re.MULTILINE)
    names = set(re.findall(r"^  ([a-z][\w-]*):", own[1], re.MULTILINE)) if own else set()
    for other in re.findall(r"[\w./-]+\.ya?ml", included[1] if included else ""):
        names |= services(str(Path(file).parent / other))
    return frozenset(names)
