from django.test import Client

from tests.portal.markup import check_page

URL = "/accounts/acme.example/wizard/"


def test_a_wizard_asks_step_by_step_and_performs_after_the_review(alice_client: Client):
    page = check_page(alice_client.get(URL))
    assert page.xpath("//li[@aria-current='step']//span[@class='stepper-label']/text()") == ["Code"]
    assert alice_client.post(f"{URL}?step=code", {"code": "ABC"}).headers["Location"] == f"{URL}?step=amount"
    assert alice_client.post(f"{URL}?step=amount", {"amount": "7"}).headers["Location"] == f"{URL}?step=review"
    review = check_page(alice_client.get(f"{URL}?step=review"))
    assert [fact.text_content() for fact in review.xpath("//dl[@class='facts']//dd")] == ["ABC", "7"]
    done = alice_client.post(f"{URL}?step=review")
    page = check_page(alice_client.get(done.headers["Location"]))
    assert "Reserved 7 by ABC." in page.text_content()


def test_no_step_can_be_left_out(alice_client: Client):
    assert alice_client.post(f"{URL}?step=review").headers["Location"] == f"{URL}?step=code"
    page = check_page(alice_client.get(f"{URL}?step=amount"))
    assert page.xpath("//input[@name='code']")


def test_a_mistake_stays_on_its_step(alice_client: Client):
    alice_client.post(f"{URL}?step=code", {"code": "ABC"})
    page = check_page(alice_client.post(f"{URL}?step=amount", {"amount": "0"}), status=422)
    assert page.xpath("//input[@name='amount'][@aria-invalid='true']")
    assert alice_client.post(f"{URL}?step=review").headers["Location"] == f"{URL}?step=amount"


def test_going_back_shows_what_was_answered(alice_client: Client):
    alice_client.post(f"{URL}?step=code", {"code": "ABC"})
    page = check_page(alice_client.get(f"{URL}?step=code"))
    assert page.xpath("//input[@name='code']/@value") == ["ABC"]


def test_a_refusal_at_the_end_is_shown_on_the_review(alice_client: Client):
    alice_client.post(f"{URL}?step=code", {"code": "SPENT"})
    alice_client.post(f"{URL}?step=amount", {"amount": "7"})
    page = check_page(alice_client.post(f"{URL}?step=review"), status=422)
    assert "The code is spent." in page.text_content()


def test_the_answers_are_forgotten_once_performed(alice_client: Client):
    alice_client.post(f"{URL}?step=code", {"code": "ABC"})
    alice_client.post(f"{URL}?step=amount", {"amount": "7"})
    alice_client.post(f"{URL}?step=review")
    assert alice_client.post(f"{URL}?step=review").headers["Location"] == f"{URL}?step=code"
