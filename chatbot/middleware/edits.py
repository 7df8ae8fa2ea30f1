"""Editing and withdrawing a call that still waits in its window.

An edit is a call with an id of its own that names its target. It neither moves the target nor prolongs the wait. What
a turn has frozen is never changed: an edit that comes later joins as an item of its own, so the actor sees it as one,
and a withdrawal that comes later changes nothing and says so.

Batches take edits too: a call with the option `amends` or `withdraws` (the target's item id) is one.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Literal, cast

from chatbot.errors import PolicyInvalid
from chatbot.middleware.debounce import Debounce

if TYPE_CHECKING:
    from dramatiq import Actor

#: `late`: the target was taken, settled or never there, so it cannot be withdrawn. `duplicate`: this edit was made
#: before. `overflow`: the window has no room for it now, and nothing has changed.
Edited = Literal["amended", "withdrawn", "late", "joined", "duplicate", "overflow"]


def amend(actor: Actor[..., Any], key: str, item_id: str, payload: Any | None, *, edit_id: str | None = None) -> Edited:
    """Replace an item of a debounced actor that still waits under this key; with `None`, take it out.

    `item_id` is what `idempotent` says of the call, else its message id. With an `edit_id`, the same edit is made once
    however often it is sent. Raises PolicyInvalid if the payload has another key, StoreUnavailable if the edit may not
    have been made.
    """
    guard = next((m for m in actor.broker.middleware if isinstance(m, Debounce)), None)
    if guard is None or actor.options.get(Debounce.option) is None:
        raise PolicyInvalid(f"{actor.actor_name!r} is not debounced: its calls wait nowhere")
    offered = guard.edit(actor, key, item_id, payload, edit_id or uuid.uuid4().hex)
    return "joined" if offered.verdict in ("opened", "full") else cast(Edited, offered.verdict)
