"""A real browser: Debian's chromium, headless, through chromedriver."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from selenium.webdriver import ActionChains, Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from tests.servers import MissingServerError
from tests.waiting import wait_until

#: Widths of a desktop and of a phone, with a height.
DESKTOP, PHONE = (1280, 900), (390, 844)
_CURE = "`make test` installs it on Debian and Ubuntu"

_BUTTONS = """
    const [label, row] = arguments;
    const isThere = (one) => !row || one.closest("tr, li").innerText.includes(row);
    return [...document.querySelectorAll("button")].filter((one) => one.innerText.trim() === label && isThere(one));
"""


def _found(*names: str) -> str:
    for name in names:
        if path := shutil.which(name):
            return path
    raise MissingServerError(f"{names[0]} is missing: {_CURE}")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a browser with a profile of its own. Raises MissingServerError."""
    options = ChromeOptions()
    options.binary_location = _found("chromium", "chromium-browser", "google-chrome")
    for argument in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--force-device-scale-factor=1"):
        options.add_argument(argument)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options, ChromeService(_found("chromedriver")))
    try:
        yield Browser(driver)
    finally:
        driver.quit()


class Browser:
    """What people do with a browser, in a few words."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver
        self.home = ""
        self.resize(*DESKTOP)

    def resize(self, width: int, height: int) -> None:
        """Take the screen of a phone or of a desktop."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def prefer(self, **wishes: str) -> None:
        """Ask pages for something, such as `color_scheme="dark"`; for nothing else, or for nothing at all."""
        features = [{"name": f"prefers-{wish.replace('_', '-')}", "value": value} for wish, value in wishes.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def come_from_elsewhere(self) -> None:
        """Look like somebody for whom a proxy speaks, and no longer like somebody at this machine."""
        self._send({"x-forwarded-for": "203.0.113.7"})

    def forget(self) -> None:
        """Be nobody again, from nowhere."""
        self.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
        self._send({})

    def _send(self, headers: dict[str, str]) -> None:
        self.driver.execute_cdp_cmd("Network.enable", {})
        self.driver.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": headers})

    def log_in(self, password: str) -> None:
        """Log in, on the page of the login."""
        self.type("[name=user]", "admin")
        self.type("[name=password]", password)
        self.script("document.querySelector('main form button').click()")

    def open(self, path: str) -> None:
        """Go to a page of the deployment."""
        self.driver.get(self.home + path)

    @property
    def path(self) -> str:
        """Where we are."""
        return self.driver.current_url.removeprefix(self.home)

    # --- looking ---
    def all(self, selector: str) -> list[WebElement]:
        """Return the elements that are there now."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """Return what these elements say now, in one step: a live page changes between two."""
        script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.innerText.trim())"
        return list(self.driver.execute_script(script, selector))

    def text(self) -> str:
        """Return what the page says."""
        return str(self.driver.execute_script("return document.body.innerText"))

    def sees(self, text: str, timeout: float = 10.0) -> None:
        """Wait until the page says something."""
        wait_until(lambda: text in self.text(), timeout, f"{text!r} is not on the page {self.path}", interval=0.05)

    # --- doing ---
    def type(self, selector: str, text: str) -> None:
        """Type into a field."""
        (field,) = self.all(selector)
        field.clear()
        field.send_keys(text)

    def press(self, label: str, row: str = "") -> None:
        """Press the one button with this label, if given the one in the row in which a text stands."""
        (button,) = wait_until(lambda: self.script(_BUTTONS, label, row), message=f"there is no button {label!r}")
        button.click()

    def tabbed(self, times: int) -> list[str]:
        """Press Tab so many times; return what each led to."""
        reached = []
        for _ in range(times):
            ActionChains(self.driver).send_keys(Keys.TAB).perform()
            reached.append(str(self.script("return document.activeElement.innerText.trim()")))
        return reached

    def keys(self, *keys: str) -> None:
        """Press keys, wherever the focus is."""
        ActionChains(self.driver).send_keys(*keys).perform()

    def tab_to(self, label: str, most: int = 60) -> None:
        """Press Tab until something with this label has the focus, and shows that it has."""
        for _ in range(most):
            self.keys(Keys.TAB)
            if self.script("return document.activeElement.innerText.trim()") == label:
                ring = self.script("return getComputedStyle(document.activeElement).outlineStyle")
                assert ring != "none", f"nobody sees that {label!r} has the focus"
                return
        raise AssertionError(f"Tab does not lead to {label!r}")

    def follow(self, label: str) -> None:
        """Follow the first link with this label."""
        self.driver.find_element(By.LINK_TEXT, label).click()

    def script(self, source: str, *arguments: Any) -> Any:
        """Run a script in the page."""
        return self.driver.execute_script(source, *arguments)

    def complaints(self) -> list[str]:
        """Return what the browser's console has said since the last time: errors, and what the CSP forbade."""
        log: Any = self.driver.execute("getLog", {"type": "browser"})["value"]
        return [str(entry["message"]) for entry in log if entry["level"] != "INFO"]

    def leave(self) -> list[str]:
        """Go to an empty page, whose streams end with that, and return what was complained about."""
        found = self.complaints()
        self.driver.get("about:blank")
        return found
