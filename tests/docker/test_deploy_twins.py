"""deploy.sh and deploy.ps1 are twins: function by function they say the same, call the same, and follow the same order.

No PowerShell runs here. What deploy.sh does is shown by running it; what these tests show carries that over.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
PARTS = ("calls", "settings", "checks", "containers", "upgrade", "backup")
#: What each language has to do in its own way: how one speaks, calls, reads words and files.
OWN = {
    "say", "fail", "problem", "show", "run", "attempt", "query", "changes", "misused", "flat", "whole", "value_in",
    "setting", "random", "lines_of", "write_file", "only_ours", "private", "listening", "channel", "services_where",
    "absolute", "read_words", "stamp", "usage", "chosen",
}  # fmt: skip
#: Windows PowerShell finds an alias before a function.
ALIASES = {
    "cat", "cd", "clear", "compare", "copy", "curl", "cp", "del", "diff", "dir", "echo", "fc", "foreach", "group",
    "history", "kill", "lp", "ls", "man", "md", "measure", "mount", "move", "mv", "popd", "ps", "pushd", "pwd", "r",
    "rd", "ren", "rm", "rmdir", "select", "set", "shcm", "sleep", "sort", "start", "tee", "trcm", "type", "wget",
    "where", "write",
}  # fmt: skip
_SHELL = re.compile(r"^(\w+)\(\) \{\n(.*?)^\}", re.M | re.S)
_POWERSHELL = re.compile(r"^function (\w+) \{\n(.*?)^\}", re.M | re.S)
_CALL = re.compile(r"\b(?:run|attempt|query) ((?:compose|docker|tar)\b.*)")
_WORD = re.compile(r"""\s*("[^"]*"|'[^']*'|[^\s"'|;()&]+)""")
_TEXT = re.compile(r'\b(?:say|fail|problem|misused|changes) (?:\d )?("[^"\n]*"(?: "[^"\n]*")*)')


def functions(suffix: str) -> dict[str, str]:
    """Return all functions of one of the twins."""
    pattern = _SHELL if suffix == "sh" else _POWERSHELL
    files = [DOCKER / f"deploy.{suffix}", *(DOCKER / f"deploy/{part}.{suffix}" for part in PARTS)]
    return {name: body for file in files for name, body in pattern.findall(file.read_text())}


SHELL, POWERSHELL = functions("sh"), functions("ps1")
SHARED = sorted((SHELL.keys() & POWERSHELL.keys()) - OWN)


def alike(text: str) -> str:
    """Return a text of either twin without what only its language needs."""
    text = text.replace("deploy.ps1", "deploy.sh").replace("$args[0]", "$1").replace("$args", "$@")
    return re.sub(r"\$\{(\w+)\}", r"$\1", text)


def calls(body: str) -> list[list[str]]:
    """Return the words of each call of another program."""
    return [words(alike(rest)) for rest in _CALL.findall(body)]


def words(rest: str) -> list[str]:
    """Return the words up to where a call ends."""
    found: list[str] = []
    while match := _WORD.match(rest):
        word, rest = match[1], rest[match.end() :]
        if word == "2>":
            break
        if not word.startswith(("2>", ">")):
            found.append(word.strip("\"'"))
    return found


def texts(body: str) -> list[str]:
    """Return what is said, asked or told, in order."""
    return [alike(text) for text in _TEXT.findall(body)]


def steps(body: str) -> list[str]:
    """Return which of the shared functions a function goes through, in order, each time once."""
    code = "\n".join(line.partition(" # ")[0] for line in body.splitlines() if not line.lstrip().startswith("#"))
    code = re.sub(r'"[^"\n]*"|\'[^\'\n]*\'|\$\w+|\$\{\w+\}|\w+=', " ", code)
    found = [word for word in re.findall(r"[\w-]+", code) if word in set(SHARED)]
    return [first for first, second in pairwise([*found, ""]) if first != second]


def limits(body: str) -> list[str]:
    """Return the numbers of a function that are no modes of files, nor how many bytes a kilobyte has."""
    found = re.findall(r"(?<![\w.])\d{3,}(?![\w.])", body)
    return sorted({number for number in found if number not in ("600", "644", "700", "1024")})


def of_all(read: Callable[[str], object], twin: Mapping[str, str]) -> dict[str, object]:
    """Return what is read of each function that both have."""
    return {name: read(twin[name]) for name in SHARED}


