"""The content of a message as the providers' APIs and their exports write it: text, or a list of
parts.

The parts of OpenAI, Anthropic, Google, LangChain and LlamaIndex differ in names, and are read
alike: text; calls of tools; their results; reasoning, which is left out; pictures, sounds and
files, of which a note is kept.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from bruno_core.models.message import MessageType

from bruno_memory_vec.portability.records import MAX_DEPTH, BadFieldError, check_text, json_type

#: Of a call of a tool and of its result, such as a file that it has read, only so much is kept.
LONGEST_RESULT = 8_000

#: By the type of a part: the key of its text.
_TEXTS = {
    "text": "text",
    "input_text": "text",
    "output_text": "text",
    "summary_text": "text",
    "markdown": "text",
    "refusal": "refusal",
    "audio_transcription": "text",
    "voice_note": "text",
}
_REASONING = {
    "thinking",
    "redacted_thinking",
    "reasoning",
    "reasoning_text",
    "thought",
    "thoughts",
    "reasoning_recap",
    "encrypted_content",
}
_CALLS = {
    "tool_use",
    "server_tool_use",
    "mcp_tool_use",
    "tool_call",
    "function_call",
    "custom_tool_call",
    "local_shell_call",
    "web_search_call",
    "file_search_call",
    "computer_call",
    "code_interpreter_call",
    "mcp_call",
}
_RESULTS = {
    "tool_result",
    "mcp_tool_result",
    "web_search_tool_result",
    "code_execution_tool_result",
    "function_call_output",
    "custom_tool_call_output",
    "local_shell_call_output",
    "computer_call_output",
}
_MEDIA = {
    "image": "image",
    "image_url": "image",
    "input_image": "image",
    "image_asset_pointer": "image",
    "image_file": "image",
    "input_audio": "audio",
    "audio": "audio",
    "audio_asset_pointer": "audio",
    "real_time_user_audio_video_asset_pointer": "audio",
    "video": "video",
    "video_container_asset_pointer": "video",
    "document": "file",
    "file": "file",
    "input_file": "file",
    "container_upload": "file",
    "resource": "file",
}
#: Of a part without a type: what a key of it says it is.
_BY_KEY = {
    "asset_pointer": "image_asset_pointer",
    "functionCall": "function_call",
    "function_call": "function_call",
    "functionResponse": "function_call_output",
    "function_response": "function_call_output",
    "inlineData": "file",
    "inline_data": "file",
    "fileData": "file",
    "file_data": "file",
}
#: Marks within a message that say nothing.
_NOTHING = {"token_budget", "flag", "cache_point", "ping", "step-start"}

Kind = Literal["text", "call", "result", "note"]


@dataclass(slots=True)
class Piece:
    """A part of a content that becomes text.

    Attributes:
        kind: "text"; "call" of a tool; "result" of one; "note" of a picture, a sound or a file.
        text: in words.
        about: for the metadata.
        what: of a note: "image", "audio", "video" or "file".
    """

    kind: Kind
    text: str
    about: dict[str, Any] = field(default_factory=dict)
    what: str = ""


@dataclass(slots=True)
class Content:
    """What a content is made of.

    Attributes:
        pieces: in the order of the content.
        reasoning: how many parts of reasoning were left out.
        others: the types of parts that say nothing in words.
    """

    pieces: list[Piece] = field(default_factory=list)
    reasoning: int = 0
    others: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The text pieces, with line breaks between them."""
        return "\n".join(piece.text for piece in self.pieces if piece.kind == "text")

    @property
    def notes(self) -> list[Piece]:
        """The pictures, sounds and files."""
        return [piece for piece in self.pieces if piece.kind == "note"]


def read_content(value: Any, where: str = "content") -> Content:
    """The pieces of a content.

    Raises:
        BadFieldError: it is neither text nor a list of parts, or a part is no part.
    """
    content = Content()
    if value is None:
        return content
    if isinstance(value, str):
        if value.strip():
            content.pieces.append(Piece("text", value))
        return content
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        raise BadFieldError(where, f"expected text or a list of parts, got {json_type(value)}")
    for index, part in enumerate(value):
        _read_part(part, f"{where}[{index}]", content)
    return content


def called(name: str, arguments: Any) -> str:
    """A call of a tool in words."""
    if arguments is None or arguments == {}:
        shown = ""
    elif isinstance(arguments, str):
        shown = arguments
    else:
        shown = json.dumps(arguments, ensure_ascii=False)
    return f"called {name}({shown})"


def shortened(text: str) -> str:
    """The call or the result of a tool, as much of it as is kept."""
    if len(text) <= LONGEST_RESULT:
        return text
    left = len(text) - LONGEST_RESULT
    return f"{text[:LONGEST_RESULT].rstrip()}\n[... {left:,} characters more]"


