from django.urls import path

from cssm.portal.views import (
    health,
    home,
    operator,
    operator_families,
    operator_keys,
    operator_onprem,
    operator_ownership,
)

urlpatterns = [
    path("", home.Home.as_view(), name="home"),
    path("switcher/", home.Switcher.as_view(), name="switcher"),
    path("operator/", operator.Accounts.as_view(), name="operator"),
    path("operator/accounts/<str:domain>/flags/", operator.AccountFlags.as_view(), name="operator-flags"),
    path("operator/requests/", operator.Requests.as_view(), name="operator-requests"),
    path("operator/requests/<int:pk>/approve/", operator.ApproveRequest.as_view(), name="operator-approve"),
    path("operator/requests/<int:pk>/decline/", operator.DeclineRequest.as_view(), name="operator-decline"),
    path("operator/keys/", operator_keys.Keys.as_view(), name="operator-keys"),
    path("operator/keys/stop/", operator_keys.StopIssuing.as_view(), name="operator-stop-issuing"),
    path("operator/keys/resume/", operator_keys.ResumeIssuing.as_view(), name="operator-resume-issuing"),
    path("operator/keys/block/", operator_keys.BlockKey.as_view(), name="operator-block-key"),
    path("operator/lines/", operator_ownership.Lines.as_view(), name="operator-lines"),
    path(
        "operator/lines/<int:pk>/terminate/", operator_ownership.TerminateLicenses.as_view(), name="operator-terminate"
    ),
    path("operator/lines/<int:pk>/correct/", operator_ownership.CorrectLine.as_view(), name="operator-correct"),
    path("operator/families/", operator_families.Families.as_view(), name="operator-families"),
    path("operator/families/<int:pk>/", operator_families.Family.as_view(), name="operator-family"),
    path("operator/licenses/<int:pk>/higher/", operator_families.ChangeHigher.as_view(), name="operator-higher"),
    path("operator/figures/", operator_ownership.Figures.as_view(), name="operator-figures"),
    path("operator/figures/check/", operator_ownership.CheckNow.as_view(), name="operator-check-figures"),
    path("operator/figures/set-right/", operator_ownership.SetRight.as_view(), name="operator-set-right"),
    path("operator/onprem/", operator_onprem.Servers.as_view(), name="operator-onprem"),
    path("operator/onprem/<uuid:uuid>/sign/", operator_onprem.SignEarly.as_view(), name="operator-sign-early"),
    path("operator/onprem/<uuid:uuid>/hold/", operator_onprem.Hold.as_view(), name="operator-hold"),
    path("operator/jobs/", operator.Jobs.as_view(), name="operator-jobs"),
    path("healthz", health.Live.as_view(), name="healthz"),
    path("readyz", health.Ready.as_view(), name="readyz"),
    path("metrics", health.Metrics.as_view(), name="metrics"),
]
