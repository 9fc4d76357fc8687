"""Making the mail of a delivery: text and HTML, with the same Message-ID and date at every attempt."""

from dataclasses import dataclass
from datetime import datetime
from email.charset import QP, Charset
from email.utils import format_datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils import timezone, translation
from django.utils.translation import gettext

from alerts.models import Alert, Delivery
from alerts.services.relevance import relevant_alerts
from alerts.services.rules import present_params
from alerts.services.texts import describe_alert, describe_place, list_facts, one_line
from alerts.services.unsubscribing import unsubscribe_path
from alerts.states import Channel


@dataclass(frozen=True, slots=True)
class AlertText:
    """One alert as a mail tells it."""

    title: str
    severity: str
    sentence: str
    facts: list[tuple[str, str]]
    url: str


def compose_message(delivery: Delivery, *, now: datetime) -> EmailMultiAlternatives:
    """The mail of a delivery, in its reader's language and time zone, with the figures of this moment."""
    language = delivery.user.language if delivery.user is not None else settings.LANGUAGE_CODE
    with translation.override(language), timezone.override(_zone(delivery)):
        is_summary = delivery.channel == Channel.SUMMARY
        if is_summary:
            alerts = relevant_alerts(delivery, now=now)
        else:
            alerts = [delivery.alert] if delivery.alert is not None else []
        subject = gettext("Daily summary of alerts") if is_summary else _subject(alerts[0])
        return _assemble(delivery, subject, alerts, now)


def _assemble(delivery: Delivery, subject: str, alerts: list[Alert], now: datetime) -> EmailMultiAlternatives:
    unsubscribe_url = settings.PUBLIC_URL + unsubscribe_path(delivery)
    figures = present_params(alerts, now=now)
    context = {
        "subject": subject,
        "alerts": [_tell(alert, figures[alert.pk]) for alert in alerts],
        "is_summary": delivery.channel == Channel.SUMMARY,
        "unsubscribe_url": unsubscribe_url,
        "preferences_url": _preferences_url(delivery, alerts),
    }
    message = EmailMultiAlternatives(
        subject=one_line(subject),
        body=render_to_string("email/alerts.txt", context),
        from_email=settings.DEFAULT_FROM_EMAIL,
        to=[delivery.to],
        headers={
            "Message-ID": delivery.message_id,
            "Date": format_datetime(delivery.created_at),
            "Auto-Submitted": "auto-generated",
            "Precedence": "bulk",
            "List-Unsubscribe": f"<{unsubscribe_url}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        },
    )
    message.attach_alternative(render_to_string("email/alerts.html", context), "text/html")
    # Quoted-printable, so that the mail is plain ASCII and passes servers without 8BITMIME unchanged.
    charset = Charset("utf-8")
    charset.body_encoding = QP
    message.encoding = charset
    return message


def _subject(alert: Alert) -> str:
    return f"{gettext(alert.kind.label)}: {alert.source or describe_place(alert)} ({alert.smart_account.name})"


def _tell(alert: Alert, params: object) -> AlertText:
    figures = params if isinstance(params, dict) else alert.params
    return AlertText(
        title=gettext(alert.kind.label),
        severity=gettext(alert.kind.severity.label),
        sentence=describe_alert(alert, figures),
        facts=list_facts(alert, figures),
        url=settings.PUBLIC_URL + (alert.path or f"/accounts/{alert.smart_account.domain}/alerts/"),
    )


def _preferences_url(delivery: Delivery, alerts: list[Alert]) -> str:
    if delivery.user is None or not alerts:
        return ""
    return f"{settings.PUBLIC_URL}/accounts/{alerts[0].smart_account.domain}/preferences/"


def _zone(delivery: Delivery) -> ZoneInfo:
    try:
        return ZoneInfo(delivery.user.time_zone if delivery.user is not None else "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")
