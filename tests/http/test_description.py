"""The description of the API, and that it has what the memory can do."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from bruno_memory_vec import VectorMemory
from bruno_memory_vec.surfaces.http import make_app, routes
from bruno_memory_vec.surfaces.http.app import description_of

#: What is not called from elsewhere, and why.
LEFT_OUT = {
    "of the server's own process": {"connect", "close", "initialize", "shutdown", "for_user"}
    | {"from_config", "wait"},
    "paths on the server's disk": {"backup", "snapshot", "copy_to"},
    "the store as a whole is moved by the command line": {"reembed"},
    "another name of what is there": {"search_messages", "search_memories", "retrieve_memories"}
    | {"retrieve_context", "clear_conversation", "retrieve_messages", "read_turns"}
    | {
        "get_conversation",
        "list_conversations",
        "conversation_owner",
        "known_lines",
        "context",
        "save",
        "save_given",
    },
    "bruno-core's whole objects": {"get_user", "save_user", "to_context", "from_context"},
}
MANAGERS = ("conversations", "facts", "users")


@pytest.fixture(scope="module")
def document() -> dict[str, dict[str, object]]:
    app = make_app(VectorMemory("memory://", embedder="hash"))
    return description_of(app, secured=True)


def test_every_operation_and_every_field_says_what_it_is(document: dict[str, object]) -> None:
    paths: dict[str, dict[str, dict[str, object]]] = document["paths"]  # type: ignore[assignment]
    names = []
    for path, operations in paths.items():
        for operation in operations.values():
            names.append(operation["operationId"])
            assert operation["description"], path
            assert operation["security"] == [{"token": []}], path
            assert set(operation["responses"]) >= {"401", "404", "422", "503"}, path
    assert len(names) == len(set(names)) > 70
    schemas: dict[str, dict[str, object]] = document["components"]["schemas"]  # type: ignore[index]
    assert all(schema.get("description") for schema in schemas.values())
    assert not set(schemas) & {"HTTPValidationError", "ValidationError"}


def test_a_server_without_tokens_asks_for_none() -> None:
    found = description_of(make_app(VectorMemory("memory://")), secured=False)
    assert "securitySchemes" not in found["components"]
    assert "security" not in found["paths"]["/v1/recall"]["post"]


def test_the_api_has_every_method_or_says_why_not() -> None:
    code = "".join(
        path.read_text(encoding="utf-8") for path in Path(routes.__file__).parent.glob("*.py")
    )
    called = set(re.findall(r"\.(\w+)\(", code)) | set(re.findall(r"users\.(\w+)", code))
    kinds = [VectorMemory, *(type(getattr(VectorMemory("memory://"), one)) for one in MANAGERS)]
    methods = {
        name
        for kind in kinds
        for name, one in inspect.getmembers(kind, callable)
        if not name.startswith("_") and not inspect.isclass(one)
    }
    left_out = set().union(*LEFT_OUT.values())
    missing = sorted(methods - called - left_out)
    assert not missing
    assert not left_out & called - {"wait", "context", "close"}, "these are there after all"
