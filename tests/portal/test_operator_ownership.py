import pytest

from licensing.models import OwnershipRecord, Pool, PoolCheck, PurchaseLine
from tests.conftest import NOW
from tests.licensing.stock import deliver, line, live, make_license
from tests.portal.markup import check_page


@pytest.fixture
def bought(engineering):
    deliver(engineering, line(make_license("ROUTER", NOW), 10), now=NOW, order_ref="PO-7")
    return PurchaseLine.objects.get()


def test_the_operator_finds_a_line_and_what_is_left_of_it(olivia_client, bought):
    page = check_page(olivia_client.get("/operator/lines/?q=PO-7"))
    assert "ROUTER name" in page.text_content()
    assert page.xpath(f"//a[@href='/operator/lines/{bought.pk}/terminate/'][@data-dialog]")
    assert "ROUTER name" not in check_page(olivia_client.get("/operator/lines/?q=nothing")).text_content()


def key_of(client, url):
    return check_page(client.get(url)).xpath("//input[@name='key']/@value")[0]


def test_a_termination_pressed_twice_terminates_once(olivia_client, bought, engineering):
    url = f"/operator/lines/{bought.pk}/terminate/"
    form = {
        "quantity": "4",
        "precedence": "LONGEST_TERM_FIRST",
        "reason": "sent back",
        "key": key_of(olivia_client, url),
    }
    for _ in range(2):
        assert olivia_client.post(url, form).status_code == 302
    assert live(bought.license, engineering, NOW).now_purchased == 6
    assert OwnershipRecord.objects.get(kind="termination").reason == "sent back"
    again = {**form, "quantity": "7", "key": key_of(olivia_client, url)}
    assert "only 6 are free" in check_page(olivia_client.post(url, again), status=422).text_content()


@pytest.mark.parametrize("quantity", ["0", "-11", "1.5", "x", str(10**30)])
def test_a_correction_that_cannot_be_is_refused_in_words(olivia_client, bought, quantity):
    url = f"/operator/lines/{bought.pk}/correct/"
    form = {"quantity": quantity, "reason": "typing error", "key": key_of(olivia_client, url)}
    check_page(olivia_client.post(url, form), status=422)
    assert not OwnershipRecord.objects.filter(kind="correction").exists()


def test_a_correction_is_added_to_the_record(olivia_client, bought, engineering):
    url = f"/operator/lines/{bought.pk}/correct/"
    form = {"quantity": "-3", "reason": "typing error", "key": key_of(olivia_client, url)}
    assert olivia_client.post(url, form).status_code == 302
    assert live(bought.license, engineering, NOW).now_purchased == 7
    assert PurchaseLine.objects.get().quantity == 10


def test_differences_are_shown_and_set_right(olivia_client, bought):
    Pool.objects.update(purchased=3)
    olivia_client.post("/operator/figures/check/")
    page = check_page(olivia_client.get("/operator/figures/"))
    assert "Figures differ from the records" in page.text_content()
    assert "Figures 1" in " ".join(check_page(olivia_client.get("/operator/")).text_content().split())
    check_page(olivia_client.get("/operator/figures/set-right/"))
    olivia_client.post("/operator/figures/set-right/")
    assert Pool.objects.get().purchased == 10
    assert "Figures differ" not in check_page(olivia_client.get("/operator/figures/")).text_content()
    assert sorted(PoolCheck.objects.values_list("difference_count", flat=True)) == [0, 1]
