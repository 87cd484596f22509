"""Short English texts from WordNet 3.0, on which the static token vectors are trained.

WordNet (Miller, "WordNet: A Lexical Database for English", 1995; Princeton University, free
for any use with its notice) gives each sense a definition, and many a usage example. Debian
carries it: ``apt-get download wordnet-base``, then ``dpkg -x wordnet-base_*.deb FOLDER``; the
files are in ``FOLDER/usr/share/wordnet``. Used here: wordnet-base 1:3.0-37, sha256
61060d960f9ada8fa120872312eccd3ecebfbab8c4579e4f5a74e1cf67620752.
"""

from __future__ import annotations

import random
import re
from pathlib import Path

PARTS = ("noun", "verb", "adj", "adv")
SOURCE = "WordNet 3.0"
_MARKER = re.compile(r"\(\w+\)$")  # "galore(ip)": where an adjective may stand
_QUOTED = re.compile(r'"([^"]+)"')
_BEFORE_EXAMPLES = re.compile(r';?\s*"')
# Two examples to three definitions, so that every beginning of the list holds both kinds.
_EXAMPLES, _DEFINITIONS = 2, 3


def read_texts(folder: Path, count: int, seed: int = 0) -> list[str]:
    """The first `count` texts of a list whose order depends on `seed` alone.

    A text is a usage example of three words or more ("I picked up after a nap"), or a
    definition behind its words ("perk up, pick up: gain or regain energy").

    Raises:
        SystemExit: the folder is not that of WordNet 3.0.
    """
    examples: list[str] = []
    definitions: list[str] = []
    for part in PARTS:
        path = folder / f"data.{part}"
        if not path.is_file():
            raise SystemExit(f"{path} is not there: give the folder with WordNet's data files")
        text = path.read_text(encoding="latin-1")
        if f"{SOURCE} Copyright" not in text:
            raise SystemExit(f"{path} does not say that it is of {SOURCE}")
        for line in text.splitlines():
            if line.startswith(" "):  # the licence
                continue
            head, _, gloss = line.partition("|")
            fields = head.split()
            words = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
            names = [_MARKER.sub("", word).replace("_", " ") for word in words]
            gloss = gloss.strip()
            definition = _BEFORE_EXAMPLES.split(gloss)[0].strip(" ;")
            definitions.append(f"{', '.join(names)}: {definition}")
            quotes = (quote.strip() for quote in _QUOTED.findall(gloss))
            examples += [quote for quote in quotes if len(quote.split()) >= 3]
    order = random.Random(seed)  # an order, no secret
    order.shuffle(examples)
    order.shuffle(definitions)
    texts: list[str] = []
    while examples or definitions:
        texts += examples[:_EXAMPLES] + definitions[:_DEFINITIONS]
        del examples[:_EXAMPLES], definitions[:_DEFINITIONS]
        if len(texts) >= count:
            break
    return texts[:count]
