"""Asking a process whether it works, as a container's health check does."""

from __future__ import annotations

import click

from chatbot.commands.command import command


@command
@click.argument("url", default="http://127.0.0.1:8000/ready")
@click.option("--timeout", default=4.0, show_default=True, help="Seconds for the whole answer.")
def health(url: str, timeout: float) -> int:
    """Ask a process whether it works: status 0 if so, else 1. It is light, so that it may be asked every few seconds.

    Of a web process it says whether the store answers; of a worker and a scheduler, which tell it where they tell their
    metrics, whether store and broker answer and all of its threads run.

    \b
    Example:
        chatbot health
        chatbot health http://127.0.0.1:9100/ready
    """
    from urllib.error import HTTPError
    from urllib.request import ProxyHandler, build_opener

    try:
        # Without the environment's proxies: it is asked for this very machine.
        with build_opener(ProxyHandler({})).open(url, timeout=timeout) as answer:
            click.echo(answer.read().decode())
    except HTTPError as refusal:
        with refusal:
            click.echo(refusal.read().decode(errors="replace"), err=True)
        return 1
    except (OSError, ValueError) as exc:
        click.echo(f"{url}: {exc}", err=True)
        return 1
    return 0


if __name__ == "__main__":
    health()
