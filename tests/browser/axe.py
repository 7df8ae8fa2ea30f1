"""axe-core in a page: which rules of accessibility it breaks, those of WCAG 2.1 A and AA among them.

The browser's driver runs it, as no script of a page may: its Content-Security-Policy stays as it is.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from tests.browser.chromium import Browser

_RUN = "return axe.run({ resultTypes: ['violations'] }).then((found) => found.violations)"


@cache
def _source() -> str:
    # The package is for Playwright, but the script is for any browser.
    return (files("axe_playwright_python") / "axe.min.js").read_text()


def violations(browser: Browser) -> list[str]:
    """Return what is wrong with the page that is open: where, which rule it breaks, and with what."""
    if not browser.script("return 'axe' in window"):
        browser.script(_source())
    return [
        f"{browser.path}: {rule['id']}: {node['html'][:200]}: {' '.join(node['failureSummary'].split())}"
        for rule in browser.script(_RUN)
        for node in rule["nodes"]
    ]
