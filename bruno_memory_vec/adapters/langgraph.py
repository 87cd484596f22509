"""LangGraph's long-term memory on a store of ours: a ``BaseStore``.

An item is a memory of ours (:class:`~bruno_core.models.memory.MemoryEntry`): its text is what is
searched, its value is in ``custom_fields`` as it was given, its namespaces are tags. Its id is made
of namespace and key, so that putting it again replaces it.

Whose an item is follows from the store's settings, never from a value: all are one user's
(``user_id``), or a place in the namespace names the user (``user_label``).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, Final, NamedTuple, TypeVar
from uuid import UUID, uuid5

import pyarrow as pa
import pyarrow.compute as pc
from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryType

from bruno_memory_vec.access import ALL_USERS
from bruno_memory_vec.acts import acts
from bruno_memory_vec.adapters.opened import Given, opened
from bruno_memory_vec.errors import InvalidInputError, MissingDependencyError, NotFoundError
from bruno_memory_vec.indexers.forwarding import capability
from bruno_memory_vec.indexers.protocols import HoldsRows
from bruno_memory_vec.indexers.query import EVER, RowFilter
from bruno_memory_vec.indexers.schema import MEMORY, micros
from bruno_memory_vec.memory import VectorMemory
from bruno_memory_vec.rows import checks, tagged_json
from bruno_memory_vec.rows.models import Row, from_table, utc
from bruno_memory_vec.rows.weight import in_thread_if

try:
    from langgraph.store.base import (
        BaseStore,
        GetOp,
        IndexConfig,
        InvalidNamespaceError,
        Item,
        ListNamespacesOp,
        MatchCondition,
        Op,
        PutOp,
        Result,
        SearchItem,
        SearchOp,
        TTLConfig,
        ensure_embeddings,
        get_text_at_path,
        tokenize_path,
    )

    # Needs langchain-core, which comes with langgraph.
    from bruno_memory_vec.adapters.langchain_embeddings import LangChainEmbedder
except ImportError as error:
    raise MissingDependencyError("langgraph", "langgraph", cause=error) from error

S = TypeVar("S", bound="BrunoStore")

#: Whose the items are where no user is named.
NOBODY: Final = "langgraph"
#: The categories of items: those that a question finds, and those that it does not.
FOUND, NOT_FOUND = "langgraph", "langgraph:not indexed"

_NAMES: Final = UUID("0f5be1f8-6a64-5d0e-9d0d-5a0f6c1f6b52")
# In `custom_fields`, beside the keys of the value.
_ABOUT: Final = "langgraph"
_HASHED: Final = "sha256:"
_LONGEST_TAG: Final = 200
# What an item is made of.
_COLUMNS: Final = (
    "id",
    "user_id",
    "metadata",
    "created_at",
    "expires_at",
    "archived_at",
    "seq",
)
_ON_THE_LOOP: Final = 64
_MOST_TOLD: Final = 16
_MOST_RANKED: Final = checks.LARGEST_LIMIT
_MOST_MINUTES: Final = 60 * 24 * 366 * 1_000
# A deadline is moved when it moves by this share of the time to live: not at every look.
_WORTH_MOVING: Final = 0.01
_OPERATORS: Final = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte")


class BrunoStore(BaseStore):
    """A ``BaseStore`` of LangGraph on a memory: ``graph.compile(store=BrunoStore("memory"))``.

    Its plain methods may be called in any thread, its coroutines in any event loop.

    Args:
        memory: a store, by its folder or URL, or an open memory that others use, too.
        user_id: whose all items are. Default: "langgraph", one user for all of them.
        user_label: which label of a namespace is the user's id: 1 with namespaces such as
            ``("memories", "ana")``. Items of shorter namespaces are those of ``user_id``.
        across_users: with ``user_label``, let a search or a list of namespaces that names no user
            reach everybody's. By default it is refused.
        index: LangGraph's ``IndexConfig``. ``fields``: what of a value is searched, as paths
            ("text", "messages[*].content"); "$" is all of it, the default; ``put(index=...)`` says
            otherwise for one item. ``embed`` with ``dims``: embeds instead of the memory's own
            embedder, of a store that this object opens.
        ttl: LangGraph's ``TTLConfig``. An item that has expired is never returned.
        settings: as for :func:`~bruno_memory_vec.open_memory`, with a store.

    Raises:
        InvalidInputError: an argument is not usable.
    """

    supports_ttl = True

    def __init__(
        self,
        memory: Given,
        *,
        user_id: str = NOBODY,
        user_label: int | None = None,
        across_users: bool = False,
        index: IndexConfig | None = None,
        ttl: TTLConfig | None = None,
        **settings: Any,
    ) -> None:
        self._user = checks.identifier("user_id", user_id)
        self._label = (
            None
            if user_label is None
            else checks.limit("user_label", user_label, largest=100, smallest=0)
        )
        self._across = checks.flag("across_users", across_users)
        index = {} if index is None else index
        self._fields = _paths("index.fields", index.get("fields") or ("$",))
        if index.get("embed") is not None:
            embeds = ensure_embeddings(index["embed"])
            settings["embedder"] = LangChainEmbedder(embeds, dimension=index.get("dims"))
        self.ttl_config = _ttl_config(ttl)
        self._opened = opened(memory, settings)
        self._last = datetime.min.replace(tzinfo=timezone.utc)

    def __enter__(self: S) -> S:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write what is pending and release the store, if this object has opened it."""
        self._opened.close()

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Do several things at once; see :meth:`abatch`."""
        work = self._checked(ops)
        return self._opened.run(lambda memory: self._do(memory, work))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Do several things at once; a result for each, in their order.

        What reads sees the store as it was before what writes. Of several puts of one item the last
        one counts. All puts are one commit, before the deletions.

        Raises:
            InvalidInputError: an operation is not usable. Nothing was done.
            InvalidNamespaceError: a label of a namespace is not usable. Nothing was done.
        """
        work = self._checked(ops)
        return await self._opened.arun(lambda memory: self._do(memory, work))

    def sweep_ttl(self) -> int:
        """Delete the items that have expired, of everybody; returns how many.

        Upkeep does so by itself, and what has expired is never returned: this need not be called.
        """
        return self._opened.run(lambda memory: _Items(memory).sweep())

    async def asweep_ttl(self) -> int:
        """As :meth:`sweep_ttl`."""
        return await self._opened.arun(lambda memory: _Items(memory).sweep())

    # What is inside

    def _checked(self, ops: Iterable[Op]) -> _Work:
        """The operations, each of which can be done."""
        reads: list[tuple[int, GetOp | SearchOp | ListNamespacesOp]] = []
        puts: dict[tuple[tuple[str, ...], str], PutOp] = {}
        number = -1
        for number, given in enumerate(ops):
            op = _with_tuples(given)
            if isinstance(op, PutOp):
                _check_item(op.namespace, op.key)
                _check_put(op)
                puts[op.namespace, op.key] = op
            elif isinstance(op, GetOp):
                _check_item(op.namespace, op.key)
                reads.append((number, op))
            elif isinstance(op, SearchOp):
                _check_labels(op.namespace_prefix)
                _check_filter(op.filter)
                if op.query is not None:
                    checks.question("query", op.query, blank=True)
                _check_page(op)
                self._whose(op.namespace_prefix)
                reads.append((number, op))
            elif isinstance(op, ListNamespacesOp):
                for condition in op.match_conditions or ():
                    _check_labels(condition.path)
                    checks.name("match_type", condition.match_type, ("prefix", "suffix"))
                _check_page(op)
                self._whose(_named_prefix(op))
                reads.append((number, op))
            else:
                raise InvalidInputError(
                    "ops",
                    f"has a {type(op).__name__}",
                    fix="Give GetOp, PutOp, SearchOp and ListNamespacesOp.",
                )
        return _Work(number + 1, reads, list(puts.values()))

    async def _do(self, memory: VectorMemory, work: _Work) -> list[Result]:
        results: list[Result] = [None] * work.size
        found = await asyncio.gather(*(self._read(memory, op) for _, op in work.reads))
        seen: list[_Held] = []
        for (number, op), (result, held) in zip(work.reads, found, strict=True):
            results[number] = result
            if not isinstance(op, ListNamespacesOp) and op.refresh_ttl:
                seen += held
        await self._write(memory, work.puts)
        written = {(op.namespace, op.key) for op in work.puts}
        await self._stay(memory, [one for one in seen if (one.namespace, one.key) not in written])
        return results

    async def _read(
        self, memory: VectorMemory, op: GetOp | SearchOp | ListNamespacesOp
    ) -> tuple[Result, list[_Held]]:
        if isinstance(op, GetOp):
            held = await self._get(memory, op)
            return (None, []) if held is None else (held.item(), [held])
        if isinstance(op, ListNamespacesOp):
            return await self._namespaces(memory, op), []
        chosen = await self._search(memory, op)
        return [held.search_item(score) for held, score in chosen], [held for held, _ in chosen]

    async def _get(self, memory: VectorMemory, op: GetOp) -> _Held | None:
        items = _Items(memory.for_user(self._owner(op.namespace)))
        return next(iter(await items.named([_id(op.namespace, op.key)])), None)

    async def _search(self, memory: VectorMemory, op: SearchOp) -> list[tuple[_Held, float | None]]:
        end = op.offset + op.limit
        if not op.limit:
            return []
        # Engines compare texts as LangGraph does; what else a filter asks is looked at here.
        told = [(key, one) for key, one in (op.filter or {}).items() if _is_told(key, one)]
        equal = dict(told[:_MOST_TOLD])
        rest = {key: one for key, one in (op.filter or {}).items() if key not in equal}
        chosen: list[tuple[_Held, float | None]] = []
        if op.query is not None and op.query.strip():
            most = _MOST_RANKED if rest else min(end, _MOST_RANKED)
            chosen = [
                (held, score)
                for held, score in await self._ranked(memory, op, most, equal)
                if _matches(held.value, rest)
            ]
        if len(chosen) < end:
            there = {held.id for held, _ in chosen}
            chosen += [
                (held, None)
                for held in await self._items(memory, op.namespace_prefix).newest(
                    op.namespace_prefix,
                    equal,
                    lambda held: held.id not in there and _matches(held.value, rest),
                    end - len(chosen),
                )
            ]
        return chosen[op.offset : end]

    async def _ranked(
        self, memory: VectorMemory, op: SearchOp, most: int, equal: Mapping[str, str]
    ) -> list[tuple[_Held, float]]:
        assert op.query is not None
        user = self._whose(op.namespace_prefix)
        view = memory if user is None else memory.for_user(user)
        hits = await view.recall(
            op.query,
            user_id=ALL_USERS if user is None else None,
            k=most,
            kinds="memory",
            categories=FOUND,
            tags=_tag(op.namespace_prefix) if op.namespace_prefix else None,
            metadata=equal or None,
        )
        found = ((_held_of(hit.record), hit.score) for hit in hits)
        return [
            (held, score)
            for held, score in found
            if held is not None and held.within(op.namespace_prefix)
        ]

    async def _namespaces(
        self, memory: VectorMemory, op: ListNamespacesOp
    ) -> list[tuple[str, ...]]:
        prefix = _named_prefix(op)
        found = await self._items(memory, prefix).namespaces(prefix)
        conditions = op.match_conditions or ()
        names = {name for name in found if all(_matches_path(one, name) for one in conditions)}
        if op.max_depth is not None:
            names = {name[: op.max_depth] for name in names}
        return sorted(names)[op.offset : op.offset + op.limit]

    def _items(self, memory: VectorMemory, prefix: tuple[str, ...]) -> _Items:
        user = self._whose(prefix)
        return _Items(memory if user is None else memory.for_user(user))

    async def _write(self, memory: VectorMemory, puts: Sequence[PutOp]) -> None:
        if not puts:
            return
        by_user: dict[str, list[PutOp]] = {}
        for op in puts:
            by_user.setdefault(self._owner(op.namespace), []).append(op)
        entries: list[MemoryEntry] = []
        gone: list[tuple[str, str]] = []
        again: dict[str, list[str]] = {}
        for user, ops in by_user.items():
            ids = [_id(op.namespace, op.key) for op in ops]
            known = {held.id: held for held in await _Items(memory.for_user(user)).named(ids)}
            for op in ops:
                id_ = _id(op.namespace, op.key)
                if op.value is not None:
                    before = known.get(id_)
                    entries.append(self._entry(user, op, before))
                    if before is not None and before.archived:
                        again.setdefault(user, []).append(id_)
                elif id_ in known:
                    gone.append((user, id_))
        if entries:
            await memory.store_memories(entries)
        for user, archived in again.items():
            await _Items(memory.for_user(user)).unarchive(archived)
        for user, id_ in gone:
            await _forget(memory, user, id_)

    def _entry(self, user: str, op: PutOp, before: _Held | None) -> MemoryEntry:
        assert op.value is not None
        now = self._now()
        value = dict(op.value)
        about: dict[str, Any] = {
            "namespace": list(op.namespace),
            "key": op.key,
            "made": now if before is None else before.made,
            "ttl": op.ttl,
        }
        fields = {**value, _ABOUT: about}
        if _ABOUT in value or not all(isinstance(key, str) and "\0" not in key for key in value):
            fields = {_ABOUT: {**about, "value": value}}
        text = "" if op.index is False else _text(value, self._fields_of(op))
        found = bool(text.strip())
        at = now.replace(tzinfo=None)
        return MemoryEntry.model_construct(
            id=UUID(_id(op.namespace, op.key)),
            content=text if found else " / ".join((*op.namespace, op.key)),
            memory_type=MemoryType.LONG_TERM,
            user_id=user,
            conversation_id=None,
            metadata=MemoryMetadata(
                source="langgraph",
                category=FOUND if found else NOT_FOUND,
                tags=[_tag(op.namespace[:n]) for n in range(1, len(op.namespace) + 1)],
                custom_fields=fields,
            ),
            created_at=at,
            updated_at=at,
            last_accessed=at,
            expires_at=None if op.ttl is None else at + timedelta(minutes=op.ttl),
        )

    def _fields_of(self, op: PutOp) -> Sequence[Path]:
        return self._fields if op.index is None else _paths("index", op.index)

    async def _stay(self, memory: VectorMemory, seen: Iterable[_Held]) -> None:
        """Give items that were looked at their time to live anew."""
        due: dict[str, list[str]] = {}
        now = datetime.now(timezone.utc)
        for held in seen:
            if held.ttl is not None and held.expires is not None:
                gained = now + timedelta(minutes=held.ttl) - held.expires
                if gained > timedelta(minutes=held.ttl) * _WORTH_MOVING:
                    due.setdefault(held.user, []).append(held.id)
        if memory.config.read_only:
            return
        for user, ids in due.items():
            items = _Items(memory.for_user(user))
            if items.may_write:
                await items.stay(ids, now)

    def _now(self) -> datetime:
        """The time, later than any that was given out before: it is the order of items."""
        now = datetime.now(timezone.utc)
        self._last = max(now, self._last + timedelta(microseconds=1))
        return self._last

    def _owner(self, namespace: tuple[str, ...]) -> str:
        """Whose an item is."""
        if self._label is None or len(namespace) <= self._label:
            return self._user
        return namespace[self._label]

    def _whose(self, prefix: tuple[str, ...]) -> str | None:
        """Whose the items below a prefix are; None for everybody's.

        Raises:
            InvalidInputError: everybody's, and that is not allowed.
        """
        if self._label is None or len(prefix) > self._label:
            return self._owner(prefix)
        if not self._across:
            raise InvalidInputError(
                "namespace",
                f"{prefix!r} names no user, whose id is label {self._label}",
                fix="Name the user, or make the store with across_users=True.",
            )
        return None


