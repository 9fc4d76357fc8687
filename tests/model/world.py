"""The operations of the model: what people, products and the operator do, by plain names and numbers.

Virtual Accounts are called A1, A2, … (of Acme) and B1, … (of Umbrella), licenses by their tags, products by numbers.
Every operation returns the code of the refusal, or None; anything else that is raised is a defect.
"""

import threading
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from accounts.models import SmartAccount, VirtualAccount
from accounts.services.virtual_accounts import create_virtual_account, delete_virtual_account
from cssm.common.actor import SYSTEM, Actor
from cssm.common.errors import NotFound
from licensing.models import License, ProductInstance, PurchaseLine
from licensing.services.catalog.lookup import forget_licenses
from licensing.services.devices.endings import remove_instance
from licensing.services.devices.moving import transfer_instances
from licensing.services.ownership.corrections import correct_line, terminate_licenses
from licensing.services.ownership.orders import deliver_order
from licensing.services.ownership.transfers import TransferLine, transfer_licenses
from licensing.services.pools.catalog_changes import follow_catalog
from licensing.services.pools.fold import fold_due
from licensing.states import LicenseType, Precedence
from tests.licensing.device_driver import Device
from tests.licensing.stock import import_rows
from tests.model.books import Books, group
from tests.model.ledger import owned
from tests.model.products import Product, SpeakingProduct, attempt

TAGS = ("TOP", "MID", "LOW", "SIDE", "ALONE", "METERED")
FIRST_HIGHER = {"MID": "TOP", "LOW": "MID", "SIDE": "MID"}


