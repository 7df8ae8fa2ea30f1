"""What a message says, in lines of text: what is not text is named."""

from __future__ import annotations

from collections.abc import Iterator

from chatbot.model import InboundMessage


def lines(message: InboundMessage) -> Iterator[str]:
    """Yield the text of a message and the names of its attachments; at least its kind."""
    words = message.text or (message.interactive and (message.interactive.title or message.interactive.payload))
    if words:
        yield words
    for attachment in message.attachments:
        yield f"[{attachment.filename or attachment.kind or attachment.mime_type or 'attachment'}]"
    if not (words or message.attachments):
        yield f"[{message.kind}]"