class _Work(NamedTuple):
    """Operations that can be done: how many, those that read, and puts, one for each item."""

    size: int
    reads: list[tuple[int, GetOp | SearchOp | ListNamespacesOp]]
    puts: list[PutOp]


class _Items:
    """The items of a user, or of everybody, as rows: from memory where they are held there."""

    def __init__(self, memory: VectorMemory) -> None:
        self._handle = memory._handle

    @property
    def may_write(self) -> bool:
        return self._handle.caller.may("write")

    @acts("read")
    async def named(self, ids: Sequence[str]) -> list[_Held]:
        """Those of these ids that have not expired, archived ones too."""
        where = replace(self._where(ids=tuple(ids)), unarchived_at=None)
        found = await self._read(where, _COLUMNS)
        return await _in_order(found, lambda held: True, len(ids))

    @acts("read")
    async def newest(
        self,
        prefix: tuple[str, ...],
        equal: Mapping[str, str],
        wanted: Callable[[_Held], bool],
        most: int,
    ) -> list[_Held]:
        """At most ``most`` items below a prefix that are wanted, the newest first."""
        where = replace(self._below(prefix), metadata=checks.metadata("filter", equal))
        found = await self._read(where, _COLUMNS)
        return await _in_order(found, lambda held: held.within(prefix) and wanted(held), most)

    @acts("read")
    async def namespaces(self, prefix: tuple[str, ...]) -> set[tuple[str, ...]]:
        """The namespaces below a prefix that have items."""
        found = await self._read(self._below(prefix), ("tags", "metadata"))
        return await in_thread_if(found.num_rows > _ON_THE_LOOP, lambda: _namespaces_of(found))

    @acts("write")
    async def stay(self, ids: Sequence[str], now: datetime) -> None:
        """Give items their time to live anew, from now on."""

        def change(row: Row) -> Mapping[str, Any] | None:
            # As it is by now: it may have been put again since it was read.
            ttl = tagged_json.loads(row["metadata"])[_ABOUT]["ttl"]
            return None if ttl is None else {"expires_at": micros(now + timedelta(minutes=ttl))}

        writer = await self._handle.writer()
        where = self._where(ids=tuple(dict.fromkeys(ids)))
        await writer.rewrite(self._handle.caller.scope, where, change)

    @acts("write")
    async def unarchive(self, ids: Sequence[str]) -> None:
        """Let items be found again that were archived, and have been put again since."""
        writer = await self._handle.writer()
        where = RowFilter(kinds=(MEMORY,), ids=tuple(ids), archived_since=EVER)
        await writer.rewrite(self._handle.caller.scope, where, lambda row: {"archived_at": None})

    @acts("delete")
    async def sweep(self) -> int:
        """Delete what has expired; returns how many."""
        writer = await self._handle.writer()
        where = RowFilter(
            kinds=(MEMORY,),
            categories=(FOUND, NOT_FOUND),
            expired_before=datetime.now(timezone.utc),
        )
        return await writer.delete(self._handle.caller.scope, where)

    def _below(self, prefix: tuple[str, ...]) -> RowFilter:
        return self._where(tags=(_tag(prefix),) if prefix else ())

    def _where(self, **more: Any) -> RowFilter:
        now = datetime.now(timezone.utc)
        return RowFilter(
            kinds=(MEMORY,),
            categories=(FOUND, NOT_FOUND),
            alive_at=now,
            unarchived_at=now,
            **more,
        )

    async def _read(self, where: RowFilter, columns: Sequence[str]) -> pa.Table:
        scope = self._handle.caller.scope
        rows = (await self._handle.store()).rows
        held = capability(rows, HoldsRows)
        snapshot = None if held is None else await held.snapshot(scope, where)
        if snapshot is not None:
            return snapshot.read(scope, where, columns)
        return await rows.read(scope, where, columns)


