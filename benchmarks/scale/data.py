"""Synthetic corpora: texts in conversations, their vectors, and questions about them.

A corpus is made once, in a folder, in chunks, so that making and reading it takes little memory
whatever its size. The same arguments give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.scale.layout import Layout, conversation_id, make_layout
from benchmarks.scale.words import CONTENT_RANK, TOPICS, Words, make_words
from bruno_memory_vec.embedders import StaticEmbedder
from bruno_memory_vec.errors import InvalidInputError

#: "static" is the shipped embedder, run over the texts; "given" are vectors of our own making.
Embedding = Literal["static", "given"]
#: Length of a vector, in both.
DIMENSION = 256
#: Rows made and kept together.
CHUNK = 10_000
#: Rows whose texts are read together.
GROUP = 1_000
#: How many questions a corpus has. Half are about rows of one user of about 1,000 rows.
QUESTIONS = 200
#: The size of that user.
ASKED_SIZE = 1_000

# Changes whenever the same arguments give other bytes.
_VERSION = 1
_ABOUT, _TEXTS, _VECTORS, _ASKED = "corpus.json", "texts.parquet", "vectors.f32", "questions.npy"
# Words of a turn: log-normal, as lengths of chat turns are, within bounds.
_WORDS_MEDIAN, _WORDS_SIGMA, _WORDS_BOUNDS = 15.0, 0.65, (5, 60)
# How often a turn is about its conversation's first topic, not its second.
_FIRST_TOPIC = 0.75
_ASKS = 0.2
# The given vectors: topics are Gaussians in a subspace, a conversation moves them, each turn is
# somewhere around, and all dimensions carry noise. Lengths relative to a topic's centre.
_SUBSPACE = 48
_CONVERSATION_SPREAD, _TURN_SPREAD, _NOISE = 0.5, 0.7, 0.3
_QUESTION_NOISE = 0.4
_QUESTION_WORDS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """A question about a row.

    Attributes:
        text: the question.
        vector: its embedding, float32 (DIMENSION,), of unit norm.
        user: whose row it is about.
    """

    text: str
    vector: NDArray[np.float32]
    user: str


@dataclass(frozen=True)
class Corpus:
    """A corpus in its folder. Make one with :func:`make_corpus`.

    Attributes:
        folder: where it is.
        key: names the corpus by everything that it depends on.
        layout: its users and conversations.
        embedder: what made its vectors.
        seed: what it was drawn by.
    """

    folder: Path
    key: str
    layout: Layout
    embedder: Embedding
    seed: int

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self.layout.rows

    @property
    def sizes(self) -> dict[str, int]:
        """How many rows each user has."""
        return dict(zip(self.layout.names, self.layout.sizes.tolist(), strict=True))

    def texts(self, start: int, stop: int) -> list[str]:
        """The texts of the rows from ``start`` to before ``stop``."""
        self._check(start, stop)
        if start == stop:
            return []
        groups = range(start // GROUP, (stop - 1) // GROUP + 1)
        with pq.ParquetFile(self.folder / _TEXTS) as file:
            column = file.read_row_groups(list(groups)).column("text")
        found: list[str] = column.slice(start - groups[0] * GROUP, stop - start).to_pylist()
        return found

    def vectors(self, start: int, stop: int) -> NDArray[np.float32]:
        """The vectors of the rows, float32 (stop - start, DIMENSION), of unit norm."""
        self._check(start, stop)
        # Read, not mapped: mapped pages would count as memory of whoever measures here.
        with (self.folder / _VECTORS).open("rb") as file:
            file.seek(start * DIMENSION * 4)
            values = np.fromfile(file, np.float32, (stop - start) * DIMENSION)
        return values.reshape(stop - start, DIMENSION)

    def users(self, start: int, stop: int) -> list[str]:
        """The user of each of the rows."""
        self._check(start, stop)
        names = self.layout.names
        return [names[one] for one in self.layout.owner[self.layout.conversation(start, stop)]]

    def conversations(self, start: int, stop: int) -> list[str]:
        """The conversation of each of the rows. A conversation's rows are one after the other."""
        self._check(start, stop)
        return [conversation_id(int(one)) for one in self.layout.conversation(start, stop)]

    def roles(self, start: int, stop: int) -> list[str]:
        """The role of each of the rows: "user" and "assistant" in turn."""
        self._check(start, stop)
        turn = np.arange(start, stop) - self.layout.start[self.layout.conversation(start, stop)]
        return ["assistant" if odd else "user" for odd in turn % 2]

    @cached_property
    def questions(self) -> list[Question]:
        """`QUESTIONS` questions. The first half are about rows of `asked_user`."""
        about = json.loads((self.folder / _ABOUT).read_text(encoding="utf-8"))
        vectors = np.load(self.folder / _ASKED)
        return [
            Question(one["text"], vector, one["user"])
            for one, vector in zip(about["questions"], vectors, strict=True)
        ]

    @property
    def asked_user(self) -> str:
        """The user that half of the questions are about: "u-1000", else the nearest to it."""
        return self.layout.nearest(ASKED_SIZE)[0]

    def _check(self, start: int, stop: int) -> None:
        if not 0 <= start <= stop <= self.rows:
            raise InvalidInputError(
                "rows", f"{start} to {stop} is not within {self.rows}", fix="Ask for rows it has."
            )


