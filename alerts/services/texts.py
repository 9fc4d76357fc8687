"""How alerts read: one sentence per type, and the same facts one by one."""

import unicodedata
from datetime import datetime
from typing import Any

from django.utils.timezone import localtime
from django.utils.translation import gettext

from alerts.models import Alert
from alerts.services.rules import Params
from alerts.states import AlertType
from cssm.common.text import mark

_SENTENCES = {
    AlertType.INSUFFICIENT_LICENSES: mark(
        'The Virtual Account "{virtual_account}" is {shortage} short of the license "{license}" since {since}.'
    ),
    AlertType.LICENSES_EXPIRING: mark(
        '{quantity} of the license "{license}" in the Virtual Account "{virtual_account}" expire on {due}.'
    ),
    AlertType.LICENSES_EXPIRED: mark(
        '{quantity} of the license "{license}" in the Virtual Account "{virtual_account}" expired on {due}.'
    ),
    AlertType.ON_PREM_FILE_READY: mark(
        'The authorization file of the on-prem server "{server}" is ready: download it and install it on the server.'
    ),
    AlertType.SYNCHRONIZATION_OVERDUE: mark(
        'The on-prem server "{server}" has not synchronized since {heard}. It is removed on {due}.'
    ),
    AlertType.UPCOMING_SYNC_DEADLINE: mark(
        'The on-prem server "{server}" has not synchronized since {heard}. In 30 days, on {due}, it is removed with all'
        " its product instances."
    ),
    AlertType.ON_PREM_REMOVED: mark(
        'The on-prem server "{server}" was removed with {instances} product instances: it had not synchronized for 90'
        " days."
    ),
    AlertType.AUTHORIZATION_PENDING: mark(
        'Virtual Accounts of the on-prem server "{server}" are not linked here, so their products count nowhere:'
        " {accounts}."
    ),
    AlertType.DUPLICATE_LICENSES: mark(
        'The product instance {product} in the Virtual Account "{virtual_account}" may claim licenses twice: {why}'
    ),
    AlertType.INSTANCE_FAILED_TO_CONNECT: mark(
        'The product instance {product} in the Virtual Account "{virtual_account}" has not connected for 90 days: '
        "its authorization expired on {at}."
    ),
    AlertType.INSTANCE_FAILED_TO_RENEW: mark(
        'The product instance {product} in the Virtual Account "{virtual_account}" should have renewed its '
        "registration by {at}. It is removed on {due} unless it does."
    ),
    AlertType.INSTANCE_REMOVED: mark(
        'The product instance {product} in the Virtual Account "{virtual_account}" did not renew its registration and '
        "was removed on {at}. Register it again."
    ),
    AlertType.UDI_CLAIMED_ELSEWHERE: mark(
        'The product {product} in the Virtual Account "{virtual_account}" is registered elsewhere, and its use does '
        "not count here. If it is yours, end its registration there, or ask the operator."
    ),
    AlertType.RESTRICTED_LICENSE_NOT_AVAILABLE: mark(
        'The product {product} in the Virtual Account "{virtual_account}" asked for {quantity} of the export-restricted'
        ' license "{license}" and did not get it: {why}'
    ),
    AlertType.LICENSES_RESERVED: mark(
        'Licenses reserved for the product {product} in the Virtual Account "{virtual_account}": {quantity}.'
    ),
    AlertType.RESERVED_LICENSES_RETURNED: mark(
        'Licenses returned by the product {product} in the Virtual Account "{virtual_account}": {quantity}.'
    ),
    AlertType.RESERVED_LICENSE_EXPIRED: mark(
        'All terms that the product {product} in the Virtual Account "{virtual_account}" had reserved have ended.'
    ),
}
# Of these kinds of reservation, where a quantity of none would tell nothing.
_WITHOUT_QUANTITY = {
    (AlertType.LICENSES_RESERVED, "universal"): mark(
        'The product {product} in the Virtual Account "{virtual_account}" has a universal reservation: it may use'
        " everything, and takes no licenses."
    ),
    (AlertType.LICENSES_RESERVED, "shared"): mark(
        'The product {product} in the Virtual Account "{virtual_account}" replaces a failed product, and shares its'
        " licenses until that one's return code is entered."
    ),
    (AlertType.RESERVED_LICENSES_RETURNED, "universal"): mark(
        'The product {product} in the Virtual Account "{virtual_account}" gave its universal reservation back.'
    ),
}
# Told where the figures are known.
_FIGURES = {
    AlertType.INSUFFICIENT_LICENSES: (
        "needed",
        mark(" It needs {needed}, owns {purchased} and borrows {borrowed}."),
    ),
}
_FACTS = {
    AlertType.INSUFFICIENT_LICENSES: {
        "license": mark("License"),
        "tag": mark("License tag"),
        "purchased": mark("Purchased"),
        "in_use": mark("In use"),
        "reserved": mark("Reserved"),
        "borrowed": mark("Borrowed"),
        "shortage": mark("Short by"),
    },
    AlertType.LICENSES_EXPIRING: {
        "license": mark("License"),
        "tag": mark("License tag"),
        "quantity": mark("Quantity"),
        "days": mark("Days left"),
    },
    AlertType.LICENSES_EXPIRED: {
        "license": mark("License"),
        "tag": mark("License tag"),
        "quantity": mark("Quantity"),
    },
    AlertType.INSTANCE_FAILED_TO_CONNECT: {"product": mark("Product")},
    AlertType.INSTANCE_FAILED_TO_RENEW: {"product": mark("Product")},
    AlertType.INSTANCE_REMOVED: {"product": mark("Product")},
    AlertType.UDI_CLAIMED_ELSEWHERE: {"product": mark("Product")},
    AlertType.RESTRICTED_LICENSE_NOT_AVAILABLE: {
        "product": mark("Product"),
        "license": mark("License"),
        "tag": mark("License tag"),
        "quantity": mark("Quantity asked for"),
    },
    AlertType.LICENSES_RESERVED: {
        "product": mark("Product"),
        "quantity": mark("Licenses reserved"),
    },
    AlertType.RESERVED_LICENSES_RETURNED: {
        "product": mark("Product"),
        "quantity": mark("Licenses returned"),
    },
    AlertType.RESERVED_LICENSE_EXPIRED: {
        "product": mark("Product"),
    },
    AlertType.DUPLICATE_LICENSES: {
        "product": mark("Product"),
        "kind": mark("Kind"),
        "in_use": mark("Licenses it uses"),
    },
}