async def _in_order(found: pa.Table, wanted: Callable[[_Held], bool], most: int) -> list[_Held]:
    """The first items that are wanted, the newest first. Only as many are read as it takes."""
    order = found.select(["created_at", "seq"])
    newest = pc.sort_indices(order, [("created_at", "descending"), ("seq", "descending")])

    def work() -> list[_Held]:
        chosen: list[_Held] = []
        for start in range(0, len(newest), _ON_THE_LOOP):
            part = found.take(newest.slice(start, _ON_THE_LOOP))
            for row in from_table(part):
                held = _held(row)
                if held is not None and wanted(held):
                    chosen.append(held)
                    if len(chosen) == most:
                        return chosen
        return chosen

    return await in_thread_if(found.num_rows > _ON_THE_LOOP, work) if most else []


def _namespaces_of(found: pa.Table) -> set[tuple[str, ...]]:
    names: set[tuple[str, ...]] = set()
    for tags, metadata in zip(
        found.column("tags").to_pylist(), found.column("metadata"), strict=True
    ):
        if tags and not tags[-1].startswith(_HASHED):
            names.add(tuple(tags[-1].split(".")))
        else:
            about = tagged_json.loads(metadata.as_py()).get(_ABOUT)
            if isinstance(about, dict) and _is_complete(about):
                names.add(tuple(about["namespace"]))
    return names


