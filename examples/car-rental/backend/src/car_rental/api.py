"""What the API answers: a request in, a response out, and no socket in sight."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from car_rental import auth
from car_rental.bookings import Booking, Bookings, Taken, parse_period
from car_rental.catalogue import FLEET, Car
from car_rental.config import Config


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    authorization: str = ""
    body: bytes = b""


@dataclass(frozen=True)
class Response:
    status: int
    content: dict[str, Any] | None = None


class Refused(Exception):
    """The request cannot be met; the message is for the client."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.response = Response(status, {"error": message})


class Api:
    def __init__(self, config: Config, clock: Callable[[], float] = time.time) -> None:
        self._config = config
        self._clock = clock
        self._bookings = Bookings()

    def answer(self, request: Request) -> Response:
        try:
            return self._route(request)
        except Refused as refused:
            return refused.response

    def _route(self, request: Request) -> Response:
        match request.method, *request.path.strip("/").split("/"):
            case "GET", "health":
                return self._health()
            case "GET", "cars":
                return Response(200, {"cars": [asdict(car) for car in FLEET.values()]})
            case "GET", "cars", car_id:
                return Response(200, asdict(_car(car_id)))
            case "POST", "login":
                return self._login(_json_object(request.body))
            case "POST", "bookings":
                return self._book(self._customer(request), _json_object(request.body))
            case "GET", "bookings", booking_id:
                return Response(200, _shown(self._booking(booking_id, self._customer(request))))
            case "DELETE", "bookings", booking_id:
                return self._cancel(booking_id, self._customer(request))
            case "OPTIONS", *_:
                return Response(204)
        raise Refused(404, f"nothing answers {request.method} {request.path}")

    def _health(self) -> Response:
        return Response(200, {"status": "ok", "version": self._config.version, "commit": self._config.commit})

    def _login(self, form: dict[str, Any]) -> Response:
        user_fits = auth.same(form.get("user"), self._config.demo_user)
        password_fits = auth.same(form.get("password"), self._config.demo_password)
        if not (user_fits and password_fits):
            raise Refused(401, "wrong user or password")
        token = auth.issue(self._config.demo_user, self._config.token_secret, self._clock())
        return Response(200, {"token": token, "expires_in": auth.LIFETIME})

    def _customer(self, request: Request) -> str:
        scheme, _, token = request.authorization.partition(" ")
        user = auth.verify(token.strip(), self._config.token_secret, self._clock())
        if scheme.lower() != "bearer" or user is None:
            raise Refused(401, "this needs a valid token: log in first")
        return user

    def _book(self, customer: str, form: dict[str, Any]) -> Response:
        car = _car(form.get("car_id"))
        try:
            period = parse_period(form.get("from"), form.get("to"), date.fromtimestamp(self._clock()))
            booking = self._bookings.book(car.id, customer, period)
        except ValueError as error:
            raise Refused(400, str(error)) from error
        except Taken:
            raise Refused(409, f"{car.id} is already booked in that period") from None
        return Response(201, _shown(booking))

    def _booking(self, booking_id: str, customer: str) -> Booking:
        booking = self._bookings.find(booking_id, customer)
        if booking is None:
            raise Refused(404, "no such booking")
        return booking

    def _cancel(self, booking_id: str, customer: str) -> Response:
        if not self._bookings.cancel(self._booking(booking_id, customer)):
            raise Refused(404, "no such booking")
        return Response(204)


def _car(car_id: object) -> Car:
    car = FLEET.get(car_id) if isinstance(car_id, str) else None
    if car is None:
        raise Refused(404, "no such car")
    return car


def _shown(booking: Booking) -> dict[str, Any]:
    return {
        "id": booking.id,
        "car_id": booking.car_id,
        "from": booking.period.start.isoformat(),
        "to": booking.period.end.isoformat(),
        "price": booking.period.days * FLEET[booking.car_id].price_per_day,
    }


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise Refused(400, "the body must be a JSON object")
    return content
