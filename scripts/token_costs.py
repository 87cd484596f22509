"""Make the two lists of ``bruno_memory_vec/prompts``: what is one token or two in every vocabulary.

    python scripts/token_costs.py FOLDER          # writes the lists
    python scripts/token_costs.py FOLDER --check  # looks for a text with more tokens than the bound

FOLDER holds ``*.tiktoken`` files (``base64 rank`` a line; beside each a ``.pattern`` file with the
expression that splits texts), ``*.json`` of Hugging Face's tokenizers and ``*.model`` files of
SentencePiece. It needs ``tiktoken``, ``tokenizers`` and ``sentencepiece``. The lists were made with
those of GPT-4 (cl100k) and GPT-4o (o200k), Llama 3 and 4, Qwen 1, Claude 2, DeepSeek 3, Mistral 7B
(32,000 pieces, near to Llama 2's) and Mistral NeMo, as the packages litellm 1.110.2, llama-models
0.3.0, dashscope and mistral-common 1.13.1 carry them.
"""

from __future__ import annotations

import argparse
import base64
import random
import re
import string
import textwrap
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path

from bruno_memory_vec.prompts.token_bound import most_tokens

TARGET = Path(__file__).resolve().parents[1] / "bruno_memory_vec" / "prompts"
WORDS, CHARACTERS = TARGET / "one_token_words.txt", TARGET / "token_characters.txt"
RANGES = [(0xA1, 0x2C00), (0x3000, 0xA000), (0xAC00, 0xD7A4), (0xFF01, 0xFFEF), (0x1F000, 0x1FB00)]
LEFT_OUT = {"Cn", "Co", "Cf", "Zs", "Zl", "Zp"}

Count = Callable[[str], int]


def counters(folder: Path) -> dict[str, Count]:
    """A counter of tokens for each vocabulary in the folder."""
    import sentencepiece
    import tiktoken
    from tokenizers import Tokenizer

    found: dict[str, Count] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix == ".tiktoken":
            lines = (line.split() for line in path.read_bytes().splitlines() if line.strip())
            ranks = {base64.b64decode(text): int(rank) for text, rank in lines}
            pattern = path.with_suffix(".pattern").read_text(encoding="utf-8").strip()
            bpe = tiktoken.Encoding(
                path.stem, pat_str=pattern, mergeable_ranks=ranks, special_tokens={}
            )
            found[path.stem] = lambda text, bpe=bpe: len(bpe.encode_ordinary(text))
        elif path.suffix == ".json":
            model = Tokenizer.from_file(str(path))
            found[path.stem] = lambda text, model=model: len(
                model.encode(text, add_special_tokens=False).ids
            )
        elif path.suffix == ".model":
            pieces = sentencepiece.SentencePieceProcessor(model_file=str(path))
            found[path.stem] = lambda text, pieces=pieces: len(pieces.encode(text))
    return found


def words(folder: Path, counts: dict[str, Count]) -> list[str]:
    """The words of ASCII letters that are one token behind a space, in each vocabulary."""
    first = next(path for path in sorted(folder.iterdir()) if path.suffix == ".tiktoken")
    texts = [base64.b64decode(line.split()[0]) for line in first.read_bytes().splitlines()]
    candidates = {text[1:].decode() for text in texts if re.fullmatch(b" [A-Za-z]+", text)}
    return sorted(
        word
        for word in candidates
        if all(count(f"x {word} x") - count("x x") <= 1 for count in counts.values())
    )


def characters(counts: dict[str, Count]) -> tuple[list[str], list[str]]:
    """The characters that are one token, and those of three bytes or more that are two."""
    one, two = [], []
    for code in (code for begin, end in RANGES for code in range(begin, end)):
        character = chr(code)
        if unicodedata.category(character) in LEFT_OUT:
            continue
        size = len(character.encode())
        most = 1
        for count in counts.values():
            most = max(most, *(count(before + character) - count(before) for before in "7はé"))
        # Byte pairs may join across Korean syllables, so that two of them are more than each alone.
        joins = "HANGUL" in unicodedata.name(character, "") or character == "™"
        if most == 1 and not joins:
            one.append(character)
        elif most <= 2 < size:
            two.append(character)
    return one, two


def check(counts: dict[str, Count], seconds: float) -> None:
    """Count random hostile texts, and print the one that exceeds the bound most."""
    known, costs = WORDS.read_text("utf-8").split(), CHARACTERS.read_text("utf-8").split()
    parts: list[Callable[[], str]] = [
        lambda: random.choice(known),
        lambda: " " + random.choice(known),
        lambda: random.choice(known).upper(),
        lambda: random.choice(known)[:3],
        lambda: random.choice(string.punctuation),
        lambda: random.choice(string.digits),
        lambda: random.choice(string.ascii_letters),
        lambda: random.choice(random.choice(costs)),
        lambda: chr(random.choice([random.randint(a, b - 1) for a, b in RANGES])),
        lambda: random.choice([" ", "  ", "\n- [", "'", "’"]),
    ]
    worst, tried, end = (-99, "", ""), 0, time.monotonic() + seconds
    while time.monotonic() < end:
        chosen = random.sample(parts, random.randint(1, 6))
        text = "".join(random.choice(chosen)() for _ in range(random.choice((2, 3, 5, 10, 40))))
        bound, tried = most_tokens(text), tried + 1
        worst = max(worst, *((count(text) - bound, name, text) for name, count in counts.items()))
    print(f"{tried} texts; the most above the bound: {worst}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--seconds", type=float, default=60)
    chosen = parser.parse_args()
    counts = counters(chosen.folder)
    if chosen.check:
        check(counts, chosen.seconds)
        return
    found = textwrap.wrap(" ".join(words(chosen.folder, counts)), 100)
    WORDS.write_text("\n".join(found) + "\n", encoding="utf-8")
    one, two = characters(counts)
    CHARACTERS.write_text(f"{''.join(one)}\n{''.join(two)}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
