"""What the guards share: a guard decides at enqueue what becomes of a call, and at execution whether it runs.

Our brokers call `admit` for a whole batch before they publish. On any other Dramatiq broker the first guard calls it
from `before_enqueue`, and a call that is not to be published raises Suppressed. Messages marked `enqueued` pass: turns
from the pump, and whatever came out of a queue, as its retries and promotions must not be suppressed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from dramatiq.message import Message
from dramatiq.middleware import MiddlewareError

from chatbot.errors import GuardError, PolicyInvalid, Suppressed
from chatbot.middleware import steps, turns
from chatbot.middleware.observer import NOBODY, Observer, together
from chatbot.middleware.patience import PatientMiddleware

if TYPE_CHECKING:
    from dramatiq import Actor, Broker
    from dramatiq.broker import MessageProxy

Outcome = Literal["enqueued", "absorbed", "duplicate", "overflow", "amended", "withdrawn", "late"]

_delivery: ContextVar[MessageProxy | None] = ContextVar("chatbot_delivery", default=None)


class Guard(PatientMiddleware):
    """One guarantee. Subclasses say what becomes of calls at enqueue (`admit`) and at execution (`run`)."""

    #: The actor option that holds the policy, and the policy's class.
    option: ClassVar[str]
    policy: ClassVar[type[Any]]
    #: Guards are asked in this order.
    rank: ClassVar[int]

    def __init__(self, observer: Observer = NOBODY) -> None:
        super().__init__()
        self.observer = together(observer)

    @property
    def actor_options(self) -> set[str]:
        return {self.option}

    def admit(self, broker: Broker, messages: Sequence[Message[Any]]) -> list[Message[Any]]:
        """Return each message, or a copy whose `options["outcome"]` says why it must not be published."""
        return list(messages)

    def confirm(self, message: Message[Any]) -> None:
        """An admitted message is in the ledger, where a later guard has put it."""

    def abandon(self, message: Message[Any], error: BaseException) -> None:
        """An admitted message was not published, because of this error."""

    def run(self, broker: Broker, actor: Actor[..., Any], fn: Callable[..., Any], message: MessageProxy) -> Any:
        """Execute one delivery under this guarantee."""
        return fn(*message.args, **message.kwargs)

    def before_declare_actor(self, broker: Broker, actor: Actor[..., Any]) -> None:
        policy = actor.options.get(self.option)
        if policy is not None and not isinstance(policy, self.policy):
            raise PolicyInvalid(f"{self.option} of {actor.actor_name!r} must be a {self.policy.__name__}: {policy!r}")

    def after_declare_actor(self, broker: Broker, actor: Actor[..., Any]) -> None:
        if actor.options.get(self.option) is not None:
            actor.fn = self._guarded(broker, actor, actor.fn)

    def _guarded(self, broker: Broker, actor: Actor[..., Any], fn: Callable[..., Any]) -> Callable[..., Any]:
        # The whole guarantee is inside the call, so no order of middleware can come between its parts.
        is_guarded = hasattr(fn, "__guarded__")

        @wraps(fn)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            message = _delivery.get()
            if message is None or message.actor_name != actor.actor_name:
                return fn(*args, **kwargs)  # called as a function, not delivered by a worker
            token = _delivery.set(None)
            try:
                inner = _with_delivery(fn, message) if is_guarded else fn
                return self.run(broker, actor, inner, message)
            finally:
                _delivery.reset(token)

        guarded.__dict__["__guarded__"] = True
        return guarded

    def before_delay_message(self, broker: Broker, message: MessageProxy) -> None:
        message.options.setdefault("outcome", "enqueued")

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        if _delivery.get() is message:
            return  # another guard was told first
        message.options.setdefault("outcome", "enqueued")
        steps.between_runs()
        turns.between_runs()
        _delivery.set(message)

    def after_process_message(
        self, broker: Broker, message: MessageProxy, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        _delivery.set(None)

    def after_skip_message(self, broker: Broker, message: MessageProxy) -> None:
        _delivery.set(None)

    def before_enqueue(self, broker: Broker, message: Message[Any], delay: int | None) -> None:
        if getattr(broker, "admits", False) or _admitted(message) or self is not guards_of(broker)[0]:
            return
        try:
            (answer,) = admit(broker, [message])
        except MiddlewareError:
            raise
        except Exception as exc:
            # Dramatiq swallows any other error, and publishes the call unguarded.
            raise GuardError(f"the guards could not be asked about {message}: {exc!r}") from exc
        if not _admitted(answer):
            raise Suppressed(answer.options["outcome"], answer.options.get("original"))
        message.options["outcome"] = "enqueued"


def _with_delivery(fn: Callable[..., Any], message: MessageProxy) -> Callable[..., Any]:
    """Let the guard inside `fn` see the delivery, which the guard around it has taken."""

    def call(*args: Any, **kwargs: Any) -> Any:
        token = _delivery.set(message)
        try:
            return fn(*args, **kwargs)
        finally:
            _delivery.reset(token)

    return call


def guards_of(broker: Broker) -> list[Guard]:
    """Return the broker's guards, in the order in which they are asked."""
    return sorted((m for m in broker.middleware if isinstance(m, Guard)), key=lambda guard: guard.rank)


def admit(broker: Broker, messages: Sequence[Message[Any]]) -> list[Message[Any]]:
    """Ask every guard about a batch. The messages come back with an outcome; only `enqueued` ones are to be published.

    Raises StoreUnavailable if the store cannot be asked, and what a guard raises of a call that does not fit it.
    """
    verdicts, asked = list(messages), list[Guard]()
    # An actor that is not declared here has no policy here.
    open_ = [i for i, m in enumerate(messages) if not _admitted(m) and m.actor_name in broker.actors]
    for guard in guards_of(broker) if open_ else []:
        batch = [messages[i] for i in open_]
        try:
            answers = guard.admit(broker, batch)
        except BaseException as exc:
            _abandon(asked, batch, exc)
            raise
        for i, answer in zip(open_, answers, strict=True):
            verdicts[i] = answer
            if answer is not messages[i]:
                _close(asked, answer)
        open_ = [i for i in open_ if verdicts[i] is messages[i]]
        asked.append(guard)
    return [
        verdict if verdict is not message or _admitted(message) else outcome(message, "enqueued")
        for verdict, message in zip(verdicts, messages, strict=True)
    ]


def _close(earlier: Sequence[Guard], message: Message[Any]) -> None:
    """Tell the guards that let a message pass what a later one has made of it."""
    if message.options["outcome"] == "overflow":
        _abandon(earlier, [message], Suppressed("overflow"))
        return
    for guard in earlier:
        guard.confirm(message)


def _abandon(earlier: Sequence[Guard], messages: Sequence[Message[Any]], error: BaseException) -> None:
    for guard in earlier:
        for message in messages:
            guard.abandon(message, error)


def _admitted(message: Message[Any]) -> bool:
    return message.options.get("outcome") == "enqueued"


def outcome(message: Message[Any], verdict: Outcome, **more: Any) -> Message[Any]:
    """Return a copy of a message that carries its outcome."""
    # What `message.copy` does, at a tenth of its cost: every call comes this way.
    told: Message[Any] = object.__new__(Message)
    fields = vars(getattr(message, "_message", message))  # Dramatiq's retries send the delivery itself
    vars(told).update(fields, options={**message.options, "outcome": verdict, **more})
    return told


def composed(message: Message[Any] | MessageProxy) -> bool:
    """Say whether somebody waits for this very message: a pipeline or a group."""
    return bool(message.options.get("pipe_target") or message.options.get("group_completion_uuid"))
