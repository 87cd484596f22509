"""ChatGPT's export, ``conversations.json``: a chat is a tree of edits, one branch of it shown.

The branch is the one that ends in ``current_node``, as the site shows it. Messages hidden by the
site, and the empty ones it puts at the root, are left out; so are code, browsing and images,
whose content is no list of text parts. The chat's title is in each message's metadata.
"""

from __future__ import annotations

from typing import Any

from bruno_memory_vec.portability.records import BadFieldError, json_type


def messages(chat: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the shown branch, oldest first, as OpenAI-style messages.

    Raises:
        BadFieldError: the tree has no such branch.
    """
    mapping = chat["mapping"]
    if not isinstance(mapping, dict):
        raise BadFieldError("mapping", f"expected an object, got {json_type(mapping)}")
    title = chat.get("title")
    metadata = {"title": title} if isinstance(title, str) and title.strip() else {}
    found = []
    seen = set()
    key = chat.get("current_node")
    while key is not None:
        node = mapping.get(key) if isinstance(key, str) else None
        if not isinstance(node, dict):
            raise BadFieldError("current_node", "does not lead to the root: a node is missing")
        if key in seen:
            raise BadFieldError("current_node", "does not lead to the root: a loop")
        seen.add(key)
        message = _message(node.get("message"))
        if message:
            found.append({**message, "metadata": metadata})
        key = node.get("parent")
    if mapping and not seen:
        raise BadFieldError("current_node", "is missing, so the branch to read is unknown")
    return found[::-1]


def _message(message: Any) -> dict[str, Any] | None:
    if not isinstance(message, dict):
        return None
    author, content = message.get("author"), message.get("content")
    about = message.get("metadata")
    if not isinstance(author, dict) or not isinstance(content, dict):
        return None
    if isinstance(about, dict) and about.get("is_visually_hidden_from_conversation"):
        return None
    parts = content.get("parts")
    if not isinstance(parts, list):
        return None
    texts = [part for part in parts if isinstance(part, str) and part.strip()]
    if not texts:
        return None
    return {
        "role": author.get("role"),
        "content": "\n".join(texts),
        "create_time": message.get("create_time"),
        "id": message.get("id"),
    }
