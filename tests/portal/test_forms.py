from django.test import Client

from tests.portal.markup import check_page

CREATE, REMOVE = "/accounts/acme.example/create/", "/accounts/acme.example/remove/"
HTMX = {"HX-Request": "true", "HX-Target": "dialog"}
GOOD = {"description": "lab", "quantity": "3", "kind": "a"}


def test_an_action_is_a_page_or_a_dialog(alice_client: Client):
    page = check_page(alice_client.get(CREATE))
    assert page.xpath("string(//h1)") == "Create a thing"
    dialog = alice_client.get(CREATE, headers=HTMX)
    assert b"<html" not in dialog.content
    assert b'id="dialog-title"' in dialog.content
    assert b'hx-target="#dialog"' in dialog.content


def test_a_mistake_is_shown_beside_its_field_with_what_was_typed(alice_client: Client):
    page = check_page(alice_client.post(CREATE, {**GOOD, "quantity": "0"}), status=422)
    field = page.get_element_by_id("id_quantity")
    assert field.get("aria-invalid") == "true"
    assert "greater than or equal to 1" in page.text_content()
    assert page.get_element_by_id("id_description").get("value") == "lab"


def test_what_a_service_refuses_is_shown_beside_the_field_it_names(alice_client: Client):
    page = check_page(alice_client.post(CREATE, {**GOOD, "description": "taken"}), status=422)
    assert page.get_element_by_id("id_description").get("aria-invalid") == "true"
    assert "There is one of this name." in page.text_content()


def test_what_concerns_no_field_stands_above_the_form(alice_client: Client):
    page = check_page(alice_client.post(CREATE, {**GOOD, "description": "nowhere"}), status=422)
    assert page.xpath("string(//div[@role='alert'])").strip() == "This cannot be."


def test_success_leads_back_with_a_message(alice_client: Client):
    response = alice_client.post(CREATE, GOOD)
    assert response.headers["Location"] == "/accounts/acme.example/inventory/"
    page = check_page(alice_client.get(response.headers["Location"]))
    assert "The thing was created." in page.text_content()


def test_success_in_a_dialog_leads_the_whole_page_back(alice_client: Client):
    response = alice_client.post(CREATE, GOOD, headers=HTMX)
    assert response.headers["HX-Redirect"] == "/accounts/acme.example/inventory/"


def test_nothing_happens_without_confirming(alice_client: Client):
    page = check_page(alice_client.get(REMOVE))
    assert [line.text_content() for line in page.xpath("//ul[contains(@class, 'consequences')]/li")] == [
        "Its licenses become free.",
        "The device has to register again.",
    ]
    assert page.xpath("//button[@type='submit'][contains(@class, 'btn-danger')]")
    assert alice_client.post(REMOVE).status_code == 302


def test_a_form_without_its_token_is_refused_with_a_page(alice_client: Client):
    alice_client.handler.enforce_csrf_checks = True
    response = alice_client.post(CREATE, GOOD)
    page = check_page(response, status=403)
    assert "reload it and try again" in page.text_content()


def test_a_viewer_may_not_even_see_the_form(carol_client: Client):
    check_page(carol_client.get(CREATE), status=403)
    assert carol_client.post(CREATE, GOOD).status_code == 403


def test_absurd_input_is_a_mistake_and_not_an_accident(alice_client: Client):
    for bad in ({"description": "\x00"}, {"quantity": "9" * 400}, {"kind": "c"}, {"description": "x" * 10_000}):
        check_page(alice_client.post(CREATE, {**GOOD, **bad}), status=422)
