"""What operators call a conversation, and where it is in the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote

from chatbot.channels.identity import dedupe_key
from chatbot.errors import ChatbotError
from chatbot.middleware import events
from chatbot.operations.sentences import Sentence
from chatbot.service import Service


class NotFound(ChatbotError):
    """There is no trace of it."""


def conversation(service: Service, given: str) -> str:
    """Return the ledger's subject for a conversation given as `channel:id`, or as `inspect` prints it.

    Raises NotFound if nothing is known of it, or more than one fits.
    """
    subjects = list(dict.fromkeys(_candidates(service, given)))
    if found := [subject for subject in subjects if _is_open(service, subject)]:
        return _only(given, found)
    if found := [subject for subject in subjects if events.happened(service.store, subject=subject)]:
        return _only(given, found)
    channel, _, rest = given.partition(":")
    known = {event.event.key.partition("/")[2] for event in events.happened(service.store, name=rest or channel)}
    return _only(given, sorted(subject for subject in known if subject.startswith(f"{channel}:")))


def _candidates(service: Service, given: str) -> Iterator[str]:
    yield given
    channel, colon, rest = given.partition(":")
    if colon and channel in service.channels:
        yield f"{channel}::{rest}"


def _is_open(service: Service, subject: str) -> bool:
    store = service.store
    keys = mailboxes(service, subject)
    return any(store.inspect(key).state != "idle" or store.graves(key) for key in keys) or bool(store.recall(subject))


def _only(given: str, found: list[str]) -> str:
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(found)
        raise NotFound(
            Sentence("%(given)r may be any of these, so give one of them: %(several)s", given=given, several=several)
        )
    raise NotFound(
        Sentence(
            "nothing is known of the conversation %(given)r: give it as CHANNEL:ID, for example generic:c1; one that "
            "was quiet for long leaves no trace, and CHATBOT_STORE_URL and CHATBOT_NAMESPACE must be those of the "
            "service",
            given=given,
        )
    )


def mailboxes(service: Service, subject: str) -> tuple[str, str]:
    """Return the keys of a conversation's inbox and outbox."""
    inbox, outbox = service.actors.process_turn, service.actors.deliver_replies
    return f"{inbox.actor_name}/{subject}", f"{outbox.actor_name}/{subject}"


def item_of(subject: str, message_id: str) -> str:
    """Return the item id of a provider's message in a conversation."""
    return dedupe_key(*subject.split(":", 2), message_id)


def message_id_of(item_id: str) -> str:
    """Return the provider's id in an item id, whose first three parts are the conversation."""
    parts = item_id.split(":")
    return unquote(parts[3]) if len(parts) > 3 else item_id


def subject_of(item_id: str) -> str:
    """Return the conversation in an item id; empty if it is none."""
    parts = [unquote(part) for part in item_id.split(":")]
    return ":".join(parts[:3]) if len(parts) > 3 else ""
