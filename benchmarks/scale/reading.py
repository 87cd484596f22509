"""Recalls by scope, each beside its recall against exact search, and the hot context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from typing import Any

import numpy as np

from benchmarks.scale.data import ASKED_SIZE, Corpus
from benchmarks.scale.exact import Asked, ann_recall
from benchmarks.scale.layout import LARGE_USER
from benchmarks.scale.work import Tell, Work
from benchmarks.timing import timed
from bruno_memory_vec import ALL_USERS, VectorMemory
from bruno_memory_vec.indexers.query import Scope

# Questions whose neighbours are checked; each of the scopes is read whole for them.
_CHECKED = 50
# A user "of about 1,000 rows" has at most this many times more or fewer.
_ABOUT = 2.0
# Searching everything is slower: fewer calls.
_OF_ALL = 4


@dataclass(frozen=True, slots=True)
class _Call:
    question: str
    user: str | None
    conversation: str | None = None

    async def __call__(self, memory: VectorMemory) -> None:
        whose = ALL_USERS if self.user is None else self.user
        await memory.recall(self.question, user_id=whose, conversation_id=self.conversation)

    @property
    def scope(self) -> Scope:
        whole = Scope.all_users() if self.user is None else Scope.user(self.user)
        return whole.within(self.conversation)


async def reading(work: Work, tell: Tell) -> dict[str, Any]:
    """Recall by one user (the same again, and another each time), by one conversation, over all
    users and over the user of 100,000 rows, where there is one; and ``get_context``."""
    corpus = work.corpus()
    kinds = _calls(corpus, work.calls)
    figures: dict[str, Any] = {}
    memory = await work.open()
    try:
        for done, (name, calls) in enumerate(kinds.items()):
            tell(done, len(kinds) + 1)
            figures[name] = {
                **await _measure(memory, calls, again=name != "recall_other_users"),
                **_sizes(corpus, calls),
            }
        tell(len(kinds), len(kinds) + 1)
        figures["get_context"] = await _contexts(memory, corpus, work.calls)
    finally:
        await memory.close()
    return figures


def _calls(corpus: Corpus, calls: int) -> dict[str, list[_Call]]:
    texts = [question.text for question in corpus.questions]
    user = corpus.asked_user

    def ask(n: int, *where: tuple[str | None, str | None]) -> list[_Call]:
        return [_Call(text, *place) for text, place in islice(zip(cycle(texts), cycle(where)), n)]

    own = [(user, one) for one in corpus.layout.conversations_of(user)]
    found = {
        "recall_user": ask(calls, (user, None)),
        "recall_conversation": ask(calls, *own),
        "recall_all_users": ask(max(1, calls // _OF_ALL), (None, None)),
    }
    others = [(one, None) for one in _others(corpus)]
    if others:
        # Each once: the second time it would not be another user.
        found["recall_other_users"] = ask(min(calls, len(others)), *others)
    if LARGE_USER in corpus.sizes:
        found["recall_large_user"] = ask(calls, (LARGE_USER, None))
    return found


def _others(corpus: Corpus) -> list[str]:
    sizes = corpus.sizes
    near = [
        user
        for user in corpus.layout.nearest(ASKED_SIZE)
        if ASKED_SIZE / _ABOUT <= sizes[user] <= ASKED_SIZE * _ABOUT
    ]
    return [user for user in near if user != corpus.asked_user]


def _sizes(corpus: Corpus, calls: Sequence[_Call]) -> dict[str, Any]:
    """How many rows a call searches, on average, and how many users are asked."""
    sizes = corpus.sizes
    users = {call.user for call in calls}
    if calls[0].conversation is not None:
        owner = corpus.layout.index[corpus.asked_user]
        turns = np.diff(corpus.layout.start)[corpus.layout.owner == owner]
        return {"rows_searched": round(float(turns.mean())), "users_asked": 1}
    mean = np.mean([corpus.rows if user is None else sizes[user] for user in users])
    return {"rows_searched": round(float(mean)), "users_asked": len(users)}


async def _measure(memory: VectorMemory, calls: Sequence[_Call], *, again: bool) -> dict[str, Any]:
    if again:
        await calls[0](memory)
    figures = (await timed([partial(call, memory) for call in calls])).figures()
    checked = [Asked(call.question, call.scope) for call in calls[:_CHECKED]]
    return {**figures, **await ann_recall(memory, checked)}


async def _contexts(memory: VectorMemory, corpus: Corpus, calls: int) -> dict[str, float]:
    user = corpus.asked_user
    conversation = corpus.layout.conversations_of(user)[0]
    call = partial(memory.get_context, user, conversation)
    await call()
    return (await timed([call] * calls)).figures()
