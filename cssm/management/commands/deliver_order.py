"""`manage.py deliver_order FILE.json`: the same as `POST /v1/operator/orders`."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, NoReturn

from django.core.management.base import CommandError

from cssm.common.actor import SYSTEM
from cssm.common.clock import read_clock
from cssm.management.base import PortalCommand
from licensing.services.ownership.orders import deliver_order

MOST_BYTES = 10 * 1024 * 1024
FIELDS = {"domain", "virtualAccount", "orderRef", "lines"}


class Command(PortalCommand):
    help = "Deliver an order {domain, virtualAccount, orderRef, lines}. The same orderRef twice delivers once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", type=Path, metavar="FILE.json", help="one order as a JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        order = _read(options["file"])
        delivery = deliver_order(
            actor=SYSTEM,
            domain=order["domain"],
            virtual_account=order["virtualAccount"],
            order_ref=order["orderRef"],
            lines=order["lines"],
            now=read_clock(),
        )
        ref = delivery.order.order_ref
        self.answer(
            options,
            {"orderRef": ref, "delivered": delivery.delivered},
            f"Order {ref} was delivered." if delivery.delivered else f"Order {ref} had been delivered before.",
        )


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise CommandError(f"{path} is larger than {MOST_BYTES} bytes.")
        order = json.loads(path.read_bytes().decode("utf-8-sig"), parse_constant=_refuse_constant)
    except OSError as error:
        raise CommandError(f"Cannot read {path}: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{path} is not JSON: {error}") from error
    if not isinstance(order, dict) or set(order) != FIELDS:
        raise CommandError(f"{path} must be a JSON object with exactly {', '.join(sorted(FIELDS))}.")
    return order


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
