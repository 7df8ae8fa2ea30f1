"""Debounce: a burst of calls with one key becomes one run with the list of them.

At enqueue a call joins its key's window in the ledger (`offer`), and nothing is published. The pump publishes a claim
check when the window is due. At execution the claim check is exchanged for the items (`begin`), under a lease.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, cast

import msgspec
from dramatiq.message import Message
from msgspec.structs import replace

from chatbot.decoding import decoder
from chatbot.errors import NotComposable, Permanent, PolicyInvalid, StoreUnavailable
from chatbot.middleware.calls import resolve
from chatbot.middleware.guard import Guard, Outcome, composed, outcome
from chatbot.middleware.items import item_type, require_debounceable
from chatbot.middleware.leases import Heartbeat
from chatbot.middleware.observer import NOBODY, Judged, Observer
from chatbot.middleware.patience import come_back, keep, skip
from chatbot.middleware.policies import Debounced, Duration, Idempotent, ms, policy_of
from chatbot.middleware.pump import AGAIN, Pump
from chatbot.middleware.runner import TurnRunner
from chatbot.stores.base import Store
from chatbot.stores.values import DAY, FollowUp, Mode, Offer, Offered, OfferVerdict

if TYPE_CHECKING:
    from dramatiq import Actor, Broker, Worker
    from dramatiq.broker import MessageProxy

#: ms. A call that found its key's buffer full, and whose sender is gone, asks again after this.
FULL = 1_000

_JOINED: frozenset[OfferVerdict] = frozenset({"opened", "joined", "full"})


class Debounce(Guard):
    """One run per burst, one run at a time per key.

    Parameters: `heartbeat`, to share one with other guards of the process; `again`, how long after its confirmed
    publication a turn that nobody began is suspected of being lost by the broker; `observer` hears of every step.
    """

    option, policy, rank = "debounced", Debounced, 1

    def __init__(
        self,
        store: Store,
        *,
        heartbeat: Heartbeat | None = None,
        again: Duration = AGAIN,
        observer: Observer = NOBODY,
    ) -> None:
        super().__init__(observer)
        self.store = store
        heartbeat = heartbeat or Heartbeat(store, observer)
        self._runner = TurnRunner(store, heartbeat, self.patience, self.observer, self.follow_up)
        self._again = ms(again)
        self._pump: Pump | None = None

    def before_declare_actor(self, broker: Broker, actor: Actor[..., Any]) -> None:
        super().before_declare_actor(broker, actor)
        if actor.options.get(self.option) is not None:
            require_debounceable(actor)

    # --- enqueue ---
    def admit(self, broker: Broker, messages: Sequence[Message[Any]]) -> list[Message[Any]]:
        verdicts = list(messages)
        offers = [(i, offer) for i, message in enumerate(messages) if (offer := self._offer(broker, message))]
        answers = self._offered([(messages[i], offer) for i, offer in offers])
        for (i, _), offered in zip(offers, answers, strict=True):
            verdicts[i] = outcome(messages[i], _outcome(offered))
        return verdicts

    def _offered(self, calls: Sequence[tuple[Message[Any], Offer]]) -> list[Offered]:
        if not calls:
            return []
        try:
            answers = self.store.offer([offer for _, offer in calls])
        except StoreUnavailable:
            for message, _ in calls:
                self.observer.store_error(message.actor_name, "failed")
            raise
        self.observer.decided([_judged(*call, offered) for call, offered in zip(calls, answers, strict=True)])
        return answers

    def _offer(self, broker: Broker, message: Message[Any]) -> Offer | None:
        actor = broker.get_actor(message.actor_name)
        if target := message.options.get("pipe_target"):
            self._refuse_as_target(broker, Message(**target))
        if (joins := self._joins(actor, message)) is None:
            return None
        if composed(message):
            raise NotComposable(f"{actor.actor_name!r}: {NotComposable.__doc__}")
        policy, subject = joins
        item_id, id_ttl = self._identity(actor, message)
        window, body = policy.window(id_ttl), _body(actor, message)
        if len(body) > window.max_buffered_bytes:
            raise PolicyInvalid(f"a call of {actor.actor_name!r} with {len(body)} bytes can never be buffered")
        mode, target = _mode(policy, message)
        return Offer(
            key=f"{actor.actor_name}/{subject}", item_id=item_id, body=body, window=window, mode=mode, target=target
        )

    def edit(self, actor: Actor[..., Any], subject: str, target: str, item: Any | None, edit_id: str) -> Offered:
        """Replace an item that waits, or with None withdraw it; see `amend`."""
        key, window = f"{actor.actor_name}/{subject}", actor.options[self.option].window(DAY)
        message = actor.message_with_options(args=(item,), amends=target)
        offer = (
            Offer(key=key, item_id=edit_id, body=b"", window=window, mode="withdraw", target=target)
            if item is None
            else self._offer(actor.broker, message)
        )
        if offer is None or offer.key != key:
            raise PolicyInvalid(f"what amends {target!r} of {key!r} has the key {offer and offer.key!r}")
        return self._offered([(message, replace(offer, item_id=edit_id))])[0]

    def _joins(self, actor: Actor[..., Any], message: Message[Any]) -> tuple[Debounced, str] | None:
        """Return a call's policy and key; None if its actor is not debounced, or it opted out."""
        if actor.options.get(self.option) is None:
            return None
        _require_one_item(actor, message)
        policy = policy_of(self.option, Debounced, actor, message)
        subject = None if policy is None else resolve(policy.key, actor, message)
        return None if policy is None or subject is None else (policy, subject)

    def _refuse_as_target(self, broker: Broker, message: Message[Any]) -> None:
        """A pipeline's first message carries the others: later it would be too late to refuse one of them."""
        actor = broker.actors.get(message.actor_name)
        if actor and policy_of(self.option, Debounced, actor, message):
            raise NotComposable(f"{actor.actor_name!r}: {NotComposable.__doc__}")
        if target := message.options.get("pipe_target"):
            self._refuse_as_target(broker, Message(**target))

    def _identity(self, actor: Actor[..., Any], message: Message[Any]) -> tuple[str, int]:
        """Return a call's item id and for how long it is remembered: what `idempotent` says, else its message id."""
        policy = policy_of("idempotent", Idempotent, actor, message)
        if policy is None or (key := resolve(policy.key, actor, message)) is None:
            return message.message_id, DAY
        return key, policy.remembered(message)

    def follow_up(self, broker: Broker, message: Message[Any], key: str, item_id: str) -> FollowUp:
        """Return a call that a turn leaves as an item for its settlement. `key` is the turn's, `item_id` the call's."""
        actor = broker.get_actor(message.actor_name)
        policy = policy_of(self.option, Debounced, actor, message)
        subject = policy and resolve(policy.key, actor, message)
        if policy is None or subject is None or subject != key.partition("/")[2]:
            raise PolicyInvalid(
                f"a turn of {key!r} cannot leave a call for {actor.actor_name!r} with the key {subject!r}: "
                "that takes a debounced actor, and the same key"
            )
        window = policy.window(self._identity(actor, message)[1])
        return FollowUp(key=f"{actor.actor_name}/{subject}", item_id=item_id, body=_body(actor, message), window=window)

    # --- execution ---
    def run(self, broker: Broker, actor: Actor[..., Any], fn: Callable[..., Any], message: MessageProxy) -> Any:
        if "turn" not in message.options:
            return self._late_offer(broker, actor, fn, message)
        policy = cast(Debounced, actor.options[self.option])
        return self._runner.run(broker, actor, policy, fn, message)

    def _late_offer(self, broker: Broker, actor: Actor[..., Any], fn: Callable[..., Any], message: MessageProxy) -> Any:
        """A producer without guards published the call itself, or the policy opted it out: then its key is None."""
        plain = _typed(actor, message)
        offer = self._offer(broker, plain)
        return fn(list(plain.args)) if offer is None else self._accept(broker, offer, message)

    def _accept(self, broker: Broker, offer: Offer, message: MessageProxy) -> NoReturn:
        try:
            (offered,) = self.patience.until_answered(lambda: self.store.offer([offer]))
        except StoreUnavailable:
            keep(message)
            skip(message, "the store did not answer before the worker stopped")
        self.observer.decided([_judged(message, offer, offered)])
        if offered.verdict == "overflow":
            come_back(broker, message, FULL, self.patience)
        skip(message, f"its item is in the ledger: {offered.verdict}")

    # --- the process ---
    def after_worker_boot(self, broker: Broker, worker: Worker) -> None:
        self._pump = Pump(broker, self.store, again=self._again, observer=self.observer)
        self._pump.start()

    def before_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        super().before_worker_shutdown(broker, worker)
        if self._pump is not None:
            self._pump.stop()


