"""What every result of the analytics can do: be printed, drawn, sent as JSON, made a table.

Texts of rows are data: they are shown on one line, with a mark for what is hidden in them.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, Final

import pyarrow as pa

from bruno_memory_vec.indexers.schema import TIMESTAMP
from bruno_memory_vec.portability.frames import pandas_of, polars_of
from bruno_memory_vec.prompts.hidden_characters import one_line

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

TEXT: Final = pa.string()
NUMBER: Final = pa.float64()
WHOLE: Final = pa.int64()
DAY: Final = pa.date32()
TIME: Final = TIMESTAMP

_LONGEST: Final = 160


@dataclass(frozen=True, slots=True)
class Shown:
    """A table as people are shown it.

    Attributes:
        title: what it is about.
        heads: its columns' names; none where it needs no head.
        rows: cells as text, without hidden characters.
        numbers: which columns are numbers, and so stand on the right.
        notes: sentences below it.
    """

    title: str
    heads: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    numbers: frozenset[int] = frozenset()
    notes: tuple[str, ...] = ()


class Result:
    """The base of results. A subclass says what is shown and drawn, and what its table's rows are.

    Each can be drawn: growth as a line with the new rows of each period as bars; conversations by
    weekday and hour; topics by their share; use by how often rows were recalled; repeats by the
    sizes of their groups; performance as p50, p95 and p99 of what took most time; costs by day and
    model.
    """

    __slots__ = ()
    #: The columns of the table.
    columns: ClassVar[Mapping[str, pa.DataType]]

    def shown(self) -> list[Shown]:
        """What people are shown, as tables."""
        raise NotImplementedError

    def records(self) -> list[dict[str, Any]]:
        """The rows of the table, each with the keys of :attr:`columns`."""
        raise NotImplementedError

    def _draw(self, axes: Any) -> Any:
        """Draw it, and give the axes."""
        raise NotImplementedError

    def plot(self, axes: Any = None) -> Any:
        """Draw the result.

        Args:
            axes: of matplotlib, to draw into; None for a new figure's.

        Returns:
            The axes.

        Raises:
            MissingDependencyError: matplotlib is not installed.
        """
        return self._draw(axes)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON-able values; times as ISO 8601."""
        found: dict[str, Any] = plain(self)
        return found

    def to_arrow(self) -> pa.Table:
        """A row for each thing that was counted, see :attr:`columns`."""
        rows = self.records()
        return pa.table(
            {
                name: pa.array([row[name] for row in rows], kind)
                for name, kind in self.columns.items()
            }
        )

    def to_pandas(self) -> pd.DataFrame:
        """As :meth:`to_arrow`, a pandas ``DataFrame``.

        Raises:
            MissingDependencyError: pandas is not installed.
        """
        return pandas_of(self.to_arrow())

    def to_polars(self) -> pl.DataFrame:
        """As :meth:`to_arrow`, a Polars ``DataFrame``.

        Raises:
            MissingDependencyError: Polars is not installed.
        """
        return polars_of(self.to_arrow())

    def __str__(self) -> str:
        return "\n\n".join(map(_as_text, self.shown()))

    def _repr_html_(self) -> str:
        return "".join(map(_as_html, self.shown()))


def plain(value: Any) -> Any:
    """A value as JSON has it: dataclasses as dicts, times as ISO 8601."""
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return value


def short(text: str, longest: int = _LONGEST) -> str:
    """A text of a row on one line, safe to print."""
    return one_line(text, longest)


def percent(share: float) -> str:
    """A share for people."""
    return f"{100 * share:.0f} %" if share >= 0.1 or share == 0 else f"{100 * share:.1f} %"


def duration(seconds: float | None) -> str:
    """A span of time for people, in the largest unit of which there are two or more."""
    if seconds is None:
        return ""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return (
                f"{seconds / size:.0f} {unit}"
                if seconds >= 10 * size
                else (f"{seconds / size:.1f} {unit}")
            )
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def _as_text(table: Shown) -> str:
    lines = [table.title]
    cells = [list(row) for row in (*([table.heads] if table.heads else []), *table.rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(cells[0]))] if cells else []
    for row in cells:
        placed = (
            cell.rjust(width) if at in table.numbers else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append(f"  {'  '.join(placed)}".rstrip())
    return "\n".join([*lines, *table.notes])


def _as_html(table: Shown) -> str:
    def row(cells: Iterable[str], tag: str) -> str:
        inside = (
            f'<{tag} style="text-align:{"right" if at in table.numbers else "left"}">'
            f"{html.escape(cell)}</{tag}>"
            for at, cell in enumerate(cells)
        )
        return f"<tr>{''.join(inside)}</tr>"

    head = f"<thead>{row(table.heads, 'th')}</thead>" if table.heads else ""
    body = "".join(row(cells, "td") for cells in table.rows)
    whole = f"<table>{head}<tbody>{body}</tbody></table>" if table.rows else ""
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in table.notes)
    return f"<p><b>{html.escape(table.title)}</b></p>{whole}{notes}"


def bars(counts: Sequence[float], width: int = 10) -> list[str]:
    """A bar of at most ``width`` characters for each number, the longest for the largest."""
    most = max(counts, default=0)
    return ["▪" * (0 if not most else -(-int(width * one * 1000 / most) // 1000)) for one in counts]
