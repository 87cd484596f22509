"""Data sets x systems: one report a run, kept in a file so that a broken-off matrix goes on."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from bruno_core.utils.exceptions import BrunoError
from numpy.typing import NDArray

from benchmarks import peers
from benchmarks.address import Address
from benchmarks.retrieval import results
from benchmarks.retrieval.datasets import Dataset, NoSplitError, load
from benchmarks.retrieval.metrics import DEPTH
from benchmarks.retrieval.run import Advance, measure
from benchmarks.retrieval.systems import Memory, System
from bruno_memory_vec.embedders import Embedder, EmbedKind, Fingerprint, resolve_embedder
from bruno_memory_vec.embedders.sentence_transformers import SentenceTransformerEmbedder
from bruno_memory_vec.errors import InvalidInputError, NotAStoreError


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the matrix.

    Attributes:
        label: what tables and files call it; a peer's begins with "peer ".
        make: makes the system; loads a model where it needs one.
        embedder: the embedder whose figures these are; None where it uses none.
    """

    label: str
    make: Callable[[], System]
    embedder: Embedder | None


@dataclass(slots=True)
class Outcome:
    """What a matrix came to.

    Attributes:
        reports: of the runs, also of those that were kept from before.
        kept: how many of them were.
        left_out: data sets without the part that was asked for, and why.
        failed: runs that did not come to their end, and why.
    """

    reports: list[dict[str, Any]] = field(default_factory=list)
    kept: int = 0
    left_out: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


