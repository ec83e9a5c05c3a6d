"""Bookings: a car, a customer and the days. Two bookings of one car never share a day."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass
from datetime import date

LONGEST_RENTAL = 30


@dataclass(frozen=True)
class Period:
    """The days from `start` up to, but not including, `end`: a car that comes back can leave again
    the same day.
    """

    start: date
    end: date

    @property
    def days(self) -> int:
        return (self.end - self.start).days

    def overlaps(self, other: Period) -> bool:
        return self.start < other.end and other.start < self.end


@dataclass(frozen=True)
class Booking:
    id: str
    car_id: str
    customer: str
    period: Period


class Taken(Exception):
    """The car is booked on at least one of these days."""


def parse_period(start: object, end: object, today: date) -> Period:
    """Two ISO dates as a period that can be booked; a ValueError says, for the customer to read,
    why it cannot.
    """
    period = Period(_parse_date("from", start), _parse_date("to", end))
    if period.days < 1:
        raise ValueError("'to' must be later than 'from'")
    if period.days > LONGEST_RENTAL:
        raise ValueError(f"a car is rented for {LONGEST_RENTAL} days at most")
    if period.start < today:
        raise ValueError("'from' is in the past")
    return period


def _parse_date(name: str, text: object) -> date:
    try:
        return date.fromisoformat(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ValueError(f"'{name}' must be a date such as 2030-05-17") from None


class Bookings:
    """The bookings of this process. The lock makes 'is it free?' and 'take it' one act."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_id: dict[str, Booking] = {}

    def book(self, car_id: str, customer: str, period: Period) -> Booking:
        booking = Booking(uuid.uuid4().hex, car_id, customer, period)
        with self._lock:
            if any(other.car_id == car_id and other.period.overlaps(period) for other in self._by_id.values()):
                raise Taken
            self._by_id[booking.id] = booking
        return booking

    def find(self, booking_id: str, customer: str) -> Booking | None:
        """A customer's own booking. Somebody else's does not exist, as far as the customer can
        tell.
        """
        booking = self._by_id.get(booking_id)
        return booking if booking and booking.customer == customer else None

    def cancel(self, booking: Booking) -> bool:
        """Whether this call removed it: of two that race, one does."""
        with self._lock:
            return self._by_id.pop(booking.id, None) is not None
