"""The dashboard, in a browser, through the public address."""

from __future__ import annotations

import pathlib
import platform

import pytest
from labkit import apis, browser, commands
from selenium.webdriver.common.by import By
from selenium.webdriver.support import expected_conditions as until
from selenium.webdriver.support.ui import WebDriverWait

pytestmark = pytest.mark.lab


def test_an_administrator_logs_in_and_sees_the_instances(
    deployed: None, tmp_path: pathlib.Path
) -> None:
    if not browser.DRIVER.exists() and platform.freedesktop_os_release()["ID"] != "debian":
        pytest.skip("this system has no Chromium that lab/install --tests could install")
    horizon = f"http://{apis.vip()}/horizon"
    picture = commands.RESULTS / "horizon.png"
    commands.RESULTS.mkdir(parents=True, exist_ok=True)
    with browser.chromium(tmp_path) as page:
        wait = WebDriverWait(page, browser.PATIENCE)
        try:
            page.get(f"http://{apis.vip()}/")
            wait.until(until.element_to_be_clickable((By.ID, "loginBtn")))
            page.find_element(By.ID, "id_username").send_keys("admin")
            page.find_element(By.ID, "id_password").send_keys(apis.password())
            page.find_element(By.ID, "loginBtn").click()
            wait.until_not(until.url_contains("/auth/login"))

            page.get(f"{horizon}/project/instances/")
            wait.until(until.visibility_of_element_located((By.ID, "instances")))
            assert "/project/instances" in page.current_url
            assert "Instances" in page.title
            assert "admin" in page.find_element(By.CLASS_NAME, "user-name").text
            assert not page.find_elements(By.CSS_SELECTOR, ".alert-danger"), "it shows an error"
            assert browser.complaints(page) == []
        finally:
            page.save_screenshot(str(picture))
    assert picture.stat().st_size > 0
