"""Reading what is exposed, as Prometheus does."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families


class Numbers:
    """The samples of one exposition: `numbers("chatbot_turns_total", outcome="settled")` sums those that match."""

    def __init__(self, text: str) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self.samples = [sample for family in self.families.values() for sample in family.samples]

    def __call__(self, sample: str, **labels: str) -> float:
        found = [s.value for s in self.samples if s.name == sample and labels.items() <= s.labels.items()]
        return sum(found)

    def has(self, sample: str, **labels: str) -> bool:
        """Say whether there is such a sample, whatever its value."""
        return any(s.name == sample and labels.items() <= s.labels.items() for s in self.samples)
