"""Every error of chatbot, in one tree. A class's docstring is its default message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dramatiq.middleware import MiddlewareError


class ChatbotError(Exception):
    """Something went wrong in chatbot."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__)


class ConfigurationError(ChatbotError):
    """The configuration cannot be used."""

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class Unreachable(ConfigurationError):
    """A server that the configuration names does not answer: the name may be wrong, or the server may be down."""


# The store. Dramatiq swallows every hook exception that is not a MiddlewareError, which would let a call pass
# unguarded while the store is down: so these are MiddlewareErrors.
class StoreError(ChatbotError, MiddlewareError):
    """The store did not do what was asked."""


class StoreUnavailable(StoreError):
    """The store cannot be reached, or did not answer in time. What was asked may have happened."""


class StoreFull(StoreUnavailable):
    """The store has reached its memory limit and takes nothing new; work that is open still completes."""


# The guards.
class GuardError(ChatbotError, MiddlewareError):
    """A guard refused the call."""


class PolicyInvalid(GuardError):
    """The guard's policy does not fit its actor."""


class NotComposable(GuardError):
    """A debounced call cannot be part of a group or a pipeline: many calls become one run, which has one result."""


class Suppressed(GuardError):
    """The call was absorbed by a guard, so it is not published."""

    def __init__(self, outcome: str, original: str | None = None) -> None:
        self.outcome = outcome
        #: The message id of the call that this one repeats, where a guard knows it.
        self.original = original
        super().__init__(f"the call was not published: {outcome}")


class IdempotencyKeyReused(GuardError):
    """The idempotency key was used before with another payload."""


class LeaseLost(GuardError):
    """The lease of this run is gone: somebody else may run it now, so nothing of this run may take effect."""


# What an actor raises to say how its failure is to be treated.
class Permanent(ChatbotError):
    """Repeating this cannot help."""


class Transient(ChatbotError):
    """Repeating this later may help."""

    def __init__(self, message: str | None = None, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        #: Seconds that the other side asked us to wait, or None.
        self.retry_after = retry_after


class Ambiguous(Transient):
    """The request was sent, but its outcome is unknown."""


# What a channel says of a request that it will not take.
class RequestRefused(ChatbotError):
    """The request was refused."""

    status = 400


class SignatureInvalid(RequestRefused):
    """The signature is missing, wrong or stale."""

    status = 401


class Malformed(RequestRefused):
    """The body is not what the channel sends."""

    def __init__(self, message: str | None = None, *, field: str | None = None, **details: Any) -> None:
        super().__init__(message)
        #: Where in the body: `messages[0].text`; None if it is the body as a whole.
        self.field = field
        self.details = details


class NotSupported(RequestRefused):
    """The channel has no such request."""

    status = 405
