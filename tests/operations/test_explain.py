"""`explain` tells a message's whole story, by facts of the ledger first, and by the journal as far as it goes."""

from __future__ import annotations

from typing import Literal

import pytest
from msgspec.structs import replace

from chatbot.errors import Permanent
from chatbot.middleware import Deduplicated, declare, events
from chatbot.operations.conversations import NotFound
from chatbot.operations.explain import Story, explain
from chatbot.operations.explain_words import words
from tests.operations.house import House, message
from tests.waiting import wait_until


def story(house: House, message_id: str, conversation: str | None = None, *, show_text: bool = False) -> Story:
    (only,) = explain(house.service, message_id, conversation, show_text=show_text)
    return only


def forget_journal(house: House, *conversations: str) -> None:
    for conversation in conversations:
        events.erase(house.service.store, f"generic::{conversation}")


def said(told: Story, *phrases: str) -> bool:
    """Say whether the lines hold these phrases, in this order."""
    texts = iter(line.text for line in told.lines)
    return all(any(phrase in text for text in texts) for phrase in phrases)


def test_a_completed_message_tells_every_step_from_acceptance_to_reply(house: House) -> None:
    house.run("c1", "m1", "m2")
    told = story(house, "m1")
    assert (told.conversation, told.verdict, told.journal) == ("generic::c1", "completed", "complete")
    assert said(told, "accepted into the window", "was formed", "attempt began on", "settled, with 2")
    assert said(told, "reply 0: ", "settled", "reply 1: ", "settled")
    # A worker may be done with a turn before the pump says that the broker has it.
    wait_until(lambda: said(story(house, "m1"), "was formed", "handed to the broker"))
    assert [reply.state for reply in told.replies] == ["sent", "sent"]
    assert told.replies[0].reply == f"{told.turn_id}:0"
    assert [line.at for line in told.lines] == sorted(line.at for line in told.lines)


def test_a_duplicate_is_told_and_counted_with_its_original(house: House) -> None:
    house.admit("c1", "m1")
    assert house.admit("c1", "m1") == ["duplicate"]
    house.work()
    house.idle("c1")
    house.admit("c1", "m1")
    house.service.journal.flush()
    told = story(house, "m1")
    assert told.duplicates == 2
    assert said(told, "its original was open", f"turn {told.epoch} had settled it")
    assert "It came 3 times, and was taken once." in words(told)


def test_a_waiting_message_tells_its_place_and_when_its_window_closes(house: House) -> None:
    house.admit("c1", "m1", "m2")
    told = story(house, "m2", "generic:c1")
    assert told.verdict == "waiting in the window"
    assert said(told, "it is number 2 of the open window", "the window closes in")


def test_a_failed_attempt_tells_worker_and_error_and_that_another_one_follows(house: House) -> None:
    house.run("flaky1", "m1")
    told = story(house, "m1")
    assert said(told, "attempt began on", "(Transient)", "attempt began on", "settled")


def test_a_dead_letter_says_so(house: House) -> None:
    house.run("bad1", "m1")
    told = story(house, "m1")
    assert told.verdict == "a dead letter"
    assert said(told, "given up: it is a dead letter (Permanent)")


def test_a_reply_that_cannot_be_sent_says_so(house: House) -> None:
    house.run("unreachable1", "m1")
    told = story(house, "m1")
    assert [reply.state for reply in told.replies] == ["buried"]
    assert said(told, "reply 0: ", "given up")


def test_a_lease_that_was_lost_after_its_turn_was_settled_is_another_turns(house: House) -> None:
    house.run("c1", "m1")
    house.service.journal.flush()
    house.service.journal.lease_lost("process_turn/generic::c1")
    house.service.journal.flush()
    assert "lost its lease" not in words(story(house, "m1"))


