"""The command line: every command of the project, under one name."""

from __future__ import annotations

import sys

import click

from chatbot.commands import operators, roles
from chatbot.commands.bench import bench
from chatbot.commands.check import doctor, verify
from chatbot.commands.command import InOrder
from chatbot.commands.completion import completion
from chatbot.commands.dead import dead
from chatbot.commands.health import health
from chatbot.commands.simulate import simulate

#: In the order of `--help`: running it, trying it, looking into it.
COMMANDS = (
    roles.dev,
    roles.web,
    roles.worker,
    roles.scheduler,
    simulate,
    verify,
    doctor,
    health,
    operators.explain,
    operators.inspect,
    dead,
    operators.unlock,
    operators.forget,
    bench,
    completion,
)


@click.group(cls=InOrder, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="chatbot")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.pass_context
def main(context: click.Context, debug: bool) -> None:
    """One reply per burst and one effect per message: chat webhooks on Dramatiq, with Redis or RabbitMQ.

    \b
    Example:
        chatbot dev                      # everything, on this machine
        chatbot web --port 8000          # with CHATBOT_STORE_URL, CHATBOT_BROKER_URL, ... in the environment
        chatbot worker --threads 16
    """
    context.obj = debug
    # A bot stands in the directory where this is called; at the end, so that it shadows nothing that is installed.
    if not {"", "."} & set(sys.path):
        sys.path.append("")


for each in COMMANDS:
    main.add_command(each)
