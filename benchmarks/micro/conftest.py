"""Collects ``bench_*.py`` of this folder, and holds what they share."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.environment import describe, quiet_logs
from benchmarks.micro import data
from bruno_memory_vec.embedders import StaticEmbedder

T = TypeVar("T")


class Run(Protocol):
    """Runs a coroutine to its end."""

    def __call__(self, work: Coroutine[Any, Any, T], /) -> T: ...


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    # Not by `python_files`: the test run must not take them for tests. A file that was named in the
    # command is collected by pytest itself.
    if file_path.match("bench_*.py") and not parent.session.isinitpath(file_path):
        return pytest.Module.from_parent(parent, path=file_path)
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            # Enough rounds for a steady minimum and median, and the whole in some two minutes.
            item.add_marker(
                pytest.mark.benchmark(max_time=0.25, min_rounds=20, disable_gc=True, warmup=True)
            )


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    """The file of a run says what it was measured with, and not on whose machine."""
    machine_info.pop("node", None)
    about = describe()
    del about["command"]  # the run's own; a baseline names the whole
    about["openblas_threads"] = os.environ.get("OPENBLAS_NUM_THREADS", "default")
    machine_info["measured_with"] = about


@pytest.fixture(scope="session", autouse=True)
def _quiet() -> None:
    quiet_logs()


@pytest.fixture(scope="session")
def run() -> Iterator[Run]:
    """One loop for all. A call costs some 30 microseconds itself."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield loop.run_until_complete
    loop.run_until_complete(loop.shutdown_default_executor())
    asyncio.set_event_loop(None)
    loop.close()


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """One text for each row of the stores."""
    return data.texts(data.ROWS)


@pytest.fixture(scope="session")
def vectors(texts: list[str]) -> NDArray[np.float32]:
    """Their vectors, float32 (n, d)."""
    return StaticEmbedder().embed(texts)
