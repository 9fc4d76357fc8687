"""How servers and exchanges look in the API."""

from datetime import datetime
from typing import Any

from rest_framework import serializers

from accounts.models import VirtualAccount
from cssm.common.api.fields import Answer, ListAnswer, PageQuery, StrictSerializer, Text
from cssm.common.clock import show_moment
from sync.api.uploads import show_problems
from sync.models import Exchange, LocalAccount, OnPremServer
from sync.services.changes import ChangedRow
from sync.states import Change, ExchangeState


class RegistrationQuery(serializers.Serializer[Any]):
    virtualAccount = serializers.CharField(max_length=120, help_text="To which the server is registered.")
    name = serializers.CharField(max_length=120, required=False, default="", help_text="The file's name without.")
    confirm = serializers.BooleanField(
        required=False, default=False, help_text="Register a known server anew, with another key."
    )


class SynchronizationQuery(serializers.Serializer[Any]):
    dry_run = serializers.BooleanField(
        required=False, default=False, help_text="Only tell what would change; nothing is applied."
    )


class Reason(StrictSerializer):
    action = serializers.ChoiceField(choices=["sign", "hold"])
    reason = Text(max_length=300)


class NewName(StrictSerializer):
    name = Text(max_length=120)


class NewLink(StrictSerializer):
    id = Text(max_length=64, help_text="As the server numbers it.")
    virtualAccount = Text(max_length=120, help_text="What it is to be here.")


class LinkAnswer(Answer):
    instances = serializers.IntegerField(help_text="Product instances that were held until now.")


class LocalAccountRow(serializers.Serializer[Any]):
    id = serializers.CharField(help_text="The server's own.")
    name = serializers.CharField()
    isLinked = serializers.BooleanField()
    virtualAccount = serializers.CharField(allow_null=True, help_text="Null also where it may not be seen.")
    heldInstances = serializers.IntegerField(help_text="That count nowhere until it is linked.")
    note = serializers.CharField(help_text="Why it is not linked, or not renamed.")


class LocalAccountsAnswer(Answer):
    localAccounts = LocalAccountRow(many=True)


class ServerRow(serializers.Serializer[Any]):
    uuid = serializers.UUIDField()
    name = serializers.CharField()
    virtualAccount = serializers.CharField()
    status = serializers.CharField()
    registeredAt = serializers.DateTimeField()
    lastSynchronizedAt = serializers.DateTimeField(allow_null=True)
    removalDueAt = serializers.DateTimeField(allow_null=True)
    version = serializers.CharField()
    threeTierCertificate = serializers.CharField()
    threeTierDueAt = serializers.DateTimeField(allow_null=True)


class ServersAnswer(ListAnswer):
    servers = ServerRow(many=True)


class ServerAnswer(Answer):
    server = ServerRow()


class ProblemRow(serializers.Serializer[Any]):
    line = serializers.IntegerField()
    key = serializers.CharField()
    code = serializers.CharField()
    message = serializers.CharField()


class ExchangeRow(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    server = serializers.UUIDField()
    kind = serializers.CharField()
    state = serializers.CharField()
    dryRun = serializers.BooleanField()
    createdAt = serializers.DateTimeField()
    finishedAt = serializers.DateTimeField(allow_null=True)
    size = serializers.IntegerField()
    bytesRead = serializers.IntegerField()
    rowsStaged = serializers.IntegerField()
    fileUrl = serializers.CharField(allow_null=True)
    errors = ProblemRow(many=True)  # type: ignore[assignment]  # the name is a Serializer's own, too
    difference = serializers.DictField(allow_null=True)


class ExchangesAnswer(ListAnswer):
    exchanges = ExchangeRow(many=True)


class ExchangeAnswer(Answer):
    exchange = ExchangeRow()


class ChangesQuery(PageQuery):
    change = serializers.ChoiceField(
        choices=[change.value.upper() for change in Change], required=False, default="", help_text="Of one kind only."
    )


class ChangeRow(serializers.Serializer[Any]):
    change = serializers.CharField()
    id = serializers.CharField(help_text="The server's own.")
    name = serializers.CharField()
    virtualAccount = serializers.CharField()
    note = serializers.CharField(help_text="How its use changes, or why it does not count.")


class ChangesAnswer(ListAnswer):
    changes = ChangeRow(many=True)


class DifferenceAnswer(Answer):
    difference = serializers.DictField()


def show_server(server: OnPremServer, now: datetime) -> dict[str, Any]:
    waiting = server.three_tier
    return {
        "uuid": str(server.uuid),
        "name": server.name,
        "virtualAccount": server.virtual_account.name,
        "status": server.health_at(now).value.upper(),
        "registeredAt": show_moment(server.registered_at),
        "lastSynchronizedAt": show_moment(server.last_sync_at),
        "removalDueAt": None if server.removed_at is not None else show_moment(server.removal_due_at),
        "version": server.ssms_version,
        "threeTierCertificate": "" if waiting is None else waiting.state.upper(),
        "threeTierDueAt": None if waiting is None else show_moment(waiting.due_at),
    }


def show_local_account(row: LocalAccount, seen: VirtualAccount | None, held: int) -> dict[str, Any]:
    return {
        "id": row.local_id,
        "name": row.name,
        "isLinked": row.virtual_account_id is not None,
        "virtualAccount": None if seen is None else seen.name,
        "heldInstances": held,
        "note": row.reason,
    }


def show_change(row: ChangedRow) -> dict[str, str]:
    return {
        "change": row.change.upper(),
        "id": row.id,
        "name": row.name,
        "virtualAccount": row.virtual_account,
        "note": row.note,
    }


def show_exchange(exchange: Exchange, base: str) -> dict[str, Any]:
    """`base` is the path of the account's calls, up to its last slash."""
    has_file = exchange.state == ExchangeState.APPLIED and exchange.files_deleted_at is None
    return {
        "id": exchange.pk,
        "server": str(exchange.server.uuid),
        "kind": exchange.kind.upper(),
        "state": exchange.state.upper(),
        "dryRun": exchange.is_dry_run,
        "createdAt": show_moment(exchange.created_at),
        "finishedAt": show_moment(exchange.finished_at),
        "size": exchange.size,
        "bytesRead": exchange.bytes_read,
        "rowsStaged": exchange.rows_staged,
        "fileUrl": f"{base}exchanges/{exchange.pk}/response" if has_file else None,
        "errors": show_problems(exchange.errors),
        "difference": exchange.difference or None,
    }
