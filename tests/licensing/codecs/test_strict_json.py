import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licensing.codecs.strict_json import JsonInvalid, check_json

SIMPLE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.text(st.characters(codec="utf-8", exclude_characters="\x00")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3),
    max_leaves=8,
)


@given(SIMPLE)
def test_what_another_reader_wrote_is_read_alike(value):
    assert check_json(json.dumps(value)) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1, "a": 2}', "stands twice"),
        ('{"a": {"b": 1, "c": 2, "b": 3}}', "'b' stands twice"),
        ('{"a": 1, "\\u0061": 2}', "stands twice"),
        ('{"a": "\\u0000"}', "NUL"),
        ('{"\\u0000": 1}', "NUL"),
        ('{"ä": "ü\\u0000"}', "NUL"),
        ('{"a": "\\ud800"}', "surrogate"),
        ('{"a": NaN}', "NaN"),
        ('{"a": -Infinity}', "Infinity"),
        ('{"a": ' + "9" * 5000 + "}", "too long"),
        ('{"a": 0.' + "9" * 5000 + "}", "too long"),
        ("[" * 100_000 + "]" * 100_000, "too deep"),
        ('{"a": 1} x', "not JSON"),
        ('{"a": 01}', "not JSON"),
        ('{"a": "\n"}', "not JSON"),
        ("", "not JSON"),
    ],
)
def test_what_two_readers_could_take_differently_is_refused(text, reason):
    with pytest.raises(JsonInvalid, match=reason):
        check_json(text)
