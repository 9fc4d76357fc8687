"""What axe has to say about a page in a browser (WCAG 2.2 A and AA, and its best practices)."""

from typing import Any, Final

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

# What depends on the width and the colours. The markup is the same on every screen.
_OF_SIZE_AND_COLOURS: Final = ["color-contrast", "target-size", "scrollable-region-focusable", "link-in-text-block"]
_RUN: Final = "options => axe.run(document, options).then(found => found.violations)"


def find_violations(page: Page, *, markup: bool = True) -> list[tuple[str, str]]:
    """(rule, HTML of the first element that breaks it); without `markup` only what size and colours change."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(Axe().axe_script)
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if not markup:
        options["runOnly"] = _OF_SIZE_AND_COLOURS
    return [(found["id"], found["nodes"][0]["html"]) for found in page.evaluate(_RUN, options)]