class ReusingEmbedder:
    """An embedder that embeds each stored text once for all runs; questions each time.

    Index times of later runs then leave embedding out: ``reused`` counts such texts.

    Args:
        embedder: the embedder; one whose ``embed`` is no coroutine.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._known: dict[str, NDArray[np.float32]] = {}
        self.reused = 0

    @property
    def fingerprint(self) -> Fingerprint:
        """That of the embedder."""
        return self._embedder.fingerprint

    def embed(self, texts: Sequence[str], *, kind: EmbedKind = "document") -> NDArray[np.float32]:
        """Shape (len(texts), dimension), float32."""
        embed: Any = self._embedder.embed
        if kind == "query":
            vectors: NDArray[np.float32] = embed(texts, kind=kind)
            return vectors
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        self.reused += len(texts) - len(new)
        if new:
            self._known.update(zip(new, embed(new, kind=kind), strict=True))
        return np.stack([self._known[text] for text in texts])


def named_embedder(spec: str) -> Embedder:
    """An embedder from the command line.

    Args:
        spec: what `resolve_embedder` takes, or the folder of a sentence-transformers model, or
            ``NAME=FOLDER`` to have it called that in tables and files.

    Raises:
        InvalidInputError: it is none of these.
    """
    name, _, folder = spec.rpartition("=")
    if Path(folder).is_dir():
        return SentenceTransformerEmbedder(folder, name=name or None)
    return resolve_embedder(spec)


def entries(
    profiles: Sequence[str],
    peer_names: Sequence[str],
    embedders: Sequence[Embedder],
    address: Address | None = None,
) -> list[Entry]:
    """The rows: each profile with each embedder, then the peers, those without embedder once.

    Args:
        profiles: names, or paths of TOML files.
        peer_names: of `benchmarks.peers`.
        embedders: at least one.
        address: where the profiles' stores are, instead of in a folder of the run's own.

    Raises:
        InvalidInputError: there is no such peer.
    """
    rows = [
        Entry("", partial(Memory, profile, embedder, address=address), embedder)
        for embedder in embedders
        for profile in profiles
    ]
    for name in peer_names:
        used = embedders if peers.uses_embedder(name) else [None]
        rows += [
            # The peers that use no embedder are given one all the same.
            Entry(f"peer {name}", partial(peers.make, name, one or embedders[0]), one)
            for one in used
        ]
    return rows


async def run_matrix(
    sources: Sequence[tuple[str, Path]],
    rows: Sequence[Entry],
    *,
    split: str = "all",
    out: Path | None = None,
    again: bool = False,
    store: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
    advance: Callable[[str, str, int, int], None] = lambda run, work, done, total: None,
) -> Outcome:
    """Run every row over every data set, in turn.

    A run that fails does not end the others. A run whose report in `out` is of the same commit,
    code, data and settings is not run again.

    Args:
        sources: kind and path of each data set.
        rows: the systems.
        split: the part of the data sets.
        out: the folder of the reports; None keeps none.
        again: run also what is there.
        store: keep the stores here, each in an empty folder of its own.
        say: told of what was kept, left out or failed.
        advance: told how far a run has come: its name, what it does, done, total.

    Raises:
        InvalidInputError: a data set cannot be read.
    """
    outcome = Outcome()
    origin = results.origin()
    seen: Counter[str] = Counter()
    for kind, path in sources:
        try:
            data = load(kind, path, split)
        except NoSplitError as error:
            outcome.left_out.append(str(error))
            say(f"left out: {error}")
            continue
        seen[data.name] += 1
        if seen[data.name] > 1:
            # Files and tables go by the name: two folders of one kind must not be one.
            data = replace(data, name=f"{data.name}-{seen[data.name]}")
        about = _about(data, kind, split)
        for row in rows:
            run = f"{data.name}, {row.label or 'profile'}"
            try:
                system = row.make()
                head = _head(origin, about, row, system)
                run = f"{data.name}, {head['system']}, {head['embedder'] or '-'}"
                name = results.file_name(data.name, split, head["system"], head["embedder"])
                known = None if out is None or again else _known(out / name, head)
                if known is not None:
                    outcome.kept += 1
                    outcome.reports.append(known)
                    say(f"kept: {name}")
                    continue
                report = await _run(data, system, head, row, store, name, _named(advance, run))
                if out is not None:
                    results.write(report, out / name)
                outcome.reports.append(report)
            except Exception as error:  # a peer may raise anything, and the others shall still run
                # Our own errors say what to do; of others the kind says most.
                kind_of = "" if isinstance(error, BrunoError) else f"{type(error).__name__}: "
                outcome.failed.append(f"{run}: {kind_of}{error}")
                say(f"failed: {outcome.failed[-1]}")
    return outcome


async def _run(
    data: Dataset,
    system: System,
    head: dict[str, Any],
    row: Entry,
    store: Path | None,
    name: str,
    advance: Advance,
) -> dict[str, Any]:
    reused = getattr(row.embedder, "reused", 0)
    with _folder(store, name) as place:
        began = time.perf_counter()
        found = await measure(data, system, place, advance)
        seconds = round(time.perf_counter() - began, 1)
    if more := getattr(row.embedder, "reused", 0) - reused:
        found["store"]["vectors_reused"] = more
    return {**head, "seconds": seconds, **found}


def _head(
    origin: Mapping[str, Any], about: Mapping[str, Any], row: Entry, system: System
) -> dict[str, Any]:
    return {
        **origin,
        "versions": {**origin["versions"], **system.versions},
        "data": dict(about),
        "system": row.label or system.name,
        "embedder": row.embedder.fingerprint.name if row.embedder else None,
        "settings": {"depth": DEPTH, **system.settings},
    }


def _about(data: Dataset, kind: str, split: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "name": data.name,
        "split": split,
        "digest": results.digest(data),
        "turns": len(data.turns),
        "users": len({turn.user_id for turn in data.turns}),
        "questions": len(data.questions),
        "about": dict(data.about),
    }


def _known(path: Path, head: dict[str, Any]) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        report = results.read(path)
    except InvalidInputError:
        return None  # of an older form: it is measured again, and replaced
    return report if results.same_run(report, head) else None


def _named(advance: Callable[[str, str, int, int], None], run: str) -> Advance:
    return lambda work, done, total: advance(run, work, done, total)


@contextmanager
def _folder(store: Path | None, name: str) -> Iterator[Path]:
    if store is None:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)
        return
    folder = store / Path(name).stem
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise NotAStoreError(
            f"{folder} is not empty", fix="Give another folder with --store, or delete this one."
        )
    yield folder
