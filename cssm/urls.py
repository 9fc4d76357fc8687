"""Every URL of the product: the fixed paths of devices and programs first, the portal's pages after them."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("licensing.urls")),
    path("", include("pki.urls")),
    path("", include("sync.urls")),
    path("", include("cssm.api.urls")),
    path("", include("cssm.portal.urls")),
    path("", include("accounts.urls")),
    path("", include("alerts.urls")),
    path("admin/", admin.site.urls),
]

handler400 = "cssm.portal.views.errors.bad_request"
handler403 = "cssm.portal.views.errors.forbidden"
handler404 = "cssm.portal.views.errors.not_found"
handler500 = "cssm.portal.views.errors.server_error"
