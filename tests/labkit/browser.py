"""Debian's Chromium without a screen."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from contextlib import contextmanager

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

CHROMIUM = pathlib.Path("/usr/bin/chromium")
DRIVER = pathlib.Path("/usr/bin/chromedriver")
PATIENCE = 60  # seconds for one page: a first page compiles Horizon's templates

# Alone with the page it is sent to: no profile, no updates, no calls home.
FLAGS = (
    "--headless",
    "--no-sandbox",  # Chromium's own sandbox refuses to work for root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    "--window-size=1400,900",
)


@contextmanager
def chromium(profile: pathlib.Path) -> Iterator[webdriver.Chrome]:
    """A browser with the empty directory ``profile`` as its home."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "SEVERE"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    driver.set_page_load_timeout(PATIENCE)
    driver.set_script_timeout(PATIENCE)
    try:
        yield driver
    finally:
        driver.quit()


def complaints(page: webdriver.Chrome) -> list[str]:
    """What Chromium could not load or run since it was asked last: a font, a picture, a script.

    Fonts come after the page: they are waited for.
    """
    page.execute_async_script("const done = arguments[0]; document.fonts.ready.then(() => done())")
    return [str(entry["message"]) for entry in page.get_log("browser")]  # type: ignore[no-untyped-call]
