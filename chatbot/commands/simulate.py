"""`chatbot simulate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from chatbot.commands.command import STATE, command


@command
@click.option("--url", default="http://127.0.0.1:8000", show_default=True, help="The running service.")
@click.option("--channel", default="generic", show_default=True, type=click.Choice(["generic", "whatsapp"]))
@click.option("--conversations", default=3, show_default=True, type=click.IntRange(1, 1000), help="At the same time.")
@click.option("--messages", default=5, show_default=True, type=click.IntRange(1, 50), help="In each burst.")
@click.option("--bursts", default=1, show_default=True, type=click.IntRange(1, 100), help="In each conversation.")
@click.option("--pause", type=click.FloatRange(0), help="Seconds before the next burst; more than the quiet time.")
@click.option("--rate", default=30.0, show_default=True, type=click.FloatRange(0.1, 1e4), help="Deliveries a second.")
@click.option("--timeout", default=60.0, show_default=True, type=click.FloatRange(0.1), help="Seconds for a reply.")
@click.option("--seed", default=1, show_default=True, help="The same seed plays the same bursts.")
@click.option("--secret", default="", help="What webhooks are signed with, if not of the environment or --state.")
@click.option("--listen", default="", metavar="HOST:PORT", help="Receive the replies here, not from the dev outbox.")
@click.option("--state", default=STATE, show_default=True, type=click.Path(path_type=Path), help="As of `chatbot dev`.")
@click.option("--json", is_flag=True, help="Print the report as JSON.")
def simulate(**options: Any) -> int:
    """Play bursts with duplicates against a running service, and show which turns and replies came of them.

    Status 1 when a reply is missing, doubled or out of order, or a burst became several turns. For a service other
    than `chatbot dev`, give its CHATBOT_GENERIC_SECRET (or CHATBOT_WHATSAPP_APP_SECRET), let its
    CHATBOT_GENERIC_OUTBOUND_URL (or CHATBOT_WHATSAPP_GRAPH_URL) point to --listen, and give its
    CHATBOT_DEBOUNCE_WAIT_MS if it is not 2000.

    \b
    Example:
        chatbot simulate --conversations 2
        chatbot simulate --url https://bot.example.com --listen 0.0.0.0:9000 --rate 100 --json
    """
    from chatbot.operations.simulate.command import Options
    from chatbot.operations.simulate.command import simulate as play
    from chatbot.settings import environment

    return play(Options(**options), environment())
