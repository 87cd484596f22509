"""ChatGPT's export: ``conversations.json``, also cut into ``conversations-000.json`` and so on.

A chat is a tree: messages were edited, answers made again. The branch that ends in ``current_node``
is the conversation; each other branch is one named ``ID/branch-XXXXXXXX``, with what differs.

- Voice chats: the transcriptions are the messages.
- Code that ran, browsing and other calls of tools are ACTION messages, their results messages of
  the tool. A prompt that the assistant sends to a tool, such as for a picture, is an ACTION
  message, too.
- Reasoning, messages hidden by the site and the empty ones it puts at the root are left out.
- Pictures and files are noted.
- A message without a time gets that of the one before it, else that of the chat.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from bruno_core.models.message import MessageRole

from bruno_memory_vec.portability import records
from bruno_memory_vec.portability.detect import Head, Lines
from bruno_memory_vec.portability.readers.branches import branches
from bruno_memory_vec.portability.readers.content import (
    Content,
    Piece,
    called,
    file_notes,
    read_content,
    result_text,
    shortened,
)
from bruno_memory_vec.portability.readers.reader import (
    Element,
    Reader,
    list_of,
    object_of,
    objects,
    text_of,
    word_of,
)
from bruno_memory_vec.portability.readers.talk import (
    Talk,
    lenient_time,
    role_in,
    time_in,
    titled,
    told,
)
from bruno_memory_vec.portability.records import BadFieldError, BadLine, Defaults, Turn

UNKNOWN = "messages of an unknown form"
HIDDEN = "messages hidden by the site"
_MARK = re.compile("\ue200([^\ue200\ue201]{0,10000})\ue201")
_REASONING = {"thoughts", "reasoning_recap"}
# What the site keeps about itself.
_CONTEXT = {
    "user_editable_context": "custom instructions",
    "model_editable_context": "the model's notes",
    "app_pairing_content": "what an app showed",
}


def recognises(head: Head) -> bool:
    """Chats with a ``mapping`` of nodes."""
    return isinstance(head.first.get("mapping"), dict)


def turns(lines: Lines, defaults: Defaults) -> Iterator[Turn | BadLine]:
    """Yield the turns of every chat. One chat is in memory at a time."""
    for found in objects(lines):
        if isinstance(found, BadLine):
            yield found
        else:
            chat, element = found
            yield from chat_turns(chat, element, defaults)


def chat_turns(
    chat: dict[str, Any], element: Element, defaults: Defaults
) -> Iterator[Turn | BadLine]:
    """Yield the turns of one chat."""
    try:
        if "mapping" not in chat:
            raise BadFieldError("mapping", "is missing")
        mapping = chat["mapping"]
        if not isinstance(mapping, dict):
            got = records.json_type(mapping)
            raise BadFieldError("mapping", f"expected an object, got {got}")
        name = _name(chat, defaults, element)
        parents = {
            key: node.get("parent") if isinstance(node.get("parent"), str) else None
            for key, node in mapping.items()
            if isinstance(node, dict)
        }
        current = chat.get("current_node")
        found = branches(parents, current if isinstance(current, str) else None, "current_node")
    except BadFieldError as error:
        yield told(error, element.line, element.path)
        return
    since = lenient_time(chat.get("create_time", chat.get("inserted_at")), defaults)
    user = defaults.user(text_of(chat.get("user_id")))
    for branch in found:
        talk = Talk(defaults, name, user, element.line, titled(chat.get("title")), since)
        if branch.name:
            talk.conversation = f"{name}/branch-{branch.name}"
            talk.about = {**talk.about, "branch_of": name}
            before = object_of(object_of(mapping.get(branch.after)).get("message"))
            talk.since = lenient_time(before.get("create_time"), defaults) or since
        for key in branch.nodes:
            message = mapping[key].get("message")
            try:
                yield from _message(message, talk)
            except BadFieldError as error:
                yield told(error, element.line, element.within(f"mapping.{key}.message"))


def _name(chat: dict[str, Any], defaults: Defaults, element: Element) -> str:
    for key in ("conversation_id", "id"):
        found = records.check_name(chat.get(key), key)
        if found is not None:
            return found
    base = defaults.conversation_id or defaults.source_name
    return base if element.ordinal is None else f"{base}/{element.ordinal}"


def _message(message: Any, talk: Talk) -> Iterator[Turn]:
    if not isinstance(message, dict):
        return
    author, content = object_of(message.get("author")), message.get("content")
    about = object_of(message.get("metadata"))
    if isinstance(message.get("fragments"), list):
        yield from _fragments(message["fragments"], message, talk)
        return
    if not author or not isinstance(content, dict):
        talk.leave_out(UNKNOWN, int(bool(message)))
        return
    if about.get("is_visually_hidden_from_conversation"):
        talk.leave_out(HIDDEN)
        return
    kind = word_of(content.get("content_type"))
    if kind in _CONTEXT:
        talk.leave_out(_CONTEXT[kind])
        return
    role = role_in(author.get("role"), "author.role")
    parts = _content(content, talk)
    for piece in parts.pieces:
        piece.text = _unmarked(piece.text, about)
    parts.pieces = [piece for piece in parts.pieces if piece.text.strip()]
    if role is MessageRole.SYSTEM and not parts.text.strip():
        return  # the empty one at the root
    recipient = message.get("recipient")
    if role is MessageRole.ASSISTANT and isinstance(recipient, str) and recipient != "all":
        # Not said to the person: the assistant hands it to a tool.
        prompt = parts.text
        parts.pieces = [Piece("call", called(recipient, prompt), {"name": recipient})]
        parts.pieces *= bool(prompt.strip())
    elif role is MessageRole.TOOL:
        name = author.get("name")
        extra = {"name": name} if isinstance(name, str) else {}
        notes = parts.notes
        text = shortened(parts.text)
        parts.pieces = [Piece("result", text, extra)] if text.strip() else notes
        if not text.strip() and notes:
            # A picture that the tool has made: the assistant shows it.
            role = MessageRole.ASSISTANT
            parts.pieces = [Piece("note", f"[{notes[0].what}{_prompt_of(content)}]", {}, "image")]
    files = _files(about)
    if not parts.pieces and role is MessageRole.USER:
        parts.pieces = [*file_notes(files.get("files", []))]
    yield from talk.say_content(
        role,
        parts,
        time=time_in(message, talk.defaults),
        source_id=message["id"] if isinstance(message.get("id"), str) else None,
        about=files,
    )


def _fragments(fragments: list[Any], message: dict[str, Any], talk: Talk) -> Iterator[Turn]:
    """A message of DeepSeek's export, whose chats are trees as ChatGPT's, and of other parts."""
    content = Content()
    role = MessageRole.ASSISTANT
    for fragment in map(object_of, fragments):
        kind, text = word_of(fragment.get("type")), text_of(fragment.get("content"))
        if kind == "THINK":
            content.reasoning += 1
        elif kind in ("REQUEST", "RESPONSE"):
            role = MessageRole.USER if kind == "REQUEST" else role
            content.pieces += [Piece("text", text)] if text is not None else []
        else:
            content.others.append(kind.lower() or "a part without a type")
    files = [text_of(object_of(file).get("file_name")) for file in list_of(message.get("files"))]
    content.pieces += file_notes([file for file in files if file])
    model = message.get("model")
    yield from talk.say_content(
        role,
        content,
        time=time_in(message, talk.defaults, "inserted_at"),
        source_id=text_of(message.get("id")) and f"{talk.conversation}/{message['id']}",
        about={"model": model} if isinstance(model, str) and model else {},
    )


def _content(content: dict[str, Any], talk: Talk) -> Content:
    kind = word_of(content.get("content_type"))
    if kind in _REASONING:
        return Content(reasoning=1)
    if kind == "code" and isinstance(content.get("text"), str):
        return Content([Piece("text", content["text"])] if content["text"].strip() else [])
    if kind in ("execution_output", "system_error", "computer_output"):
        return Content([Piece("text", text)] if (text := result_text(content)).strip() else [])
    if kind in ("tether_browsing_display", "tether_quote"):
        shown = [text_of(content.get(key)) for key in ("title", "url", "result", "text")]
        text = "\n".join(one for one in shown if one)
        return Content([Piece("text", text)] if text else [])
    parts = content.get("parts")
    if not isinstance(parts, list):
        text = result_text(content)
        return Content([Piece("text", text)] if text.strip() else [])
    known = [part for part in parts if isinstance(part, (str, dict))]
    spoken = any(
        isinstance(part, dict)
        and part.get("content_type") == "audio_transcription"
        and text_of(part.get("text")) is not None
        for part in known
    )
    found = read_content([part for part in known if part != ""], "content.parts")
    if spoken:
        # Of what was said there is the text; that there was a sound beside it says nothing more.
        found.pieces = [piece for piece in found.pieces if piece.what not in ("audio", "video")]
        talk.leave_out("sounds whose words are there", int(bool(found.pieces)))
    return found


def _unmarked(text: str, about: dict[str, Any]) -> str:
    """A text whose marks of sources, which the site shows in its own way, are in words, or gone."""
    if "\ue200" not in text:
        return text
    shown = {}
    for reference in list_of(about.get("content_references")):
        mark, words = (object_of(reference).get(key) for key in ("matched_text", "alt"))
        if isinstance(mark, str) and isinstance(words, str):
            shown[mark] = words

    def in_words(match: re.Match[str]) -> str:
        if match[0] in shown:
            return shown[match[0]]
        kind, _, rest = match[1].partition("\ue202")
        found = re.search(r'"[^"]*", *"([^"]*)"', rest) if kind == "entity" else None
        return found[1] if found else ""

    return _MARK.sub(in_words, text)


def _prompt_of(content: dict[str, Any]) -> str:
    for part in list_of(content.get("parts")):
        for maker in ("dalle", "generation"):
            prompt = object_of(object_of(object_of(part).get("metadata")).get(maker)).get("prompt")
            if isinstance(prompt, str) and prompt.strip():
                return f": {prompt.strip()}"
    return ""


def _files(about: dict[str, Any]) -> dict[str, Any]:
    names = [
        one["name"]
        for one in list_of(about.get("attachments"))
        if isinstance(one, dict) and isinstance(one.get("name"), str)
    ]
    model = about.get("model_slug")
    found: dict[str, Any] = {"files": names} if names else {}
    return {**found, "model": model} if isinstance(model, str) and model else found


READER = Reader(
    "chatgpt", "ChatGPT's export", ("mapping", "current_node", "create_time"), recognises, turns
)