class _Held(NamedTuple):
    """An item as it is stored."""

    id: str
    user: str
    namespace: tuple[str, ...]
    key: str
    value: dict[str, Any]
    made: datetime
    changed: datetime
    ttl: float | None
    expires: datetime | None
    archived: bool

    def item(self) -> Item:
        return Item(
            value=self.value,
            key=self.key,
            namespace=self.namespace,
            created_at=self.made,
            updated_at=self.changed,
        )

    def search_item(self, score: float | None) -> SearchItem:
        return SearchItem(
            namespace=self.namespace,
            key=self.key,
            value=self.value,
            created_at=self.made,
            updated_at=self.changed,
            score=score,
        )

    def within(self, prefix: tuple[str, ...]) -> bool:
        return self.namespace[: len(prefix)] == prefix


def _held(row: Row) -> _Held | None:
    """The item of a row; None of a memory that is none."""
    return _made_of(
        tagged_json.loads(row["metadata"]),
        row["id"],
        row["user_id"],
        utc(row["created_at"]),
        None if row["expires_at"] is None else utc(row["expires_at"]),
        archived=row["archived_at"] is not None,
    )


def _held_of(entry: Any) -> _Held | None:
    """The item of a memory; None of one that is none."""
    expires = entry.expires_at
    return _made_of(
        dict(entry.metadata.custom_fields),
        str(entry.id),
        entry.user_id,
        entry.created_at.replace(tzinfo=timezone.utc),
        None if expires is None else expires.replace(tzinfo=timezone.utc),
    )


