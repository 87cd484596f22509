"""Words of what is told to people."""

from __future__ import annotations


def counted(number: int, one: str, many: str | None = None) -> str:
    """How many there are of something: ``1 row``, ``1,200 rows``, ``2 entries``.

    Args:
        number: how many.
        one: what is said of one, such as "row" or "row is damaged".
        many: what is said of any other number. Default: the plural of ``one``.
    """
    if number == 1:
        return f"1 {one}"
    if many is None:
        many = f"{one[:-1]}ies" if one.endswith("y") else f"{one}s"
    return f"{number:,} {many}"


def as_stored(number: int) -> str:
    """That so many rows, which are all that there are, are whole."""
    if number == 1:
        return "1 row is as it was stored"
    return f"all {number:,} rows are as they were stored"


def not_as_stored(number: int) -> str:
    """That so many rows are damaged."""
    return counted(number, "row is not as it was stored", "rows are not as they were stored")


def acknowledged(number: int) -> str:
    """So many that were acknowledged."""
    return counted(number, "that was acknowledged", "that were acknowledged")
