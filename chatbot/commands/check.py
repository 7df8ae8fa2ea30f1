"""What a team runs after each deploy, and when something is strange: `verify`, `doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from chatbot.commands.command import command
from chatbot.commands.operators import json_option, say, state_option


@command
@click.option("--url", default="http://127.0.0.1:8000", show_default=True, help="The running service.")
@click.option("--channel", default="generic", show_default=True, type=click.Choice(["generic", "whatsapp"]))
@click.option("--timeout", default=25.0, show_default=True, type=click.FloatRange(0.1), help="Seconds for all of it.")
@click.option("--secret", default="", help="What webhooks are signed with, if not of the environment or --state.")
@click.option("--http-only", is_flag=True, help="Look at answers only, not into the store.")
@click.option("--keep", is_flag=True, help="Do not erase the conversation afterwards.")
@json_option
@state_option
def verify(json: bool, **options: Any) -> int:
    """Show that a running service keeps its three guarantees, with a conversation of its own: after each deploy.

    A burst of three messages, one of them twice, must become one turn whose replies leave once, and sending it all
    again must change nothing. Run it with the service's environment: it signs with its secret and looks into its store.
    The responder is asked about one real turn, and its reply goes where replies go, in a conversation that is called
    verify-... (on WhatsApp to a number that nobody has, so that Meta refuses it: prefer the generic channel).

    Status 0: all is shown; 1: something is not as promised, or could not be shown; 2: it could not begin. Without a
    store to look into, 0 says that the answers are as they should be, and the report says what they do not show.

    \b
    Example:
        chatbot verify
        chatbot verify --url https://bot.example.com --json
    """
    from chatbot.operations.verify.command import Options
    from chatbot.operations.verify.command import verify as shown
    from chatbot.operations.verify.words import words
    from chatbot.settings import environment

    report = shown(Options(**options), environment())
    say(report, words(report), json)
    return 0 if report.ok else 1


@command
@click.option(
    "--grace", default=25.0, show_default=True, type=click.FloatRange(0), help="Seconds that workers get to stop."
)
@json_option
@state_option
def doctor(grace: float, json: bool, state: Path) -> int:
    """Look at the environment, the servers that it names and the service's work there: what is wrong, and its cure.

    It changes nothing. Run it with the service's environment; for RabbitMQ, CHATBOT_RABBITMQ_MANAGEMENT_URL lets it see
    more. Status 0: nothing is wrong (there may be notes); 1: there are errors or warnings; 2: nothing could be looked
    at.

    \b
    Example:
        chatbot doctor
        chatbot doctor --grace 60 --json
    """
    from chatbot.operations.doctor.diagnosis import doctor as examine
    from chatbot.operations.doctor.words import words
    from chatbot.settings import environment

    diagnosis = examine(environment(), state, grace=grace)
    say(diagnosis, words(diagnosis), json)
    return 0 if diagnosis.ok else 1
