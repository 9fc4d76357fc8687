"""What the tests of the reservation pages have in common: what is in stock, and how a browser goes about it."""

from typing import Any

from django.test import Client

from licensing.models import Pool, Reservation
from tests.licensing.reservations.products import AirGapped
from tests.portal.markup import check_page, parse_page

VA = "/accounts/acme.example/inventory/Engineering/"
WIZARD = f"{VA}licenses/reserve/"
BOARD = "/accounts/acme.example/inventory/all/reservations/"


def text_of(page: Any) -> str:
    return " ".join(" ".join(page.itertext()).split())


def go(client: Client, response: Any) -> Any:
    """The page that a redirect leads to."""
    assert response.status_code == 302, response.content.decode()[:3000]
    return check_page(client.get(response.headers["Location"]))


def enter_code(client: Client, code: str) -> Any:
    return client.post(f"{WIZARD}?step=code", {"request_code": code})


def quantities(place: Any, **wanted: int) -> dict[str, str]:
    """As the form of licenses posts them; `wanted` by tag, or `TAG_type` where the license has several types."""
    posted = {}
    for name, quantity in wanted.items():
        tag, _, kind = name.partition("_")
        pool = Pool.objects.get(virtual_account=place, license__tag=tag)
        posted[f"q-{pool.pk}" + (f"-{kind}" if kind else "")] = str(quantity)
    return posted


def choose(client: Client, place: Any, **wanted: int) -> Any:
    return client.post(f"{WIZARD}?step=licenses", quantities(place, **wanted))


def confirm(client: Client, page: Any) -> Any:
    key = page.xpath("//form[@data-busy]//input[@name='key']/@value")[0]
    return client.post(f"{WIZARD}?step=review", {"key": key})


def reserve(client: Client, product: AirGapped, place: Any, **wanted: int) -> str:
    """Through the wizard; the address of the page with the code, which the product has installed."""
    go(client, enter_code(client, product.request_code))
    review = go(client, choose(client, place, **wanted))
    response = confirm(client, review)
    assert response.status_code == 302, response.content.decode()[:3000]
    url = str(response.headers["Location"])
    product.install(client.get(f"{url}?download").content.decode())
    return url


def page_of(reservation: Reservation) -> str:
    return f"{VA}reservations/{reservation.instance.piid}/"


def dialog(client: Client, url: str, data: dict[str, Any] | None = None) -> Any:
    """As htmx opens it, or posts it, in the dialog."""
    headers = {"HX-Request": "true", "HX-Target": "dialog"}
    return client.get(url, headers=headers) if data is None else client.post(url, data, headers=headers)


def part_of(response: Any) -> str:
    return text_of(parse_page(response))
