"""Numbers with their nouns."""


def count(number: int, singular: str, plural: str = "") -> str:
    """`1 file`, `2 files`, `1,000 files`."""
    if number == 1:
        return f"1 {singular}"
    return f"{number:,} {plural or singular + 's'}"
