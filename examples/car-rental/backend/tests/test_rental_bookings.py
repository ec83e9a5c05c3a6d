"""The rules about periods, and that no two bookings of a car share a day."""

import contextlib
import sys
import threading
import unittest
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from car_rental.bookings import Bookings, Period, Taken, parse_period

TODAY = date(2030, 5, 1)


def may(first, last):
    return Period(date(2030, 5, first), date(2030, 5, last))


class PeriodTest(unittest.TestCase):
    def test_overlap(self):
        booked = may(10, 15)
        for first, last, expected in [
            (10, 15, True),
            (11, 12, True),
            (1, 30, True),
            (14, 20, True),
            (5, 11, True),
            (15, 20, False),  # the car is back on the 15th
            (5, 10, False),
            (20, 25, False),
        ]:
            with self.subTest(first=first, last=last):
                self.assertIs(may(first, last).overlaps(booked), expected)
                self.assertIs(booked.overlaps(may(first, last)), expected)

    def test_what_can_be_booked(self):
        self.assertEqual(parse_period("2030-05-01", "2030-05-02", TODAY).days, 1)
        self.assertEqual(parse_period("2030-05-01", "2030-05-31", TODAY).days, 30)

    def test_what_cannot_be_booked(self):
        for start, end, reason in [
            ("2030-05-02", "2030-05-02", "later than"),
            ("2030-05-03", "2030-05-02", "later than"),
            ("2030-04-30", "2030-05-02", "in the past"),
            ("2030-05-01", "2030-06-01", "30 days"),
            ("2030-02-30", "2030-05-02", "'from' must be a date"),
            ("2030-05-01", "soon", "'to' must be a date"),
            (None, "2030-05-02", "'from' must be a date"),
            (20300501, "2030-05-02", "'from' must be a date"),
        ]:
            with self.subTest(start=start, end=end), self.assertRaisesRegex(ValueError, reason):
                parse_period(start, end, TODAY)


class BookingsTest(unittest.TestCase):
    def test_one_car_is_booked_once_another_is_free(self):
        bookings = Bookings()
        bookings.book("city", "ada", may(10, 15))
        bookings.book("van", "ada", may(10, 15))
        with self.assertRaises(Taken):
            bookings.book("city", "bob", may(14, 16))

    def test_a_cancelled_booking_frees_the_car(self):
        bookings = Bookings()
        booking = bookings.book("city", "ada", may(10, 15))
        self.assertTrue(bookings.cancel(booking))
        self.assertFalse(bookings.cancel(booking))
        bookings.book("city", "bob", may(10, 15))

    def test_a_booking_is_its_customers_alone(self):
        bookings = Bookings()
        booking = bookings.book("city", "ada", may(10, 15))
        self.assertEqual(bookings.find(booking.id, "ada"), booking)
        self.assertIsNone(bookings.find(booking.id, "bob"))
        self.assertIsNone(bookings.find("unknown", "ada"))

    def test_of_many_at_once_one_gets_the_car(self):
        bookings, start, won = Bookings(), threading.Barrier(16), []

        def race():
            start.wait()
            with contextlib.suppress(Taken):
                won.append(bookings.book("city", "ada", may(10, 15)))

        threads = [threading.Thread(target=race) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(won), 1)


if __name__ == "__main__":
    unittest.main()
