"""The text path under inputs that nobody should send: no crash but our own errors, no hang.

Each input is timed, and the slowest of each kind is printed. What takes more than a second
of processor time, and does so again, fails its test: time on the clock would blame an input
for a busy machine. What never ends is named with its stack after a minute on the clock, and
ends the run: native code that loops cannot be stopped in any other way.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import io
import json
import os
import time
import unicodedata
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, get_args

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bruno_memory_vec import portability as ingest
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.indexers.lance.index import LanceIndex
from bruno_memory_vec.indexers.query import LexicalQuery, Scope
from bruno_memory_vec.indexers.reference import matches
from bruno_memory_vec.indexers.schema import LEXICAL_COLUMNS, micros
from bruno_memory_vec.indexers.tantivy.index import TantivyIndex
from bruno_memory_vec.indexers.text.analysis import LANGUAGES, analyser
from bruno_memory_vec.rankers.question import read_question
from bruno_memory_vec.recall.request import row_filter
from bruno_memory_vec.rows.models import cues
from bruno_memory_vec.testing.rows import memory, message, table
from tests.torture import fuzz_inputs
from tests.torture.conftest import Torture, counts

pytestmark = [
    # Large inputs are what this is about; the warning would hide the failure it tells of.
    pytest.mark.filterwarnings("ignore:Generating overly large repr"),
    pytest.mark.slow,
]

T = TypeVar("T")

_SLOW = 1.0
_HANGS = 60.0
_AGAIN = 2
_DIMENSION = 8


@dataclass
class Watchdog:
    """Times each input of a test, and names the one that does not end.

    Attributes:
        real_stderr: the process's own, which pytest does not capture.
        record: a file that holds the input under way.
    """

    real_stderr: int
    record: Path
    inputs: int = 0
    refused: int = 0
    slowest: float = 0.0
    slowest_input: str = ""

    def run(self, value: Any, call: Callable[[], T]) -> T | None:
        """What the call gives; None where it refused the input as it should."""
        self.inputs += 1
        with contextlib.suppress(ValueError):
            self.record.write_text(ascii(value)[:1_000_000])
        spent = []
        # A slow input is slow again; a collection of the garbage mostly is not.
        for _ in range(1 + _AGAIN):
            faulthandler.dump_traceback_later(_HANGS, exit=True, file=self.real_stderr)
            started = time.process_time()
            try:
                result, refused = call(), False
            except InvalidInputError:
                result, refused = None, True
            finally:
                spent.append(time.process_time() - started)
                faulthandler.cancel_dump_traceback_later()
            if spent[-1] <= _SLOW:
                break
        self.refused += refused
        if min(spent) > self.slowest:
            self.slowest, self.slowest_input = min(spent), _short(value)
        assert min(spent) <= _SLOW, f"takes {min(spent):.1f} s: {_short(value)}"
        return result


@pytest.fixture
def watchdog(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> Iterator[Watchdog]:
    with capfd.disabled():
        real_stderr = os.dup(2)
    watch = Watchdog(real_stderr, tmp_path / f"{request.node.name}-input.txt")
    yield watch
    os.close(real_stderr)
    counts(
        inputs=watch.inputs,
        refused=watch.refused,
        slowest_ms=watch.slowest * 1e3,
        namely=watch.slowest_input,
    )


def _short(value: Any) -> str:
    try:
        shown = ascii(value)
    except ValueError:
        return f"a {type(value).__name__} that has no repr"
    return shown if len(shown) <= 120 else f"{shown[:100]}... ({len(shown):,} characters)"


def fuzz(examples: int, **strategies: st.SearchStrategy[Any]) -> Callable[[Any], None]:
    """Run a function on this many drawn inputs."""

    def run(check: Any) -> None:
        unhurried = settings(
            max_examples=examples,
            # Not the one that explains: it traces each line, and what it traces is slow.
            phases=(Phase.reuse, Phase.generate, Phase.shrink),
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        )
        unhurried(given(**strategies)(check))()

    return run


@contextlib.contextmanager
def event_loop() -> Iterator[Callable[[Awaitable[T]], T]]:
    """Something to run awaitables with, from inside Hypothesis."""
    loop = asyncio.new_event_loop()
    try:
        yield loop.run_until_complete
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


# Text


def test_analyser(torture: Torture, watchdog: Watchdog) -> None:
    languages = [None, *sorted(LANGUAGES)]

    def check(text: str, language: str | None, drop: bool) -> None:
        words = analyser(language)

        def analyse(text: str) -> None:
            terms = words.terms(text)
            asked = words.question(text, drop_stopwords=drop)
            for term in (*terms, *asked):
                # May be empty: the Tamil stemmer takes some words away whole.
                term.encode()  # no engine takes half a surrogate pair

        for variant in fuzz_inputs.variants(text):
            watchdog.run(variant, lambda variant=variant: analyse(variant))

    fuzz(
        torture.choose(200, 4_000),
        text=fuzz_inputs.texts(),
        language=st.sampled_from(languages),
        drop=st.booleans(),
    )(check)


def test_what_rankers_read(torture: Torture, watchdog: Watchdog) -> None:
    now = micros(datetime(2025, 5, 5, tzinfo=timezone.utc))

    def check(text: str) -> None:
        def read(text: str) -> None:
            cues(text, {})
            read_question(text, now)

        for variant in fuzz_inputs.variants(text):
            watchdog.run(variant, lambda variant=variant: read(variant))

    fuzz(torture.choose(100, 2_000), text=fuzz_inputs.texts())(check)


def corpus() -> list[dict[str, Any]]:
    """Rows whose every text, name and tag is odd in some way."""
    users = ("ana", "ben", "O'Hara", "' OR 1=1 --", "x') OR ('1'='1", "漢")
    rows = []
    for number, text in enumerate(fuzz_inputs.storable()):
        user = users[number % len(users)]
        if number % 3:
            row = message(number, text, user_id=user, conversation_id=f"talk' {number % 4}")
        else:
            row = memory(number, text, user_id=user, tags=[text[:40], user], category=text[:20])
        row["importance"] = (number % 10) / 10
        rows.append(row)
    return rows


def scopes() -> st.SearchStrategy[Scope]:
    whole = st.builds(Scope, st.one_of(st.none(), fuzz_inputs.names()))
    part = st.sampled_from([None, "talk' 1", "talk", "'"])
    return st.builds(lambda scope, talk: scope.within(talk), whole, part)


def test_word_search(torture: Torture, watchdog: Watchdog, tmp_path: Path) -> None:
    """Any question, scope and filter is answered from the rows that it may see."""
    rows = corpus()
    folder = tmp_path / "words"
    folder.mkdir()
    with event_loop() as run:
        index = TantivyIndex(folder, analyser("english"))
        index.add(table(rows, _DIMENSION).select(list(LEXICAL_COLUMNS)))
        run(index.commit())

        def check(
            text: str, drop: bool, weight: float, scope: Scope, arguments: dict[str, Any]
        ) -> None:
            def search(text: str) -> None:
                where = row_filter(alive_at=None, **arguments)
                query = LexicalQuery(text, drop, weight)
                found = index.search(query, scope, where, 20)
                asked = (*scope.conditions(), *where.conditions())
                assert all(matches(rows[seq], asked) for seq in found.seq.tolist())
                assert np.isfinite(found.score).all()

            for variant in fuzz_inputs.variants(text):
                whole = (variant, drop, weight, scope, arguments)
                watchdog.run(whole, lambda variant=variant: search(variant))

        fuzz(
            torture.choose(100, 2_500),
            text=fuzz_inputs.texts(),
            drop=st.booleans(),
            weight=st.sampled_from([0.0, 0.3]),
            scope=scopes(),
            arguments=st.one_of(st.just({}), st.just({}), fuzz_inputs.arguments()),
        )(check)
        run(index.close())


# Filters


def test_filters(torture: Torture, watchdog: Watchdog, tmp_path: Path) -> None:
    """LanceDB finds the very rows that a filter and a scope mean in plain Python."""
    rows = corpus()
    with event_loop() as run:
        index = run(LanceIndex.open(str(tmp_path / "rows"), _DIMENSION))
        run(index.upsert(table(rows, _DIMENSION), all_new=True))
        now = datetime(2024, 1, 1, tzinfo=timezone.utc)

        def check(scope: Scope, arguments: dict[str, Any]) -> None:
            def scan() -> None:
                where = row_filter(alive_at=now, **arguments)
                found = run(index.read(scope, where, ["seq"]))
                asked = (*scope.conditions(), *where.conditions())
                wanted = [row["seq"] for row in rows if matches(row, asked)]
                assert sorted(found.column("seq").to_pylist()) == wanted

            watchdog.run((scope, arguments), scan)

        fuzz(torture.choose(200, 2_000), scope=scopes(), arguments=fuzz_inputs.arguments())(check)
        run(index.close())


# Files


def test_ingest(torture: Torture, watchdog: Watchdog) -> None:
    """A file gives turns and bad lines, or one error about the whole; a turn can be stored."""

    def check(data: bytes) -> None:
        def read(form: Any) -> None:
            for item in ingest.read(io.BytesIO(data), format=form):
                if isinstance(item, ingest.Turn):
                    item.message.content.encode()
                    assert item.message.content.strip()
                    item.conversation_id.encode()
                else:
                    assert item.where
                    assert item.problem

        for form in get_args(ingest.Format):
            watchdog.run((form, data), lambda form=form: read(form))

    fuzz(torture.choose(150, 3_000), data=fuzz_inputs.documents())(check)


# What it has found


@pytest.mark.parametrize("marks", ["\u0316\u0300", "\u0e48\u0e38", "\u0f73", "\u0344\u0345"])
def test_a_letter_with_many_marks(watchdog: Watchdog, marks: str) -> None:
    """Python's normalisation sorts them by insertion: 100,000 took half a minute."""
    text = "e" + marks * 50_000
    words = analyser("english")
    watchdog.run(text, lambda: words.prepare(text))
    watchdog.run(text, lambda: words.question(text, drop_stopwords=True))
    # Nothing changes for what people write, and marks that stay are put in order.
    assert words.prepare("e" + "\u0316\u0300" * 15) == "e"
    many = "क" + "\u094d\u093c" * 14
    assert words.prepare(many) == unicodedata.normalize("NFKC", many)
    assert words.terms("cafe\u0301 café") == ["cafe", "cafe"]


def test_a_key_that_is_there_twice_among_many(watchdog: Watchdog) -> None:
    """Counting each key in a list of them took 26 s for 20,000."""
    keys = ", ".join(f'"k{number}": 0' for number in range(50_000))
    data = f'{{{keys}, "k49999": 1}}'.encode()
    lines = partial(ingest.read, format="jsonl")
    (bad,) = watchdog.run("many keys", lambda: list(lines(io.BytesIO(data)))) or ()
    assert isinstance(bad, ingest.BadLine)
    assert "'k49999' is there twice" in bad.problem


def test_a_key_of_megabytes(watchdog: Watchdog) -> None:
    """Looking for the word that it might be a misspelling of took seconds."""
    row = {"conversation_id": "c", "role": "user", "content": "x", "y" * 4_000_000: 1}
    data = json.dumps(row).encode()
    (bad,) = watchdog.run("a long key", lambda: list(ingest.read(io.BytesIO(data)))) or ()
    assert isinstance(bad, ingest.BadLine)
    assert len(bad.where) == 60


def test_an_empty_key_is_shown() -> None:
    (bad,) = ingest.read(io.BytesIO(b'{"": null}'), format="jsonl")
    assert isinstance(bad, ingest.BadLine)
    assert bad.where == '""'
