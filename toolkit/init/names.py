"""Names of targets, made from the names of what is deployed."""

import re
from unicodedata import combining, normalize

_BORDER = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORD = re.compile(r"[A-Za-z0-9]+")
_PLAIN = str.maketrans(
    {
        "ß": "ss",
        "æ": "ae",
        "Æ": "Ae",
        "œ": "oe",
        "Œ": "Oe",
        "ø": "o",
        "Ø": "O",
        "ł": "l",
        "Ł": "L",
        "đ": "d",
        "Đ": "D",
    }
)
_LONGEST_NAME = 60


def slug(text: str) -> str:
    """Words in small letters with dashes and without accents: `CarRentalAPI_v2` is
    `car-rental-api-v2`, `Übung` is `ubung`.
    """
    bare = "".join(
        char for char in normalize("NFKD", text[:500].translate(_PLAIN)) if not combining(char)
    )
    return "-".join(_WORD.findall(_BORDER.sub("-", bare))).lower()[:_LONGEST_NAME].rstrip("-")
