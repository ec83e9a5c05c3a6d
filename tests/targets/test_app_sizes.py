"""How large an image is, and how much larger than the one before: unknown is said to be unknown."""

from typing import Any

from tests.cli.test_deploy_errors import Deploys, shop
from tests.support.report import Report
from tests.targets.apps import AppStage
from toolkit.operations import ArtifactSize

__all__ = ["shop"]

SIZE, BEFORE = 142_000_200, 1200
DEPLOY = ("deploy-app", "--image", "large", "--yes")


def with_large_image(shop: Deploys) -> Deploys:
    shop.endpoint.ecr.image("backend", "large", size=SIZE - 200)
    return shop


def recorded(shop: Deploys) -> dict[str, Any]:
    """What the record says of the newest good deploy."""
    details: dict[str, Any] = shop("rollback", "web", "--list", "--json").json["versions"][0][
        "detail"
    ]
    return {name: value for name, value in details.items() if name.startswith("image ")}


def test_a_deploy_says_how_large_its_image_is_and_how_much_it_has_grown(shop: Deploys) -> None:
    done = with_large_image(shop)(*DEPLOY)
    assert (done.code, "image: 142.0 MB, +142.0 MB" in done.out.splitlines()) == (0, True)
    assert recorded(shop) == {"image size": str(SIZE), "image growth": str(SIZE - BEFORE)}


def test_programs_and_the_record_get_both_in_bytes(shop: Deploys) -> None:
    [step] = with_large_image(shop)(*DEPLOY, "--json").json["steps"]
    assert step["size"] == {"what": "image", "bytes": SIZE, "growth": SIZE - BEFORE}
    done = shop("deploy-app", "--image", "old", "--yes")
    assert "image: 1.2 kB, -142.0 MB" in done.out.splitlines()


def test_a_size_that_is_gone_is_unknown_and_not_nothing(shop: Deploys) -> None:
    with_large_image(shop)
    images = shop.endpoint.ecr.repository("backend").images
    del images[next(digest for digest, image in images.items() if "old" in image.tags)]
    done = shop(*DEPLOY)
    assert "image: 142.0 MB; the size before is unknown" in done.out.splitlines()
    assert recorded(shop) == {"image size": str(SIZE), "image growth": "unknown"}


def test_what_was_live_already_has_no_size(shop: Deploys) -> None:
    with_large_image(shop)(*DEPLOY)
    again = shop(*DEPLOY)
    assert (again.code, "image:" in again.out) == (0, False)
    assert shop(*DEPLOY, "--json").json["steps"][0]["size"] is None


def test_a_repository_that_does_not_answer_stops_no_deploy(stage: AppStage) -> None:
    def on_event(event: tuple[Any, ...]) -> None:
        if event[:2] == ("intend", "ecs:UpdateService"):
            stage.endpoint.fault("DescribeImages", None, "error", code="AccessDeniedException")

    report = stage.applied(report=Report(on_event=on_event, clock=stage.clock))
    last = stage.watched(report)[-1]
    assert (last.verdict, last.size) == ("succeeded", ArtifactSize("image", None, None))
