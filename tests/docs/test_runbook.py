"""The runbook knows every alert and every check of the doctor, and alerts lead to it."""

from __future__ import annotations

import re
from itertools import chain

from chatbot.operations.doctor.diagnosis import CHECKS
from tests.docs.markdown import DOCS, ROOT

RUNBOOK = (DOCS / "runbook.md").read_text()
RULES = (ROOT / "docker" / "prometheus" / "alerts.yml").read_text()
ALERTS = {part.partition("\n")[0].strip(): part for part in RULES.split("- alert:")[1:]}
SECTIONS = dict(re.findall(r"^### (Chatbot\w+)\n(.*?)(?=^##|\Z)", RUNBOOK, re.MULTILINE | re.DOTALL))


def test_every_alert_has_its_section_and_every_section_its_alert() -> None:
    assert list(SECTIONS) == list(ALERTS)


def test_a_section_says_what_it_means_how_to_check_and_how_to_cure() -> None:
    for name, text in SECTIONS.items():
        assert re.findall(r"^\*\*(\w+)\*\*:", text, re.MULTILINE) == ["Meaning", "Check", "Cure"], name
        check = text.partition("**Check**")[2].partition("**Cure**")[0]
        assert re.search(r"^```sh$", check, re.MULTILINE), f"{name} has no command to check with"


def test_every_alert_leads_to_its_section() -> None:
    for name, rule in ALERTS.items():
        assert re.findall(r'^ +runbook_url: "(.*)"$', rule, re.MULTILINE) == [f"docs/runbook.md#{name.lower()}"]


def test_every_check_of_the_doctor_has_a_row() -> None:
    table = RUNBOOK.partition("## What doctor finds")[2]
    told = re.findall(r"^\| ([a-z ]+) \| ", table, re.MULTILINE)[1:]
    made = {check.__name__.replace("_", " ") for check in chain.from_iterable(CHECKS.values())}
    assert set(told) == made
    assert len(told) == len(set(told))