def _require_one_item(actor: Actor[..., Any], message: Message[Any]) -> None:
    if len(message.args) != 1 or message.kwargs:
        raise PolicyInvalid(f"{actor.actor_name!r} is debounced: send it one item, as the only positional argument")


def _outcome(offered: Offered) -> Outcome:
    return "absorbed" if offered.verdict in _JOINED else cast(Outcome, offered.verdict)


def _judged(message: Message[Any] | MessageProxy, offer: Offer, offered: Offered) -> Judged:
    of = f"{offered.epoch}" if offered.epoch and offered.epoch > 0 else offer.target or ""
    key, item = offer.key, offer.item_id
    return Judged(message.actor_name, message.message_id, key, item, _outcome(offered), "debounced", of)


def _mode(policy: Debounced, message: Message[Any]) -> tuple[Mode, str | None]:
    """Return how a call is offered: as an edit of the item that it names, else as an item of its own."""
    amends, withdraws = message.options.get("amends"), message.options.get("withdraws")
    if amends is not None and withdraws is not None:
        raise PolicyInvalid("a call either amends an item or withdraws it")
    if amends is not None:
        return "amend", amends
    return ("withdraw", withdraws) if withdraws is not None else (policy.on_running, None)


def _body(actor: Actor[..., Any], message: Message[Any]) -> bytes:
    _require_one_item(actor, message)
    try:
        return msgspec.json.encode(message.args[0])
    except (TypeError, ValueError, RecursionError) as exc:
        raise PolicyInvalid(f"an item for {actor.actor_name!r} cannot be written as JSON: {exc}") from exc


def _typed(actor: Actor[..., Any], message: MessageProxy) -> Message[Any]:
    """Return a call that came through a queue with its item as the actor declares it, like the sender's."""
    try:
        decoder(kind := item_type(actor))
        args = tuple(msgspec.convert(item, kind) for item in message.args)
    except msgspec.ValidationError as exc:
        raise Permanent(f"the item of {message.message_id} is not one for {actor.actor_name!r}: {exc}") from exc
    return message._message.copy(args=args)
