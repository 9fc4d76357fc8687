"""Families as pure functions."""

from hypothesis import given
from hypothesis import strategies as st

from licensing.codecs.software_hash import software_hash
from licensing.services.catalog.families import connect, find_cycle, keep_numbers


def test_a_license_alone_is_a_family_of_one():
    assert connect({"A": None}) == {"A": ["A"]}


def test_licenses_connected_by_higher_are_one_family_named_by_its_top():
    assert connect({"C": "B", "B": "A", "A": None, "D": "A", "X": None}) == {"A": ["A", "B", "C", "D"], "X": ["X"]}


def test_a_cycle_is_found_and_named():
    assert find_cycle({"A": "B", "B": "C", "C": "A", "D": "A"}) in (["A", "B", "C"], ["B", "C", "A"], ["C", "A", "B"])
    assert find_cycle({"A": None, "B": "A", "C": "B"}) == []
    assert find_cycle({"A": "not known"}) == []


@given(st.lists(st.integers(0, 30), max_size=30))
def test_any_forest_splits_into_families_without_overlap(parents):
    """Each license points to one before it, or to itself, which means to none: never a cycle."""
    higher = {str(i): str(p % (i + 1)) if p % (i + 1) != i else None for i, p in enumerate(parents)}
    assert find_cycle(higher) == []
    families = connect(higher)
    assert sorted(tag for tags in families.values() for tag in tags) == sorted(higher)
    assert all(higher[top] is None for top in families)


def test_a_family_keeps_the_number_that_most_of_it_has():
    families = {"A": ["A", "B", "C"], "X": ["X"], "N": ["N"]}
    assert keep_numbers(families, {"A": 2, "B": 1, "C": 1, "X": 3}) == {"A": 1, "X": 3, "N": None}


def test_a_number_is_given_once_when_a_family_splits():
    families = {"A": ["A", "B"], "C": ["C"]}
    assert keep_numbers(families, {"A": 7, "B": 7, "C": 7}) == {"A": 7, "C": None}


def test_the_short_hash_of_a_software_tag_is_eight_characters_of_base58_of_its_sha256():
    assert software_hash("regid.2017-05.com.cisco.C9300,v1_727af1d9-6c39-4444-b301-863f81445b72") == "4wfp5chi"
