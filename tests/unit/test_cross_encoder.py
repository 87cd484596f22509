"""The cross-encoder step: with the real package and a tiny random model, and without either."""

from __future__ import annotations

import asyncio
import functools
import json
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import EmbeddingError, InvalidInputError, MissingDependencyError
from bruno_memory_vec.recall.cross_encoder import CrossEncoderModel, cross_encoder
from bruno_memory_vec.recall.profiles import load_profile

WORDS = "the cat dog sat slept on under a mat sofa where who did is it in garden house".split()
QUESTION = "where did the cat sleep on the sofa"
TEXTS = [
    "the cat sat on the mat",
    "the dog slept under the sofa",
    "a cat slept on a sofa in the house",
    "it is in the garden",
    "who sat on the cat",
    "the cat is the dog",
    "the house sat on the sofa under the mat",
    "the",
]
PROFILE = """
[candidates]
lexical = 100
semantic = 100
neighbours_of = 0
neighbour_distance = 0
[query]
drop_stopwords = false
phrase_weight = 0.0
[fusion]
method = "convex"
semantic_weight = 0.5
[cross_encoder]
model = {model}
"""


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # Read when the hub's client is imported: no test may wait for a server.
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    cross_encoder.cache_clear()
    yield
    cross_encoder.cache_clear()


def real(function: Any) -> Any:
    """Marks a test of the real package. Its and torch's own deprecations are not ours to fix."""
    return pytest.mark.sentence_transformers(pytest.mark.filterwarnings("default")(function))


