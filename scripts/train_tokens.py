"""Train static token vectors so that their sum points where the teacher's vector of a text does.

The idea is Tokenlearn's (Tulkens and van Dongen, "Model2Vec", 2024): a forward pass for a token
alone says little of what the token adds to a sentence, so the token vectors are fitted to the
teacher's vectors of many short texts.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Long enough for almost every text of WordNet; the teacher's time grows with it.
_LONGEST = 64
_CHUNK = 2048
_BATCH = 1024
_EPOCHS = 3
_LEARNING_RATE = 3e-3
_WARM_UP = 0.1
#: For weights.json.
SETTINGS: dict[str, float] = {
    "epochs": _EPOCHS,
    "batch": _BATCH,
    "learning_rate": _LEARNING_RATE,
    "held_out": _CHUNK,
}


def teach(teacher: Path, texts: list[str], cache: Path | None) -> NDArray[np.float32]:
    """The teacher's unit vectors of texts, float32 (len(texts), teacher's dimension).

    It goes by chunks of 2,048, and a chunk that stands in `cache` is read from there, so that
    an interrupted run goes on where it was. They are rounded to float16, as they are cached.
    """
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(teacher), device="cpu")
    model.max_seq_length = _LONGEST
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
        _same_texts(cache / "texts.json", teacher, texts)
    chunks = []
    for number, start in enumerate(range(0, len(texts), _CHUNK)):
        kept = None if cache is None else cache / f"{number:04d}.npy"
        if kept is not None and kept.is_file():
            chunks.append(np.load(kept))
            continue
        part = texts[start : start + _CHUNK]
        vectors = model.encode(
            part, batch_size=64, normalize_embeddings=True, show_progress_bar=False
        ).astype(np.float16)
        if kept is not None:
            # A chunk is there whole or not at all.
            with (half := kept.with_suffix(".half")).open("wb") as file:
                np.save(file, vectors)
            os.replace(half, kept)
        chunks.append(vectors)
        print(f"  {start + len(part)} of {len(texts)} texts", flush=True)
    taught: NDArray[np.float32] = np.concatenate(chunks).astype(np.float32)
    return taught


def digest(texts: list[str]) -> str:
    """One checksum for a list of texts."""
    return hashlib.sha256("\n".join(texts).encode("utf-8")).hexdigest()


def _same_texts(path: Path, teacher: Path, texts: list[str]) -> None:
    about = {"teacher": teacher.name, "texts": len(texts), "sha256": digest(texts)}
    if path.is_file() and json.loads(path.read_text(encoding="utf-8")) != about:
        raise SystemExit(f"{path.parent} holds vectors of other texts: give another --cache")
    path.write_text(json.dumps(about), encoding="utf-8")


def train(
    start: Floats, ids: list[list[int]], taught: NDArray[np.float32], seed: int
) -> tuple[Floats, dict[str, Any]]:
    """Token vectors after training, and how close they come on texts held out.

    The loss of a text is ``1 - cos(sum of its tokens' vectors, teacher's vector)``, the
    teacher's vectors centred: static sums have no use for what all texts share. The length of
    a token's vector is free, so its weight in a sum is learned too. Adam, one cycle of the
    learning rate, three passes: the second and third add 0.01 to the cosine on texts held out,
    and eight at a higher rate lost it again. A token that no text holds keeps its start.

    Args:
        start: token vectors to begin with, float64 (tokens, teacher's dimension).
        ids: the tokens of each text.
        taught: the teacher's vector of each text, float32 (len(ids), teacher's dimension).
        seed: draws the order; the same on one thread gives the same vectors.

    Returns:
        float64 (tokens, teacher's dimension), and figures for weights.json.
    """
    import torch

    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    centred = taught - taught.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    target = torch.from_numpy(centred)
    used, held_out = np.arange(len(ids) - _CHUNK), np.arange(len(ids) - _CHUNK, len(ids))
    begin = torch.from_numpy((start / np.linalg.norm(start, axis=1).mean()).astype(np.float32))
    tokens = begin.clone().requires_grad_()

    def cosines(chosen: NDArray[np.intp]) -> torch.Tensor:
        flat = np.concatenate([ids[i] for i in chosen]).astype(np.int64)
        lengths = np.array([len(ids[i]) for i in chosen], np.int64)
        offsets = torch.from_numpy(np.cumsum(lengths) - lengths)
        summed = torch.nn.functional.embedding_bag(
            torch.from_numpy(flat), tokens, offsets, mode="sum"
        )
        return torch.nn.functional.cosine_similarity(summed, target[chosen])

    def mean_held_out() -> float:
        with torch.no_grad():
            return round(float(cosines(held_out).mean()), 4)

    report = {"held_out_cosine_before": mean_held_out()}
    batches = len(used) // _BATCH
    optimiser = torch.optim.Adam([tokens], lr=_LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, _LEARNING_RATE, total_steps=_EPOCHS * batches + 1, pct_start=_WARM_UP
    )
    for epoch in range(_EPOCHS):
        order = rng.permutation(used)
        for start_at in range(0, batches * _BATCH, _BATCH):
            loss = (1.0 - cosines(order[start_at : start_at + _BATCH])).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        print(f"  pass {epoch + 1}: held-out cosine {mean_held_out()}", flush=True)
    report["held_out_cosine"] = mean_held_out()
    return tokens.detach().numpy().astype(np.float64), report
