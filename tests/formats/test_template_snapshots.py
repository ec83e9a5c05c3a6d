"""Template snapshots of Jest and syrupy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.formats.template_snapshots import MOST_BYTES, template_snapshots

JEST = r"""// Jest Snapshot v1, https://goo.gl/fbAQLP

exports[`api \`stack\` matches 1`] = `
Object {
  "Outputs": Object {},
  "Resources": Object {
    "Role": Object {
      "Properties": Object { "Name": "\${a} \\ \`b\`" },
    },
  },
}
`;

exports[`a page 1`] = `
<div>
  Resources
</div>
`;
"""

SYRUPY = """# serializer version: 1
# name: test_network
  dict({
    'Resources': dict({
      'Vpc': dict({}),
    }),
  })
# ---
# name: test_words
  'Resources: none'
# ---
"""


def test_templates_are_found_by_the_names_of_their_entries_and_nothing_else_is() -> None:
    jest = template_snapshots("test/__snapshots__/a.test.ts.snap", JEST.encode())
    assert list(jest) == [r"api \`stack\` matches 1"]
    assert '"Role"' in jest[r"api \`stack\` matches 1"]
    syrupy = template_snapshots("tests/__snapshots__/test_a.ambr", SYRUPY.encode())
    assert list(syrupy) == ["test_network"]
    assert template_snapshots("a.snap", JEST.replace("\n", "\r\n").encode()) == jest


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("a.json", JEST.encode()),
        ("snap", JEST.encode()),
        ("a.snap", SYRUPY.encode()),
        ("a.snap", JEST.encode()[:-20]),
        ("a.snap", b"\xff" * 100),
        ("a.snap", b" " * MOST_BYTES + JEST.encode()),
    ],
    ids=range(6),
)
def test_what_is_no_snapshot_of_that_format_holds_no_template(path: str, content: bytes) -> None:
    names = template_snapshots(path, content)
    assert "a page 1" not in names
    assert not names or content.startswith(JEST.encode()[:40])


@pytest.mark.parametrize("text", ["exports[`" * 50_000, "exports[`a`] = `" + "\\`" * 300_000])
def test_a_hostile_snapshot_is_read_in_linear_time(text: str) -> None:
    assert template_snapshots("a.snap", text.encode()) == {}


@given(st.binary())
def test_any_content_is_read(content: bytes) -> None:
    for path in ("a.snap", "a.ambr"):
        template_snapshots(path, content)
