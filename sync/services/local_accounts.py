"""What a server calls its Virtual Accounts: linked to ours by name once, by id from then on; renames on either side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from accounts.models import Event, VirtualAccount
from accounts.services.virtual_accounts import change_virtual_account, create_virtual_account
from cssm.common.actor import SYSTEM, Actor
from cssm.common.errors import DomainError, Forbidden, NotFound
from cssm.common.permissions import Permission
from sync.codecs.synchronization import Account
from sync.errors import FileCode, FileRefused, Problem
from sync.models import LocalAccount, OnPremServer
from sync.services.servers import actor_of_registrar, actor_of_server, record, tell
from sync.states import NoticeKind


@dataclass(frozen=True, slots=True)
class Linked:
    """Where each account of the file goes, by its position; None where it is held unlinked. `numbers` are our own of
    them, `released` those that were held until now, both by position."""

    virtual_accounts: Mapping[int, int | None]
    numbers: Mapping[int, int]
    released: Mapping[int, int]
    created: Sequence[str]
    unlinked: Sequence[str]
    renamed: Sequence[str]


def refuse_twice(accounts: Sequence[Account]) -> None:
    """Raises `FileRefused` (DUPLICATE) where two accounts of a file have one id or one name."""
    problems = []
    for key, values in (
        (":id:", [account.id for account in accounts]),
        (":name:", [account.name.casefold() for account in accounts]),
    ):
        first: dict[str, int] = {}
        for account, value in zip(accounts, values, strict=True):
            if first.setdefault(value, account.position) != account.position:
                where = f":virtual_accounts:[{account.position}]{key}"
                message = "Another Virtual Account of this file has the same."
                problems.append(Problem(FileCode.DUPLICATE, message, account.line, where))
    if problems:
        raise FileRefused(*problems)


def link_accounts(
    *,
    server: OnPremServer,
    accounts: Sequence[Account],
    counts: Mapping[int, int],
    full: bool,
    generated: datetime,
    now: datetime,
) -> Linked:
    """Link, create, rename or hold the accounts of a file, in the transaction that applies it; `counts` are their
    active instances by position. The server is locked."""
    linker = _Linker(server, generated, now)
    found: dict[int, int | None] = {}
    numbers: dict[int, int] = {}
    released: dict[int, int] = {}
    for account in accounts:
        row = linker.link(account)
        if row.pk in linker.waiting and row.virtual_account_id is not None:
            released[account.position] = row.pk
        row.is_active, row.instance_count = True, counts.get(account.position, 0) or (0 if full else row.instance_count)
        row.save()
        found[account.position], numbers[account.position] = row.virtual_account_id, row.pk
    if full:
        named = [account.id for account in accounts]
        gone = LocalAccount.objects.filter(server=server, is_announced=False).exclude(local_id__in=named)
        gone.update(is_active=False, instance_count=0)
    if linker.unlinked:
        tell(server, NoticeKind.UNLINKED_ACCOUNT, now)
    return Linked(found, numbers, released, linker.created, linker.unlinked, linker.renamed)


class _Linker:
    def __init__(self, server: OnPremServer, generated: datetime, now: datetime) -> None:
        self.server, self.generated, self.now = server, generated, now
        self.registrar: Actor = actor_of_registrar(server)
        self.created: list[str] = []
        self.unlinked: list[str] = []
        self.renamed: list[str] = []
        waiting = LocalAccount.objects.filter(server=server, virtual_account__isnull=True)
        self.waiting = frozenset(waiting.values_list("pk", flat=True))

    def link(self, account: Account) -> LocalAccount:
        rows = LocalAccount.objects.select_related("virtual_account").filter(server=self.server)
        row = rows.filter(local_id=account.id).first()
        if row is not None and row.is_announced and not self._is_of(row, account):
            # It uses our number for something else: what we announced was never taken over.
            row.delete()
            row = None
        if row is not None and row.virtual_account is not None and row.virtual_account.deleted_at is None:
            self._follow_name(row, row.virtual_account, account)
            row.is_announced = False
            return row
        target, reason = self._find_target(account.name)
        if target is not None:
            rows.filter(virtual_account=target, is_announced=True).exclude(local_id=account.id).delete()
        row = row or LocalAccount(
            server=self.server, local_id=account.id, smart_account_id=self.server.smart_account_id
        )
        row.virtual_account, row.reason = target, reason
        row.name, row.named_at = account.name, self.generated
        if target is None:
            self.unlinked.append(account.name)
        else:
            row.name = target.name
            record(
                actor_of_server(self.server),
                self.server,
                "onprem.account_linked",
                {"local": account.name, "name": target.name},
                self.now,
            )
        return row

    def _is_of(self, row: LocalAccount, account: Account) -> bool:
        names = {row.name.casefold()} | ({row.virtual_account.name.casefold()} if row.virtual_account else set())
        return account.name.casefold() in names

    def _find_target(self, name: str) -> tuple[VirtualAccount | None, str]:
        """The Virtual Account of that name, or a new one, as far as whoever registered the server may; else why not."""
        smart_account = self.server.smart_account
        found = VirtualAccount.objects.live().filter(smart_account=smart_account).named(name).first()
        if found is not None:
            here = {"smart_account_id": smart_account.pk, "virtual_account_id": found.pk}
            if found.pk == self.server.virtual_account_id or self.registrar.may(Permission.MANAGE_ASSETS, **here):
                return found, ""
            return None, f'Whoever registered the server may not manage the Virtual Account "{found.name}".'
        try:
            made = create_virtual_account(actor=self.registrar, smart_account=smart_account, name=name, now=self.now)
        except (Forbidden, NotFound):
            return None, f'There is no Virtual Account "{name}", and whoever registered the server may not create one.'
        except DomainError as error:
            return None, error.message
        self.created.append(made.name)
        return made, ""

    def _follow_name(self, row: LocalAccount, here: VirtualAccount, account: Account) -> None:
        """A name that differs from what both knew is a rename: the server's, ours, or of both the newer."""
        theirs = account.name not in (row.name, row.former_name)
        ours = here.name != row.name
        if theirs and (not ours or self._renamed_at(here) < self.generated):
            try:
                change_virtual_account(actor=SYSTEM, virtual_account=here, name=account.name, now=self.now)
            except DomainError as error:
                row.reason = f'It cannot be called "{account.name}" here: {error.message}'
            else:
                self.renamed.append(f"{here.name} → {account.name}")
                here.refresh_from_db()
                row.reason = ""
        if row.name != here.name:
            row.former_name = row.name
        row.name, row.named_at = here.name, self.generated

    def _renamed_at(self, virtual_account: VirtualAccount) -> datetime:
        changes = Event.objects.filter(name="virtual_account.changed", virtual_account=virtual_account)
        return changes.order_by("-pk").values_list("at", flat=True).first() or virtual_account.created_at
