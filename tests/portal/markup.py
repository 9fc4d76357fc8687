"""What every page must be like, whatever it shows. Use `check_page` in the tests of any page."""

import re
from typing import Any

from lxml import html

# Attributes that the Content-Security-Policy would stop a browser from obeying.
INLINE_CODE = re.compile(r"^on[a-z]+$|^style$|^hx-on", re.IGNORECASE)


def parse_page(response: Any) -> html.HtmlElement:
    return html.fromstring(b"".join(response) if response.streaming else response.content)


def find_inline_code(page: html.HtmlElement) -> list[str]:
    """Scripts, styles and handlers written into the page."""
    found = [f"<{element.tag}>" for element in page.iter("script", "style") if element.tag == "style" or element.text]
    for element in page.iter():
        if isinstance(element.tag, str):
            found += [f"<{element.tag} {name}>" for name in element.attrib if INLINE_CODE.match(name)]
            found += [
                f"<{element.tag} {name}>" for name, value in element.attrib.items() if "javascript:" in value.lower()
            ]
    return found


def find_repeated_ids(page: html.HtmlElement) -> list[str]:
    ids = [element.get("id") for element in page.iter() if element.get("id")]
    return sorted({name for name in ids if ids.count(name) > 1})


def find_unlabelled(page: html.HtmlElement) -> list[str]:
    """Inputs, buttons and links without a name that a screen reader could say."""
    labels = {label.get("for") for label in page.iter("label")}
    return [
        html.tostring(element, encoding="unicode")[:120]
        for element in page.iter("input", "select", "textarea", "button", "a")
        if element.get("type") != "hidden"
        and not element.get("aria-label")
        and not element.text_content().strip()
        and element.get("id") not in labels
        and not any(parent.tag == "label" for parent in element.iterancestors())
    ]


def find_unnamed_cells(page: html.HtmlElement) -> list[str]:
    """Cells of tables that would stand alone on a narrow screen, where a row is a card and its head is gone."""
    return [
        html.tostring(cell, encoding="unicode")[:120]
        for cell in page.xpath("//table[contains(@class, 'data-table')]/tbody/tr/td[not(@data-label)]")
        if not {"actions", "select"} & set(cell.get("class", "").split()) and not cell.get("colspan")
    ]


def find_relative_links(page: html.HtmlElement) -> list[str]:
    """Links whose target depends on where the page stands: mostly a variable that was empty."""
    links = [*page.xpath("//@href"), *page.xpath("//@action"), *page.xpath("//@hx-get"), *page.xpath("//@hx-post")]
    return [link for link in links if not re.match(r"/|#|\?|https?:|mailto:", link)]


def check_page(response: Any, *, status: int = 200) -> html.HtmlElement:
    """Assert that a page is sound, and hand it over parsed."""
    assert response.status_code == status
    policy = response.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    page = parse_page(response)
    assert find_inline_code(page) == []
    assert find_repeated_ids(page) == []
    assert find_unlabelled(page) == []
    assert find_relative_links(page) == []
    assert find_unnamed_cells(page) == []
    return page
