"""The record in tests: an account that needs no credentials, and what is put into the record for
it.
"""

from msgspec.structs import replace

from toolkit.ports.aws.client import Aws
from toolkit.record.ledger import LocalLedger, Record, Scope
from toolkit.record.state import Store

ACCOUNT, REGION = "111111111111", "eu-west-1"


class KnownAws(Aws):
    """AWS whose account is known without a call."""

    def account(self) -> str:
        return ACCOUNT


def put(store: Store, record: Record) -> None:
    """Record a deploy in the account and region of these tests."""
    placed = replace(
        record, account=ACCOUNT, region=record.region or REGION, endpoint=store.endpoint
    )
    LocalLedger(store, Scope()).put(placed)


def recorded(store: Store, environment: str | None = None) -> dict[str, tuple[Record, ...]]:
    """All that is recorded in an environment, by target."""
    return dict(
        LocalLedger(store, Scope(endpoint=store.endpoint, environment=environment)).all().records
    )
