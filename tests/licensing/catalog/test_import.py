import pytest

from accounts.models import Event
from cssm.common.actor import SYSTEM, Actor, ActorKind
from cssm.common.errors import Forbidden, Invalid
from licensing.models import CatalogHead, License, LicenseChange, LicenseFamily, SoftwareTag
from licensing.services.catalog import lookup
from licensing.services.catalog.imports import SHIPPED, import_catalog, import_shipped_catalog
from tests.licensing.stock import COLUMNS, import_rows, make_license

pytestmark = pytest.mark.django_db

PLAIN = COLUMNS.removesuffix(",higher,billing")


def test_the_shipped_catalog_is_imported_whole(now):
    result = import_shipped_catalog(actor=SYSTEM, now=now)
    lines = len(SHIPPED.read_text().splitlines()) - 1
    assert (result.created, result.changed, result.version) == (lines, 0, 1)
    assert License.objects.count() + SoftwareTag.objects.count() == lines
    restricted = License.objects.filter(export_restricted=True)
    assert {license.feature_name for license in restricted} == {"hseck9"}


def test_the_shipped_unified_communications_licenses_are_one_family(now):
    import_shipped_catalog(actor=SYSTEM, now=now)
    uc = License.objects.filter(tag__contains="UCM_")
    assert len({license.family_id for license in uc}) == 1
    assert LicenseFamily.objects.get(pk=uc[0].family_id).name == "UC Manager CUWL License (12.X)"


def test_an_import_that_changes_nothing_leaves_no_trace(now):
    import_shipped_catalog(actor=SYSTEM, now=now)
    before = Event.objects.count()
    with SHIPPED.open(newline="") as file:
        again = import_catalog(actor=SYSTEM, rows=file, now=now)
    assert (again.created, again.changed, again.version) == (0, 0, 1)
    assert Event.objects.count() == before
    assert CatalogHead.objects.get().version == 1


def test_an_import_is_one_event_with_before_and_after(now):
    make_license("A", now)
    import_rows(["A,entitlement,Better name,,perpetual,,,,,PREPAID", "S,software_id,,,,,,X,,"], now)
    event = Event.objects.filter(name="catalog.imported").latest("pk")
    assert event.smart_account is None
    assert (event.data["version"], event.data["created"], event.data["changed"]) == (2, 1, 1)
    assert {"tag": "A", "field": "display_name", "before": "A name", "after": "Better name"} in event.data["changes"]
    assert "1 new tags, 1 changed" in event.message


def test_bootstrapping_again_keeps_what_the_operator_imported(now):
    import_shipped_catalog(actor=SYSTEM, now=now)
    import_rows(["HCUC_SpeechView,entitlement,Our own name,,term,,,,,USAGE"], now)
    assert import_shipped_catalog(actor=SYSTEM, now=now).changed == 0
    assert License.objects.get(tag="HCUC_SpeechView").display_name == "Our own name"


def test_higher_may_come_later_in_the_file(now):
    import_rows(["LOW,entitlement,Low,,,,,,HIGH,", "HIGH,entitlement,High,,,,,,,"], now)
    low, high = License.objects.get(tag="LOW"), License.objects.get(tag="HIGH")
    assert (low.higher, low.family, high.higher) == (high, high.family, None)
    assert high.family.name == "High"


def test_a_file_without_the_optional_columns_leaves_them_as_they_are(now):
    import_rows(["LOW,entitlement,Low,,,,,,HIGH,USAGE", "HIGH,entitlement,High,,,,,,,"], now)
    import_rows(["LOW,entitlement,Lower,,,,,"], now, columns=PLAIN)
    low, high = License.objects.get(tag="LOW"), License.objects.get(tag="HIGH")
    assert (low.display_name, low.higher, low.billing) == ("Lower", high, "USAGE")


def test_joining_families_keeps_the_larger_ones_number_and_notes_who_moved(now):
    import_rows(["A,entitlement,A,,,,,,,", "B,entitlement,B,,,,,,A,", "C,entitlement,C,,,,,,,"], now)
    kept = License.objects.get(tag="A").family_id
    LicenseChange.objects.all().delete()
    import_rows(["C,entitlement,C,,,,,,B,"], now)
    assert {license.family_id for license in License.objects.all()} == {kept}
    # All three: the family has a new hierarchy, which its pools follow.
    assert [change.license.tag for change in LicenseChange.objects.all()] == ["A", "B", "C"]


