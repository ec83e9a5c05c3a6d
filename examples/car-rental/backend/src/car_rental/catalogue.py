"""The cars that can be rented. The fleet is small and changes with a release, so it is code."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Car:
    id: str
    name: str
    seats: int
    price_per_day: int  # whole euros


FLEET = {
    car.id: car
    for car in (
        Car("city", "Hatchback, electric", seats=4, price_per_day=39),
        Car("family", "Estate, hybrid", seats=5, price_per_day=58),
        Car("van", "Van, nine seats", seats=9, price_per_day=94),
    )
}
