"""Results drawn with matplotlib; each function gives the axes it drew into.

Colours are Paul Tol's "bright", which the colour-blind tell apart. Texts of rows are shown on one
line, without hidden characters, and never read as mathematics. A figure of its own is made without
pyplot, so that none stays open; a notebook shows the axes' figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from bruno_memory_vec.analytics.periods import WEEKDAYS
from bruno_memory_vec.analytics.result import short
from bruno_memory_vec.errors import InvalidInputError, MissingDependencyError
from bruno_memory_vec.rows import checks

if TYPE_CHECKING:
    from bruno_memory_vec.analytics.costs import Costs
    from bruno_memory_vec.analytics.duplicates import Duplicates
    from bruno_memory_vec.analytics.growth import Growth
    from bruno_memory_vec.analytics.performance import Performance
    from bruno_memory_vec.analytics.talks import ConversationPatterns
    from bruno_memory_vec.analytics.topics import Topics
    from bruno_memory_vec.analytics.usage import Usage

EXTRA: Final = "plots"
BLUE, RED, GREEN, YELLOW, CYAN, PURPLE, GREY = _COLOURS = (
    "#4477aa",
    "#ee6677",
    "#228833",
    "#ccbb44",
    "#66ccee",
    "#aa3377",
    "#bbbbbb",
)
_MOST_LABELS: Final = 12
_MOST_BARS: Final = 30
_MOST_TOPICS: Final = 20


def draw_growth(growth: Growth, axes: Any) -> Any:
    """The rows in all as a line, the new ones of each period as bars."""
    axes = _axes(axes, 7.0, 3.2)
    places = range(len(growth.points))
    axes.bar(places, [point.messages for point in growth.points], color=BLUE, label="new messages")
    axes.bar(
        places,
        [point.memories for point in growth.points],
        bottom=[point.messages for point in growth.points],
        color=YELLOW,
        label="new memories",
    )
    whole = axes.twinx()
    whole.plot(places, [point.total_rows for point in growth.points], color=RED, label="in all")
    whole.set_ylim(bottom=0)
    whole.set_ylabel("rows in all", color=RED)
    axes.set_ylabel(f"new rows a {growth.by}")
    _labels(axes, [point.label for point in growth.points])
    # Above the bars, which may be as high as the axes.
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=8)
    return axes


def draw_week(patterns: ConversationPatterns, axes: Any) -> Any:
    """Messages by the hour of the day and the day of the week, as a heat map."""
    axes = _axes(axes, 7.0, 2.8)
    image = axes.imshow(patterns.week, aspect="auto", cmap="YlGnBu", vmin=0)
    axes.set_yticks(range(7), WEEKDAYS)
    axes.set_xticks(range(0, 24, 3), [f"{hour:02}" for hour in range(0, 24, 3)])
    axes.set_xlabel(f"hour, {patterns.zone}")
    axes.figure.colorbar(image, ax=axes, label="messages")
    return axes


def draw_topics(topics: Topics, axes: Any) -> Any:
    """The share of each topic as a bar, with its words; the largest on top."""
    shown = topics.topics[:_MOST_TOPICS]
    axes = _axes(axes, 7.0, max(1.5, 0.34 * len(shown) + 0.8))
    places = list(range(len(shown)))
    axes.barh(places, [100 * topic.share for topic in shown], color=BLUE)
    names = [_as_is(", ".join(short(word.word, 20) for word in topic.words[:5])) for topic in shown]
    axes.set_yticks(places, names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("% of the rows")
    return axes


def draw_trend(topics: Topics, axes: Any, most: Any) -> Any:
    """The rows of the largest topics by period, as stacked bars; what is left in grey."""
    count = checks.limit("most", most, largest=_MOST_TOPICS)
    axes = _axes(axes, 7.5, 3.4)
    if topics.topics:
        periods = len(topics.topics[0].trend)
        below = [0] * periods
        parts = [
            (_as_is(short(topic.name, 40)), [point.rows for point in topic.trend])
            for topic in topics.topics[:count]
        ]
        rest = [[point.rows for point in topic.trend] for topic in topics.topics[count:]]
        if rest:
            parts.append((f"{len(rest)} more", [sum(rows) for rows in zip(*rest, strict=True)]))
        for number, (name, rows) in enumerate(parts):
            colour = GREY if number == count else _COLOURS[number % (len(_COLOURS) - 1)]
            hatch = None if number < len(_COLOURS) - 1 or number == count else "///"
            axes.bar(
                range(periods), rows, bottom=below, color=colour, hatch=hatch, label=name, width=0.9
            )
            below = [one + more for one, more in zip(below, rows, strict=True)]
        _labels(axes, [point.label for point in topics.topics[0].trend])
        handles, names = axes.get_legend_handles_labels()
        axes.legend(
            handles[::-1],
            names[::-1],
            loc="upper left",
            bbox_to_anchor=(1, 1),
            frameon=False,
            fontsize=8,
        )
    axes.set_ylim(bottom=0)
    axes.set_ylabel(f"rows a {topics.by}")
    return axes


def draw_usage(usage: Usage, axes: Any) -> Any:
    """How many rows were recalled how often."""
    axes = _axes(axes, 6.0, 2.8)
    places = list(range(len(usage.bins)))
    drawn = axes.bar(places, [one.rows for one in usage.bins], color=BLUE)
    axes.bar_label(drawn, [f"{one.rows:,}" for one in usage.bins], fontsize=8)
    axes.set_xticks(places, [one.label for one in usage.bins])
    axes.margins(y=0.12)
    axes.set_xlabel("recalls")
    axes.set_ylabel("rows")
    return axes


def draw_duplicates(duplicates: Duplicates, axes: Any) -> Any:
    """The sizes of the largest groups: word for word, and nearly."""
    groups = duplicates.largest[:_MOST_BARS]
    axes = _axes(axes, 7.0, max(1.5, 0.3 * len(groups) + 0.8))
    places = list(range(len(groups)))
    exact = [group.exact for group in groups]
    axes.barh(places, exact, color=BLUE, label="word for word")
    axes.barh(
        places,
        [group.size - group.exact for group in groups],
        left=exact,
        color=CYAN,
        label="nearly",
    )
    names = [_as_is(short(group.rows[0].text, 40)) for group in groups]
    axes.set_yticks(places, names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("rows of the group")
    axes.legend(frameon=False, fontsize=8)
    return axes


def draw_performance(performance: Performance, axes: Any) -> Any:
    """p50, p95 and p99 of the operations that took most time, on a logarithmic scale."""
    shown = performance.operations[:_MOST_TOPICS]
    axes = _axes(axes, 7.0, max(1.5, 0.32 * len(shown) + 0.8))
    for name, colour, mark in (("p50", GREEN, "o"), ("p95", YELLOW, "s"), ("p99", RED, "D")):
        times = [1000 * max(getattr(one, name), 1e-5) for one in shown]
        axes.plot(times, range(len(shown)), mark, color=colour, label=name, markersize=5)
    axes.set_yticks(range(len(shown)), [one.operation for one in shown], fontsize=8)
    axes.invert_yaxis()
    if shown:
        axes.set_xscale("log")
        axes.legend(frameon=False, fontsize=8)
    axes.set_xlabel("milliseconds")
    axes.grid(axis="x", alpha=0.3)
    return axes


def draw_costs(costs: Costs, axes: Any) -> Any:
    """The cost of each day, stacked by model."""
    axes = _axes(axes, 6.0, 2.8)
    days = sorted({line.day for line in costs.lines})
    models = list(dict.fromkeys((line.model, line.currency) for line in costs.lines))
    below = [0.0] * len(days)
    for number, (model, currency) in enumerate(models):
        spent = [
            sum(
                line.cost
                for line in costs.lines
                if line.day == day and (line.model, line.currency) == (model, currency)
            )
            for day in days
        ]
        colour = _COLOURS[number % len(_COLOURS)]
        label = _as_is(f"{short(model, 30)}, {currency}")
        axes.bar(range(len(days)), spent, bottom=below, color=colour, label=label)
        below = [one + more for one, more in zip(below, spent, strict=True)]
    _labels(axes, [day.isoformat() for day in days])
    axes.set_ylabel("cost a day")
    if models:
        axes.legend(frameon=False, fontsize=8)
    return axes


def _axes(given: Any, width: float, height: float) -> Any:
    """The axes to draw into: those that were given, or a new figure's."""
    try:
        from matplotlib.axes import Axes
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError("matplotlib", EXTRA, cause=error) from error
    if given is None:
        axes = Figure(figsize=(width, height), layout="constrained").subplots()
    elif isinstance(given, Axes):
        axes = given
    else:
        raise InvalidInputError(
            "axes", f"a {type(given).__name__} is none", fix="Give axes of matplotlib, or None."
        )
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return axes


def _labels(axes: Any, labels: Sequence[str]) -> None:
    """Names of places along the axis, of many only some."""
    step = max(1, -(-len(labels) // _MOST_LABELS))
    places = list(range(0, len(labels), step))
    axes.set_xticks(places, [labels[place] for place in places], rotation=30, ha="right")


def _as_is(text: str) -> str:
    """A text that matplotlib does not read as mathematics, which begins at a dollar sign."""
    return text.replace("$", r"\$")