def file_notes(names: list[str]) -> list[Piece]:
    """Notes of files that a message names beside its content."""
    return [Piece("note", f"[file: {name}]", {}, "file") for name in names]


def type_of_note(notes: list[Piece]) -> MessageType:
    """The type of a message that is nothing but a picture, a sound or a file."""
    kinds = {"image": MessageType.IMAGE, "audio": MessageType.AUDIO}
    return kinds.get(notes[0].what, MessageType.FILE) if notes else MessageType.TEXT


def _read_part(part: Any, where: str, content: Content) -> None:
    if isinstance(part, str):
        if part.strip():
            content.pieces.append(Piece("text", part))
        return
    if not isinstance(part, dict):
        raise BadFieldError(where, f"expected an object, got {json_type(part)}")
    kind = part.get("type", part.get("block_type", part.get("content_type")))
    if kind is None and isinstance(part.get("text"), str):
        kind = "text"
    if kind is None:
        kind = next((name for key, name in _BY_KEY.items() if key in part), None)
    if part.get("thought") is True:
        kind = "thought"  # as Gemini marks it
    kind = check_text(kind, f"{where}.type")
    if kind in _TEXTS:
        text = part.get(_TEXTS[kind])
        if isinstance(text, dict):
            text = text.get("value")  # as in threads of OpenAI's Assistants
        if not isinstance(text, str):
            if kind != "text":
                content.others.append(kind)
                return
            raise BadFieldError(f"{where}.text", f"expected text, got {json_type(text)}")
        if text.strip():
            content.pieces.append(Piece("text", text))
    elif kind in _REASONING:
        content.reasoning += 1
    elif kind in _CALLS:
        content.pieces.append(_call(part, kind))
    elif kind in _RESULTS:
        text = result_text(part)
        about = {"tool_call_id": part.get("tool_use_id") or part.get("call_id")}
        if isinstance(part.get("name"), str):
            about["name"] = part["name"]
        if part.get("is_error"):
            about["is_error"] = True
        about = {key: value for key, value in about.items() if value is not None}
        content.pieces.append(Piece("result", shortened(text), about))
    elif kind in _MEDIA:
        content.pieces.append(_note(part, kind))
    elif kind not in _NOTHING:
        content.others.append(kind)


def _call(part: dict[str, Any], kind: str) -> Piece:
    function = part.get("function", part.get("functionCall", part.get("function_call")))
    if isinstance(function, dict):
        part = {**part, **function}
    name = part.get("name", part.get("tool_name"))
    name = name if isinstance(name, str) and name else kind.removesuffix("_call")
    arguments = next(
        (
            part[key]
            for key in ("input", "arguments", "args", "tool_kwargs", "action", "code", "queries")
            if part.get(key) is not None
        ),
        None,
    )
    call_id = part.get("call_id") or part.get("id") or part.get("tool_call_id")
    about: dict[str, Any] = {"name": name}
    if isinstance(call_id, str):
        about["tool_call_id"] = call_id
    return Piece("call", shortened(called(name, arguments)), about)


_RESULT_KEYS = (
    "content",
    "output",
    "stdout",
    "result",
    "outputs",
    "functionResponse",
    "function_response",
    "response",
)


def result_text(part: Any, depth: int = 0) -> str:
    """The text of a tool's result, however it is nested; "" where there is none."""
    if isinstance(part, str):
        return part
    if isinstance(part, (int, float, bool)):
        return json.dumps(part)
    if depth > MAX_DEPTH:
        return ""
    if isinstance(part, list):
        texts = [result_text(one, depth + 1) for one in part]
        return "\n".join(text for text in texts if text.strip())
    if not isinstance(part, dict):
        return ""
    if isinstance(part.get("text"), str):
        return str(part["text"])
    kind = part.get("type")
    if isinstance(kind, str) and kind in _MEDIA:
        return _note(part, kind).text
    if isinstance(part.get("title"), str) and isinstance(part.get("url"), str):
        return f"{part['title']} ({part['url']})"
    for key in _RESULT_KEYS:
        if part.get(key):
            return result_text(part[key], depth + 1)
    return ""


def _note(part: dict[str, Any], kind: str) -> Piece:
    what = _MEDIA[kind]
    words = [what]
    for key in ("file_name", "filename", "name", "title"):
        if isinstance(part.get(key), str) and part[key].strip():
            words.append(part[key].strip())
            break
    shown = f"[{words[0]}: {words[1]}]" if len(words) > 1 else f"[{what}]"
    for key in ("transcript", "transcription"):
        if isinstance(part.get(key), str) and part[key].strip():
            return Piece("text", part[key])
    return Piece("note", shown, {}, what)
