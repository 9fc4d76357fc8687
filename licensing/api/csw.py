"""The calls of programs that manage devices: accounts by number in `X-CSW-*` headers, failures as FAILED."""

from collections.abc import Callable
from functools import cached_property
from typing import Any, Final, TypeVar

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers

from accounts.api.base import AccountApiView
from accounts.models import SmartAccount, VirtualAccount
from accounts.services.smart_accounts import get_smart_account
from accounts.services.virtual_accounts import get_virtual_account
from cssm.common.api.description import IDEMPOTENCY_KEY, REFUSALS, REFUSALS_OF_POST
from cssm.common.api.errors import Problem
from cssm.common.api.fields import ErrorRow
from cssm.common.api.parsers import parse_json
from cssm.common.clock import to_milliseconds
from cssm.common.errors import Forbidden, Invalid, NotFound
from cssm.common.permissions import Permission

F = TypeVar("F", bound=Callable[..., Any])

SMART_ACCOUNT: Final = "X-CSW-SMART-ACCOUNT-ID"
VIRTUAL_ACCOUNT: Final = "X-CSW-VIRTUAL-ACCOUNT-ID"
REQUESTING_SYSTEM: Final = "X-CSW-REQUESTING-SYSTEM"
MAX_HEADER: Final = 2048


class CswFailure(serializers.Serializer[Any]):
    """What every refused call of these answers."""

    status = serializers.ChoiceField(choices=["FAILED"])
    message = serializers.CharField()
    message_code = serializers.CharField()
    timestamp = serializers.IntegerField()
    nonce = serializers.CharField(allow_null=True)
    type = serializers.CharField(allow_null=True)
    errors = ErrorRow(many=True)  # type: ignore[assignment]  # an attribute of the shape only, read by the schema
    correlationId = serializers.CharField()


class CswView(AccountApiView):
    """`smart_account` and `virtual_account` are those that the headers name; the permission must hold on the latter."""

    permission = Permission.MANAGE_ASSETS

    @property
    def needed(self) -> Permission:
        return Permission(self.permission)

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if request.method == "POST":
            _ = self.virtual_account
            self._check_requesting_system()

    @cached_property
    def smart_account(self) -> SmartAccount:
        """Raises `NotFound` to a stranger, `Forbidden` where the permission holds nowhere in the account."""
        account = SmartAccount.objects.filter(pk=self._read_id(SMART_ACCOUNT)).first()
        if account is None:
            raise NotFound("There is no such account, or you have no access to it.", where=SMART_ACCOUNT)
        found = get_smart_account(actor=self.actor, domain=account.domain)
        if not self.actor.may_anywhere(self.needed, smart_account_id=found.pk):
            raise Forbidden("Your role does not allow this.", details={"permission": self.needed.value})
        return found

    @cached_property
    def virtual_account(self) -> VirtualAccount:
        """Raises `NotFound` for one that the actor may not see, `Forbidden` where only the permission is missing."""
        rows = VirtualAccount.objects.live().filter(smart_account=self.smart_account)
        named = rows.filter(pk=self._read_id(VIRTUAL_ACCOUNT)).first()
        if named is None:
            raise NotFound("There is no such Virtual Account, or you have no access to it.", where=VIRTUAL_ACCOUNT)
        return get_virtual_account(
            actor=self.actor, smart_account=self.smart_account, name=named.name, permission=self.needed
        )

    def write_problem(self, problem: Problem) -> dict[str, Any]:
        return {
            "status": "FAILED",
            "message": problem.message,
            "message_code": problem.code,
            "timestamp": to_milliseconds(self.now),
            "nonce": None,
            "type": None,
            "errors": list(problem.errors),
        }

    def _read_id(self, header: str) -> int:
        value = self.request.headers.get(header, "").strip()
        if not (value.isascii() and value.isdecimal() and len(value) <= 18):
            raise Invalid(f"Give the number of the account in {header}, as v2/accounts/search has it.", where=header)
        return int(value)

    def _check_requesting_system(self) -> None:
        value = self.request.headers.get(REQUESTING_SYSTEM)
        if value is None:
            return
        if len(value) > MAX_HEADER or not isinstance(parse_json(value.encode()), dict):
            raise Invalid(f"{REQUESTING_SYSTEM} holds a JSON object that names a product.", where=REQUESTING_SYSTEM)


def csw_call(operation: str, summary: str, answer: Any, *, body: Any, status: int) -> Callable[[F], F]:
    """For a POST of these: its name, what it is for, the shapes of its body and answer, and the answer's status."""
    refusals = {**REFUSALS, **REFUSALS_OF_POST}
    described = {code: OpenApiResponse(CswFailure, description=text) for code, text in refusals.items()}
    decorated: Callable[[F], F] = extend_schema(
        operation_id=operation,
        summary=summary,
        description=f"{summary}.",  # or the docstring of a base class would be shown
        tags=["devices"],
        parameters=[
            IDEMPOTENCY_KEY,
            OpenApiParameter(SMART_ACCOUNT, int, OpenApiParameter.HEADER, required=True),
            OpenApiParameter(VIRTUAL_ACCOUNT, int, OpenApiParameter.HEADER, required=True),
            OpenApiParameter(REQUESTING_SYSTEM, str, OpenApiParameter.HEADER, description="JSON that names a product."),
        ],
        request=body,
        responses={status: answer, **described},
    )
    return decorated
