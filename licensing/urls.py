"""Where devices post, and the portal's pages of licensing."""

from django.urls import path

from licensing.views import (
    duplicates,
    events,
    explain,
    export_keys,
    history,
    instances,
    inventory,
    moves,
    overview,
    pools,
    removal,
    reports,
    reservation_actions,
    reservation_board,
    reservation_update,
    reservations,
    reserve,
    reserve_many,
    search,
    subscriptions,
    tagging,
    tags,
    tokens,
    transfer_results,
    transfers,
    usage_reports,
)
from licensing.views.call_home import CallHomeView
from licensing.views.exchange import DeviceMessageView

app_name = "licensing"

device_urlpatterns = [
    path("licservice/license", DeviceMessageView.as_view(), name="device-message"),
    path("SmartTransport", DeviceMessageView.as_view(), name="device-message-smart-transport"),
    path("its/service/oddce/services/DDCEService", CallHomeView.as_view(), name="call-home"),
    path("Transportgateway/services/DeviceRequestHandler", CallHomeView.as_view(), name="call-home-gateway"),
]

ACCOUNT = "accounts/<str:domain>/"
VA = f"{ACCOUNT}inventory/<str:va>/"
RUM = f"{ACCOUNT}inventory/all/usage-reports/"

portal_urlpatterns = [
    path(ACCOUNT, overview.Overview.as_view(), name="overview"),
    path(f"{ACCOUNT}inventory/", inventory.Inventory.as_view(), name="inventory"),
    path(f"{ACCOUNT}reports/", reports.ReportList.as_view(), name="reports"),
    path(f"{ACCOUNT}reports/licenses/", reports.Licenses.as_view(), name="report_licenses"),
    path(f"{ACCOUNT}reports/subscriptions/", reports.Subscriptions.as_view(), name="report_subscriptions"),
    path(f"{ACCOUNT}reports/instances/", reports.Instances.as_view(), name="report_instances"),
    path(f"{ACCOUNT}reports/usage/", reports.Usage.as_view(), name="report_usage"),
    path(f"{ACCOUNT}reports/metered-use/", reports.MeteredUse.as_view(), name="report_metered_use"),
    path(f"{ACCOUNT}reports/as-of/", reports.AsOf.as_view(), name="report_as_of"),
    path(f"{ACCOUNT}inventory/all/subscriptions/", subscriptions.Subscriptions.as_view(), name="subscriptions"),
    path(f"{ACCOUNT}inventory/all/end-dates/", subscriptions.EndDates.as_view(), name="end_dates"),
    path(f"{ACCOUNT}inventory/all/duplicates/", duplicates.Duplicates.as_view(), name="duplicates"),
    path(f"{ACCOUNT}inventory/all/duplicates/remove/", duplicates.RemoveDuplicates.as_view(), name="remove_duplicates"),
    path(f"{ACCOUNT}inventory/all/reservations/", reservation_board.ReservationBoard.as_view(), name="reservations"),
    path(f"{ACCOUNT}inventory/all/reservations/codes/", reservation_board.DownloadCodes.as_view(), name="board_codes"),
    path(f"{ACCOUNT}inventory/all/reservations/return/", reservation_board.ReturnMany.as_view(), name="return_many"),
    path(
        f"{ACCOUNT}inventory/all/reservations/return/run/", reservation_board.RunReturns.as_view(), name="run_returns"
    ),
    path(RUM, usage_reports.UsageReports.as_view(), name="usage_reports"),
    path(f"{RUM}upload/", usage_reports.UploadUsageReports.as_view(), name="upload_usage_reports"),
    path(f"{RUM}uploads/<int:upload>/", usage_reports.UsageUploadResult.as_view(), name="usage_upload"),
    path(
        f"{RUM}uploads/<int:upload>/acknowledgement.xml",
        usage_reports.UsageAcknowledgement.as_view(),
        name="usage_acknowledgement",
    ),
    path(f"{RUM}<int:report>/", usage_reports.UsageReportPage.as_view(), name="usage_report"),
    path(f"{RUM}<int:report>/payload.json", usage_reports.UsageReportPayload.as_view(), name="usage_report_payload"),
    path(f"{ACCOUNT}activity/", events.Activity.as_view(), name="activity"),
    path(f"{ACCOUNT}search/", search.Search.as_view(), name="search"),
    path(f"{ACCOUNT}manage/tags/", tags.AccountTags.as_view(), name="tags"),
    path(f"{ACCOUNT}manage/tags/add/", tags.CreateTag.as_view(), name="create_tag"),
    path(f"{ACCOUNT}manage/tags/<int:tag>/rename/", tags.RenameTag.as_view(), name="rename_tag"),
    path(f"{ACCOUNT}manage/tags/<int:tag>/delete/", tags.DeleteTag.as_view(), name="delete_tag"),
    path(f"{ACCOUNT}tags/virtual-accounts/", tagging.TagVirtualAccounts.as_view(), name="tag_virtual_accounts"),
    path(f"{VA}tags/", tagging.TagVirtualAccount.as_view(), name="tag_virtual_account"),
    path(f"{VA}licenses/tags/", tagging.TagLicenses.as_view(), name="tag_licenses"),
    path(f"{VA}licenses/<int:pool>/tags/", tagging.TagLicense.as_view(), name="tag_license"),
    path(f"{VA}instances/tags/", tagging.TagInstances.as_view(), name="tag_instances"),
    path(f"{VA}instances/<uuid:piid>/tags/", tagging.TagInstance.as_view(), name="tag_instance"),
    path(VA, inventory.InventoryHome.as_view(), name="virtual_account"),
    path(f"{VA}general/", tokens.GeneralTab.as_view(), name="general"),
    path(f"{VA}tokens/new/", tokens.NewToken.as_view(), name="new_token"),
    path(f"{VA}tokens/<int:token>/", tokens.ShowToken.as_view(), name="token"),
    path(f"{VA}tokens/<int:token>/revoke/", tokens.RevokeToken.as_view(), name="revoke_token"),
    path(f"{VA}licenses/", pools.LicensesTab.as_view(), name="licenses"),
    path(f"{VA}licenses/transfer/", transfers.TransferLicenses.as_view(), name="transfer_licenses"),
    path(f"{VA}licenses/transfer/file/", transfers.TransferByFile.as_view(), name="transfer_by_file"),
    path(f"{VA}licenses/transfer/template.csv", transfer_results.TransferTemplate.as_view(), name="transfer_template"),
    path(f"{VA}licenses/transfers/<int:record>/", transfer_results.TransferResult.as_view(), name="transfer_result"),
    path(f"{VA}licenses/reserve/", reserve.ReserveLicenses.as_view(), name="reserve_licenses"),
    path(f"{VA}licenses/reserve/check/", reserve.CheckRequestCode.as_view(), name="check_request_code"),
    path(f"{VA}licenses/reserve/many/", reserve_many.ReserveMany.as_view(), name="reserve_many"),
    path(f"{VA}licenses/reserve/many/run/", reserve_many.RunMany.as_view(), name="run_many"),
    path(f"{VA}licenses/reserve/many/codes.zip", reserve_many.ManyCodes.as_view(), name="many_codes"),
    path(f"{VA}licenses/reserve/many/example.csv", reserve_many.ManyExample.as_view(), name="many_example"),
    path(f"{VA}reservations/<uuid:piid>/", reservations.ReservationPage.as_view(), name="reservation"),
    path(f"{VA}reservations/<uuid:piid>/codes/<int:code>/", reservations.ShowCode.as_view(), name="reservation_code"),
    path(f"{VA}reservations/<uuid:piid>/update/", reservation_update.UpdateReservation.as_view(), name="update"),
    path(f"{VA}reservations/<uuid:piid>/cancel/", reservation_actions.CancelUpdate.as_view(), name="cancel_update"),
    path(f"{VA}reservations/<uuid:piid>/confirm/", reservation_actions.EnterConfirmation.as_view(), name="confirm"),
    path(f"{VA}reservations/<uuid:piid>/return/", reservation_actions.EnterReturn.as_view(), name="return"),
    path(f"{VA}reservations/<uuid:piid>/rehost/", reservation_actions.Rehost.as_view(), name="rehost"),
    path(f"{VA}licenses/<int:pool>/transfer/", transfers.TransferOne.as_view(), name="transfer_license"),
    path(f"{VA}licenses/<int:pool>/", pools.LicenseDialog.as_view(), name="license"),
    path(f"{VA}licenses/<int:pool>/explain/", explain.ExplainLicense.as_view(), name="explain"),
    path(f"{VA}licenses/<int:pool>/history/", history.LicenseHistory.as_view(), name="license_history"),
    path(f"{VA}instances/", instances.InstancesTab.as_view(), name="instances"),
    path(f"{VA}instances/transfer/", moves.TransferInstances.as_view(), name="transfer_instances"),
    path(f"{VA}instances/<uuid:piid>/", instances.InstanceDialog.as_view(), name="instance"),
    path(f"{VA}instances/<uuid:piid>/remove/", removal.RemoveInstance.as_view(), name="remove_instance"),
    path(
        f"{VA}instances/<uuid:piid>/export-keys/return/",
        export_keys.ReturnExportKey.as_view(),
        name="return_export_key",
    ),
    path(f"{VA}events/", events.EventsTab.as_view(), name="events"),
]

urlpatterns = [*device_urlpatterns, *portal_urlpatterns]
