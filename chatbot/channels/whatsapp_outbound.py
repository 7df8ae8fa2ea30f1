"""What WhatsApp's Cloud API is sent, and what its refusals mean."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
from msgspec import Struct

from chatbot import http_client
from chatbot.errors import Permanent, Transient
from chatbot.model import Attachment, Reply

MOST_TEXT_CHARS = 4_096
MOST_CAPTION_CHARS = 1_024

#: Codes after which a repetition may succeed, with the seconds to wait where an answer does not say.
_TRANSIENT: dict[int, float | None] = {
    4: None,  # the app's rate limit
    80007: None,  # the account's rate limit
    130429: None,  # the number's throughput
    131056: 6.0,  # one message in 6 s to one person
    131048: 3_600.0,  # restricted because people reported spam: a hasty repetition prolongs it
    131000: None,  # something went wrong
    131016: None,  # the service is unavailable
    131057: None,  # the account is in maintenance
}
#: Codes after which none can, whatever the status says, and what an operator should know.
_NEVER: dict[int, str] = {
    190: "the access token is invalid or expired",
    131047: "the person wrote more than 24 hours ago, so only a template may be sent",
    131026: "the person cannot get this message",
    131049: "Meta holds back marketing for this person",
    131050: "the person stopped marketing from this number",
    131051: "this type of message is not supported",
    131062: "this person can only be reached with another kind of message",
    130472: "the person's number is part of an experiment of Meta's",
}
_TEMPLATES = range(132_000, 133_000)  # a template is missing, paused or filled in wrongly

# Business-scoped user ids stand for people who show a user name instead of a number: CO.1047385771169864.
_USER_ID = re.compile(r"[A-Z]{2}\.(ENT\.)?[A-Za-z0-9]+")
_NUMBER = re.compile(r"\+?[0-9]+")


class GraphError(Struct, frozen=True):
    """The `error` of a refusal."""

    code: int = 0
    message: str = ""
    is_transient: bool = False


class Refusal(Struct, frozen=True):
    """The body of a refusal."""

    error: GraphError = GraphError()


_REFUSAL = msgspec.json.Decoder(Refusal)


def url(graph_url: str, account_id: str) -> str:
    """Return where to send from this number. Raises Permanent if it is not known which number that is."""
    if not account_id:
        raise Permanent("the reply names no account_id, which is the phone_number_id to send from")
    return f"{graph_url}/{quote(account_id, safe='')}/messages"


def body(reply: Reply) -> bytes:
    """Return the JSON of a reply. Raises Permanent for one that does not fit into one message: the API has no
    idempotency key, so a reply sent as several could be repeated in part."""
    # The id comes back in the statuses of this message: it tells what became of a reply whose outcome is unknown.
    message = {"messaging_product": "whatsapp", "biz_opaque_callback_data": reply.reply_id[:512]}
    return msgspec.json.encode(message | _recipient(reply.conversation_id) | _content(reply))


def refusal(answer: httpx.Response) -> Transient | Permanent:
    """Return the error that an answer other than 2xx means."""
    error = _graph_error(answer)
    plain = http_client.refusal(answer)
    asked = http_client.retry_after(answer.headers)
    if error.code in _NEVER or error.code in _TEMPLATES:
        return Permanent(f"{_NEVER.get(error.code, 'the template cannot be used')} (WhatsApp {error.code}); {plain}")
    if error.code in _TRANSIENT:
        pause = _TRANSIENT[error.code]
        return Transient(str(plain), retry_after=max(asked or 0.0, pause) if pause else asked)
    return Transient(str(plain), retry_after=asked) if error.is_transient else plain


def _graph_error(answer: httpx.Response) -> GraphError:
    try:
        return _REFUSAL.decode(answer.content).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return GraphError()  # a proxy's page, say: the status alone has to do


def _recipient(conversation_id: str) -> dict[str, Any]:
    """Return how to address a conversation: its id alone tells numbers, user ids and groups apart."""
    if _NUMBER.fullmatch(conversation_id):
        return {"recipient_type": "individual", "to": conversation_id}
    if _USER_ID.fullmatch(conversation_id):
        return {"recipient_type": "individual", "recipient": conversation_id}
    return {"recipient_type": "group", "to": conversation_id}


def _content(reply: Reply) -> dict[str, Any]:
    if not reply.attachments:
        return {"type": "text", "text": {"body": _limited(reply.text, MOST_TEXT_CHARS, "a text")}}
    if len(reply.attachments) > 1:
        raise Permanent("WhatsApp takes one attachment a message: give each a reply of its own")
    return _media(reply.attachments[0], reply.text)


def _media(file: Attachment, caption: str) -> dict[str, Any]:
    kind = _media_kind(file)
    media = {"id": file.provider_media_id} if file.provider_media_id else {"link": file.url}
    if not any(media.values()):
        raise Permanent("the attachment has neither a url nor a provider_media_id")
    if caption and kind in {"audio", "sticker"}:
        raise Permanent(f"WhatsApp takes no text with {kind}: give the text a reply of its own")
    if caption:
        media["caption"] = _limited(caption, MOST_CAPTION_CHARS, "a caption")
    if file.filename and kind == "document":
        media["filename"] = file.filename
    return {"type": kind, kind: media}


def _media_kind(file: Attachment) -> str:
    wanted = file.kind or (file.mime_type or "").partition("/")[0]
    wanted = "audio" if wanted == "voice" else wanted
    return wanted if wanted in {"image", "audio", "video", "sticker"} else "document"


def _limited(text: str, most: int, what: str) -> str:
    if not text.strip():
        raise Permanent("the reply is empty")
    if len(text) > most:
        raise Permanent(f"WhatsApp takes {what} of at most {most} characters, and this one has {len(text)}: split it")
    return text
