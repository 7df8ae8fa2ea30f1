"""The shell of the pages: their blocks of commands, and the commands that prose names."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.docs.markdown import ROOT

#: What a reader types. PowerShell has a language of its own, as nothing here can run it.
LANGUAGES = ("sh", "console", "powershell")
#: What ends one command and begins another.
OPERATORS = frozenset({"&&", "||", "|", ";", "&", ">", ">>", "<", "2>&1", "#"})

_FENCE = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]*?) -->\n)?^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
_SPAN = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fence of a page. `reason`: why nothing runs it; `line` is that of the fence."""

    page: Path
    line: int
    language: str
    text: str
    reason: str = ""

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def script(self) -> str:
        """What a reader types: of a console, what stands after its prompts."""
        if self.language != "console":
            return self.text
        return "\n".join(line[2:] for line in self.text.splitlines() if line.startswith(("$ ", "> ")))


def pages() -> list[Path]:
    """Return every page that is written for people."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("docker/**/*.md")])


def fences(page: Path) -> list[Block]:
    """Return every fence of a page, in order."""
    text = page.read_text()
    return [
        Block(
            page=page,
            line=text.count("\n", 0, found.start("indent")) + 1,
            language=found["language"],
            text=re.sub(f"^{found['indent']}", "", found["text"], flags=re.MULTILINE),
            reason=found["reason"] or "",
        )
        for found in _FENCE.finditer(text)
    ]


def blocks(page: Path) -> list[Block]:
    """Return a page's blocks of commands, in order."""
    return [block for block in fences(page) if block.language in LANGUAGES]


def prose(page: Path) -> str:
    """Return a page without its fences, line for line."""
    return _FENCE.sub(lambda found: "\n" * found[0].count("\n"), page.read_text())


def lines(script: str) -> list[str]:
    """Return the commands of a script, those over several lines as one."""
    whole = re.sub(r"[\\`]\n\s*", " ", script)
    return [line.strip() for line in whole.splitlines() if line.strip() and not line.strip().startswith("#")]


def words(command: str) -> list[list[str]]:
    """Return a line's commands as words; the words of one that only prose could hold are split at spaces."""
    spaced = re.sub(r"(\d?[<>]&?\d?|&&|\|\||[|;])", r" \1 ", command) if "'" not in command else command
    try:
        found = shlex.split(spaced, comments=True)
    except ValueError:
        found = spaced.split()
    parts: list[list[str]] = [[]]
    for word in found:
        if word in OPERATORS:
            parts.append([])
        else:
            parts[-1].append(word)
    return [part for part in parts if part]


def told(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Return where and what: every command of a page, in its blocks and in its prose."""
    for block in blocks(page):
        for line in lines(block.script):
            yield from ((block.where, command) for command in words(line))
    for span in _SPAN.findall(prose(page)):
        yield from ((str(page.relative_to(ROOT)), command) for command in words(span.replace("\\|", "|")))
