"""How values look, everywhere the same. Loaded into every template."""

from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from django import template
from django.http import HttpRequest
from django.templatetags.static import static
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext

from cssm.common.clock import read_clock
from cssm.common.text import Badge, Tone

register = template.Library()

SPRITE: Final = "portal/sprite.svg"
NEAR: Final = timedelta(days=7)


def badge_of(value: Any) -> Badge:
    """The badge itself, that of a state, or a muted one with the value's text."""
    found = value if isinstance(value, Badge) else getattr(value, "badge", None)
    return found if isinstance(found, Badge) else Badge(str(value), Tone.MUTED)


@register.simple_tag
def badge(value: Any) -> SafeString:
    """`{% badge state %}`: a coloured label. The words carry the meaning, the colour repeats it."""
    shown = badge_of(value)
    return format_html('<span class="badge tone-{}">{}</span>', shown.tone, gettext(shown.label))


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """`{% icon "copy" %}`: decoration; with a label it stands for a word."""
    hidden = format_html('role="img" aria-label="{}"', label) if label else SafeString('aria-hidden="true"')
    return format_html('<svg class="icon" {}><use href="{}#{}"></use></svg>', hidden, static(SPRITE), name)


@register.filter
def number(value: Any) -> str:
    """12345 → 12,345."""
    return number_format(value, force_grouping=True, use_l10n=True) if value not in (None, "") else ""


@register.simple_tag
def when(value: date | datetime | str | None, empty: str = "–") -> SafeString:
    """`{% when row.created_at %}`: "3 hours ago" within a week, else the day; exact in UTC on pointing."""
    if not value or isinstance(value, str):  # a template's name that leads nowhere is an empty string
        return format_html("{}", empty)
    if not isinstance(value, datetime):
        return format_html('<time datetime="{}">{}</time>', value.isoformat(), f"{value:%d %b %Y}")
    moment = value.astimezone(UTC)
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>',
        moment.isoformat(timespec="seconds").replace("+00:00", "Z"),
        f"{moment:%Y-%m-%d %H:%M:%S}",
        _relative(moment),
    )


def _relative(moment: datetime) -> str:
    distance = moment - read_clock()
    if abs(distance) >= NEAR:
        return f"{moment:%d %b %Y}"
    seconds = int(abs(distance).total_seconds())
    if seconds < 60:
        return gettext("just now") if distance <= timedelta(0) else gettext("in a moment")
    if seconds < 3600:
        amount = ngettext("%d minute", "%d minutes", seconds // 60) % (seconds // 60)
    elif seconds < 86400:
        amount = ngettext("%d hour", "%d hours", seconds // 3600) % (seconds // 3600)
    else:
        amount = ngettext("%d day", "%d days", seconds // 86400) % (seconds // 86400)
    return (gettext("in %s") if distance > timedelta(0) else gettext("%s ago")) % amount


@register.simple_tag(takes_context=True)
def active_nav(context: dict[str, Any], url: str, exact: bool = False) -> SafeString:
    """`<a href="…" {% active_nav url %}>`: marks the link to where one is."""
    request: HttpRequest = context["request"]
    here = request.path == url if exact else request.path.startswith(url)
    return SafeString('aria-current="page"' if here else "")


@register.simple_tag(takes_context=True)
def query(context: dict[str, Any], **changes: Any) -> str:
    """`?` and the present query string with these parameters set; an empty value takes one out."""
    request: HttpRequest = context["request"]
    parameters = request.GET.copy()
    for name, value in changes.items():
        parameters.pop(name, None)
        if value not in (None, ""):
            parameters[name] = str(value)
    pairs = [(name, value) for name, values in parameters.lists() for value in values if value != ""]
    return f"?{urlencode(pairs)}"
