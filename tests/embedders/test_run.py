"""embed_texts: the one place that runs an embedder and checks its vectors."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from bruno_core.models.message import Message

from bruno_memory_vec import open_memory
from bruno_memory_vec.embedders import EmbedKind, Fingerprint, embed_texts, fingerprint_of
from bruno_memory_vec.errors import EmbeddingError, InvalidInputError, MissingDependencyError
from bruno_memory_vec.testing import HashEmbedder

pytestmark = pytest.mark.asyncio


class Given:
    """Gives whatever a function makes of the texts."""

    def __init__(self, make: Callable[[Sequence[str]], Any], *, normalized: bool = True) -> None:
        self.make = make
        self.fingerprint = Fingerprint("given", "1", 4, normalized=normalized)
        self.calls: list[tuple[list[str], str, int]] = []

    def embed(self, texts: Sequence[str], *, kind: EmbedKind = "document") -> Any:
        self.calls.append((list(texts), kind, threading.get_ident()))
        return self.make(texts)


class AsyncGiven(Given):
    async def embed(self, texts: Sequence[str], *, kind: EmbedKind = "document") -> Any:
        await asyncio.sleep(0)
        return super().embed(texts, kind=kind)


def ones(texts: Sequence[str]) -> Any:
    return np.full((len(texts), 4), 0.5)


both = pytest.mark.parametrize("cls", [Given, AsyncGiven])


@both
async def test_gives_contiguous_float32(cls: type[Given]) -> None:
    embedder = cls(lambda texts: np.asfortranarray(ones(texts)))
    vectors = await embed_texts(embedder, ["a", "b", "c"], "query")
    assert vectors.dtype == np.float32
    assert vectors.shape == (3, 4)
    assert vectors.flags.c_contiguous
    assert embedder.calls[0][:2] == (["a", "b", "c"], "query")


async def test_a_plain_embedder_runs_in_a_thread_and_an_async_one_does_not() -> None:
    plain, native = Given(ones), AsyncGiven(ones)
    await embed_texts(plain, ["a"])
    await embed_texts(native, ["a"])
    assert plain.calls[0][2] != threading.get_ident()
    assert native.calls[0][2] == threading.get_ident()


async def test_a_plain_method_may_return_an_awaitable() -> None:
    async def later() -> Any:
        return ones(["a"])

    assert (await embed_texts(Given(lambda texts: later()), ["a"])).shape == (1, 4)


async def test_a_slow_embedder_does_not_hold_the_loop() -> None:
    went_on = threading.Event()

    def slow(texts: Sequence[str]) -> Any:
        # Were the loop held, nobody could set it.
        assert went_on.wait(60)
        return ones(texts)

    task = asyncio.create_task(embed_texts(Given(slow), ["a"]))
    for _ in range(5):
        await asyncio.sleep(0.005)
        assert not task.done()
    went_on.set()
    assert (await task).shape == (1, 4)


@both
async def test_no_texts_no_call(cls: type[Given]) -> None:
    embedder = cls(ones)
    vectors = await embed_texts(embedder, [])
    assert vectors.shape == (0, 4)
    assert vectors.dtype == np.float32
    assert embedder.calls == []


async def test_rows_of_other_length_are_normalised_and_zeros_stay() -> None:
    rows = np.array([[3, 4, 0, 0], [0, 0, 0, 0], [1e30, 0, 0, 1e30], [0, 1e-30, 0, 0]], "f4")
    vectors = await embed_texts(Given(lambda texts: rows), ["a", "b", "c", "d"])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 0, 1, 1])
    assert vectors[0] == pytest.approx([0.6, 0.8, 0, 0])
    assert rows[0].tolist() == [3, 4, 0, 0]  # the embedder's own array is left alone


async def test_norms_are_kept_where_the_fingerprint_says_so() -> None:
    vectors = await embed_texts(Given(lambda t: [[3, 4, 0, 0]], normalized=False), ["a"])
    assert vectors.tolist() == [[3, 4, 0, 0]]


async def test_the_result_does_not_share_the_embedders_buffer() -> None:
    buffer = np.full((1, 4), 0.5, dtype=np.float32)
    vectors = await embed_texts(Given(lambda texts: buffer), ["a"])
    buffer[:] = 0
    assert vectors.tolist() == [[0.5] * 4]


@both
@pytest.mark.parametrize(
    ("result", "says"),
    [
        (np.full((2, 4), np.nan), "NaN or infinite values for 2 of 2 texts, first text 0"),
        ([[1, 0, 0, 0], [1, 0, 0, np.inf]], "for 1 of 2 texts, first text 1"),
        (np.full((2, 4), 1e300), "NaN or infinite"),
        (np.ones((2, 5)), "dimension 5, its fingerprint says 4"),
        (np.ones((3, 4)), "gave 3 vectors for 2 texts"),
        (np.ones((1, 4)), "gave 1 vectors for 2 texts"),
        (np.ones(4), r"shape \(4,\) for 2 texts"),
        (np.ones((2, 4), dtype=complex), "no array of numbers"),
        ([[1, 0, 0, 0], [1, 0]], "no array of numbers"),
        ([], "no array of numbers"),
        (None, "NoneType, which is no array of numbers"),
        ("text", "no array of numbers"),
    ],
)
async def test_what_cannot_be_stored_is_refused(cls: type[Given], result: Any, says: str) -> None:
    with pytest.raises(EmbeddingError, match=says) as caught:
        await embed_texts(cls(lambda texts: result), ["a", "b"])
    assert "'given'" in str(caught.value)
    assert caught.value.fix


@both
async def test_an_embedders_exception_becomes_the_cause(cls: type[Given]) -> None:
    error = RuntimeError("out of memory")

    def fail(texts: Sequence[str]) -> Any:
        raise error

    with pytest.raises(
        EmbeddingError, match="'given' raised RuntimeError: out of memory"
    ) as caught:
        await embed_texts(cls(fail), ["a"])
    assert caught.value.cause is error
    assert caught.value.__cause__ is error


async def test_an_async_method_with_other_arguments_is_an_error_of_it() -> None:
    class Short:
        fingerprint = Given(ones).fingerprint

        async def embed(self, texts: Sequence[str]) -> Any:
            return ones(texts)

    with pytest.raises(EmbeddingError, match=r"raised TypeError: .*'kind'") as caught:
        await embed_texts(Short(), ["a"])  # type: ignore[arg-type]
    assert "embed()" in caught.value.fix


async def test_our_own_errors_pass_through() -> None:
    def fail(texts: Sequence[str]) -> Any:
        raise MissingDependencyError("thing", "extra")

    with pytest.raises(MissingDependencyError):
        await embed_texts(Given(fail), ["a"])


async def test_wrong_arguments_name_the_field() -> None:
    with pytest.raises(InvalidInputError, match="texts"):
        await embed_texts(Given(ones), "one string")
    with pytest.raises(InvalidInputError, match="texts"):
        await embed_texts(Given(ones), ["a", None])  # type: ignore[list-item]
    with pytest.raises(InvalidInputError, match="kind"):
        await embed_texts(Given(ones), ["a"], "passage")  # type: ignore[arg-type]


async def test_a_fingerprint_that_is_none_is_refused() -> None:
    embedder = Given(ones)
    embedder.fingerprint = {"name": "a"}  # type: ignore[assignment]
    with pytest.raises(EmbeddingError, match="fingerprint of Given is a dict"):
        await fingerprint_of(embedder)


# CancelledError


def cancelled(texts: Sequence[str]) -> Any:
    raise asyncio.CancelledError


@both
async def test_an_embedders_own_cancellation_is_an_error_of_it(cls: type[Given]) -> None:
    for timeout in (None, 5.0):
        with pytest.raises(EmbeddingError, match="'given' raised CancelledError: nobody") as failed:
            await embed_texts(cls(cancelled), ["a"], "document", timeout)
        assert "embed()" in failed.value.fix


async def test_a_fingerprint_that_is_cancelled() -> None:
    class Odd(Given):
        @property
        def fingerprint(self) -> Any:
            raise asyncio.CancelledError

        @fingerprint.setter
        def fingerprint(self, _: Any) -> None:
            pass

    with pytest.raises(EmbeddingError, match="could not be read: CancelledError"):
        await embed_texts(Odd(ones), ["a"])


@pytest.mark.parametrize("timeout", [None, 5.0])
async def test_a_caller_that_is_cancelled_cancels_the_embedder(timeout: float | None) -> None:
    begun, seen = asyncio.Event(), []

    class Slow(AsyncGiven):
        async def embed(self, texts: Sequence[str], *, kind: EmbedKind = "document") -> Any:
            begun.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                seen.append("cancelled")
                # An error on its way out is no reason to say something else.
                raise ValueError("while it ended") from None

    asking = asyncio.create_task(embed_texts(Slow(ones), ["a"], "document", timeout))
    await begun.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert seen == ["cancelled"]


@pytest.mark.parametrize("native", [False, True])
async def test_the_writer_goes_on_where_an_embedder_cancels_itself(native: bool) -> None:
    """One text of many callers: that caller is told by the embedder's name, the others are not."""
    hash_ = HashEmbedder()

    class Moody:
        fingerprint = hash_.fingerprint

        def embed(self, texts: Sequence[str], *, kind: EmbedKind = "document") -> Any:
            if any("bad" in text for text in texts):
                raise asyncio.CancelledError
            return hash_.embed(texts, kind=kind)

    class MoodyNative(Moody):
        async def embed(self, texts: Sequence[str], *, kind: EmbedKind = "document") -> Any:
            await asyncio.sleep(0)
            return super().embed(texts, kind=kind)

    embedder = MoodyNative() if native else Moody()
    async with open_memory("memory://", embedder=embedder) as memory:
        texts = [f"text {number}" for number in range(5)] + ["bad text"]
        ends = await asyncio.gather(
            *(
                memory.store_message(Message(role="user", content=text), "talk", user_id="ana")
                for text in texts
            ),
            return_exceptions=True,
        )
        assert ends[:-1] == [None] * 5
        assert isinstance(ends[-1], EmbeddingError)
        assert repr(hash_.fingerprint.name) in str(ends[-1])
        await memory.store_message(Message(role="user", content="and on"), "talk", user_id="ana")
        with pytest.raises(EmbeddingError, match="CancelledError"):
            await memory.recall("bad question", user_id="ana")
        assert len(await memory.retrieve_messages("talk")) == 6
        assert (await memory.health())["problems"] == {}