class _Values(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "?"


def describe_moment(moment: datetime) -> str:
    """To the minute, with its zone, in the reader's time zone."""
    return f"{localtime(moment):%Y-%m-%d %H:%M %Z}"


def describe_place(alert: Alert) -> str:
    """The Virtual Account by its present name, or the whole Smart Account."""
    return alert.virtual_account.name if alert.virtual_account is not None else alert.smart_account.name


def describe_alert(alert: Alert, params: Params | None = None) -> str:
    """The alert as one sentence; `params` replace the stored figures. A missing value reads as a question mark."""
    values = _Values(
        {
            **(alert.params if params is None else params),
            "virtual_account": describe_place(alert),
            "source": alert.source,
            "since": describe_moment(alert.raised_at),
            **({"due": describe_moment(alert.action_due)} if alert.action_due is not None else {}),
        }
    )
    sentence = _SENTENCES.get(alert.kind)
    if values.get("quantity") == 0:
        sentence = _WITHOUT_QUANTITY.get((alert.kind, values.get("kind", "")), sentence)
    key, figures = _FIGURES.get(alert.kind, ("", ""))
    if sentence and key in values:
        return (gettext(sentence) + gettext(figures)).format_map(values)
    return gettext(sentence).format_map(values) if sentence else f"{gettext(alert.kind.label)}: {alert.source}"


def list_facts(alert: Alert, params: Params | None = None) -> list[tuple[str, str]]:
    """(label, value) pairs: where, what, how much, since when."""
    values = alert.params if params is None else params
    facts = [(gettext("Smart Account"), f"{alert.smart_account.name} ({alert.smart_account.domain})")]
    if alert.virtual_account is not None:
        facts.append((gettext("Virtual Account"), alert.virtual_account.name))
    for key, label in _FACTS.get(alert.kind, {}).items():
        if key in values:
            facts.append((gettext(label), str(values[key])))
    facts.append((gettext("Since"), describe_moment(alert.raised_at)))
    if alert.action_due is not None:
        facts.append((gettext("Action due"), describe_moment(alert.action_due)))
    return facts


def one_line(text: str, *, limit: int = 200) -> str:
    """Safe in a mail header: no control, format or line-breaking characters, runs of space folded, cut at `limit`."""
    printable = "".join(" " if unicodedata.category(char) in {"Cc", "Cf", "Zl", "Zp"} else char for char in text)
    folded = " ".join(printable.split())
    return folded if len(folded) <= limit else folded[: limit - 1] + "…"
