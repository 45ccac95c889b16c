"""A page as people see it: in either scheme, on a desk and on a telephone, by keyboard alone, without telling colours apart."""

from __future__ import annotations

from browser import Browser
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement


def assert_fit(browser: Browser) -> None:
    """Nothing keeps anybody out, and nothing sticks out."""
    assert browser.barriers() == []
    across = browser.execute_script("return document.scrollingElement.scrollWidth - innerWidth")
    assert across <= 0, f"{browser.current_url} sticks out by {across}"
    assert browser.complaints() == []


def reached(browser: Browser) -> list[WebElement]:
    """What Tab comes to, from the top of the page to its end. Each shows that it has the focus."""
    browser.execute_script("document.activeElement.blur(); getSelection().removeAllRanges()")
    met: list[WebElement] = []
    while True:
        ActionChains(browser).send_keys(Keys.TAB).perform()
        current = browser.switch_to.active_element
        if current.tag_name in ("body", "html") or current in met:
            return met
        outline = current.value_of_css_property("outline-style"), current.value_of_css_property("outline-width")
        assert outline[0] not in ("none", "hidden") and float(outline[1].removesuffix("px")) >= 2, current.text
        assert current.rect["height"] > 0 and current.rect["x"] >= 0, current.get_attribute("outerHTML")
        met.append(current)


def assert_usable_by_keyboard(browser: Browser) -> None:
    met = reached(browser)
    offered = browser.find_elements(By.CSS_SELECTOR, "a[href], summary, button, input, select, [tabindex='0']")
    missed = [one.get_attribute("outerHTML") for one in offered if one.is_displayed() and one not in met]
    assert not missed, browser.current_url
    for summary in [one for one in met if one.tag_name == "summary"]:
        whole = summary.find_element(By.XPATH, "..")
        was = whole.get_property("open")
        for wanted in (not was, was):
            summary.send_keys(Keys.ENTER)
            assert whole.get_property("open") == wanted


def assert_no_colour_alone(browser: Browser) -> None:
    """What is coloured by its meaning says it in words too, and lines of a drawing differ in their strokes."""
    for one in browser.find_elements(By.CSS_SELECTOR, ".good, .bad, .wait"):
        assert any(letter.isalpha() for letter in one.get_property("textContent")), one.get_attribute("outerHTML")
    strokes = [
        {line.value_of_css_property("stroke-dasharray") for line in browser.find_elements(By.CSS_SELECTOR, kind)}
        for kind in (".safe-line", ".unsafe-line", ".limit")
    ]
    assert len(set().union(*strokes)) == sum(map(len, strokes)) == 3
