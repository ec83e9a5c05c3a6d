"""The login function, called as API Gateway calls it."""

import base64
import importlib.util
import json
import os
import sys
import time
import unittest
from pathlib import Path
from unittest import mock

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "backend" / "src"))

from car_rental import auth  # noqa: E402

spec = importlib.util.spec_from_file_location("login_handler", HERE.parent / "login_handler" / "handler.py")
login = importlib.util.module_from_spec(spec)
spec.loader.exec_module(login)

SECRET = "for this test only"


def call(body, env=None, **event):
    """Status and content of the answer, with nothing but `env` in the environment."""
    with mock.patch.dict(os.environ, {"TOKEN_SECRET": SECRET} if env is None else env, clear=True):
        response = login.handler({"body": body, **event}, None)
    return response["statusCode"], json.loads(response["body"])


class LoginTest(unittest.TestCase):
    def test_the_backend_accepts_the_token(self):
        status, content = call('{"user": "demo", "password": "demo"}')
        self.assertEqual(status, 200)
        self.assertEqual(content["expires_in"], auth.LIFETIME)
        self.assertEqual(auth.verify(content["token"], SECRET.encode(), time.time()), "demo")
        self.assertIsNone(auth.verify(content["token"], SECRET.encode(), time.time() + auth.LIFETIME))

    def test_both_issue_the_same_token(self):
        self.assertEqual(login._issue("demo", b"k", 1000.0), auth.issue("demo", b"k", 1000.0))

    def test_body_in_base64(self):
        body = base64.b64encode(b'{"user": "demo", "password": "demo"}').decode()
        self.assertEqual(call(body, isBase64Encoded=True)[0], 200)

    def test_wrong_password(self):
        for password in ("no", "", None, 7, "\ud800"):
            with self.subTest(password=password):
                self.assertEqual(call(json.dumps({"user": "demo", "password": password}))[0], 401)

    def test_malformed_body(self):
        for body in (None, "", "{", "[]", '"demo"', "[" * 100_000):
            with self.subTest(body=(body or "")[:9]):
                self.assertEqual(call(body)[0], 400)
        self.assertEqual(call("?", isBase64Encoded=True)[0], 400)

    def test_user_from_the_environment(self):
        env = {"TOKEN_SECRET": SECRET, "DEMO_USER": "ada", "DEMO_PASSWORD": "lovelace"}
        self.assertEqual(call('{"user": "ada", "password": "lovelace"}', env)[0], 200)
        self.assertEqual(call('{"user": "demo", "password": "demo"}', env)[0], 401)

    def test_without_a_secret_it_signs_nothing(self):
        with mock.patch("builtins.print"):
            status, content = call('{"user": "demo", "password": "demo"}', env={})
        self.assertEqual(status, 500)
        self.assertNotIn("token", content)


if __name__ == "__main__":
    unittest.main()
