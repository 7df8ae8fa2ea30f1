"""The three guarantees, for any Dramatiq actor: idempotency, debounce, deduplication."""

from chatbot.middleware.debounce import Debounce
from chatbot.middleware.declaration import declare, guarded_stack, guards
from chatbot.middleware.deduplication import Deduplication
from chatbot.middleware.edits import amend
from chatbot.middleware.guard import Guard, admit
from chatbot.middleware.idempotency import Idempotency
from chatbot.middleware.observer import Observer
from chatbot.middleware.policies import Debounced, Deduplicated, Idempotent
from chatbot.middleware.retries import Retries
from chatbot.middleware.steps import once, once_async
from chatbot.middleware.turns import Turn, current_turn

__all__ = [
    "Debounce", "Debounced", "Deduplicated", "Deduplication", "Guard", "Idempotency", "Idempotent",
    "Observer", "Retries", "Turn", "admit", "amend", "current_turn", "declare", "guarded_stack", "guards", "once",
    "once_async",
]  # fmt: skip
