"""Paths of the calls about licensing, below the version."""

from django.urls import URLPattern, URLResolver, path

from accounts.api.urls import ACCOUNT, VIRTUAL_ACCOUNT
from licensing.api import (
    authorizations,
    conversions,
    devices,
    duplicates,
    explain,
    families,
    history,
    ownership,
    polls,
    pools,
    reservation_list,
    reservations,
    summary,
    tags,
    tokens,
    transfers,
    usage_calls,
    usage_reports,
)

v1: list[URLPattern | URLResolver] = [
    path(f"{VIRTUAL_ACCOUNT}/tokens", tokens.TokensView.as_view()),
    path(f"{VIRTUAL_ACCOUNT}/tokens/revoke", tokens.TokenRevocationView.as_view()),
    path(f"{VIRTUAL_ACCOUNT}/devices", devices.VirtualAccountDevicesView.as_view()),
    path(f"{VIRTUAL_ACCOUNT}/devices/transfer", transfers.DeviceTransferView.as_view()),
    path(f"{VIRTUAL_ACCOUNT}/licenses/transfer", transfers.LicenseTransferView.as_view()),
    path(f"{VIRTUAL_ACCOUNT}/reserve-licenses", reservations.ReserveView.as_view()),
    path(f"{VIRTUAL_ACCOUNT}/update-licenses", reservations.UpdateView.as_view()),
    path(f"{VIRTUAL_ACCOUNT}/confirm-licenses", reservations.ConfirmView.as_view()),
    path(f"{VIRTUAL_ACCOUNT}/reservations/cancel-update", reservations.CancelUpdateView.as_view()),
    path(f"{VIRTUAL_ACCOUNT}/reservations/return", reservations.ReturnView.as_view()),
    path(f"{VIRTUAL_ACCOUNT}/reservations/rehost", reservations.RehostView.as_view()),
    path(f"{VIRTUAL_ACCOUNT}/reservations/offers", reservation_list.OffersView.as_view()),
    path(f"{ACCOUNT}/reservations", reservation_list.ReservationsView.as_view()),
    path(f"{ACCOUNT}/dlc_convert", conversions.DlcConvertView.as_view()),
    path(f"{ACCOUNT}/conversions", conversions.ConversionsView.as_view()),
    path(f"{ACCOUNT}/devices", devices.DevicesView.as_view()),
    path(f"{ACCOUNT}/licenses", pools.LicensesView.as_view()),
    path(f"{ACCOUNT}/pools/<str:va>/<path:tag>/explain", explain.ExplainView.as_view()),
    path(f"{ACCOUNT}/usage-history", history.UsageHistoryView.as_view()),
    path(f"{ACCOUNT}/usage-reports", usage_reports.UsageReportsView.as_view()),
    path(f"{ACCOUNT}/metered-usage", usage_reports.MeteredUsageView.as_view()),
    path(f"{ACCOUNT}/license-subscriptions", ownership.SubscriptionsView.as_view()),
    path(f"{ACCOUNT}/tags", tags.TagsView.as_view()),
    path(f"{ACCOUNT}/tags/rename", tags.TagRenamingView.as_view()),
    path(f"{ACCOUNT}/tags/delete", tags.TagDeletionView.as_view()),
    path(f"{ACCOUNT}/tags/assign", tags.TagAssignmentView.as_view()),
    path(f"{ACCOUNT}/search", tags.SearchView.as_view()),
    path(f"{ACCOUNT}/duplicates", duplicates.DuplicatesView.as_view()),
    path(f"{ACCOUNT}/duplicates/remove", duplicates.DuplicateRemovalView.as_view()),
    path("operator/families", families.FamiliesView.as_view()),
    path("operator/licenses/higher", families.HigherView.as_view()),
    path("operator/orders", ownership.OrdersView.as_view()),
]

v2: list[URLPattern | URLResolver] = [
    path(f"{VIRTUAL_ACCOUNT}/devices/remove", devices.DeviceRemovalView.as_view()),
    path(f"{VIRTUAL_ACCOUNT}/reserve-licenses", reservations.ReserveViewV2.as_view()),
    path("devices/reportusage", usage_calls.ReportUsageView.as_view()),
    path("accounts/poll", polls.PollView.as_view()),
    path("devices/authrequest", authorizations.AuthRequestView.as_view()),
]

v3: list[URLPattern | URLResolver] = [
    path("licenses/summary", summary.SummaryView.as_view()),
]
