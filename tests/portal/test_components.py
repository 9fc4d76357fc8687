import itertools
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.template import Context, Template
from django.template.loader import render_to_string
from django.test import RequestFactory

from cssm.common.charts import LABEL_SHARE, Series, draw_chart
from cssm.common.templatetags.portal import badge, badge_of, number, when
from cssm.common.text import Badge, Tone

TEMPLATES = Path(settings.BASE_DIR) / "templates"
NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cssm.common.templatetags.portal.read_clock", lambda: NOW)


@pytest.mark.parametrize("tone", list(Tone))
def test_a_badge_says_in_words_what_its_colour_means(tone: Tone):
    assert badge(Badge("In <order>", tone)) == f'<span class="badge tone-{tone}">In &lt;order&gt;</span>'


def test_a_badge_comes_from_the_state_or_is_muted():
    class State:
        badge = Badge("Active", Tone.OK)

    assert badge_of(State()).tone is Tone.OK
    assert badge_of("whatever") == Badge("whatever", Tone.MUTED)


@pytest.mark.parametrize(
    ("distance", "words"),
    [
        (timedelta(0), "just now"),
        (-timedelta(seconds=59), "just now"),
        (-timedelta(seconds=60), "1 minute ago"),
        (-timedelta(hours=3), "3 hours ago"),
        (-timedelta(days=6, hours=23), "6 days ago"),
        (-timedelta(days=7), "23 Feb 2026"),
        (timedelta(seconds=5), "in a moment"),
        (timedelta(minutes=2), "in 2 minutes"),
        (timedelta(days=30), "01 Apr 2026"),
    ],
)
def test_a_moment_is_relative_where_near(distance: timedelta, words: str):
    assert f">{words}</time>" in when(NOW + distance)


def test_a_moment_shows_the_exact_time_in_utc_on_pointing():
    assert when(NOW) == '<time datetime="2026-03-02T09:30:00Z" title="2026-03-02 09:30:00 UTC">just now</time>'
    assert when(date(2026, 3, 2)) == '<time datetime="2026-03-02">02 Mar 2026</time>'
    assert when(None) == "–"


def test_thousands_are_separated():
    assert [number(value) for value in (0, 999, 1234567, -5000, None, "")] == [
        "0",
        "999",
        "1,234,567",
        "-5,000",
        "",
        "",
    ]


def test_links_keep_the_query_but_what_they_change():
    request = RequestFactory().get("/x/?q=a%26b&page=3&columns=one&columns=two&empty=")
    template = Template("{% query sort='-name' page='' %}")
    assert template.render(Context({"request": request}, autoescape=False)) == (
        "?q=a%26b&columns=one&columns=two&sort=-name"
    )


def test_every_icon_in_use_is_in_the_sprite():
    sprite = (Path(settings.BASE_DIR) / "static/portal/sprite.svg").read_text()
    drawn = set(re.findall(r'id="([\w-]+)"', sprite))
    used = {name for page in TEMPLATES.rglob("*.html") for name in re.findall(r'{% icon "([\w-]+)"', page.read_text())}
    areas = {"overview", "inventory", "alerts", "reports", "onprem", "conversions", "activity", "manage", "preferences"}
    assert (used | areas) - drawn == set()


def test_no_template_holds_inline_code():
    pattern = re.compile(r"<style|\sstyle=|\son[a-z]+=|hx-on|<script(?![^>]*\ssrc=)|javascript:", re.IGNORECASE)
    found = {
        str(page.relative_to(TEMPLATES)): match.group()
        for page in TEMPLATES.rglob("*.html")
        if "email" not in page.parts and (match := pattern.search(page.read_text()))
    }
    assert found == {}


PARTS: list[tuple[str, dict[str, Any], str]] = [
    ("empty", {"title": "Nothing", "hint": "Make one.", "action_label": "Make", "action_url": "/x/"}, "data-dialog"),
    ("empty", {"title": "Nothing", "action_label": "Make", "action_url": "/x/", "page": True}, ">Make<"),
    ("error", {"title": "No", "message": "It is <wrong>.", "code": "CONFLICT"}, "It is &lt;wrong&gt;."),
    ("notice", {"tone": "warn", "title": "Mind:", "text": "soon over"}, "tone-warn"),
    ("progress", {"label": "Reading", "done": 1500, "total": 3000, "poll": "/x/"}, "1,500 of 3,000"),
    ("progress", {"label": "Reading"}, "<progress aria-label"),
    ("loading", {}, 'role="status"'),
    ("copy_button", {"value": 'a"b'}, 'data-copy="a&quot;b"'),
    ("facts", {"facts": [("State", Badge("Fine", Tone.OK)), ("Uses", 0), ("Host", None)]}, "<dd>0</dd>"),
    ("stat", {"label": "Alerts", "value": 1234, "url": "/x/", "tone": "bad"}, "1,234"),
    ("tabs", {"tabs": [{"label": "One", "url": "/1/", "current": True, "count": 0}]}, 'aria-current="page"'),
    ("stepper", {"steps": [{"label": "One", "state": "current"}]}, 'aria-current="step"'),
    ("dialog", {"title": "Title"}, 'id="dialog-title"'),
    ("confirm", {"explanation": "Sure?", "consequences": ["Gone."], "danger": True}, "tone-warn"),
    ("page_header", {"title": "Title", "lead": "More.", "badge_value": Badge("Fine", Tone.OK)}, "tone-ok"),
    ("breadcrumbs", {"crumbs": [{"label": "Acme", "url": "/a/"}]}, 'href="/a/"'),
]


@pytest.mark.parametrize(("name", "context", "expected"), PARTS, ids=[part[0] for part in PARTS])
def test_each_component_can_be_drawn(name: str, context: dict[str, Any], expected: str):
    drawn = render_to_string(f"components/{name}.html", context)
    assert expected in drawn
    assert "style=" not in drawn


@pytest.mark.parametrize("days", [1, 6, 7, 13, 30, 31, 90, 366])
def test_the_labels_below_a_chart_keep_their_distance(days: int):
    labels = [f"day {number}" for number in range(days)]
    chart = draw_chart(key="k", title="t", description="d", series=[Series("used", "Used", [0] * days)], labels=labels)
    ends = [
        (place - LABEL_SHARE, place) if tick.anchor == "end" else (place, place + LABEL_SHARE)
        for tick in chart.columns
        for place in [float(tick.place.rstrip("%"))]
    ]
    assert ends
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(ends))