def _made_of(
    fields: dict[str, Any],
    id_: str,
    user: str,
    changed: datetime,
    expires: datetime | None,
    *,
    archived: bool = False,
) -> _Held | None:
    about = fields.pop(_ABOUT, None)
    if not isinstance(about, dict) or not _is_complete(about):
        return None
    return _Held(
        id=id_,
        user=user,
        namespace=tuple(about["namespace"]),
        key=about["key"],
        value=about.get("value", fields),
        made=about["made"],
        changed=changed,
        ttl=about["ttl"],
        expires=expires,
        archived=archived,
    )


def _is_complete(about: Mapping[str, Any]) -> bool:
    """Whether it is of an item. Others write memories, too, of any category and fields."""
    namespace, ttl = about.get("namespace"), about.get("ttl")
    return (
        isinstance(namespace, (list, tuple))
        and all(isinstance(label, str) for label in namespace)
        and isinstance(about.get("key"), str)
        and isinstance(about.get("made"), datetime)
        and (ttl is None or isinstance(ttl, (int, float)))
        and isinstance(about.get("value", {}), dict)
    )


async def _forget(memory: VectorMemory, user: str, id_: str) -> None:
    try:
        await memory.for_user(user).delete_memory(id_)
    except NotFoundError:
        return  # somebody else has deleted it since it was looked for


