"""Where revocation lists and chains are; these addresses stand in every certificate."""

from django.urls import path

from pki.views import ChainView, RevocationListView

urlpatterns = [
    path("pki/<str:name>.crl", RevocationListView.as_view(), name="revocation-list"),
    path("pki/<str:name>.pem", ChainView.as_view(), name="authority-chain"),
]
