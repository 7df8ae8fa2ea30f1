"""After a verification: its conversation is erased, as `chatbot forget` does it."""

from __future__ import annotations

from chatbot.errors import ConfigurationError
from chatbot.operations.conversations import NotFound
from chatbot.operations.forget import forget
from chatbot.operations.verify.proofs import Proof, watch
from chatbot.service import Service


def cleanup(service: Service, subject: str, dev: str) -> Proof:
    """Erase a conversation; `dev` is a `chatbot dev` that shows its replies, or empty. Raises StoreUnavailable."""
    with watch() as took:
        came = "erased, but for hashes of its ids until they expire"
        try:
            forget(service, subject, url=dev)
        except NotFound:
            came = "nothing was left of it"
        except ConfigurationError:  # the last step: replies are shown elsewhere
            pass
    return Proof(name="cleanup", held=True, sent="forget this conversation", came=came, seconds=took.seconds)
