"""Numbers with their nouns and units."""


def count(number: int, singular: str, plural: str = "") -> str:
    """`1 file`, `2 files`, `1,000 files`."""
    if number == 1:
        return f"1 {singular}"
    return f"{number:,} {plural or singular + 's'}"


def size(number: int) -> str:
    """Bytes in words: `142.0 MB`."""
    for unit, least in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number >= least:
            return f"{number / least:.1f} {unit}"
    return count(number, "byte")
