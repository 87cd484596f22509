"""How much of a question the embedder knows, and what that does to a recall."""

from __future__ import annotations

import unicodedata
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import open_memory
from bruno_memory_vec.embedders import CachedEmbedder, StaticEmbedder
from bruno_memory_vec.embedders.hashing import HashEmbedder
from bruno_memory_vec.embedders.known_letters import KnownLetters
from bruno_memory_vec.embedders.protocol import KnowsShare

START = datetime(2024, 3, 1)
# Every question shares its rare words with one text, and common ones with the others.
CHINESE = {
    "我在苏州订了一家安静的酒店": "我订的安静的酒店在哪里？",
    "妈妈的生日蛋糕是草莓味的": "妈妈的生日蛋糕是什么味的？",
    "上次去医院检查了右边的膝盖": "在医院检查了哪边的膝盖？",
    "我的自行车放在地铁站旁边": "自行车放在什么地方？",
    "周会改到了星期四下午三点": "周会改到什么时候？",
    "小王推荐了一本讲宋朝的书": "小王推荐的书讲什么？",
}
RUSSIAN = {
    "Мы забронировали тихую гостиницу в Суздале": "Где тихая гостиница?",
    "У мамы на день рождения был клубничный торт": "Какой торт был у мамы?",
    "В больнице проверили правое колено": "Какое колено проверили?",
}


def vocabulary(pieces: int, longer: int, alphabet: str) -> list[str]:
    single = [alphabet[number % len(alphabet)] for number in range(pieces)]
    pairs = [f"##{alphabet[n % 20]}{alphabet[n // 20]}" for n in range(longer)]
    return ["[UNK]", "!", "12", *single, *pairs]


def test_a_script_is_known_by_many_pieces_of_two_letters_or_very_many_of_one() -> None:
    latin, cyrillic = "abcdefghijklmnopqrstuvwxyz", "абвгдежзийклмнопрстуфхцчшщъыьэюя"
    known = KnownLetters([*vocabulary(26, 100, latin), *vocabulary(64, 99, cyrillic)])
    assert known.share("abc") == 1.0
    assert known.share("абв") == 0.0
    assert known.share("ab бв") == 0.5
    han = "".join(map(chr, range(0x4E00, 0x4E00 + 2_000)))
    assert KnownLetters(vocabulary(2_000, 0, han)).share("一丁") == 1.0
    assert KnownLetters(vocabulary(1_999, 0, han)).share("一丁") == 0.0


def test_accents_case_digits_and_marks_do_not_count() -> None:
    known = KnownLetters(vocabulary(26, 100, "abcdefghijklmnopqrstuvwxyz"))
    assert known.share("Où est l'HÔTEL, à 12:30?!") == 1.0
    assert known.share("") == known.share("12 !?") == 1.0
    # Letters that the vocabulary lacks, of a script that it knows.
    assert known.share("aøa") == pytest.approx(2 / 3)


def test_syllables_of_hangul_and_wide_or_long_kana_are_known() -> None:
    hangul = "".join(map(chr, range(0xAC00, 0xAC00 + 2_000)))
    kana = "".join(map(chr, range(0x30A1, 0x30FB))) + "ー"
    known = KnownLetters([*vocabulary(2_000, 0, hangul), *vocabulary(91, 100, kana)])
    assert known.share("가각") == 1.0
    assert known.share(unicodedata.normalize("NFD", "가각")) == 1.0
    assert known.share("ホテルー") == known.share("ﾎﾃﾙ") == 1.0
    assert known.share("가a") == 0.5


def test_the_default_embedder_knows_the_scripts_of_its_languages() -> None:
    embedder = StaticEmbedder()
    assert isinstance(embedder, KnowsShare)
    said = ("今天的会议", "昨日のごはん", "어제 저녁", "встреча", "اجتماع")
    for text in ("Where did we stay?", "Which café in Zürich?", "", "2025", "\ud800 where", *said):
        assert embedder.known_share(text) == 1.0, text


def test_a_cache_knows_what_its_embedder_knows(tmp_path: Path) -> None:
    text = "\U00010380 where"  # an Ugaritic letter, which no model here knows
    cached = CachedEmbedder(StaticEmbedder(), tmp_path)
    assert cached.known_share(text) == StaticEmbedder().known_share(text) < 1.0
    assert CachedEmbedder(HashEmbedder(), tmp_path).known_share(text) == 1.0


class English(StaticEmbedder):
    """An embedder that knows the letters of English only, as the first default did."""

    def known_share(self, text: str) -> float:
        letters = [letter for letter in text if letter.isalpha()]
        return sum(map(str.isascii, letters)) / max(len(letters), 1)


@pytest.mark.parametrize("cache", [0, 64])
@pytest.mark.parametrize(("language", "texts"), [("english", CHINESE), ("russian", RUSSIAN)])
async def test_balanced_is_not_behind_words_alone_in_any_script(
    language: str, texts: dict[str, str], cache: int
) -> None:
    async with open_memory(
        "memory://", embedder=English(), language=language, recall_cache_mb=cache
    ) as memory:
        for number, text in enumerate(texts):
            at = START + timedelta(days=number)
            message = Message(role=MessageRole.USER, content=text, timestamp=at)
            await memory.store_message(message, f"talk {number}", user_id="ana")
        for text, question in texts.items():
            ranks = {}
            for profile in ("lexical", "balanced"):
                hits = await memory.recall(
                    question, user_id="ana", k=9, now=START + timedelta(days=40), profile=profile
                )
                ranks[profile] = [hit.content for hit in hits].index(text)
            assert ranks["balanced"] <= ranks["lexical"], question
            assert {hit.signals["semantic"] for hit in hits} == {0.0}


async def test_the_vectors_count_by_the_share_that_is_known() -> None:
    async with open_memory("memory://", embedder=English()) as memory:
        for number, text in enumerate(("a quiet hotel by the lake", "the train was late", "湖")):
            message = Message(role=MessageRole.USER, content=text, timestamp=START)
            await memory.store_message(message, f"talk {number}", user_id="ana")
        best = {}
        for question in ("quiet hotel", "quiet hotel 湖" + "湖" * 9, "湖"):
            hits = await memory.recall(question, user_id="ana", k=3)
            best[question] = max(hit.signals["semantic"] for hit in hits)
        whole, half, none = best.values()
        assert half == pytest.approx(whole / 2)
        assert none == 0.0


async def test_an_embedder_that_cannot_tell_is_taken_to_know_all() -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        message = Message(role=MessageRole.USER, content="湖", timestamp=START)
        await memory.store_message(message, "talk", user_id="ana")
        (hit,) = await memory.recall("湖", user_id="ana")
        assert hit.signals["semantic"] > 0
