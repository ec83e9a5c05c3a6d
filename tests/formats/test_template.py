"""Templates as data: what CloudFormation makes of YAML, and what a hostile text costs."""

import time
from typing import Any

import pytest

from toolkit.formats.template import LONGEST_JSON, LONGEST_YAML, MOST_DATA, template_data

SCALARS = [
    ("1", 1),
    ('"1"', "1"),
    ("1.5", 1.5),
    ("true", True),
    ("'true'", "true"),
    ("yes", True),
    ("off", False),
    ("010", 8),
    ("0x10", 16),
    ("~", None),
    ("2012-10-17", "2012-10-17"),
    (".inf", ".inf"),
    ("!Ref a", {"Ref": "a"}),
    ("!Condition a", {"Condition": "a"}),
    ("!GetAtt a.b", {"Fn::GetAtt": "a.b"}),
    ("!Sub '${a}'", {"Fn::Sub": "${a}"}),
    ("!If [a, 1, !Ref b]", {"Fn::If": ["a", 1, {"Ref": "b"}]}),
]


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_a_value_is_what_cloudformation_takes_it_for(text: str, value: Any) -> None:
    read = template_data(f"a: {text}")["a"]
    assert read == value
    assert type(read) is type(value)


BOMB = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
)
HOSTILE = {
    "JSON that is too deep": '{"a":' * 100_000,
    "JSON that is a little too deep": '{"a":' * 500 + "1" + "}" * 500,
    "YAML that is too deep": "a: " + "[" * 100_000,
    "a list in itself": "a: &a [*a]",
    "a mapping in itself": "a: &a {b: *a}",
    "aliases of aliases": BOMB,
    "a list as a key": "? [1]\n: 3\n",
    "a mapping as a key": "? {a: b}\n: 3\n",
    "too many values in YAML": "a: [" + "1," * (MOST_DATA["YAML"] * 3) + "]",
    "too many values in JSON": '{"a": [' + "1," * MOST_DATA["JSON"] + "1]}",
    "too long a YAML": "a: " + "x" * LONGEST_YAML,
    "too long a JSON": '{"a": "' + "x" * LONGEST_JSON + '"}',
    "half a character": '{"a": "\\ud800"}',
    "half a character in a key": '{"\\ud800": 1}',
    "a number that is none": '{"a": NaN}',
    "a number without end": '{"a": 1e999}',
    "a number of many digits": "a: " + "1" * 10_000,
    "no mapping": "- 1",
    "nothing": "",
    "two documents": "a: 1\n---\nb: 2",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_template_ends_within_a_second_in_a_declared_error(text: str) -> None:
    began = time.process_time()
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        template_data(text)
    assert time.process_time() - began < 1
