"""What is searched: configurations that must hold, and mutations that drop one guard each and must be caught."""

from __future__ import annotations

from tests.model import mailboxes, properties, records, system
from tests.model.mailboxes import Config
from tests.model.records import ClaimConfig
from tests.model.search import Model, Report, search

AnyConfig = Config | ClaimConfig

#: A few seconds in all: `make test` searches these.
BRIEF: list[AnyConfig] = [
    Config("no faults", (3,), faults=0, resends=1),
    Config("windows of one", (1,), cap=1, faults=2),
    Config("windows of two", (2,), faults=1),
    Config("supersede", (2,), faults=1, supersede=True, resends=0),
    Config("outbox at_least_once", (1, 0), cap=1, faults=1, outbox=True),
    ClaimConfig("claim records", calls=3, faults=2),
    ClaimConfig("redelivered calls", calls=2, faults=2, redelivers=True),
]
#: Minutes: `make test-long` searches these.
COMPLETE: list[AnyConfig] = [
    Config("no faults", (4,), faults=0, resends=2),
    Config("windows of one", (2,), cap=1, faults=4),
    Config("windows of two", (3,), faults=3),
    Config("windows of two", (2,), faults=3, resends=2),
    Config("four messages", (4,), faults=1),
    Config("two conversations", (1, 1), faults=2),
    Config("two conversations", (2, 1), faults=1),
    Config("three workers", (2,), workers=3, faults=2),
    Config("poison", (3,), cap=3, faults=1, poison=1),
    Config("killer", (3,), cap=3, faults=1, killer=1),
    Config("operator", (2,), faults=2, unlocks=1),
    Config("supersede", (3,), cap=3, faults=2, supersede=True),
    Config("supersede", (2,), faults=3, supersede=True, resends=0),
    Config("outbox at_least_once", (1, 0), cap=1, faults=3, outbox=True),
    Config("outbox at_least_once", (2, 0), cap=1, faults=1, outbox=True),
    Config("outbox at_most_once", (1, 0), cap=1, faults=2, outbox=True, at_most_once=True, unlocks=1),
    ClaimConfig("claim records", calls=4, faults=3),
    ClaimConfig("redelivered calls", calls=3, faults=3, redelivers=True),
]

