"""What operators ask and do: `explain`, `inspect`, `unlock`, `forget`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chatbot.commands.command import STATE, command

if TYPE_CHECKING:
    from chatbot.service import Service

state_option = click.option(
    "--state", default=STATE, show_default=True, type=click.Path(path_type=Path), help="As of `chatbot dev`."
)
json_option = click.option("--json", is_flag=True, help="Print JSON.")
text_option = click.option("--show-text", is_flag=True, help="Show what people wrote, too: personal data.")


def with_service(state: Path, act: Callable[[Service], int], *, broker: bool = False) -> int:
    """Act on the deployment of the environment, or on the `chatbot dev` of this directory. Status 1: not found."""
    from dramatiq.errors import BrokerConnectionError

    from chatbot.errors import StoreUnavailable
    from chatbot.operations.attached import attached
    from chatbot.operations.conversations import NotFound
    from chatbot.settings import environment

    try:
        with attached(environment(), state, broker=broker) as service:
            return act(service)
    except (NotFound, StoreUnavailable) as exc:
        click.echo(str(exc), err=True)
    except BrokerConnectionError as exc:
        click.echo(f"the broker did not answer, so what is not confirmed was left where it is: {exc}", err=True)
    return 1


def say(record: Any, words: str, as_json: bool) -> None:
    """Print a record for programs, or its words for people."""
    import msgspec

    click.echo(msgspec.json.encode(record, enc_hook=str).decode() if as_json else words)


@command
@click.argument("message_id")
@click.option("--conversation", metavar="CHANNEL:ID", help="Where it is; needed once the journal has expired.")
@text_option
@json_option
@state_option
def explain(message_id: str, conversation: str | None, show_text: bool, json: bool, state: Path) -> int:
    """Tell a message's whole story: accepted when, duplicate of what, which turn, which attempts, which reply.

    MESSAGE_ID is the provider's id of a message, or a Dramatiq message id as workers log it. Status 1 if nothing is
    known of it.

    \b
    Example:
        chatbot explain wamid.HBgL... --json
        chatbot explain m1 --conversation generic:c1
    """

    def act(service: Service) -> int:
        from chatbot.operations.explain import explain as stories_of
        from chatbot.operations.explain_words import words

        stories = stories_of(service, message_id, conversation, show_text=show_text)
        say(stories, "\n\n".join(map(words, stories)), json)
        return 0

    return with_service(state, act)


@command
@click.argument("conversation", metavar="CHANNEL:ID")
@text_option
@json_option
@state_option
def inspect(conversation: str, show_text: bool, json: bool, state: Path) -> int:
    """Show a conversation's state now: its window, turn, owner, lease, back-off, replies and dead letters.

    Status 1 if nothing is known of it.

    \b
    Example:
        chatbot inspect generic:c1
    """

    def act(service: Service) -> int:
        from chatbot.operations.inspect import inspect as state_of
        from chatbot.operations.inspect_words import words

        found = state_of(service, conversation, show_text=show_text)
        say(found, words(found), json)
        return 0

    return with_service(state, act)


@command
@click.argument("key")
@click.option("--epoch", required=True, type=int, help="The turn's epoch, as `inspect` printed it.")
@click.option("--owner", required=True, help="Its owner, as `inspect` printed it; '' if it had none.")
@json_option
@state_option
def unlock(key: str, epoch: int, owner: str, json: bool, state: Path) -> int:
    """Take a turn from its owner, if it is still the one that you saw. `inspect` prints the whole command.

    The turn is published again at once, and what the run that had it still does is discarded: for a worker that hangs.
    Status 1 if the ledger says otherwise by now.

    \b
    Example:
        chatbot unlock process_turn/generic::c1 --epoch 1767225600000000 --owner 5f3c.../8a1e...
    """

    def act(service: Service) -> int:
        from chatbot.operations.unlock import unlock as free

        found = free(service, key, epoch, owner)
        say(found, found.words(), json)
        return 0 if found.freed else 1

    return with_service(state, act)


@command
@click.argument("conversation", metavar="CHANNEL:ID")
@click.option("--url", default="", help="A `chatbot dev`, such as http://127.0.0.1:8000: forget its outbox, too.")
@json_option
@state_option
def forget(conversation: str, url: str, json: bool, state: Path) -> int:
    """Erase every trace of a conversation: what is open or buried, results, history, journal. There is no way back.

    What remains by design is printed. Status 1 if nothing is known of it.

    \b
    Example:
        chatbot forget whatsapp:106540352242922:16505551234
    """

    def act(service: Service) -> int:
        from chatbot.operations.forget import forget as erase

        found = erase(service, conversation, url=url)
        say(found, found.words(), json)
        return 0

    return with_service(state, act)
