"""What anyone may fetch to check a certificate of ours: revocation lists and chains, as named in CDP and AIA."""

from django.http import Http404, HttpRequest, HttpResponse
from django.views import View

from cssm.common.permissions import Access
from pki.errors import AuthorityMissing
from pki.services.authorities import read_chain
from pki.services.crls import find_crl
from pki.states import AuthorityName

# Long enough for a crowd of products, short enough for a revocation to be seen.
CACHE = "public, max-age=300"


class RevocationListView(View):
    """DER (RFC 2585)."""

    permission = Access.PUBLIC
    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest, name: str) -> HttpResponse:
        found = find_crl(name)
        if found is None:
            raise Http404("There is no revocation list of this name.")
        headers = {"Cache-Control": CACHE, "Content-Disposition": f'attachment; filename="{name}.crl"'}
        return HttpResponse(bytes(found.der), content_type="application/pkix-crl", headers=headers)


class ChainView(View):
    """PEM, from the authority up to the root."""

    permission = Access.PUBLIC
    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest, name: str) -> HttpResponse:
        try:
            chain = read_chain(AuthorityName(name))
        except (ValueError, AuthorityMissing):
            raise Http404("There is no authority of this name.") from None
        return HttpResponse(chain, content_type="application/pem-certificate-chain", headers={"Cache-Control": CACHE})
