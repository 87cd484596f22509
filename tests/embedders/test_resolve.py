"""What may be written as an embedder's name, and how a wrong one is answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bruno_memory_vec import open_memory
from bruno_memory_vec.embedders import SentenceTransformerEmbedder, resolve_embedder
from bruno_memory_vec.errors import InvalidInputError


@pytest.mark.parametrize(
    ("spec", "model", "given"),
    [
        ("sentence-transformers:org/model", "org/model", {}),
        (" Sentence-Transformers: org/model ", "org/model", {}),
        ("sentence-transformers:/a/model?dim=256", "/a/model", {"_dim": 256}),
        (
            "sentence-transformers:m?dim=64&device=cuda:1&precision=bf16&batch_size=8&revision=v1+b",
            "m",
            {
                "_dim": 64,
                "_device": "cuda:1",
                "_precision": "bf16",
                "_batch_size": 8,
                "_revision": "v1+b",
            },
        ),
        (
            "sentence-transformers:m?query_prompt=ask%20%26%20find:%20&document_prompt=",
            "m",
            {"_prompts": {"query": "ask & find: ", "document": ""}},
        ),
        (r"sentence-transformers:C:\models\m?device=cpu", r"C:\models\m", {"_device": "cpu"}),
    ],
)
def test_options_reach_the_embedder(spec: str, model: str, given: dict[str, Any]) -> None:
    embedder = resolve_embedder(spec)
    assert isinstance(embedder, SentenceTransformerEmbedder)
    assert embedder._model_name == model
    for name, value in given.items():
        assert getattr(embedder, name) == value
    plain = vars(SentenceTransformerEmbedder(model))
    different = {name for name in plain if getattr(embedder, name) != plain[name]} - {"_lock"}
    assert different == set(given), "what was not given is as the class has it"


def test_a_folder_with_a_question_mark(tmp_path: Path) -> None:
    folder = tmp_path / "what?dim=2"
    folder.mkdir()
    embedder = resolve_embedder(f"sentence-transformers:{folder}")
    assert isinstance(embedder, SentenceTransformerEmbedder)
    assert embedder._model_name == str(folder)
    assert embedder._dim is None


WRONG = [
    ("?dim=0", "dim: is 0. Give a whole number"),
    ("?dim=-1", "dim: '-1'.* is no whole number. Write it as dim=256"),
    ("?dim=1_0", "dim: '1_0'.* is no whole number"),
    ("?dim=many", "dim: 'many'.* is no whole number"),
    ("?dim=", "dim: ''.* is no whole number"),
    ("?dim", "embedder: 'dim' in .* is no option. The options are dim, device"),
    ("?", "embedder: '' in .* is no option"),
    ("?dim=2&", "embedder: '' in .* is no option"),
    ("?dims=2", "embedder: 'dims=2' in .* is no option"),
    ("?dim=2&dim=2", "dim: stands twice"),
    ("?batch_size=0", "batch_size: is 0"),
    ("?device=gpu", "device: 'gpu' is not known. Use cpu, cuda"),
    ("?device=", "device: is empty"),
    ("?device=cpu:1", "device: 'cpu:1' is not known"),
    ("?precision=int8", "precision: 'int8' is not known. Use fp32, fp16, bf16"),
    ("?precision=FP16", "precision: 'FP16' is not known"),
]


@pytest.mark.parametrize(("options", "says"), WRONG)
async def test_wrong_options_are_refused_before_anything(
    options: str, says: str, tmp_path: Path
) -> None:
    spec = f"sentence-transformers:org/model{options}"
    with pytest.raises(InvalidInputError, match=says) as caught:
        resolve_embedder(spec)
    assert caught.value.field in ("embedder", "dim", "device", "precision", "batch_size")
    with pytest.raises(InvalidInputError, match=says):
        await open_memory(tmp_path / "store", embedder=spec)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"dim": True}, "dim: is True"),
        ({"dim": 2.0}, "dim: is 2.0"),
        ({"batch_size": None}, "batch_size: is None"),
        ({"batch_size": "8"}, "batch_size: is '8'"),
        ({"dim": 2, "options": {"truncate_dim": 2}}, "options: truncate_dim is given twice"),
        ({"device": "cpu", "options": {"device": "cpu"}}, "options: device is given twice"),
        ({"revision": "a", "options": {"revision": "a"}}, "options: revision is given twice"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        SentenceTransformerEmbedder("org/model", **arguments)


def test_a_folder_has_no_revision(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"revision: .* is a folder"):
        SentenceTransformerEmbedder(tmp_path, revision="main")


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "sentence-transformers",
        "sentence-transformers:",
        "hash:3",
        "sentence-transformers:?dim=3",
    ],
)
def test_what_is_no_embedder(spec: str) -> None:
    with pytest.raises(InvalidInputError, match='Use "static"'):
        resolve_embedder(spec)
