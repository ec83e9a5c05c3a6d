"""The API over real HTTP, on a free loopback port."""

import json
import sys
import threading
import unittest
from datetime import date, timedelta
from http.client import HTTPConnection
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from car_rental import server as http
from car_rental.api import Response
from car_rental.config import Config, from_environment

CONFIG = Config(port=0, version="1.2.3", commit="abc123", token_secret=b"for this test only")


def in_days(number):
    return (date.today() + timedelta(days=number)).isoformat()


class ApiTest(unittest.TestCase):
    def setUp(self):
        quiet = mock.patch.object(http.Handler, "log_message")
        quiet.start()
        self.addCleanup(quiet.stop)
        self.server = http.Server(CONFIG)
        loop = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        loop.start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(loop.join)
        self.addCleanup(self.server.shutdown)

    def send(self, method, path, body=None, headers=None):
        """Status, content and headers of one answer."""
        connection = HTTPConnection(*self.server.server_address[:2], timeout=5)
        self.addCleanup(connection.close)
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, json.loads(response.read() or "null"), response.headers

    def call(self, method, path, form=None, token=None):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self.send(method, path, None if form is None else json.dumps(form), headers)[:2]

    def log_in(self):
        return self.call("POST", "/login", {"user": "demo", "password": "demo"})[1]["token"]

    def book(self, token, first, last, car="city"):
        return self.call("POST", "/bookings", {"car_id": car, "from": in_days(first), "to": in_days(last)}, token)

    def test_health_tells_what_is_running(self):
        self.assertEqual(
            self.call("GET", "/health"),
            (200, {"status": "ok", "version": "1.2.3", "commit": "abc123"}),
        )

    def test_cars(self):
        status, content = self.call("GET", "/cars")
        self.assertEqual((status, [car["id"] for car in content["cars"]]), (200, ["city", "family", "van"]))
        self.assertEqual(self.call("GET", "/cars/van?x=1"), (200, content["cars"][2]))
        self.assertEqual(self.call("GET", "/cars/tank"), (404, {"error": "no such car"}))

    def test_the_life_of_a_booking(self):
        token = self.log_in()
        status, booking = self.book(token, 1, 4)
        self.assertEqual((status, booking["car_id"], booking["price"]), (201, "city", 3 * 39))
        path = f"/bookings/{booking['id']}"
        self.assertEqual(self.call("GET", path, token=token), (200, booking))
        self.assertEqual(self.call("DELETE", path, token=token), (204, None))
        self.assertEqual(self.call("GET", path, token=token)[0], 404)
        self.assertEqual(self.call("DELETE", path, token=token)[0], 404)

    def test_overlap(self):
        token = self.log_in()
        self.assertEqual(self.book(token, 5, 10)[0], 201)
        self.assertEqual(self.book(token, 9, 12), (409, {"error": "city is already booked in that period"}))
        self.assertEqual(self.book(token, 10, 12)[0], 201)
        self.assertEqual(self.book(token, 5, 10, car="van")[0], 201)

    def test_a_booking_needs_a_token(self):
        for header in ("", "Bearer", "Bearer forged.token", f"Basic {self.log_in()}"):
            with self.subTest(header=header[:12]):
                for method, path in (
                    ("POST", "/bookings"),
                    ("GET", "/bookings/1"),
                    ("DELETE", "/bookings/1"),
                ):
                    self.assertEqual(self.send(method, path, headers={"Authorization": header})[0], 401)

    def test_a_booking_that_makes_no_sense(self):
        token = self.log_in()
        self.assertEqual(self.book(token, -1, 3), (400, {"error": "'from' is in the past"}))
        self.assertEqual(self.book(token, 3, 3)[0], 400)
        self.assertEqual(self.book(token, 1, 2, car="tank")[0], 404)
        self.assertEqual(self.book(token, 1, 2, car=["city"])[0], 404)
        self.assertEqual(self.call("POST", "/bookings", {}, token)[0], 404)

    def test_wrong_login(self):
        for form in (
            {},
            {"user": "demo"},
            {"user": "demo", "password": "no"},
            {"user": 1, "password": "\ud800"},
        ):
            with self.subTest(form=form):
                self.assertEqual(self.call("POST", "/login", form), (401, {"error": "wrong user or password"}))

    def test_malformed_body(self):
        for body in (b"", b"{", b"[]", b"\xff", b"[" * 50_000):
            with self.subTest(body=body[:2]):
                self.assertEqual(self.send("POST", "/login", body)[0], 400)

    def test_body_of_a_silly_size(self):
        for length, status in (("65537", 413), ("-1", 400), ("many", 400)):
            with self.subTest(length=length):
                self.assertEqual(self.send("POST", "/login", headers={"Content-Length": length})[0], status)

    def test_unknown_paths(self):
        for method, path in (
            ("GET", "/"),
            ("GET", "/nothing"),
            ("POST", "/cars"),
            ("GET", "/cars/city/doors"),
        ):
            with self.subTest(method=method, path=path):
                self.assertEqual(self.call(method, path), (404, {"error": f"nothing answers {method} {path}"}))

    def test_a_browser_may_call_from_another_origin(self):
        status, content, headers = self.send("OPTIONS", "/bookings")
        self.assertEqual((status, content), (204, None))
        self.assertEqual(headers["Access-Control-Allow-Origin"], "*")
        self.assertIn("Authorization", headers["Access-Control-Allow-Headers"])

    def test_a_defect_is_answered_and_logged(self):
        with (
            mock.patch.object(self.server.api, "answer", side_effect=ZeroDivisionError),
            mock.patch.object(http.traceback, "print_exc") as logged,
        ):
            self.assertEqual(self.call("GET", "/health"), (500, {"error": "internal error"}))
        logged.assert_called_once()

    def test_closing_lets_the_request_under_way_finish(self):
        entered, leave = threading.Event(), threading.Event()

        def slow_answer(request):
            entered.set()
            leave.wait(5)
            return Response(200, {"finished": True})

        answers = []
        client = threading.Thread(target=lambda: answers.append(self.call("GET", "/cars")))
        with mock.patch.object(self.server.api, "answer", slow_answer):
            client.start()
            entered.wait(5)
            self.server.shutdown()
            threading.Timer(0.05, leave.set).start()
            self.server.server_close()
        client.join()
        self.assertEqual(answers, [(200, {"finished": True})])


class ConfigTest(unittest.TestCase):
    def test_defaults(self):
        config = from_environment({"PORT": "", "TOKEN_SECRET": ""})
        self.assertEqual((config.host, config.port), ("127.0.0.1", 8080))
        self.assertEqual((config.version, config.commit), ("dev", "unknown"))
        self.assertFalse(config.crash_on_start)

    def test_without_a_secret_each_start_has_its_own(self):
        first, second = from_environment({}).token_secret, from_environment({}).token_secret
        self.assertNotEqual(first, second)
        self.assertGreaterEqual(len(first), 32)

    def test_no_secret_is_shown(self):
        self.assertNotIn("hush", repr(from_environment({"TOKEN_SECRET": "hush", "DEMO_PASSWORD": "hush"})))

    def test_bad_port(self):
        for port in ("http", "-1", "65536", "8080 ", "²"):
            with self.subTest(port=port), self.assertRaisesRegex(ValueError, "PORT must be"):
                from_environment({"PORT": port})


if __name__ == "__main__":
    unittest.main()