def test_splitting_a_family_gives_the_smaller_part_a_new_number(now):
    import_rows(["A,entitlement,A,,,,,,,", "B,entitlement,B,,,,,,A,", "C,entitlement,C,,,,,,B,"], now)
    kept = License.objects.get(tag="A").family_id
    import_rows(["C,entitlement,C,,,,,,,"], now)
    families = {license.tag: license.family_id for license in License.objects.all()}
    assert (families["A"], families["B"]) == (kept, kept)
    assert families["C"] != kept
    assert License.objects.get(tag="C").family.name == "C"


@pytest.mark.parametrize(
    ("rows", "line", "column", "code"),
    [
        (["A,entitlement,A,,,,,,NOWHERE,"], 2, "higher", "UNKNOWN_TAG"),
        (["A,entitlement,A,,,,,,B,", "B,entitlement,B,,,,,,A,"], 3, "higher", "CYCLE"),
        (["KNOWN,software_id,,,,,,,,"], 2, "kind", "KIND_CHANGED"),
        (["SOFT,entitlement,,,,,,,,"], 2, "kind", "KIND_CHANGED"),
        (["A,entitlement,A,,,,,,SOFT,"], 2, "higher", "UNKNOWN_TAG"),
        (["A,thing,A,,,,,,,"], 2, "kind", "KIND_INVALID"),
    ],
)
def test_one_error_and_nothing_of_the_file_is_imported(now, rows, line, column, code):
    import_rows(["KNOWN,entitlement,Known,,,,,,,", "SOFT,software_id,,,,,,,,"], now)
    with pytest.raises(Invalid) as refused:
        import_rows([*rows, "GOOD,entitlement,Good,,,,,,,"], now)
    assert refused.value.code == "CATALOG_INVALID"
    (error,) = refused.value.details["errors"]
    assert (error["line"], error["column"], error["code"]) == (line, column, code)
    assert not License.objects.filter(tag="GOOD").exists()
    assert CatalogHead.objects.get().version == 1


def test_a_cycle_through_what_is_known_already_is_refused(now):
    import_rows(["A,entitlement,A,,,,,,,", "B,entitlement,B,,,,,,A,"], now)
    with pytest.raises(Invalid) as refused:
        import_rows(["A,entitlement,A,,,,,,B,"], now)
    assert refused.value.details["errors"][0]["code"] == "CYCLE"


def test_only_the_operator_imports(now):
    with pytest.raises(Forbidden):
        import_catalog(actor=Actor(kind=ActorKind.USER, id="1"), rows=[], now=now)


def test_lookups_see_an_import_of_this_process_at_once(now, django_capture_on_commit_callbacks):
    make_license("A", now)
    assert lookup.licenses_by_tag(["A", "B"])["A"].display_name == "A name"
    with django_capture_on_commit_callbacks(execute=True):
        import_rows(["A,entitlement,New name,,,,,,,", "B,entitlement,B,,,,,,,"], now)
    assert {tag: it.display_name for tag, it in lookup.licenses_by_tag(["A", "B"]).items()} == {
        "A": "New name",
        "B": "B",
    }


def test_known_tags_cost_no_query_and_unknown_ones_are_always_looked_up(now, django_assert_num_queries):
    make_license("A", now)
    lookup.licenses_by_tag(["A"])
    with django_assert_num_queries(0):
        lookup.licenses_by_tag(["A"])
    with django_assert_num_queries(1):
        assert set(lookup.licenses_by_tag(["A", "B"])) == {"A"}
    make_license("B", now)
    assert set(lookup.licenses_by_tag(["A", "B"])) == {"A", "B"}


def test_another_processs_import_is_seen_when_the_trust_has_run_out(now, monkeypatch):
    make_license("A", now)
    lookup.licenses_by_tag(["A"])
    import_rows(["A,entitlement,New name,,,,,,,"], now)
    assert lookup.licenses_by_tag(["A"])["A"].display_name == "A name"
    monkeypatch.setattr(lookup, "TRUST_SECONDS", 0.0)
    assert lookup.licenses_by_tag(["A"])["A"].display_name == "New name"


def test_software_is_found_by_its_short_hash(now):
    import_shipped_catalog(actor=SYSTEM, now=now)
    assert [tag.tag.split(",")[0] for tag in lookup.find_software("4wfp5chi")] == ["regid.2017-05.com.cisco.C9300"]
    assert lookup.find_software("nothing!") == []
    assert lookup.find_license("nothing") is None
