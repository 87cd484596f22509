"""English stop words: function and question words that say nothing about the subject.

They are left out of questions, but not out of the index. In a question ("what did she say about
the ...") they match almost every turn, and their many small weights add up to noise. They stay in
the index, because a question of only such words ("who am I?") must still find something, and so
that a later change of this list does not make an existing index wrong.

They are in lower case, without accents, like the tokenizer's output. It splits at the
apostrophe ("what's", "didn't"), so the pieces ("s", "didn", "t") are listed too.
Words that also name something a person may ask for ("may", "will", "us", "like",
"first", "last", "no") are not.
"""

from __future__ import annotations

_ARTICLES = "a an the this that these those"
_QUESTION = "what when where which who whom whose why how"
_PRONOUNS = (
    "i me my mine myself you your yours yourself yourselves he him his himself she her hers "
    "herself it its itself we our ours ourselves they them their theirs themselves"
)
_VERBS = (
    "am is are was were be been being do does did doing done have has had having "
    "can could would should shall might must"
)
_PREPOSITIONS = (
    "of to in on at by for from with about into onto as through during between upon within"
)
_CONJUNCTIONS = "and or but if than then so because while"
_ADVERBS = "there here just also too very ever any some such each both own same other"
# The pieces into which the tokenizer splits contractions, and contractions without the apostrophe.
_PIECES = (
    "s t d m ll re ve don doesn didn isn aren wasn weren hasn haven hadn couldn wouldn shouldn "
    "ain whats whos wheres whens hows dont doesnt didnt isnt wasnt"
)

QUESTION_STOPWORDS: frozenset[str] = frozenset(
    " ".join(
        (
            _ARTICLES,
            _QUESTION,
            _PRONOUNS,
            _VERBS,
            _PREPOSITIONS,
            _CONJUNCTIONS,
            _ADVERBS,
            _PIECES,
        )
    ).split()
)