def _id(namespace: tuple[str, ...], key: str) -> str:
    return str(uuid5(_NAMES, json.dumps([*namespace, key])))


def _tag(prefix: tuple[str, ...]) -> str:
    # No label has a full stop.
    tag = ".".join(prefix)
    if len(tag) <= _LONGEST_TAG:
        return tag
    return _HASHED + hashlib.sha256(tag.encode("utf-8", "surrogatepass")).hexdigest()


# Texts of values

Path = tuple[str, "str | list[str]"]


def _paths(field: str, given: Any) -> tuple[Path, ...]:
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise InvalidInputError(
            field, f"is {checks.shown(given)}", fix='Give a list of paths, such as ["text"].'
        )
    found: list[Path] = []
    for path in given:
        if not isinstance(path, str) or not path:
            raise InvalidInputError(
                field, f"has {checks.shown(path)}, which is no path", fix='Use "text" or "a.b[*]".'
            )
        found.append((path, "$" if path == "$" else tokenize_path(path)))
    return tuple(found)


def _text(value: Mapping[str, Any], paths: Sequence[Path]) -> str:
    """What is searched of a value: a line for each text."""
    lines: list[str] = []
    for path, tokens in paths:
        if path == "$":
            lines += _lines(value, "")
        else:
            lines += get_text_at_path(value, tokens)
    return "\n".join(line for line in lines if line.strip())


