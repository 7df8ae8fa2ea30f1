"""The PowerShell scripts are read by a grammar of PowerShell: what this machine cannot run is at least well formed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import tree_sitter_powershell
from tree_sitter import Language, Node, Parser

DOCKER = Path(__file__).resolve().parents[2] / "docker"
SCRIPTS = sorted(DOCKER.rglob("*.ps1"))


def nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from nodes(child)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_well_formed(script: Path) -> None:
    tree = Parser(Language(tree_sitter_powershell.language())).parse(script.read_bytes())

    assert [
        (node.start_point.row + 1, node.text) for node in nodes(tree.root_node) if node.is_error or node.is_missing
    ] == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_calls_only_what_it_defines_what_powershell_has_and_a_few_programs(script: Path) -> None:
    known = {
        "Write-Host", "Get-Item", "Get-ChildItem", "Get-Command", "Get-Date", "Get-Location", "Set-Location",
        "New-Item", "New-Object", "Move-Item", "Copy-Item", "Remove-Item", "Test-Path", "Resolve-Path", "Split-Path",
        "Read-Host", "Select-Object", "Where-Object", "ForEach-Object", "Sort-Object", "Out-Null", "Start-Sleep",
        "chmod", "icacls",
    }  # fmt: skip
    trees = {path: Parser(Language(tree_sitter_powershell.language())).parse(path.read_bytes()) for path in SCRIPTS}
    defined = {
        child.text.decode()
        for tree in trees.values()
        for node in nodes(tree.root_node)
        if node.type == "function_statement"
        for child in node.children
        if child.type == "function_name" and child.text
    }
    called = {
        node.text.decode() for node in nodes(trees[script].root_node) if node.type == "command_name" and node.text
    }

    assert {name for name in called if not name.startswith(("$", "./"))} <= known | defined
