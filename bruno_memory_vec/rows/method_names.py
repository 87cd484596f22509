"""Methods of a memory under the names that other libraries give them: ``search`` is ``recall``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NoReturn

_STORE: Final = (
    'store_message(Message(role="user", content=...), conversation_id, user_id=...) for what was '
    "said, or store_memory(MemoryEntry(...)) for a fact; Message and MemoryEntry are bruno_core's"
)
_RECALL: Final = "recall(query, user_id=..., k=5)"
_LIST: Final = "list_memories(user_id), list_conversations(user_id), or read_turns(conversation_id)"
_DELETE: Final = "forget(ids, user_id=...), clear_history(conversation_id), or forget_user(user_id)"
#: What to write, by the names that others have for it.
_WRITTEN: Final[Mapping[str, str]] = {
    name: written
    for names, written in (
        ("add save insert put store write upsert remember append add_memory save_context", _STORE),
        ("add_message add_messages add_texts add_documents log_message", _STORE),
        ("search query retrieve find ask similarity_search semantic_search search_memory", _RECALL),
        ("get get_all all list history messages get_messages chat_history get_history", _LIST),
        ("delete remove delete_all clear reset delete_message delete_user", _DELETE),
        ("update edit update_memory", "store_memory(entry) with the id of the entry to replace"),
        ("stats statistics", "get_statistics(user_id), or health()"),
        ("commit flush sync persist", "no such call: what was stored is kept when its call ends"),
    )
    for name in names.split()
}


def is_known_elsewhere(name: str) -> bool:
    """Whether other libraries have a method of this name, which is called otherwise here."""
    return name in _WRITTEN


def no_such_method(owner: Any, name: str) -> NoReturn:
    """Raise what Python does where there is no such attribute, with what to write in its place.

    Raises:
        AttributeError: always.
    """
    written = _WRITTEN.get(name)
    if written is not None:
        raise AttributeError(
            f"{type(owner).__name__} has no {name}. Use {written}.", name=name, obj=owner
        )
    # Raises, in Python's own words, or in those of a property that failed.
    object.__getattribute__(owner, name)
    raise AttributeError(name)