def _lines(value: Any, name: str) -> Iterator[str]:
    """Each leaf of a value with its name, as a person would read it."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from _lines(one, f"{name} {key}" if name else str(key))
    elif isinstance(value, (list, tuple, set, frozenset)):
        for one in value:
            yield from _lines(one, name)
    elif value is not None:
        yield f"{name}: {value}" if name else str(value)


# Filters


def _is_told(key: Any, wanted: Any) -> bool:
    """Whether engines can compare it as LangGraph does."""
    return isinstance(wanted, str) and isinstance(key, str) and "\0" not in key and key != _ABOUT


def _matches(value: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(_equals(value.get(key), one) for key, one in wanted.items())


def _equals(value: Any, wanted: Any) -> bool:
    """Whether a value is as a filter wants it; of a dict without operators, in each of its keys."""
    if isinstance(wanted, Mapping):
        if _has_operators(wanted):
            return all(_compares(value, operator, one) for operator, one in wanted.items())
        return isinstance(value, Mapping) and _matches(value, wanted)
    if isinstance(wanted, (list, tuple)):
        return (
            isinstance(value, (list, tuple))
            and len(value) == len(wanted)
            and all(map(_equals, value, wanted))
        )
    return bool(value == wanted)


def _compares(value: Any, operator: str, wanted: Any) -> bool:
    if operator == "$eq":
        return bool(value == wanted)
    if operator == "$ne":
        return bool(value != wanted)
    try:
        if operator == "$gt":
            return bool(value > wanted)
        if operator == "$gte":
            return bool(value >= wanted)
        if operator == "$lt":
            return bool(value < wanted)
        return bool(value <= wanted)
    except TypeError:  # of different kinds, or missing: neither more nor less
        return False


def _has_operators(wanted: Mapping[Any, Any]) -> bool:
    return any(isinstance(key, str) and key.startswith("$") for key in wanted)


def _matches_path(condition: MatchCondition, namespace: tuple[str, ...]) -> bool:
    path = tuple(condition.path)
    if len(namespace) < len(path):
        return False
    part = namespace[: len(path)] if condition.match_type == "prefix" else namespace[-len(path) :]
    return not path or all(map(lambda one, label: one in ("*", label), path, part))


def _named_prefix(op: ListNamespacesOp) -> tuple[str, ...]:
    """The labels that every namespace asked for begins with."""
    longest: tuple[str, ...] = ()
    for condition in op.match_conditions or ():
        if condition.match_type == "prefix":
            path = tuple(condition.path)
            named = path[: path.index("*")] if "*" in path else path
            longest = max(longest, named, key=len)
    return longest


# Checks


def _with_tuples(op: Any) -> Any:
    """The operation with its namespaces as tuples; they are given as lists, too."""
    given: Any = ()
    if isinstance(op, (GetOp, PutOp)):
        given = op.namespace
        return op._replace(namespace=tuple(given)) if isinstance(given, list) else op
    if isinstance(op, SearchOp):
        given = op.namespace_prefix
        return op._replace(namespace_prefix=tuple(given)) if isinstance(given, list) else op
    if isinstance(op, ListNamespacesOp) and op.match_conditions:
        conditions = tuple(
            MatchCondition(one.match_type, tuple(one.path)) for one in op.match_conditions
        )
        return op._replace(match_conditions=conditions)
    return op


def _check_item(namespace: Any, key: Any) -> None:
    _check_labels(namespace)
    if not isinstance(key, str):
        raise InvalidInputError("key", f"{checks.shown(key)} is no text", fix="Give a str.")
    checks.storable_text("key", key, blank=True)


def _check_labels(labels: Any) -> None:
    if not isinstance(labels, tuple):
        raise InvalidNamespaceError(
            f"The namespace is {checks.shown(labels)}. Give a tuple such as ('memories',)."
        )
    for label in labels:
        if not isinstance(label, str) or not label or "." in label or "\0" in label:
            raise InvalidNamespaceError(
                f"The namespace has the label {checks.shown(label)}. Use texts that are not empty "
                "and have neither a full stop nor a NUL."
            )
        checks.storable_text("namespace", label, blank=True)


def _check_put(op: PutOp) -> None:
    if op.value is not None and not op.namespace:
        raise InvalidNamespaceError("The namespace is empty. Give a tuple such as ('memories',).")
    if op.value is not None and not isinstance(op.value, Mapping):
        raise InvalidInputError(
            "value", f"expected a dict, not {type(op.value).__name__}", fix="Give a dict."
        )
    if op.index is not None and op.index is not False:
        _paths("index", op.index)
    if op.ttl is not None:
        _check_minutes("ttl", op.ttl)


def _check_minutes(field: str, value: Any) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not 0 < value <= _MOST_MINUTES:
        raise InvalidInputError(
            field,
            f"is {checks.shown(value)}",
            fix=f"Give minutes, more than 0 and at most {_MOST_MINUTES:,}; None for ever.",
        )


def _check_page(op: SearchOp | ListNamespacesOp) -> None:
    checks.limit("limit", op.limit, largest=2**31, smallest=0)
    checks.limit("offset", op.offset, largest=2**31, smallest=0)


def _check_filter(wanted: Any) -> None:
    if wanted is None:
        return
    if not isinstance(wanted, Mapping):
        raise InvalidInputError(
            "filter", f"expected a dict, not {type(wanted).__name__}", fix="Give a dict."
        )
    for one in wanted.values():
        if isinstance(one, Mapping):
            if not _has_operators(one):
                _check_filter(one)
                continue
            for operator in one:
                checks.name("filter", operator, _OPERATORS)


def _ttl_config(given: TTLConfig | None) -> TTLConfig | None:
    if given is None:
        return None
    if given.get("omit_expired") is False:
        raise InvalidInputError(
            "ttl",
            "asks for items that have expired, which are never returned here",
            fix="Leave omit_expired out.",
        )
    if given.get("default_ttl") is not None:
        _check_minutes("ttl.default_ttl", given["default_ttl"])
    return given