def test_without_the_journal_the_ledger_still_tells_what_holds(house: House) -> None:
    house.run("c1", "m1")
    house.run("bad1", "m2")
    house.admit("c1", "m3")
    house.service.journal.flush()
    house.idle("c1")
    forget_journal(house, "c1", "bad1")
    told = story(house, "m1", "generic:c1")
    assert (told.verdict, told.journal) == ("completed", "expired")
    assert said(told, "was formed")
    assert "The journal has nothing on it" in words(told)
    assert story(house, "m2", "generic:bad1").verdict == "a dead letter"
    assert story(house, "generic::c1:m1").verdict == "completed"


def test_the_same_id_in_two_conversations_is_two_stories(house: House) -> None:
    house.admit("c1", "m1")
    house.admit("c2", "m1")
    house.service.journal.flush()
    assert [told.conversation for told in explain(house.service, "m1")] == ["generic::c1", "generic::c2"]
    assert story(house, "m1", "generic:c2").conversation == "generic::c2"


def test_text_is_shown_only_if_asked_for(house: House) -> None:
    house.run("bad1", "m1")
    hidden = words(story(house, "m1"))
    assert "secret" not in hidden
    shown = words(story(house, "m1", show_text=True))
    assert "text: secret of m1" in shown
    assert "cannot answer ['secret of m1']" in shown


def test_the_message_id_that_a_worker_logs_tells_the_story_of_its_turn(house: House) -> None:
    house.run("c1", "m1")
    (began,) = [
        one.event
        for one in events.happened(house.service.store, subject="generic::c1")
        if one.event.what == "began" and one.event.key.startswith("process_turn/")
    ]
    told = story(house, began.message_id)
    assert told.verdict == "the claim check of a turn of process_turn/generic::c1, which is settled"
    assert told.turn_id == began.turn_id


def test_the_message_id_of_a_sender_tells_the_story_of_its_item(house: House) -> None:
    (sent,) = house.service.broker.enqueue_many([house.call("c1", "m1")])
    house.service.journal.flush()
    told = story(house, sent.message_id)
    assert told.item_id == "generic::c1:m1"


@pytest.mark.parametrize("conversation", [None, "generic:c1"])
def test_an_unknown_message_is_not_found_and_the_cure_is_named(house: House, conversation: str | None) -> None:
    house.admit("c1", "m1")
    with pytest.raises(NotFound, match=r"nothing is known of the message 'm9'.*--conversation"):
        explain(house.service, "m9", conversation)


def test_an_unknown_conversation_is_not_found_and_the_cure_is_named(house: House) -> None:
    with pytest.raises(NotFound, match=r"nothing is known of the conversation 'generic:none'.*CHATBOT_STORE_URL"):
        explain(house.service, "m1", "generic:none")


def test_the_name_of_a_conversation_is_no_message_id(house: House) -> None:
    house.admit("c1", "m1")
    house.service.journal.flush()
    with pytest.raises(NotFound):
        explain(house.service, "c1")


def test_an_id_with_a_colon_is_found(house: House) -> None:
    house.admit("c1", "m:1%")
    house.service.journal.flush()
    assert story(house, "m:1%").item_id == story(house, "m:1%", "generic:c1").item_id == "generic::c1:m%3A1%25"


# --- calls of other actors ---
def test_a_suppressed_call_of_another_actor_names_the_one_that_it_repeats(house: House) -> None:
    def ping(number: int) -> None:
        pass

    actor = declare(house.service.broker, ping, deduplicated=Deduplicated(window=60_000))
    first, second = actor.send(1), actor.send(1)
    house.service.journal.flush()
    told = story(house, second.message_id)
    assert said(told, f"{second.message_id} was suppressed as deduplicated: it repeats {first.message_id}")
    assert said(story(house, first.message_id), "was enqueued", "was suppressed")


def test_a_dead_letter_of_another_actor_is_told_without_the_journal(house: House) -> None:
    def fail() -> None:
        raise Permanent("no")

    sent = declare(house.service.broker, fail).send()
    house.work()
    wait_until(lambda: house.dead_letters.letters())
    told = story(house, sent.message_id)
    assert told.verdict == "a dead letter"
    assert said(told, f"chatbot dead show {sent.message_id}")