def handed(body: str) -> list[str]:
    """Return the lines that hand plain words to a shared function, such as `roll web`."""
    lines = [line.strip() for line in body.splitlines() if re.fullmatch(r" +[a-z_]+( \w+)+", line)]
    return [line for line in lines if line.split()[0] in SHARED]


def test_each_function_hands_on_the_same_words() -> None:
    assert of_all(handed, SHELL) == of_all(handed, POWERSHELL)
    assert handed(SHELL["upgrade"]) == ["roll scheduler", "roll worker", "roll web"]
    assert len(handed(SHELL["prepare"])) == 9


def test_the_twins_have_the_same_functions_but_for_what_each_language_needs() -> None:
    assert SHELL.keys() ^ POWERSHELL.keys() <= OWN | {"option"}
    assert len(SHARED) > 30


def test_each_function_makes_the_same_calls_in_the_same_order() -> None:
    assert of_all(calls, SHELL) == of_all(calls, POWERSHELL)


def test_each_function_says_the_same() -> None:
    assert of_all(texts, SHELL) == of_all(texts, POWERSHELL)


def test_each_function_goes_through_the_same_steps() -> None:
    assert of_all(steps, SHELL) == of_all(steps, POWERSHELL)


def test_each_function_knows_the_same_limits() -> None:
    assert of_all(limits, SHELL) == of_all(limits, POWERSHELL)


def test_the_comparison_sees_calls_texts_and_steps() -> None:
    assert ["compose", "exec", "-T", "web", "chatbot", "verify"] in calls(SHELL["verify"])
    assert calls(SHELL["restore_store"])[-1][-1].startswith("set -e; cd /data;")
    assert any("not healthy: $sick" in text for text in texts(SHELL["unwell"]))
    assert steps(SHELL["deploy"]) == ["prepare", "check", "build", "start_all", "verify", "summary"]
    assert sum(len(calls(body)) for body in SHELL.values()) > 30


def test_both_offer_the_same_with_the_same_words() -> None:
    shell = _between(alike(SHELL["usage"]), "<<'END'\n", "\nEND")
    offered = {line.split()[0] for line in shell if line.startswith("  --")}

    assert shell == _between(alike(POWERSHELL["usage"]), "@'\n", "\n'@")
    assert len(offered) > 12
    for suffix in ("sh", "ps1"):
        handled = (DOCKER / f"deploy.{suffix}").read_text().partition("# --- the command line ---")[2]
        assert offered <= set(re.findall(r"--[a-z-]+", handled))


def _between(text: str, start: str, end: str) -> list[str]:
    return text.partition(start)[2].partition(end)[0].splitlines()


def test_no_function_has_the_name_of_an_alias_which_powershell_would_take_first() -> None:
    assert POWERSHELL.keys() & ALIASES == set()


@pytest.mark.parametrize("path", sorted(DOCKER.rglob("*.ps1")), ids=lambda path: path.name)
def test_windows_powershell_can_read_the_script(path: Path) -> None:
    text = path.read_bytes()
    assert text.isascii(), "without a mark it reads bytes above 127 as of the machine's own code page"
    code = re.sub(
        r"'[^'\n]*'|\"[^\"\n]*\"|#.*", "", text.decode().partition("@'")[0] + text.decode().partition("\n'@")[2]
    )
    assert not re.search(r"&&|\|\||\?\?|\?\.|\bclean\b", code), "an operator of PowerShell 7"


def test_no_word_for_a_program_has_a_double_quote_which_windows_powershell_loses() -> None:
    handed = [rest for body in POWERSHELL.values() for rest in _CALL.findall(body)]
    assert [word for rest in handed for word in re.findall(r"'[^']*'", rest) if '"' in word] == []


def test_the_shell_scripts_are_clean_under_shellcheck() -> None:
    program = shutil.which("shellcheck")
    assert program, "shellcheck is missing: apt-get install shellcheck, or brew install shellcheck"

    done = subprocess.run(
        [program, "-x", "-a", "docker/deploy.sh"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_both_shells_can_read_the_scripts(shell: str) -> None:
    for path in [DOCKER / "deploy.sh", *DOCKER.glob("deploy/*.sh")]:
        subprocess.run([shell, "-n", str(path)], check=True)
