"""What was deployed is compared by content, and only by what both sides know."""

from toolkit.operations import DeployedState


def test_equal_digests_are_the_same() -> None:
    assert (
        DeployedState(definition="d", artifacts={"app": "a"}).same(
            DeployedState(definition="d", artifacts={"app": "a"})
        )
        is True
    )


def test_another_definition_is_not_the_same() -> None:
    assert (
        DeployedState(definition="d", artifacts={"app": "a"}).same(
            DeployedState(definition="e", artifacts={"app": "a"})
        )
        is False
    )


def test_another_artifact_is_not_the_same() -> None:
    assert (
        DeployedState(definition="d", artifacts={"app": "a"}).same(
            DeployedState(definition="d", artifacts={"app": "b"})
        )
        is False
    )


def test_digests_of_which_neither_side_has_both_say_nothing() -> None:
    assert DeployedState(definition="d").same(DeployedState(template="t")) is None
    assert DeployedState().same(DeployedState()) is None
