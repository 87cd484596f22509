"""The keys of a store in Redis.

What one script touches has the same hash tag, the part in braces, and so is on the same node of a
cluster: all of the store's own (``{s}``), all of a conversation's, of a user's, of a session's.
"""

from __future__ import annotations

import json
from hashlib import blake2b
from urllib.parse import quote

from bruno_memory_vec.indexers.schema import Key

#: With what every key begins.
PREFIX = "bmv"


class Keys:
    """The keys of a store.

    Args:
        name: the store's name.
    """

    def __init__(self, name: str) -> None:
        # Quoted, so that no name has a colon or a brace, and none is the beginning of another.
        self.prefix = f"{PREFIX}:{quote(name, safe='')}:"

    def own(self, what: str) -> str:
        """A key of the store itself: "meta", "blocks", "marks", "changes", "sessions", "epoch"."""
        return f"{self.prefix}{{s}}:{what}"

    def process(self, process: str) -> str:
        """The heartbeat of a process that writes."""
        return self.own(f"process:{process}")

    def block(self, number: int) -> str:
        """Of the ledger: a bit for each ``seq`` of a block."""
        return self.own(f"rows:{number}")

    def conversation(self, conversation_id: str, what: str) -> str:
        """A key of a conversation: "state", "hot", "active", "askers"."""
        return f"{self.prefix}{{c:{conversation_id}}}:{what}"

    def user(self, user_id: str, what: str) -> str:
        """A key of a user: "about", "sessions", "notes", "version"."""
        return f"{self.prefix}{{u:{user_id}}}:{what}"

    def session(self, session_id: str) -> str:
        """The key of a session."""
        return f"{self.prefix}{{sid:{session_id}}}:session"

    def stored(self, row: Key) -> str:
        """Who has just stored the row of a key."""
        name = blake2b(json.dumps(row).encode(), digest_size=16).hexdigest()
        return f"{self.prefix}{{r:{name}}}:stored"

    def users(self) -> str:
        """The pattern of the keys "about" of all users, for SCAN."""
        return f"{self.prefix}{{u:*}}:about"

    def states(self) -> str:
        """The pattern of the states of all conversations, for SCAN."""
        return f"{self.prefix}{{c:*}}:state"

    def hot(self) -> str:
        """The pattern of the hot contexts of all conversations, for SCAN."""
        return f"{self.prefix}{{c:*}}:hot"

    def named(self, key: str) -> str:
        """The id in a key of a user or of a conversation."""
        inside = key[len(self.prefix) :]
        return inside[3 : inside.rindex("}")]
