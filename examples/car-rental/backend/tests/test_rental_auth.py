"""Tokens: what is accepted, and everything that is not."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from car_rental import auth

SECRET = b"for this test only"


class TokenTest(unittest.TestCase):
    def test_accepted_until_it_expires(self):
        token = auth.issue("ada", SECRET, now=1000)
        self.assertEqual(auth.verify(token, SECRET, now=1000), "ada")
        self.assertEqual(auth.verify(token, SECRET, now=1000 + auth.LIFETIME - 1), "ada")
        self.assertIsNone(auth.verify(token, SECRET, now=1000 + auth.LIFETIME))

    def test_another_secret(self):
        self.assertIsNone(auth.verify(auth.issue("ada", b"other", now=0), SECRET, now=0))

    def test_swapped_claims(self):
        ada, bob = (auth.issue(user, SECRET, now=0).split(".") for user in ("ada", "bob"))
        self.assertIsNone(auth.verify(f"{ada[0]}.{bob[1]}", SECRET, now=0))

    def test_malformed(self):
        claims = auth.issue("ada", SECRET, now=0).split(".")[0]
        for token in ("", ".", "a", "a.b.c", f"{claims}.", f".{claims}", "é.é", "A.A", "=.="):
            with self.subTest(token=token):
                self.assertIsNone(auth.verify(token, SECRET, now=0))


if __name__ == "__main__":
    unittest.main()
