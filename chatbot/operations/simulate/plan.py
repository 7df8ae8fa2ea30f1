"""What is played: who says what, and how the provider delivers it. The same seed makes the same plan."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from chatbot.errors import ConfigurationError

_GREETINGS = ("hi", "hello", "good morning", "hey there")
_LINES = (
    "are you there?", "I have a question", "about my order", "the blue one", "it has not arrived", "can you help me?",
    "the number is 4711", "ordered last week", "two lamps and a table", "the lamps are here", "the table is not",
    "no mail about it either", "I am at home until five", "or tomorrow", "the bell is broken", "please call first",
    "one more thing", "can I still change the colour?", "red would be nice", "or green", "whatever is quicker",
    "sorry for all these messages", "thanks!",
)  # fmt: skip
#: Further deliveries of a message: most people's messages arrive once, or twice.
_EXTRA = (0, 1, 1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One POST of one message, by its number in the conversation. A late one comes after the burst was answered."""

    message: int
    repeat: bool = False
    late: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """Messages that are typed without a pause, by their numbers, and their deliveries in order, late ones last."""

    texts: dict[int, str]
    deliveries: tuple[Delivery, ...]

    @property
    def prompt(self) -> list[Delivery]:
        """What is delivered while people type."""
        return [delivery for delivery in self.deliveries if not delivery.late]

    @property
    def late(self) -> list[Delivery]:
        """What the provider sends again after the reply."""
        return [delivery for delivery in self.deliveries if delivery.late]


#: The bursts of each conversation.
Plan = tuple[tuple[Burst, ...], ...]


def make(*, conversations: int, messages: int, bursts: int, seed: int) -> Plan:
    """Return a plan: each message is delivered one to three times, some of them out of order, one or more late."""
    dice = random.Random(seed)
    return tuple(_conversation(dice, messages, bursts) for _ in range(conversations))


def crowd(plan: Plan, *, rate: float, wait: float, max_wait: float) -> int:
    """Return how many people can type at once at `rate` deliveries/s, so that each burst stays together: new messages
    well within the service's quiet time, a burst within its longest one (s). Raises ConfigurationError for nobody."""
    bursts = [burst for conversation in plan for burst in conversation]
    apart = max(_widest(burst) for burst in bursts) / (wait / 2)
    whole = max(len(burst.prompt) for burst in bursts) / (max_wait * 0.8)
    needed = max(apart, whole)
    if rate < needed:
        raise ConfigurationError(
            f"--rate {rate:g} is too slow: a burst would not stay within the service's quiet time of {wait:g} s and "
            f"its longest of {max_wait:g} s; give at least --rate {math.ceil(needed)}, or fewer --messages"
        )
    # Half of what the rate allows: services and networks are not always as quick as we are.
    return max(1, int(rate / needed / 2))


def _conversation(dice: random.Random, messages: int, bursts: int) -> tuple[Burst, ...]:
    texts = dict(enumerate(itertools.islice(_talk(dice), messages * bursts), start=1))
    numbers = [range(first, first + messages) for first in range(1, messages * bursts + 1, messages)]
    return tuple(
        Burst(texts={number: texts[number] for number in own}, deliveries=tuple(_deliveries(dice, own)))
        for own in numbers
    )


def _talk(dice: random.Random) -> itertools.chain[str]:
    """Return lines without end, none of them twice: a line that comes back tells which message it was."""
    lines = dice.sample(_LINES, len(_LINES))
    again = (f"{line} (again, {time})" for time in itertools.count(2) for line in lines)
    return itertools.chain([dice.choice(_GREETINGS)], lines, again)


def _deliveries(dice: random.Random, numbers: Sequence[int]) -> list[Delivery]:
    prompt, late = [Delivery(message=number) for number in numbers], [dice.choice(numbers)]
    for number in numbers:
        for _ in range(max(0, dice.choice(_EXTRA) - late.count(number))):
            if dice.random() < 0.2:
                late.append(number)
                continue
            first = prompt.index(Delivery(message=number))
            prompt.insert(dice.randint(first + 1, len(prompt)), Delivery(message=number, repeat=True))
    dice.shuffle(late)
    return prompt + [Delivery(message=number, repeat=True, late=True) for number in late]


def _widest(burst: Burst) -> int:
    """Return the most deliveries from one new message to the next."""
    places = [place for place, delivery in enumerate(burst.prompt) if not delivery.repeat]
    return max((after - before for before, after in itertools.pairwise(places)), default=1)