# --- messages that start no turn of their own ---
def change(house: House, kind: Literal["edit", "delete"], message_id: str, of: str) -> list[str]:
    """Let an edit or a deletion of a message of c1 come; return what became of it."""
    text = "other words" if kind == "edit" else None
    return house.service.admit([replace(message("c1", message_id), kind=kind, target_id=of, text=text)])


def told_of(house: House, message_id: str) -> Story:
    house.service.journal.flush()
    return story(house, message_id)


def test_an_edit_and_the_message_whose_place_it_took_name_each_other(house: House) -> None:
    house.admit("c1", "m1")
    assert change(house, "edit", "e1", "m1") == ["amended"]
    told = told_of(house, "e1")
    assert (told.verdict, told.related) == ("an edit of m1, which still waited", "m1")
    assert said(told, "has taken its place")
    assert said(told_of(house, "m1"), "accepted into the window", "an edit has taken its place in the window")


def test_a_withdrawn_message_and_its_deletion_name_each_other(house: House) -> None:
    house.admit("c1", "m1", "m2")
    assert change(house, "delete", "d1", "m1") == ["withdrawn"]
    assert told_of(house, "d1").verdict == "a deletion of m1, which still waited"
    told = told_of(house, "m1")
    assert (told.verdict, told.related) == ("withdrawn by d1 before its turn: nobody is asked about it", "d1")
    assert said(told, "accepted into the window", "a deletion has taken it out")


def test_a_deletion_that_came_too_late_says_that_it_was_ignored(house: House) -> None:
    house.run("c1", "m1")
    assert change(house, "delete", "d1", "m1") == ["late"]
    assert told_of(house, "d1").verdict == "a deletion of m1, which came too late and was ignored"
    told = told_of(house, "m1")
    assert told.verdict == "completed"
    assert said(told, "settled, with 1", "a deletion came too late, and was ignored")


def test_an_edit_that_came_too_late_is_a_message_of_its_own(house: House) -> None:
    house.run("c1", "m1")
    assert change(house, "edit", "e1", "m1") == ["absorbed"]
    assert said(told_of(house, "m1"), "settled", "it is a message of its own")
    house.idle("c1")
    assert told_of(house, "e1").verdict == "completed"


def test_an_edit_that_came_again_is_no_duplicate_of_its_message(house: House) -> None:
    house.admit("c1", "m1")
    change(house, "edit", "e1", "m1")
    assert change(house, "edit", "e1", "m1") == ["duplicate"]
    edit, edited = told_of(house, "e1"), told_of(house, "m1")
    assert (edit.duplicates, edited.duplicates) == (1, 0)
    assert said(edit, "came again, and was suppressed: it was made before")
    assert said(edited, "came again, and was suppressed")


def test_without_the_journal_a_withdrawn_message_is_told_as_far_as_the_ledger_knows_it(house: House) -> None:
    house.admit("c1", "m1", "m2")
    change(house, "delete", "d1", "m1")
    house.service.journal.flush()
    forget_journal(house, "c1")
    assert story(house, "m1", "generic:c1").verdict == "withdrawn, or an edit of another message"


def test_what_arrives_during_a_turn_waits_behind_it(house: House) -> None:
    house.admit_at_once("c1", "m1")
    house.service.store.take_due(10, 5_000, 30_000)
    house.admit("c1", "m2")
    told = told_of(house, "m2")
    assert told.verdict == "waiting behind the turn before it"
    assert said(told, "it is number 1 behind the turn")


def test_a_message_that_was_too_much_says_that_it_was_refused(house: House) -> None:
    policy = {"wait": 1_000, "max_wait": 1_000, "max_buffered": 1}
    actor = house.service.actors.process_turn
    calls = [actor.message_with_options(args=(message("c1", name),), debounced=policy) for name in ("m1", "m2")]
    assert [one.options["outcome"] for one in house.service.broker.enqueue_many(calls)] == ["absorbed", "overflow"]
    assert told_of(house, "m2").verdict == "refused, as too much waited: its sender was asked to send it again"