def write_model(folder: Path, labels: int = 1) -> Path:
    """A BERT of two small random layers that reads `WORDS`, as transformers writes it."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    special = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    vocabulary = {word: i for i, word in enumerate([*special.values(), *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(
        ("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"])
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=64,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **{f"{name}_token": token for name, token in special.items()},
    ).save_pretrained(folder)
    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        num_labels=labels,
        # Random weights of the usual size give every text the same score.
        initializer_range=0.5,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


@functools.cache
def reader(folder: Path) -> Any:
    from sentence_transformers import CrossEncoder

    return CrossEncoder(str(folder))


def scores_by_hand(folder: Path, texts: list[str] = TEXTS) -> list[float]:
    """What the package itself gives, one text at a time."""
    return [float(reader(folder).predict([(QUESTION, text)])[0]) for text in texts]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model")


def write_profile(folder: Path, model: str | Path, **settings: Any) -> Path:
    path = folder / "mine.toml"
    lines = [PROFILE.format(model=json.dumps(str(model)))]
    lines += [f"{name} = {value}\n" for name, value in settings.items()]
    path.write_text("".join(lines), encoding="utf-8")
    return path


async def filled(profile: Path) -> VectorMemory:
    memory = await open_memory(
        "memory://", embedder="hash", profile=str(profile), recall_in_context=False
    )
    messages = [Message(role=MessageRole.USER, content=text) for text in TEXTS]
    await memory.store_messages(messages, "talk", user_id="ana")
    return memory


@real
async def test_the_order_is_the_models_where_its_weight_is_large(
    model: Path, tmp_path: Path
) -> None:
    memory = await filled(write_profile(tmp_path, model, weight=100.0))
    hits = await memory.recall(QUESTION, user_id="ana", k=len(TEXTS))
    await memory.close()
    by_model = dict(zip(TEXTS, scores_by_hand(model), strict=True))
    assert max(by_model.values()) - min(by_model.values()) > 0.1, "the model tells nothing apart"
    assert [hit.content for hit in hits] == sorted(TEXTS, key=lambda text: -by_model[text])
    low, high = min(by_model.values()), max(by_model.values())
    for hit in hits:
        assert hit.score == pytest.approx(sum(hit.signals.values()))
        scaled = 100 * (by_model[hit.content] - low) / (high - low)
        assert hit.signals["cross_encoder"] == pytest.approx(scaled, abs=0.01)


@real
async def test_rows_behind_the_best_are_not_read(model: Path, tmp_path: Path) -> None:
    without = await filled(write_profile(tmp_path, model, weight=0))
    before = await without.recall(QUESTION, user_id="ana", k=len(TEXTS))
    await without.close()
    memory = await filled(write_profile(tmp_path, model, weight=100.0, best=3))
    after = await memory.recall(QUESTION, user_id="ana", k=len(TEXTS))
    await memory.close()
    first = [hit.content for hit in before[:3]]
    by_model = dict(zip(first, scores_by_hand(model, first), strict=True))
    assert [hit.content for hit in after[:3]] == sorted(first, key=lambda text: -by_model[text])
    assert [hit.content for hit in after[3:]] == [hit.content for hit in before[3:]]
    assert {hit.signals["cross_encoder"] for hit in after[3:]} == {0.0}


@real
@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_scores_do_not_depend_on_the_batch(model: Path, batch_size: int) -> None:
    found = CrossEncoderModel(str(model)).score(QUESTION, TEXTS, batch_size)
    assert found.dtype == np.float32
    assert found.shape == (len(TEXTS),)
    np.testing.assert_allclose(found, scores_by_hand(model), rtol=1e-4, atol=1e-5)


@real
def test_any_text_can_be_read(model: Path) -> None:
    texts = ["", " ", "\ud800 lone", "é 漢字 🏕", "cat " * 5_000]
    scores = CrossEncoderModel(str(model)).score("\udfff?", texts, 16)
    assert scores.shape == (5,)
    assert np.isfinite(scores).all()
    assert CrossEncoderModel("no-such-model").score(QUESTION, [], 16).shape == (0,)


@real
def test_many_threads_share_one_model(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sentence_transformers

    loads: list[str] = []
    load = sentence_transformers.CrossEncoder

    def counted(name: str) -> Any:
        loads.append(name)
        return load(name)

    monkeypatch.setattr(sentence_transformers, "CrossEncoder", counted)
    together = threading.Barrier(8)

    def work(turn: int) -> Any:
        together.wait()
        texts = TEXTS[turn:] + TEXTS[:turn]
        return [cross_encoder(str(model)).score(QUESTION, texts, 4) for _ in range(5)]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(work, range(8)))
    assert loads == [str(model)]
    monkeypatch.undo()
    expected = scores_by_hand(model)
    for turn, several in enumerate(found):
        for scores in several:
            turned = expected[turn:] + expected[:turn]
            np.testing.assert_allclose(scores, turned, rtol=1e-4, atol=1e-5)


@real
async def test_many_recalls_at_once(model: Path, tmp_path: Path) -> None:
    memory = await filled(write_profile(tmp_path, model, weight=100.0))
    alone = [hit.content for hit in await memory.recall(QUESTION, user_id="ana", k=8)]
    found = await asyncio.gather(
        *(memory.recall(QUESTION, user_id="ana", k=8) for _ in range(12)),
        *(memory.recall(QUESTION, user_id="bo", k=8) for _ in range(3)),
    )
    await memory.close()
    assert [[hit.content for hit in hits] for hits in found] == [alone] * 12 + [[]] * 3


@real
async def test_a_folder_without_a_model(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    memory = await filled(write_profile(tmp_path, tmp_path / "empty"))
    said = r"cannot load the cross-encoder '.*empty'.*\[cross_encoder\] model"
    with pytest.raises(EmbeddingError, match=f"(?s){said}") as caught:
        await memory.recall(QUESTION, user_id="ana")
    assert caught.value.__cause__ is not None
    # Once it is there, it is found.
    write_model(tmp_path / "empty")
    assert len(await memory.recall(QUESTION, user_id="ana")) > 0
    await memory.close()


@real
async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    memory = await filled(write_profile(tmp_path, tmp_path / "nowhere"))
    with pytest.raises(EmbeddingError, match=r"cannot load the cross-encoder '.*nowhere'"):
        await memory.recall(QUESTION, user_id="ana")
    await memory.close()


@real
def test_a_model_with_several_outputs(tmp_path: Path) -> None:
    several = CrossEncoderModel(str(write_model(tmp_path / "two", labels=2)))
    with pytest.raises(EmbeddingError, match=r"scores of shape \(8, 2\).*one output"):
        several.score(QUESTION, TEXTS, 16)


@real
async def test_nothing_is_printed(
    model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    memory = await filled(write_profile(tmp_path, model, batch_size=2))
    await memory.recall(QUESTION, user_id="ana")
    await memory.close()
    assert capfd.readouterr().out == ""


async def test_a_missing_package_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    memory = await filled(write_profile(tmp_path, "org/a-model"))
    with pytest.raises(
        MissingDependencyError, match=r'pip install "bruno-memory-vec\[sentence-transformers\]"'
    ):
        await memory.recall(QUESTION, user_id="ana")
    # Another profile does without it, and so does a question that finds nothing.
    assert len(await memory.recall(QUESTION, user_id="ana", profile="balanced")) > 0
    assert len(await memory.recall(QUESTION, user_id="bo")) == 0
    await memory.close()


def test_scores_that_are_no_numbers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __init__(self, name: str) -> None:
            pass

        def predict(self, pairs: list[tuple[str, str]], **how: Any) -> Any:
            return np.full(len(pairs), np.nan)

    package = ModuleType("sentence_transformers")
    package.CrossEncoder = Broken  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sentence_transformers", package)
    with pytest.raises(EmbeddingError, match="no numbers"):
        CrossEncoderModel("broken").score(QUESTION, TEXTS, 16)


@pytest.mark.parametrize("model", ['""', "3"])
def test_a_profile_without_a_models_name_is_refused(tmp_path: Path, model: str) -> None:
    path = write_profile(tmp_path, "m")
    named = path.read_text(encoding="utf-8").replace('"m"', model)
    path.write_text(named, encoding="utf-8")
    with pytest.raises(InvalidInputError, match=r"\[cross_encoder\] model must be"):
        load_profile(path)
