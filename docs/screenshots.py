"""Makes docs/images: pictures of the pages of a `chatbot dev` in which people are chatting.

.venv/bin/python -m docs.screenshots [--seconds 285] [--into docs/images]
"""

from __future__ import annotations

import argparse
import base64
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from chatbot.bench.waiting import wait_until
from docs.flower_shop import DEAD, chatting, serving
from tests.browser.chromium import Browser, chromium

IMAGES = Path(__file__).parent / "images"
#: The message whose story is told: it came twice.
TOLD = "ana-4"


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """How large a picture is, in pixels, and whether it is one by night."""

    width: int = 1200
    height: int = 800
    scheme: str = "light"


PICTURES = {
    "operations": Screen(height=1260),
    "operations-phone": Screen(width=390, height=844, scheme="dark"),
    "dead-letters": Screen(height=600),
    "dead-letter": Screen(height=1180),
    "story": Screen(height=900),
    "playground": Screen(width=1000, height=860),
    "dashboard": Screen(height=380),
}


def main() -> None:
    """Run the service, let people chat, and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=285, help="how long people chat before: charts show 300 s")
    parser.add_argument("--into", type=Path, default=IMAGES)
    given = parser.parse_args()
    given.into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as url, chromium() as browser:
        browser.home = url
        browser.driver.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
        with chatting(url):
            story(browser, given.into)
            time.sleep(given.seconds)
            operations(browser, given.into)
        playground(browser, given.into)
        dead_letters(browser, given.into)


def operations(browser: Browser, into: Path) -> None:
    """Take what goes on while it does."""

    def is_busy() -> bool:
        windows, turns, *_ = (int(number) for number in browser.texts("[data-key=open] .tally"))
        return windows >= 2 and turns >= 1 and browser.texts("#to-dead .value") == [str(len(DEAD))]

    for name in ("operations", "operations-phone"):
        look(browser, name, "/")
        wait_until(is_busy, 60, "it is never busy")
        take(browser, name, into)
    look(browser, "dashboard", "/dashboard/")
    take(browser, "dashboard", into)


def story(browser: Browser, into: Path) -> None:
    """Take what became of a message, as soon as it is answered."""

    def is_told() -> bool:
        look(browser, "story", "/conversations")
        browser.type("#sought", TOLD)
        browser.press("Find")
        wait_until(lambda: browser.all(".timeline, [role=alert]"))
        return "completed" in browser.texts(".verdict .badge")

    look(browser, "story", "/conversations")
    unmask(browser)
    wait_until(is_told, 60, interval=0.5)
    take(browser, "story", into)
    browser.press("Mask")
    wait_until(lambda: "Personal data is shown" not in browser.text())


def unmask(browser: Browser) -> None:
    """Show names and texts."""
    browser.press("Unmask")
    browser.sees("Personal data is shown")


def dead_letters(browser: Browser, into: Path) -> None:
    """Take the dead letters, and one of them."""
    look(browser, "dead-letters", "/dead-letters")
    browser.all("[name=id]")[0].click()
    take(browser, "dead-letters", into)
    unmask(browser)
    browser.follow("Permanent")
    wait_until(lambda: browser.all(".traceback"))
    look(browser, "dead-letter", browser.path)
    browser.script("document.querySelector('.traceback').scrollTop = 1e6")
    take(browser, "dead-letter", into)


def playground(browser: Browser, into: Path) -> None:
    """Take a chat in which a burst was answered, and the next one is being typed."""
    look(browser, "playground", "/playground")
    browser.press("Send burst")
    wait_until(lambda: browser.all(".bubble.theirs"), 30)
    browser.type("#text", "Thank you!\n")
    browser.sees("Thank you!")
    browser.press("Resend last")
    wait_until(lambda: browser.all(".suppressed .bubble") and browser.all(".window .bubble"))
    take(browser, "playground", into)


def look(browser: Browser, name: str, path: str) -> None:
    """Open a page as its picture shows it."""
    screen = PICTURES[name]
    browser.resize(screen.width, screen.height)
    browser.prefer(color_scheme=screen.scheme, reduced_motion="reduce")
    browser.open(path)


def take(browser: Browser, name: str, into: Path) -> None:
    """Write the picture of what is seen now."""
    # Half as large as a PNG, and text is still sharp.
    picture = browser.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "webp", "quality": 90})
    (into / f"{name}.webp").write_bytes(base64.b64decode(picture["data"]))


if __name__ == "__main__":
    main()
