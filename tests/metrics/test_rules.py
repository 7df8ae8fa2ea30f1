"""The files for Prometheus and Grafana fit each other and what is exposed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from chatbot.metrics.catalog import CATALOG

DOCKER = Path(__file__).parent.parent.parent / "docker"
ALERTS = DOCKER / "prometheus" / "alerts.yml"
DASHBOARD = DOCKER / "grafana" / "dashboards" / "chatbot.json"


def samples() -> dict[str, set[str]]:
    """Return the names of all series, with their labels."""
    found: dict[str, set[str]] = {}
    for metric in CATALOG:
        labels = set(metric.labels)
        if metric.kind == "histogram":
            parts = {"_bucket": labels | {"le"}, "_sum": labels, "_count": labels}
            found |= {metric.name + part: names for part, names in parts.items()}
        else:
            found[metric.name] = labels
    return found


def unknown(expression: str) -> set[str]:
    """Return the series that an expression names and nobody exposes, and the labels by which it selects or groups that
    none of its series has."""
    known = samples()
    named = set(re.findall(r"\bchatbot_\w+", expression))
    labels = set(re.findall(r"[{,]\s*(\w+)\s*(?:=|!=|=~|!~)", expression))
    for group in re.findall(r"\bby\s*\(([^)]*)\)", expression):
        labels |= {label.strip() for label in group.split(",")}
    available = set().union(*(known.get(name, set()) for name in named))
    return (named - known.keys()) | (labels - available)


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    tool = shutil.which("promtool")
    if tool is None:
        pytest.fail("promtool is missing: tests/install-servers.sh installs it", pytrace=False)
    return subprocess.run([tool, *arguments], capture_output=True, text=True, timeout=60, cwd=ALERTS.parent)


def alerts() -> list[str]:
    text = ALERTS.read_text()
    return [part.strip() for part in text.split("- alert:")[1:]]


def expression(alert: str) -> str:
    found = re.search(r"expr:\s*(?:>-)?(.*?)\n\s+(?:for|labels):", alert, re.S)
    assert found, alert
    return found[1]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def test_prometheus_takes_the_rules_and_what_to_scrape() -> None:
    for arguments in (("check", "rules", "alerts.yml"), ("check", "config", "prometheus.yml")):
        done = promtool(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_fire_when_they_should_and_only_then() -> None:
    done = promtool("test", "rules", "alerts_test.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_at_least_three_alerts_are_tried() -> None:
    tried = (ALERTS.parent / "alerts_test.yml").read_text().split("exp_alerts")[:-1]
    assert len({re.findall(r"alertname: (\w+)", part)[-1] for part in tried}) >= 3


def test_alerts_ask_for_what_is_exposed() -> None:
    assert len(alerts()) >= 10
    for alert in alerts():
        asked = expression(alert)
        if "up{job" not in asked:  # Prometheus' own
            assert "chatbot_" in asked
            assert not unknown(asked), alert


def test_every_panel_asks_for_what_is_exposed() -> None:
    asked = [target["expr"] for panel in panels() for target in panel.get("targets", ())]
    assert len(asked) > 20
    for question in asked:
        assert "chatbot_" in question
        assert not unknown(question), question


def test_every_metric_is_on_the_dashboard() -> None:
    shown = " ".join(target["expr"] for panel in panels() for target in panel.get("targets", ()))
    assert [metric.name for metric in CATALOG if metric.name not in shown] == []


def test_no_panel_hides_another() -> None:
    places: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & places, panel["title"]
        assert max(x for x, _ in cells) < 24
        places |= cells
    assert len({panel["id"] for panel in panels()}) == len(panels())


def test_a_wrong_name_would_be_found() -> None:
    assert unknown("rate(chatbot_turn_total[5m])") == {"chatbot_turn_total"}
    assert unknown('sum by (queue) (rate(chatbot_turns_total{conversation="x"}[5m]))') == {"queue", "conversation"}
