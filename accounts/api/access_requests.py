"""Requests for access: listed and decided, by an account's administrators and, for new accounts, by the operator."""

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import shapes
from accounts.api.base import AccountApiView
from accounts.models import AccessRequest
from accounts.querysets import AccessRequestQuerySet
from accounts.services.access_requests import approve_request, decline_request
from accounts.states import RequestKind
from cssm.common.api.description import changes, reads
from cssm.common.api.fields import PageQuery
from cssm.common.errors import NotFound
from cssm.common.permissions import Permission, Role


class AccessRequestApiView(AccountApiView):
    permission = Permission.APPROVE_ACCESS

    def requests(self) -> AccessRequestQuerySet:
        """Those that the path covers and the actor decides."""
        of_account = AccessRequest.objects.filter(smart_account=self.smart_account).visible_to(self.actor)
        return of_account.select_related("requester")

    def find_request(self) -> AccessRequest:
        row = self.requests().filter(pk=self.kwargs["request_id"]).first()
        if row is None:
            raise NotFound("There is no such request.")
        return row

    def list_requests(self) -> Response:
        return self.success_page("accessRequests", self.requests().order_by("-pk"), self.read_page(), show_request)

    def approve(self) -> Response:
        wanted = self.read_body(shapes.Approval)
        virtual_account = self.find_virtual_account(wanted["virtualAccount"]) if "virtualAccount" in wanted else None
        row = approve_request(
            actor=self.actor,
            access_request=self.find_request(),
            role=Role(wanted["role"]),
            virtual_account=virtual_account,
            now=self.now,
        )
        return self.success(accessRequest=show_request(row))

    def decline(self) -> Response:
        reason = self.read_body(shapes.Refusal)["reason"]
        row = decline_request(actor=self.actor, access_request=self.find_request(), reason=reason, now=self.now)
        return self.success(accessRequest=show_request(row))


class AccessRequestsView(AccessRequestApiView):
    @reads("listAccessRequests", "Requests for access to an account", shapes.AccessRequestsAnswer, query=PageQuery)
    def get(self, request: Request, domain: str) -> Response:
        return self.list_requests()


class ApprovalView(AccessRequestApiView):
    @changes("approveAccess", "Give a requester a role", shapes.AccessRequestAnswer, body=shapes.Approval)
    def post(self, request: Request, domain: str, request_id: int) -> Response:
        return self.approve()


class RefusalView(AccessRequestApiView):
    @changes("declineAccess", "Decline a request with a reason", shapes.AccessRequestAnswer, body=shapes.Refusal)
    def post(self, request: Request, domain: str, request_id: int) -> Response:
        return self.decline()


class NewAccountRequestApiView(AccessRequestApiView):
    permission = Permission.OPERATE

    def requests(self) -> AccessRequestQuerySet:
        return AccessRequest.objects.filter(kind=RequestKind.NEW_ACCOUNT).select_related("requester")


class NewAccountRequestsView(NewAccountRequestApiView):
    @reads(
        "listAccountRequests",
        "Requests for new accounts",
        shapes.AccessRequestsAnswer,
        query=PageQuery,
        tag="operator",
    )
    def get(self, request: Request) -> Response:
        return self.list_requests()


class NewAccountApprovalView(NewAccountRequestApiView):
    @changes("approveAccount", "Create the account asked for", shapes.AccessRequestAnswer, tag="operator")
    def post(self, request: Request, request_id: int) -> Response:
        row = approve_request(actor=self.actor, access_request=self.find_request(), now=self.now)
        return self.success(accessRequest=show_request(row))


class NewAccountRefusalView(NewAccountRequestApiView):
    @changes(
        "declineAccount",
        "Decline a new account with a reason",
        shapes.AccessRequestAnswer,
        body=shapes.Refusal,
        tag="operator",
    )
    def post(self, request: Request, request_id: int) -> Response:
        return self.decline()


def show_request(row: AccessRequest) -> dict[str, Any]:
    return {
        "id": row.pk,
        "kind": row.kind,
        "domain": row.domain,
        "requester": row.requester.email,
        "note": row.note,
        "status": row.status,
        "reason": row.reason,
        "createdAt": row.created_at,
    }