_SMALL = Config(messages=(2,), cap=1)
_PAIR = _SMALL._replace(cap=2)
_OUTBOX = _SMALL._replace(messages=(1, 0), outbox=True, at_most_once=True)
_CLAIMS = ClaimConfig()
_REDELIVERED = ClaimConfig(calls=2, redelivers=True)
#: Each mutation: where it is searched, and what must be found.
MUTATIONS: dict[str, tuple[AnyConfig, str]] = {
    # accepting
    "id_before_append": (_SMALL, "a suppressed duplicate without its original"),
    "append_before_id": (_SMALL, "an item was accepted twice"),
    "open_id_expires": (_SMALL, "an item was accepted twice"),
    "open_state_expires": (_SMALL, "lost, doubled or out of order"),
    "supersede_unfenced": (_PAIR._replace(supersede=True), "settled members that its responder never saw"),
    # publishing
    "take_ignores_turn": (_SMALL, "a lease without its worker"),
    "no_publish_lease": (_SMALL, "stranded"),
    "no_republication": (_SMALL, "stranded"),
    "lapsed_lease_ignored": (_SMALL, "stranded"),
    "handed_over_no_epoch": (_SMALL._replace(faults=3), "handed over, but never published"),
    # running
    "begin_no_epoch": (_SMALL, "a message completed another message's turn"),
    "begin_returns_all": (_PAIR, "settled members that its responder never saw"),
    "begin_keeps_suspicion": (_SMALL._replace(faults=3), "two workers hold one key"),
    "begin_keeps_publication": (_SMALL, "a lease whose end nobody looks at"),
    "steal_live_lease": (_SMALL, "two workers hold one key"),
    "owner_is_message": (_SMALL, "two workers hold one key"),
    "not_reentrant": (_SMALL, "a lease without its worker"),
    "renew_no_owner": (_SMALL, "two workers hold one key"),
    "renew_keeps_suspicion": (_SMALL, "two workers hold one key"),
    "renew_keeps_publication": (_SMALL, "a lease whose end nobody looks at"),
    "no_grace": (_SMALL, "two workers hold one key"),
    "losses_uncounted": (_PAIR._replace(killer=1, faults=0), "stranded"),
    # ending
    "finish_no_owner": (_SMALL, "two workers hold one key"),
    "finish_not_repeatable": (_SMALL, "told 'refused' about a turn it had settled"),
    "two_step_release": (_SMALL, "stranded"),
    "replies_before_finish": (_SMALL, "replies of one turn from two executions"),
    "replies_after_finish": (_SMALL, "replies out of order"),
    "retry_keeps_epoch": (_PAIR, "one turn, two sets of members"),
    "retry_to_the_back": (_PAIR._replace(messages=(3,)), "lost, doubled or out of order"),
    "no_bisection": (_SMALL._replace(messages=(3,), cap=3, poison=1, faults=0), "an innocent item was buried"),
    # operators, and sending at most once
    "unlock_no_cas": (_SMALL._replace(unlocks=1), "two workers hold one key"),
    "unlock_uncounted": (_OUTBOX._replace(unlocks=1), "a reply left twice"),
    "takeover_resends": (_OUTBOX, "a reply left twice"),
    # records
    "one_phase": (_CLAIMS, "suppressed without an original"),
    "pending_suppresses": (_CLAIMS, "suppressed without an original"),
    "steal_pending": (_CLAIMS, "two owners hold one claim"),
    "claim_not_reentrant": (_CLAIMS, "a retry was suppressed as its own duplicate"),
    "settle_before_acting": (_CLAIMS, "suppressed without an original"),
    "settle_no_owner": (_CLAIMS, "the settled record was overwritten or lost inside its window"),
    "release_no_owner": (_CLAIMS, "two owners hold one claim"),
    "never_settles": (_CLAIMS, "two effects without a fault"),
    "claim_no_grace": (_REDELIVERED, "two owners hold one claim"),
    "suspects_other_calls": (_REDELIVERED, "two owners hold one claim"),
    "suspects_the_settled": (_REDELIVERED, "the settled record was overwritten or lost inside its window"),
}
#: Guards that are dropped without harm. `finish` asks for the epoch although its owner already implies it.
IMPLIED: dict[str, AnyConfig] = {"finish_no_epoch": _SMALL}

#: Where the model has each verb that `chatbot/stores/lua` has a script for.
MODELLED = {
    "offer": mailboxes.offer,
    "take_due": mailboxes.take_due,
    "handed_over": mailboxes.handed_over,
    "begin": mailboxes.begin,
    "renew": mailboxes.renew,
    "finish": mailboxes.finish,
    "unlock": mailboxes.unlock,
    "claim": records._claim,
    "settle": records._settle,
    "release": records._act,
}
#: Verbs and shared parts that the model does not have, and why. It knows order and ownership, and neither durations
#: nor sizes nor times to live.
OUTSIDE = {
    "replay": "an operator offers what is completed once more: what follows is what follows an `offer`",
    "forget": "erases what the invariants are about",
    "mend": "puts back what only damage from outside takes away: in the model `due` is never lost",
    "prune_dead": "drops what is completed",
    "inspect": "reads only",
    "survey": "reads only",
    "remember": "histories have neither order nor ownership among turns",
    "omit": "as `remember`",
    "wake": "only tells a pump to look: in the model a pump may look at any time",
    "trace": "reads only",
    "graves": "reads only",
    "drop": "drops what is completed",
    "note": "the journal is best effort, and no verb reads it",
    "journal": "as `note`",
    "tail": "as `note`",
}


def mutant(bug: str) -> AnyConfig:
    """Return the configuration in which a mutation is searched."""
    config = IMPLIED[bug] if bug in IMPLIED else MUTATIONS[bug][0]
    return config._replace(bug=bug)


def searched(c: AnyConfig) -> Report:
    """Search a configuration."""
    if isinstance(c, ClaimConfig):
        return search(
            Model(
                start=records.start(c),
                steps=lambda s: records.steps(s, c),
                broken=lambda s: records.broken(s, c),
                goal=lambda s: records.goal(s, c),
                canonical=lambda s: s,
            )
        )
    return search(
        Model(
            start=properties.start(c),
            steps=lambda s: system.steps(s, c),
            broken=lambda s: properties.broken(s, c),
            goal=lambda s: properties.goal(s, c),
            canonical=properties.canonical,
        )
    )
