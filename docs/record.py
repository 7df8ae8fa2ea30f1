"""Draws docs/simulate.svg: what `chatbot simulate` shows against a `chatbot dev`, both run for real.

.venv/bin/python docs/record.py
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

PICTURE = Path(__file__).parent / "simulate.svg"
COMMAND = [sys.executable, "-m", "chatbot"]
# Rich's own frame, without the fonts that it would load from elsewhere.
FRAME = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, monospace; font-size: {char_height}px;
line-height: {line_height}px; font-variant-east-asian: full-width; }} {styles}</style>
<defs><clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>{lines}</defs>
{chrome}<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}<g class="{unique_id}-matrix">{matrix}</g></g></svg>
"""


def main() -> None:
    """Run, record, draw."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"http://127.0.0.1:{free_port()}"
        dev = subprocess.Popen(
            [*COMMAND, "dev", "--port", url.rpartition(":")[2]], cwd=folder, stdout=subprocess.DEVNULL
        )
        try:
            wait_for(url)
            played = subprocess.run(
                [*COMMAND, "simulate", "--conversations", "2", "--url", url],
                cwd=folder,
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
        finally:
            dev.terminate()
            dev.wait()
    draw(f"$ chatbot simulate --conversations 2\n{played.stdout.rstrip()}")


def draw(text: str) -> None:
    """Write the picture of a terminal that shows this text."""
    console = Console(record=True, width=108, file=Path("/dev/null").open("w"))  # noqa: SIM115
    # Some viewers drop spaces where a piece of one colour begins: so pieces begin with letters.
    shown = Text(text)
    shown.highlight_regex(r"(?m)(?<=^\s\s)(in|sent|turn|out)\s+", "bold cyan")
    shown.highlight_regex(r"(?m)^\$\s.*$", "bold green")
    shown.highlight_regex(r"(?m)^every\sburst.*$", "green")
    console.print(shown)
    PICTURE.write_text(console.export_svg(title="a burst becomes one reply", theme=DIMMED_MONOKAI, code_format=FRAME))


def wait_for(url: str) -> None:
    """Wait until the service is ready."""
    for _ in range(200):
        try:
            if httpx.get(f"{url}/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise SystemExit("the service did not start")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
