"""The numbers of a memory: what they say, and that they do not grow."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec.observability.latency import AMOUNTS, SECONDS, Histogram
from bruno_memory_vec.observability.metrics import SECONDS as SCRAPED
from bruno_memory_vec.observability.recorder import OTHER_ERROR, Recorder

TIMES = st.lists(st.floats(2e-5, 5_000), min_size=1, max_size=300)


@given(TIMES, st.sampled_from([0.5, 0.95, 0.99]))
def test_a_quantile_is_that_of_the_values_within_the_width_of_a_bucket(
    values: list[float], share: float
) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    exact = float(np.quantile(values, share, method="inverted_cdf"))
    assert histogram.quantile(share) == pytest.approx(exact, rel=0.13)
    assert histogram.quantile(1.0) == max(values)


@given(st.lists(st.floats(0, 1_000), max_size=100))
def test_what_a_scrape_is_told_is_how_many_are_not_more_than_each_bound(
    values: list[float],
) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    assert histogram.cumulative(SCRAPED) == [sum(v <= bound for v in values) for bound in SCRAPED]
    assert histogram.total == pytest.approx(sum(values))


def test_the_bounds_of_a_scrape_are_bounds_of_the_histogram() -> None:
    assert set(SCRAPED) <= set(SECONDS)
    assert list(SECONDS) == sorted(set(SECONDS))
    assert AMOUNTS[0] == 1
    assert AMOUNTS[-1] == 65_536


def test_nothing_measured_is_no_division_by_zero() -> None:
    nothing = Histogram().latency()
    assert (nothing.count, nothing.mean, nothing.p99, nothing.longest) == (0, 0.0, 0.0, 0.0)
    negative = Histogram()
    negative.add(-1.0)  # a clock that was set back
    assert negative.latency().longest == 0.0


def test_thousands_of_operations_and_errors_take_no_more_room() -> None:
    recorder = Recorder()

    def size() -> int:
        known = recorder.operations()
        return len(json.dumps({name: one.to_dict() for name, one in known.items()}))

    for number in range(70):
        recorder.begun("recall")
        recorder.ended("recall", "failed", 0.001, f"Error{number}")
    before = size()
    for number in range(20_000):
        recorder.begun("recall")
        recorder.ended("recall", "failed", 0.001, f"Another{number}")
    errors = recorder.operations()["recall"].errors
    assert len(errors) == 65
    assert errors[OTHER_ERROR] == 20_006
    assert size() < before + 50


def test_any_thread_may_count() -> None:
    recorder, threads = Recorder(), 8

    def work() -> None:
        for _ in range(500):
            recorder.begun("recall")
            recorder.took("recall_stage", "lexical", 0.001)
            recorder.count("recalls", "hits")
            recorder.amount("batch_rows", 3)
            recorder.ended("recall", "ok", 0.002)
            recorder.operations()

    running = [threading.Thread(target=work) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    told = recorder.operations()["recall"]
    assert told.calls == told.latency.count == 500 * threads
    assert told.in_flight == 0
    assert recorder.counts("recalls") == {("hits", ""): 500 * threads}
    assert recorder.stages("recall_stage")["lexical"].count == 500 * threads
