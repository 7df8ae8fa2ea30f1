"""A real bash completes commands, options and their choices."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from chatbot.commands.completion import completion

PROGRAMS = Path(sys.executable).parent


def completed(words: list[str], script: Path) -> list[str]:
    """Return what bash offers for the last of these words, as it does when Tab is pressed."""
    line = " ".join(map(shlex.quote, words))
    # Without a terminal nobody presses Tab: this is what `complete` registered, called as readline calls it.
    program = f"""
source {shlex.quote(str(script))}
[[ $(complete -p chatbot) =~ -F\\ ([^ ]+) ]] || exit 3
COMP_WORDS=({line}) COMP_CWORD={len(words) - 1}
"${{BASH_REMATCH[1]}}" chatbot {shlex.quote(words[-1])} {shlex.quote(words[-2])}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    environment = {"PATH": f"{PROGRAMS}{os.pathsep}{os.defpath}", "HOME": str(script.parent)}
    argv = ["bash", "--noprofile", "--norc", "-c", program]
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, cwd=script.parent, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "chatbot.bash"
    path.write_text(_printed("bash"))
    return path


def _printed(shell: str) -> str:
    result = CliRunner().invoke(completion, [shell])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["chatbot", "d"], {"dev", "doctor", "dead"}),
        (["chatbot", "dead", ""], {"list", "show", "replay", "drop"}),
        (["chatbot", "verify", "--ht"], {"--http-only"}),
        (["chatbot", "simulate", "--channel", ""], {"generic", "whatsapp"}),
        (["chatbot", "bench", "accept", "--broker", "r"], {"redis", "rabbitmq"}),
    ],
)
def test_bash_completes(words: list[str], offered: set[str], script: Path) -> None:
    assert offered <= set(completed(words, script)), "bash offers something else"


def test_bash_completes_what_is_begun_only(script: Path) -> None:
    assert completed(["chatbot", "sched"], script) == ["scheduler"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_script_says_where_it_belongs(shell: str) -> None:
    printed = _printed(shell)
    assert "_CHATBOT_COMPLETE" in printed
    assert printed.splitlines()[-1].startswith(f"# To install: chatbot completion {shell} > ")


def test_zsh_finds_its_mark_in_the_first_line() -> None:
    assert _printed("zsh").startswith("#compdef chatbot\n")


def test_an_unknown_shell_is_refused() -> None:
    result = CliRunner().invoke(completion, ["tcsh"])
    assert result.exit_code == 2
    assert "'bash', 'zsh', 'fish'" in result.output
