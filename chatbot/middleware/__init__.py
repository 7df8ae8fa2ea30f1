"""The three guarantees, for any Dramatiq actor: idempotency, debounce, deduplication."""

from chatbot.middleware.debounce import Debounce
from chatbot.middleware.declaration import declare, guarded_stack, guards
from chatbot.middleware.deduplication import Deduplication
from chatbot.middleware.guard import Guard, admit
from chatbot.middleware.idempotency import Idempotency
from chatbot.middleware.policies import Debounced, Deduplicated, Idempotent
from chatbot.middleware.retries import Retries
from chatbot.middleware.steps import once
from chatbot.middleware.turns import Turn, current_turn

__all__ = [
    "Debounce", "Debounced", "Deduplicated", "Deduplication", "Guard", "Idempotency", "Idempotent",
    "Retries", "Turn", "admit", "current_turn", "declare", "guarded_stack", "guards", "once",
]  # fmt: skip
