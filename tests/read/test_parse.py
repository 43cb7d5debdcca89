"""Records parsed together are what each of them is parsed alone."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instdata.read import json_records
from instdata.read.bytes_to_records import Bad
from instdata.read.json_records import JOINT, parse_json, parse_lines

NUMBERS = [
    "0.10",
    "-0",
    "-0.0",
    "1e400",
    "1e-400",
    "1.5E+3",
    str(2**64),
    "-9223372036854775809",
    "NaN",
    "-Infinity",
    "01",
    "1",
]
TEXTS = [
    "",
    "a",
    ":",
    "-0,",
    "e999",
    "1234567890123456789",
    "\\",
    "\\\\",
    '\\"',
    '"',
    "\n",
    "\0",
    "é",
    "😀",
    str(JOINT),
    "},{",
]
scalars = (
    st.sampled_from(NUMBERS)
    | st.sampled_from(TEXTS).map(json.dumps)
    | st.sampled_from(["null", "true", '"\\ud800"', '"\\/"'])
)
keys = st.sampled_from(['"a"', '"b"', '"a" ', '"\\u0061"', '"a\\\\"', '"é"', '"a\\""'])


def object_of(pairs):
    return "{" + ", ".join(f"{key}:{value}" for key, value in pairs) + "}"


values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=2).map(lambda v: f"[{','.join(v)}]")
        | st.lists(st.tuples(keys, inner), max_size=3).map(object_of)
    ),
    max_leaves=6,
)
plain = st.lists(st.tuples(keys, values), max_size=3).map(object_of)
# fmt: off
WHOLE = ["", " ", "\t\n", "[1]", "null", '"a"', '{"a":1},{"a":2}', f'{{"a":1}},{JOINT},{{"b":2}}', '{"a":[1', "2]}",
         '{"a":"', '"}', f'{{"a":[{JOINT}', f"{JOINT}", "{'a':1}", '[{"role":"user","content":"a"}]', '{"a":"\x01"}',
         "{" * 2000]
# fmt: on
around = st.sampled_from([("", "")] * 6 + [("\ufeff", ""), ("", ","), (" ", " , "), ("", "\r"), ("\x0b", "")])
line = st.builds(
    lambda text, ends: f"{ends[0]}{text}{ends[1]}".encode("utf-8", "surrogatepass"),
    plain | st.sampled_from(WHOLE),
    around,
)
lines = st.lists(line | st.sampled_from([b'{"a":"\xff"}', b"\xff"]), max_size=12)


def told(records):
    return [repr(r) if not isinstance(r, dict) else (type(r), repr(r), spelling(r)) for r in records]


def spelling(value):
    """The numbers of a value as they were written."""
    if isinstance(value, dict):
        return [spelling(v) for v in value.values()]
    return [spelling(v) for v in value] if isinstance(value, list) else getattr(value, "text", None)


@given(lines)
@settings(max_examples=600, deadline=None)
def test_records_parsed_together_are_what_each_is_alone(texts):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_records, "FEW", 1)
        patch.setattr(json_records, "TOGETHER", 5)
        found = told(parse_lines(texts))
    assert found == told(map(parse_json, texts))


def test_plain_records_are_parsed_in_one_call(monkeypatch):
    texts = [b'{"a": "%d: \\"x\\\\\\\\", "n": [1, 2.5, {"k": null}]}' % i for i in range(1000)]
    monkeypatch.setattr(json_records, "parse_json", lambda text: pytest.fail("one by one"))
    assert [r["a"][:3] for r in parse_lines(texts)][-1] == "999"


def test_a_key_that_stands_twice_is_said_of_a_line_that_ends_in_a_comma_too():
    assert parse_json(b'{"a":1,"a":2},') == Bad("a key stands in the record twice")
    assert isinstance(parse_json(b'{"a\\\\":1,"x":1,"x":2}'), Bad)


def test_a_lone_surrogate_beside_a_number_without_end_costs_its_row_alone():
    assert isinstance(parse_json(b'{"a":1e400,"b":"\\ud800"}'), Bad)