@dataclass
class World:
    """`owned` is what each Smart Account should have of each tag, as told by what was carried out."""

    admins: Mapping[str, Actor]
    smart_accounts: Mapping[str, SmartAccount]
    tokens: dict[str, str] = field(default_factory=dict)
    owned: Counter[tuple[int, str]] = field(default_factory=Counter)
    metered: set[str] = field(default_factory=set)
    higher: dict[str, str] = field(default_factory=dict)
    products: dict[int, Product] = field(default_factory=dict)
    lock: Any = field(default_factory=threading.Lock)

    def open(self, names: Sequence[str], now: datetime) -> None:
        """The catalog, and the Virtual Accounts there are from the beginning."""
        for tag in TAGS:
            self.change_catalog(tag, FIRST_HIGHER.get(tag, ""), tag == "METERED", now)
        for name in names:
            assert self.make_account(name, now) is None

    # Virtual Accounts

    def find(self, name: str) -> VirtualAccount:
        found = VirtualAccount.objects.live().filter(smart_account=self.smart_accounts[name[0]], name=name).first()
        if found is None:
            raise NotFound("There is no such Virtual Account.")
        return found

    def make_account(self, name: str, now: datetime) -> str | None:
        account = self.smart_accounts[name[0]]
        return attempt(
            lambda: create_virtual_account(actor=self.admins[name[0]], smart_account=account, name=name, now=now)
        )

    def drop_account(self, name: str, now: datetime) -> str | None:
        return attempt(
            lambda: delete_virtual_account(actor=self.admins[name[0]], virtual_account=self.find(name), now=now)
        )

    # What is owned

    def deliver(self, name: str, lines: Sequence[tuple[str, int, str, Any, Any]], now: datetime) -> str | None:
        """Lines are (tag, quantity, type, start, end), the last two as durations from now, None where left out."""
        order = [
            {"entitlementTag": tag, "quantity": quantity, "licenseType": kind}
            | ({} if start is None else {"startDate": (now + start).isoformat()})
            | ({} if end is None or kind == "PERPETUAL" else {"endDate": (now + end).isoformat()})
            | ({"subscriptionId": f"Sub{quantity}"} if kind == "SUBSCRIPTION" else {})
            for tag, quantity, kind, start, end in lines
        ]
        account = self.smart_accounts[name[0]]
        refused = attempt(
            lambda: deliver_order(
                actor=SYSTEM,
                domain=account.domain,
                virtual_account=name,
                order_ref=str(uuid.uuid4()),
                lines=order,
                now=now,
            )
        )
        if refused is None:
            for tag, quantity, *_ in lines:
                self._tally(account, tag, quantity)
        return refused

    def transfer(self, name: str, lines: Sequence[tuple[str, int, str, str | None, str]], now: datetime) -> str | None:
        """Lines are (tag, quantity, target, type, precedence)."""

        def transfer() -> None:
            found = [
                TransferLine(
                    license=License.objects.get(tag=tag),
                    quantity=quantity,
                    target=self.find(target),
                    license_type=None if kind is None else LicenseType[kind],
                    precedence=Precedence(precedence),
                    number=number,
                )
                for number, (tag, quantity, target, kind, precedence) in enumerate(lines, start=1)
            ]
            transfer_licenses(actor=self.admins[name[0]], source=self.find(name), lines=found, now=now)

        return attempt(transfer)

    def terminate(
        self, name: str, tag: str, quantity: int, kind: str | None, precedence: str, now: datetime
    ) -> str | None:
        refused = attempt(
            lambda: terminate_licenses(
                actor=SYSTEM,
                virtual_account=self.find(name),
                license=License.objects.get(tag=tag),
                quantity=quantity,
                license_type=None if kind is None else LicenseType[kind],
                precedence=Precedence(precedence),
                reason="model",
                now=now,
            )
        )
        if refused is None:
            self._tally(self.smart_accounts[name[0]], tag, -quantity)
        return refused

    def correct(self, name: str, tag: str, which: int, quantity: int, now: datetime) -> str | None:
        """The line of that number, over and over again, of the license there; also in one that was deleted."""
        account = self.smart_accounts[name[0]]
        lines = PurchaseLine.objects.filter(virtual_account__name=name, license__tag=tag).order_by("-pk")[:20]
        found = list(lines.select_related("virtual_account", "license"))
        if not found:
            return "NO_LINE"
        line = found[which % len(found)]
        refused = attempt(lambda: correct_line(actor=SYSTEM, line=line, quantity=quantity, reason="model", now=now))
        if refused is None:
            self._tally(account, tag, quantity)
        return refused

    def _tally(self, account: SmartAccount, tag: str, quantity: int) -> None:
        with self.lock:
            self.owned[account.pk, tag] += quantity

    # The catalog

    def change_catalog(self, tag: str, higher: str, metered: bool, now: datetime) -> str | None:
        """Billing changes for METERED only, so that all others can be held to their balance."""
        billing = "USAGE" if metered and tag == "METERED" else "PREPAID"
        if billing == "USAGE":
            self.metered.add(tag)
        row = f"{tag},entitlement,{tag},,perpetual,,,,{higher},{billing}"
        refused = attempt(lambda: import_rows([row], now))
        # Within the transaction of a test nothing is committed, so nothing tells the process to forget them.
        forget_licenses()
        return refused

    def follow(self, now: datetime) -> str | None:
        return attempt(lambda: follow_catalog(now=now))

    def fold(self, now: datetime) -> str | None:
        return attempt(lambda: fold_due(now=now))

    # Products

    def register(self, number: int, name: str, now: datetime) -> str | None:
        """Products 0 and 1 speak with keys and signatures, where there is a token for the Virtual Account."""
        if number in self.products and self.products[number].is_active():
            return "ACTIVE"
        token = self.tokens.get(name)
        if number < 2 and token is not None:
            product: Product = SpeakingProduct(Device(now, number=number))
            refused = product.register(token, now)
        else:
            product = Product()
            refused = attempt(lambda: product.make(self.find(name), now))
        if refused is None:
            self.products[number] = product
        return refused

    def report(self, number: int, counts: Mapping[str, int], now: datetime) -> str | None:
        product = self.products.get(number)
        return "NOT_REGISTERED" if product is None else product.report(counts, now)

    def remove(self, number: int, now: datetime) -> str | None:
        instance = self._instance(number)
        if instance is None:
            return "NOT_REGISTERED"
        actor = self._admin_of(instance)
        return attempt(lambda: remove_instance(actor=actor, instance=instance, now=now))

    def deregister(self, number: int, now: datetime) -> str | None:
        product = self.products.get(number)
        if not isinstance(product, SpeakingProduct):
            return self.remove(number, now)
        return product.leave(now)

    def move(self, numbers: Sequence[int], name: str, now: datetime) -> str | None:
        instances = [each for each in map(self._instance, numbers) if each is not None]

        def move() -> None:
            moves = transfer_instances(actor=self.admins[name[0]], instances=instances, target=self.find(name), now=now)
            for each in moves:
                if each.error is not None:
                    raise each.error

        return attempt(move)

    def findings(self, books: Books) -> Iterator[str]:
        """What differs between what was carried out and what is recorded."""
        found = owned(books)
        for account, tag in sorted({*self.owned, *found}):
            if found[account, tag] != self.owned[account, tag]:
                yield f"{tag}: {found[account, tag]} are owned, should be {self.owned[account, tag]}"
        by_piid = {str(instance["piid"]): pk for pk, instance in books.instances.items()}
        uses = group(books.uses.values(), "instance_id")
        for number, product in self.products.items():
            instance = books.instances[by_piid[str(product.piid)]]
            recorded = {use["tag"]: use["quantity"] for use in uses.get(instance["id"], []) if use["quantity"]}
            said = product.says if instance["ended_at"] is None else {}
            if recorded != said:
                yield f"product {number} uses {recorded}, should be {said}"

    def _instance(self, number: int) -> ProductInstance | None:
        product = self.products.get(number)
        return None if product is None else ProductInstance.objects.filter(piid=product.piid).first()

    def _admin_of(self, instance: ProductInstance) -> Actor:
        letters = {account.pk: letter for letter, account in self.smart_accounts.items()}
        return self.admins[letters[instance.smart_account_id]]
