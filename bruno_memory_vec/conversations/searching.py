"""Search over conversations: by what was said in them, by their summaries and by their titles."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timezone
from typing import Final

from bruno_memory_vec.conversations.overview import (
    ConversationInfo,
    FoundConversation,
    all_of,
    grouped,
)
from bruno_memory_vec.indexers.protocols import LexicalIndex, WeighsTerms
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.text.stopwords import QUESTION_STOPWORDS
from bruno_memory_vec.rankers import Profile
from bruno_memory_vec.recall import RecallRequest
from bruno_memory_vec.recall.hits import Hit
from bruno_memory_vec.store.store import Store

# Hits that are asked for, for each conversation to be shown. Some conversations have many.
_HITS_A_CONVERSATION, _MOST_HITS = 8, 400
_PUNCTUATION: Final = "?!.,;:\"'()[]{}<>“”‘’«»…¿¡？！。，、"


async def search(
    store: Store,
    user_id: str,
    query: str,
    profile: Profile,
    *,
    limit: int,
    hits_each: int,
    statuses: Collection[str],
    include_archived: bool,
) -> list[FoundConversation]:
    """The conversations of a user that answer a question best, best first.

    Args:
        store: the open store.
        user_id: whose.
        query: the question.
        profile: how to recall.
        limit: how many conversations.
        hits_each: how many hits of each.
        statuses: only those of some statuses; all for none.
        include_archived: also what was archived.

    Raises:
        EngineError, EmbeddingError: the search failed.
    """
    scope, now = Scope.user(user_id), datetime.now(timezone.utc)
    found = {
        one.conversation_id: one
        for one in await all_of(store, user_id, scope)
        if (include_archived or one.status != "archived")
        and (not statuses or one.status in statuses)
    }
    if not found:
        return []
    hits = await _hits(store, scope, query, profile, limit, now, include_archived)
    return grouped(found, hits, title_matches(store.lexical, query, found), limit, hits_each)


async def _hits(
    store: Store,
    scope: Scope,
    query: str,
    profile: Profile,
    limit: int,
    now: datetime,
    include_archived: bool,
) -> list[Hit]:
    request = RecallRequest(
        query=query,
        scope=scope,
        where=RowFilter(alive_at=now, unarchived_at=None if include_archived else now),
        k=min(_MOST_HITS, limit * _HITS_A_CONVERSATION),
        profile=profile,
        now=now,
    )
    # A search is for people to look through: what it finds is not counted as used.
    return list(await store.retriever.recall(request, count_use=False))


def title_matches(
    lexical: LexicalIndex, query: str, found: Mapping[str, ConversationInfo]
) -> dict[str, float]:
    """By conversation, the share of the question's words that its title has; without the rest.

    Words are compared as the lexical index does, so "harbours" is found by "harbour". A title of
    the first words counts by what was said, not here.
    """
    asked = set(_terms(lexical, _without_stopwords(query)))
    if not asked:
        return {}
    shares = {
        name: len(asked.intersection(_terms(lexical, one.title))) / len(asked)
        for name, one in found.items()
        if one.title_by != "words"
    }
    return {name: share for name, share in shares.items() if share}


def _without_stopwords(query: str) -> str:
    words = [word.strip(_PUNCTUATION) for word in query.split()]
    return " ".join(word for word in words if word.lower() not in QUESTION_STOPWORDS) or query


def _terms(lexical: LexicalIndex, text: str) -> list[str]:
    if isinstance(lexical, WeighsTerms):
        return lexical.terms(text)
    return [word for one in text.split() if (word := one.strip(_PUNCTUATION).casefold())]
