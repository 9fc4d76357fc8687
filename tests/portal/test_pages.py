from django.test import Client

from tests.portal.markup import check_page

HTMX = {"HX-Request": "true"}


def test_a_page_holds_no_inline_code_and_every_control_has_a_name(alice_client: Client):
    for url in ("", "inventory/", "create/", "remove/", "inventory/default/"):
        page = check_page(alice_client.get(f"/accounts/acme.example/{url}"))
        assert len(page.xpath("//h1")) == 1
        assert page.xpath("//a[@class='skip-link'][@href='#content']")


def test_the_policy_forbids_inline_scripts_and_styles(alice_client: Client):
    policy = alice_client.get("/accounts/acme.example/").headers["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "style-src 'self'" in policy
    assert "unsafe" not in policy


def test_who_is_not_signed_in_is_sent_to_the_login_and_back(client: Client, acme: object):
    response = client.get("/accounts/acme.example/inventory/?q=x")
    assert response.status_code == 302
    assert response.headers["Location"] == "/login/?next=/accounts/acme.example/inventory/%3Fq%3Dx"


def test_a_part_sends_the_whole_page_to_the_login(client: Client, acme: object):
    headers = {**HTMX, "HX-Current-URL": "http://testserver/accounts/acme.example/inventory/"}
    response = client.get("/accounts/acme.example/create/", headers=headers)
    assert response.headers["HX-Redirect"] == "/login/?next=/accounts/acme.example/inventory/"
    assert response.content == b""


def test_a_strangers_account_looks_like_none(mallory_client: Client, acme: object):
    strange = check_page(mallory_client.get("/accounts/acme.example/"), status=404)
    missing = check_page(mallory_client.get("/accounts/nobody.example/"), status=404)
    assert strange.text_content() == missing.text_content()


def test_a_missing_right_answers_403_with_a_page(bob_client: Client):
    page = check_page(bob_client.get("/accounts/acme.example/manage/"), status=403)
    assert "Your role does not allow this" in page.text_content()


def test_one_virtual_account_does_not_open_its_neighbour(bob_client: Client, carol_client: Client):
    url = "/accounts/acme.example/inventory/{}/"
    assert bob_client.get(url.format("engineering")).status_code == 200
    assert bob_client.get(url.format("DEFAULT")).status_code == 404
    assert bob_client.get(url.format("no such")).status_code == 404
    assert carol_client.get(url.format("Engineering")).status_code == 403


def test_the_navigation_shows_only_areas_that_exist_and_may_be_opened(alice_client: Client, bob_client: Client):
    def areas(client: Client) -> list[str]:
        page = check_page(client.get("/accounts/acme.example/"))
        return [link.text_content().strip() for link in page.xpath("//nav[@class='side-nav']//a")]

    assert areas(alice_client) == ["Overview", "Inventory", "Manage Account"]
    assert areas(bob_client) == ["Overview", "Inventory"]


def test_the_present_area_is_marked(alice_client: Client):
    page = check_page(alice_client.get("/accounts/acme.example/inventory/"))
    assert page.xpath("//nav[@class='side-nav']//a[@aria-current='page']/@href") == [
        "/accounts/acme.example/inventory/"
    ]


def test_the_chosen_theme_is_in_the_first_byte_of_the_page(alice_client: Client):
    assert b'data-bs-theme="dark"' not in alice_client.get("/accounts/acme.example/").content
    alice_client.cookies["theme"] = "dark"
    assert b'data-bs-theme="dark"' in alice_client.get("/accounts/acme.example/").content
    alice_client.cookies["theme"] = '"><script>'
    assert b"<script>" not in alice_client.get("/accounts/acme.example/").content


def test_home_leads_to_the_account_last_looked_at(alice_client: Client):
    assert alice_client.get("/").headers["Location"] == "/accounts/acme.example/"


def test_home_of_an_operator_is_the_operator_area(olivia_client: Client):
    assert olivia_client.get("/").headers["Location"] == "/operator/"


def test_home_without_an_account_says_what_to_do(client_of, alice):
    page = check_page(client_of(alice).get("/"))
    assert "no access to a Smart Account yet" in page.text_content()


def test_the_switcher_lists_ones_own_accounts_only(alice_client: Client, umbrella: object):
    part = alice_client.get("/switcher/", headers=HTMX).content.decode()
    assert "acme.example" in part
    assert "umbrella.example" not in part


def test_the_switcher_of_an_operator_finds_by_name(olivia_client: Client, acme: object, umbrella: object):
    part = olivia_client.get("/switcher/?account=umbr", headers=HTMX).content.decode()
    assert "umbrella.example" in part
    assert "acme.example" not in part
