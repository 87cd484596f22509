"""What was meant by an argument that a method does not have: ``limit`` of a recall is its ``k``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from bruno_memory_vec.errors import WrongArgumentError
from bruno_memory_vec.plugins import nearest

_HOW_MANY: Final = (
    "limit k top_k topk n n_results num_results max_results results count size number top"
).split()
#: What other libraries, and other methods of this one, call it.
_ALSO_CALLED: Final[Mapping[str, Collection[str]]] = {
    "k": _HOW_MANY,
    "limit": _HOW_MANY,
    "budget": "max_tokens tokens token_limit token_budget max_length limit".split(),
    "query": "question text q prompt search input content".split(),
    "user_id": "user userid uid owner username person".split(),
    "conversation_id": (
        "conversation thread_id thread chat_id chat session_id session talk channel"
    ).split(),
    "session_id": "session".split(),
    "message": "msg text content".split(),
    "messages": "message msgs".split(),
    "memory_entry": "memory entry".split(),
    "entries": "memories memory entry".split(),
    "content": "text memory".split(),
    "statement": "text content fact memory".split(),
    "ids": "id memory_id message_id memory_ids message_ids".split(),
    "memory_id": "id entry_id".split(),
    "message_id": "id".split(),
    "message_ids": "id ids message_id".split(),
    "since": "start after from_ from_date start_date begin newer_than".split(),
    "until": "end before to to_date end_date older_than".split(),
    "kinds": "kind type types".split(),
    "roles": "role".split(),
    "memory_types": "memory_type types type".split(),
    "tags": "tag labels".split(),
    "categories": "category".split(),
    "metadata": "filter filters where meta".split(),
    "min_similarity": "threshold score_threshold min_score similarity_threshold cutoff".split(),
    "now": "at time today".split(),
    "profile": "ranker ranking".split(),
    "path": "file filename folder target".split(),
    "source": "path file files".split(),
    "url": "path folder directory uri store db db_path persist_directory location".split(),
    "embedder": (
        "model embedding embeddings embedding_model embedding_function embed_model"
    ).split(),
    "key": "password passphrase secret encryption_key".split(),
}


def meant(name: str, known: Collection[str]) -> str | None:
    """The known name that ``name`` was probably meant to be; None if there is none like it."""
    for one in known:
        if name.lower() in _ALSO_CALLED.get(one, ()):
            return one
    return nearest(name, known)


def wrong_call(
    method: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    error: BaseException,
) -> WrongArgumentError | None:
    """What to raise in place of an error, if it is because of how a method was called.

    Args:
        method: the method, as it was defined.
        args: what it was called with, its object first.
        kwargs: the same, by name.
        error: what the call raised.
    """
    if not isinstance(error, TypeError):
        return None
    signature = inspect.signature(method)
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        pass
    else:
        return None  # the call was right: the error is from within
    parameters = list(signature.parameters.values())[1:]
    names = [one.name for one in parameters if one.kind is not one.VAR_KEYWORD]
    call, listed = f"{method.__name__}()", f"Its arguments are {', '.join(names)}."
    if not names:
        listed = "It has no arguments."
    unknown = next((name for name in kwargs if name not in names), None)
    if unknown is not None:
        free = [name for name in names if name not in kwargs]
        said = meant(unknown, free)
        fix = f"Write {said}= in its place." if said else listed
        return WrongArgumentError(unknown, f"{call} has no such argument", fix=fix)
    by_place = [one.name for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]
    if len(args) - 1 > len(by_place):
        rest = [name for name in names if name not in by_place]
        takes = f"only {' and '.join(by_place)}" if by_place else "nothing"
        such = f"Name the others, as in {call[:-1]}..., {rest[0]}=...)." if rest else listed
        return WrongArgumentError(
            "arguments",
            f"{call} takes {takes} by place, and {len(args) - 1} were given",
            fix=such,
        )
    missing = next(
        (
            one.name
            for place, one in enumerate(parameters)
            if one.default is one.empty
            and one.kind is not one.VAR_KEYWORD
            and one.name not in kwargs
            and not (one.name in by_place and place < len(args) - 1)
        ),
        None,
    )
    if missing is None:  # twice, by place and by name: Python's own words say it
        return None
    return WrongArgumentError(missing, f"is missing in {call}", fix="Give it.")