def make_corpus(
    rows: int, users: int, folder: Path, seed: int = 7, embedder: Embedding = "static"
) -> Corpus:
    """A corpus, made in a folder of its own in ``folder`` if it is not there yet.

    Raises:
        InvalidInputError: the numbers make no corpus, or the embedder is not known.
    """
    if embedder not in get_args(Embedding):
        raise InvalidInputError("embedder", f"{embedder!r} is not known", fix="static or given.")
    settings = _settings(rows, users, seed, embedder)
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
    key = f"{rows}-{users}-{embedder}-{digest}"
    place = folder / f"corpus-{key}"
    corpus = Corpus(place, key, make_layout(rows, users, seed), embedder, seed)
    if not (place / _ABOUT).exists():  # it is written last
        place.mkdir(parents=True, exist_ok=True)
        _Maker(corpus, make_words(seed)).make(settings)
    return corpus


def _settings(rows: int, users: int, seed: int, embedder: Embedding) -> dict[str, Any]:
    made_by = StaticEmbedder().fingerprint.to_dict() if embedder == "static" else {}
    return {
        "version": _VERSION,
        "rows": rows,
        "users": users,
        "seed": seed,
        "embedder": embedder,
        "fingerprint": made_by,
    }


class _Maker:
    def __init__(self, corpus: Corpus, words: Words) -> None:
        self._corpus, self._layout, self._words = corpus, corpus.layout, words
        self._static = StaticEmbedder()
        rng = np.random.default_rng([corpus.seed, 3])
        self._basis = np.linalg.qr(rng.standard_normal((DIMENSION, _SUBSPACE)))[0].T
        self._centres = _unit(rng.standard_normal((TOPICS, _SUBSPACE)))

    def make(self, settings: dict[str, Any]) -> None:
        folder = self._corpus.folder
        schema = pa.schema([pa.field("text", pa.string())])
        with (
            pq.ParquetWriter(folder / _TEXTS, schema) as writer,
            (folder / _VECTORS).open("wb") as file,
        ):
            for start in range(0, self._layout.rows, CHUNK):
                texts = self._chunk(start, file)
                writer.write_table(pa.table([texts], schema=schema), row_group_size=GROUP)
        asked = list(self._questions())
        np.save(folder / _ASKED, np.stack([one.vector for one in asked]))
        about = {**settings, "questions": [{"text": q.text, "user": q.user} for q in asked]}
        fresh = folder / f"{_ABOUT}.new"
        fresh.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        fresh.replace(folder / _ABOUT)

    def _chunk(self, start: int, file: BinaryIO) -> list[str]:
        stop = min(start + CHUNK, self._layout.rows)
        rng = np.random.default_rng([self._corpus.seed, 4, start])
        conversation = self._layout.conversation(start, stop)
        second = (rng.random(stop - start) >= _FIRST_TOPIC).astype(np.intp)
        topic = self._layout.topic[conversation, second]
        texts = self._texts(topic, rng)
        if self._corpus.embedder == "static":
            vectors = self._static.embed(texts)
        else:
            vectors = self._vectors(conversation, topic, rng)
        file.write(np.ascontiguousarray(vectors).data)
        return texts

    def _texts(self, topic: NDArray[np.int32], rng: np.random.Generator) -> list[str]:
        lengths = rng.lognormal(np.log(_WORDS_MEDIAN), _WORDS_SIGMA, len(topic))
        counts = np.clip(np.rint(lengths), *_WORDS_BOUNDS).astype(np.int64)
        drawn = self._words.draw(np.repeat(topic, counts), rng).tolist()
        marks = np.where(rng.random(len(topic)) < _ASKS, "?", ".").tolist()
        types, texts, place = self._words.types, [], 0
        for count, mark in zip(counts.tolist(), marks, strict=True):
            text = " ".join([types[one] for one in drawn[place : place + count]])
            texts.append(text[0].upper() + text[1:] + mark)
            place += count
        return texts

    def _vectors(
        self,
        conversation: NDArray[np.int64],
        topic: NDArray[np.int32],
        rng: np.random.Generator,
    ) -> NDArray[np.float32]:
        # A conversation may begin in one chunk and end in the next: its shift is its own.
        shifts = {
            int(one): np.random.default_rng([self._corpus.seed, 5, int(one)]).standard_normal(
                _SUBSPACE
            )
            for one in np.unique(conversation)
        }
        shift = np.stack([shifts[int(one)] for one in conversation]) / np.sqrt(_SUBSPACE)
        turn = rng.standard_normal((len(topic), _SUBSPACE)) / np.sqrt(_SUBSPACE)
        inner = self._centres[topic] + _CONVERSATION_SPREAD * shift + _TURN_SPREAD * turn
        noise = rng.standard_normal((len(topic), DIMENSION)) / np.sqrt(DIMENSION)
        return _unit(inner @ self._basis + _NOISE * noise).astype(np.float32)

    def _questions(self) -> Iterator[Question]:
        corpus, rng = self._corpus, np.random.default_rng([self._corpus.seed, 6])
        own = self._layout.rows_of(corpus.asked_user)
        half = QUESTIONS // 2
        rows = np.concatenate([rng.choice(own, half), rng.integers(corpus.rows, size=half)])
        for row in rows.tolist():
            text = self._question(corpus.texts(row, row + 1)[0], rng)
            if corpus.embedder == "static":
                vector = self._static.embed([text], kind="query")[0]
            else:
                noise = rng.standard_normal((1, DIMENSION)) / np.sqrt(DIMENSION)
                near = corpus.vectors(row, row + 1) + _QUESTION_NOISE * noise
                vector = _unit(near)[0].astype(np.float32)
            yield Question(text, vector, corpus.users(row, row + 1)[0])

    def _question(self, text: str, rng: np.random.Generator) -> str:
        said = text[:-1].lower().split()
        telling = [word for word in said if self._words.rank[word] >= CONTENT_RANK] or said
        some = rng.choice(telling, min(_QUESTION_WORDS, len(telling)), replace=False)
        return f"What did we say about {' '.join(some)}?"


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / lengths
