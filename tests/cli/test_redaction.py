"""What looks like a secret, and what an environment variable says is one, is taken out of every
text.
"""

import time

import pytest

from toolkit.cli.redaction import redacted, redactor


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ('{"cookie":"theme=dark"}', '{"cookie":"[redacted]"}'),
        ("by AKIAABCDEFGHIJKLMNOP now", "by [redacted] now"),
        ("Authorization: Basic dXNlcg==", "Authorization: Basic [redacted]"),
        ('{"authorization": "Bearer abc.def"}', '{"authorization": "[redacted]"}'),
        ("curl -H 'x: Bearer 0123456789abcdef'", "curl -H 'x: [redacted]'"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG", "aws_secret_access_key = [redacted]"),
        ("ApiKey=1234&next=1", "ApiKey=[redacted]&next=1"),
        ("X-Amz-Signature=0a1b&X-Amz-Date=2026", "X-Amz-Signature=[redacted]&X-Amz-Date=2026"),
        ("set-cookie: session=0a1b; Path=/", "set-cookie: [redacted]; Path=/"),
        (
            "told eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sig_nature and more",
            "told [redacted] and more",
        ),
        ("ghp_0123456789abcdefghij", "[redacted]"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\nend",
            "[redacted]\nend",
        ),
        ("-----BEGIN PRIVATE KEY-----\nabc", "[redacted]"),
        ("a line\nMIIE+/=\nabc\n-----END PRIVATE KEY-----\nend", "a line\n[redacted]\nend"),
        ("MIIE\r\nabc=\r\n-----END RSA PRIVATE KEY-----", "[redacted]"),
        ("password='hunter2' failed", "password='[redacted]' failed"),
        ("GET https://user:pass@example.com/a", "GET [redacted]example.com/a"),
        ("post https://hooks.example.com/T/B/x", "post [redacted]"),
        ("xoxb-12-ab", "[redacted]"),
        ("postgres://app:hunter2@db:5432/shop", "[redacted]db:5432/shop"),
        ("DATABASE_URL=mysql+pymysql://root:p%40ss@db/shop", "DATABASE_URL=[redacted]db/shop"),
        ("redis://:hunter2@cache:6379/0", "[redacted]cache:6379/0"),
        ("amqps://a:b@c@host//x", "[redacted]host//x"),
        ("'mongodb+srv://u:p@h/db'", "'[redacted]h/db'"),
        ("SMTP://U:P@mail.example.com", "[redacted]mail.example.com"),
        (
            "git clone https://0123456789abcdef0123456789@github.com/a/b",
            "git clone [redacted]github.com/a/b",
        ),
        ("ftp://user@example.com/a", "ftp://user@example.com/a"),
        ("http://127.0.0.1:8080/a?to=b@example.com", "http://127.0.0.1:8080/a?to=b@example.com"),
        ("DB_PASS=hunter2", "DB_PASS=[redacted]"),
        ("export PASS=hunter2 STAGE=x", "export PASS=[redacted] STAGE=x"),
        ("MYSQL_PWD=hunter2", "MYSQL_PWD=[redacted]"),
        ("dbPass: hunter2,", "dbPass: [redacted],"),
        ("Server=a;User=b;Pwd=hunter2;Port=1", "Server=a;User=b;Pwd=[redacted];Port=1"),
        ("//registry/:_auth=aHVudGVyMg==", "//registry/:_auth=[redacted]"),
        ("PWD=/home/ada/shop", "PWD=/home/ada/shop"),
        ("bypass=1, compass: north", "bypass=1, compass: north"),
        ("check a did not pass: body: expected", "check a did not pass: body: expected"),
        ("not a pass: hunter2", "not a pass: [redacted]"),
        ("not DB_PASS: hunter2", "not DB_PASS: [redacted]"),
        ('password="two words" next', 'password="[redacted]" next'),
        ("password='two words, and more' next", "password='[redacted]' next"),
        (
            '{"password": "two \\"quoted\\" words", "next": 1}',
            '{"password": "[redacted]", "next": 1}',
        ),
        (
            r'{"body": "{\"password\": \"two words\"}"}',
            '{"body": "{\\"password\\": \\"[redacted]"}',
        ),
        ('PASSWORD="never closed', 'PASSWORD="[redacted]'),
        ("SECRET_KEY_BASE=0a1b2c", "SECRET_KEY_BASE=[redacted]"),
        ("DB_PASSWORD_2=hunter2", "DB_PASSWORD_2=[redacted]"),
        ("credentials = hunter2", "credentials = [redacted]"),
        ("mysql --password hunter2 --host db", "mysql --password [redacted] --host db"),
        ("x login --db-password 'two words' y", "x login --db-password '[redacted]' y"),
        (
            "docker login --password-stdin --username AWS",
            "docker login --password-stdin --username AWS",
        ),
        ("a key of the door, a token of love", "a key of the door, a token of love"),
        ("a basic misunderstanding of credentials", "a basic misunderstanding of credentials"),
        ("Step 3/9 : RUN pip install boto3==1.44", "Step 3/9 : RUN pip install boto3==1.44"),
    ],
)
def test_what_looks_like_a_secret_is_taken_out(text: str, output: str) -> None:
    assert redacted(text) == output


def test_the_values_of_variables_that_are_named_like_secrets_are_taken_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NPM_TOKEN", "correct horse battery")
    monkeypatch.setenv("STAGE", "production")
    monkeypatch.setenv("KEYBOARD_PASS", "short")
    assert (
        redacted("in production: correct horse battery, short")
        == "in production: [redacted], short"
    )


def test_of_a_secret_that_begins_with_another_nothing_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("A_SECRET", "abcdefgh")
    monkeypatch.setenv("B_SECRET", "abcdefgh-and-more")
    monkeypatch.setenv("C_SECRET", "-and-more")
    assert redacted("abcdefgh-and-more, abcdefgh") == "[redacted], [redacted]"


def test_one_redactor_goes_by_the_environment_as_it_was_when_it_was_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("API_KEY", "first-value")
    function = redactor()
    monkeypatch.setenv("API_KEY", "second-value")
    assert (function("first-value second-value"), redacted("second-value")) == (
        "[redacted] second-value",
        "[redacted]",
    )


@pytest.mark.parametrize(
    "bomb",
    [
        "-eyJ",
        "http://a:",
        "token ",
        "basic a",
        "secret_",
        "-----BEGIN PRIVATE KEY-----",
        "MIIEabc=\n",
        "a" * 99 + "\n",
        "api_",
        "gha_a-",
        "a" * 10,
        "://a:",
        "a://",
        "a.",
        "pass",
        "password_a",
        "--a-",
        "--pass ",
        'pass="',
        "pass=\\",
        "secret_a_a",
    ],
    ids=str.strip,
)
def test_no_text_takes_more_than_its_length(bomb: str) -> None:
    """Each of these would take a minute if every place were looked at from every other one."""
    began = time.monotonic()
    redacted(bomb * (200_000 // len(bomb)))
    assert time.monotonic() - began < 5
