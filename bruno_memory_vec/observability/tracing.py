"""OpenTelemetry spans of what a memory does; only ``opentelemetry-api`` is needed.

The names are those of the semantic conventions for generative AI where these have one
(``gen_ai.memory.*``, in development: semantic-conventions-genai 0.1), else ``bruno.memory.*``.
Neither texts nor ids of users or conversations are in a span unless content is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from bruno_memory_vec._version import __version__
from bruno_memory_vec.errors import MissingDependencyError
from bruno_memory_vec.observability.stages import Stage, wall_clock_offset

if TYPE_CHECKING:
    from opentelemetry.trace import Span, TracerProvider

#: What the conventions call an operation of ours. Storing is an upsert: what is stored under an id
#: that is there is replaced.
GEN_AI: Final[Mapping[str, str]] = {
    "recall": "search_memory",
    "search_messages": "search_memory",
    "search_memories": "search_memory",
    "retrieve_memories": "search_memory",
    "retrieve_context": "search_memory",
    "conversations.search": "search_memory",
    "store_message": "upsert_memory",
    "store_messages": "upsert_memory",
    "store_memory": "upsert_memory",
    "store_memories": "upsert_memory",
    "ingest": "upsert_memory",
    "import_export": "upsert_memory",
    "pin": "update_memory",
    "unpin": "update_memory",
    "set_importance": "update_memory",
    "forget": "delete_memory",
    "prune": "delete_memory",
    "delete_memory": "delete_memory",
    "delete_messages": "delete_memory",
    "clear_history": "delete_memory",
    "clear_conversation": "delete_memory",
    "forget_user": "delete_memory",
    "conversations.delete": "delete_memory",
}
_KINDS: Final[Mapping[str, str]] = {
    "recall": "search_memory",
    "add": "upsert_memory",
    "update": "update_memory",
    "delete": "delete_memory",
}
# Views of memories by their kind have the same four methods.
_VIEWS: Final = ("conversational", "semantic", "episodic", "procedural")

OPERATION: Final = "gen_ai.operation.name"
STORE: Final = "gen_ai.memory.store.id"
COUNT: Final = "gen_ai.memory.record.count"
QUERY: Final = "gen_ai.memory.query.text"
RECORDS: Final = "gen_ai.memory.records"
CONVERSATION: Final = "gen_ai.conversation.id"
ERROR: Final = "error.type"
#: The library's own name of the operation.
OWN: Final = "bruno.memory.operation"
#: So much of a text is put into a span where content is asked for, in characters.
MOST_CHARACTERS: Final = 4_000


def conventional(operation: str) -> str | None:
    """What the conventions call an operation; None where they have no name for it."""
    part, _, method = operation.rpartition(".")
    return _KINDS.get(method) if part in _VIEWS else GEN_AI.get(operation)


class Tracing:
    """Makes spans.

    Args:
        provider: makes the tracer; None for the global provider of OpenTelemetry.
        store: what names the store in every span.
        content: whether spans have questions, found texts and ids of conversations.

    Raises:
        MissingDependencyError: ``opentelemetry-api`` is not installed.
    """

    def __init__(self, provider: TracerProvider | None, store: str, *, content: bool) -> None:
        try:
            from opentelemetry import context, trace
        except ImportError as error:
            raise MissingDependencyError("opentelemetry-api", "otel", cause=error) from error
        self._trace, self._context = trace, context
        self._tracer = trace.get_tracer("bruno_memory_vec", __version__, provider)
        self._store = store
        self.content = content

    def begin(self, operation: str) -> tuple[Span, Any]:
        """A span of an operation that begins, as the current one; and what :meth:`end` takes."""
        named = conventional(operation)
        attributes = {OWN: operation, STORE: self._store}
        if named is not None:
            attributes[OPERATION] = named
        span = self._tracer.start_span(named or f"bruno.memory.{operation}", attributes=attributes)
        return span, self.enter(span)

    def enter(self, span: Span | None) -> Any:
        """Make a span the current one of this context; with None, no span is.

        A task that works for several callers would else be in the span of the one that began it.
        """
        inside = self._trace.INVALID_SPAN if span is None else span
        return self._context.attach(self._trace.set_span_in_context(inside))

    def leave(self, token: Any) -> None:
        """Make the one before it the current one again."""
        self._context.detach(token)

    def end(
        self,
        span: Span,
        *,
        counts: Mapping[str, int],
        error: str | None,
        talks: Iterable[str] = (),
    ) -> None:
        """The operation has ended.

        Args:
            span: its span.
            counts: how many rows it gave or changed, by kind.
            error: the name of the class of what it raised. The message is left out: it may quote
                what was given.
            talks: the conversations that it was about.
        """
        if error is not None:
            span.set_attribute(ERROR, error)
            span.set_status(self._trace.StatusCode.ERROR)
        elif counts:
            span.set_attribute(COUNT, sum(counts.values()))
        self.conversations(span, set(talks))
        span.end()

    def conversations(self, span: Span, talks: Collection[str | None]) -> None:
        """Note the one conversation that a call is about, where content is asked for."""
        if self.content and len(talks) == 1:
            (one,) = talks
            if one is not None:
                span.set_attribute(CONVERSATION, one)

    def stages(
        self,
        parent: Span,
        stages: Sequence[Stage],
        prefix: str,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """Spans of the parts of an operation, which have ended, as children of its span."""
        if not parent.is_recording():
            return
        inside, offset = self._trace.set_span_in_context(parent), wall_clock_offset()
        for stage in stages:
            self._tracer.start_span(
                f"{prefix}.{stage.name}",
                context=inside,
                attributes=attributes,
                start_time=stage.began + offset,
            ).end(stage.ended + offset)

    def query(self, span: Span, query: str) -> None:
        """Note the question, where content is asked for."""
        if self.content and span.is_recording():
            span.set_attribute(QUERY, query[:MOST_CHARACTERS])

    def records(self, span: Span, records: Iterable[tuple[str, str, float]]) -> None:
        """Note what was found, as id, text and score, where content is asked for."""
        if self.content and span.is_recording():
            found = [
                {"id": name, "content": text[:MOST_CHARACTERS], "score": score}
                for name, text, score in records
            ]
            span.set_attribute(RECORDS, json.dumps(found, ensure_ascii=False))

    def begin_background(self, work: str) -> Span:
        """A span of work that no caller waits for: the first of a trace of its own."""
        return self._tracer.start_span(
            f"bruno.memory.background {work}",
            context=self._context.Context(),
            attributes={STORE: self._store},
        )
