"""Graphs of steps for property tests."""

from hypothesis import strategies as st

NAMES = "abcdefghijkl"


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, tuple[str, ...]]:
    """Steps, each with those before it that it waits for."""
    names = NAMES[: draw(st.integers(1, len(NAMES)))]
    document = {}
    for position, name in enumerate(names):
        document[name] = (
            tuple(draw(st.lists(st.sampled_from(names[:position]), unique=True, max_size=3)))
            if position
            else ()
        )
    return dict(draw(st.permutations(list(document.items()))))


def waits_for(needs: dict[str, tuple[str, ...]], step: str) -> set[str]:
    """All steps that a step waits for, also through others."""
    return set(needs[step]).union(*(waits_for(needs, text) for text in needs[step]))
