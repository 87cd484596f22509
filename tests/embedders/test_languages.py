"""The default embedder knows words of other languages."""

from __future__ import annotations

import pytest

from bruno_memory_vec.embedders import StaticEmbedder

# By language: a question, what answers it in other words, and what does not.
SAID = {
    "Chinese": [
        "我的宠物叫什么名字?",
        "我家的猫名叫小白。",
        "会议改到了星期四下午。",
        "医生说膝盖需要休息。",
    ],
    "Japanese": [
        "夕食に何を食べましたか?",
        "昨日の夜はラーメンにしました。",
        "会議は木曜日に変更されました。",
        "妹はバイオリンを弾きます。",
    ],
    "Korean": [
        "저녁에 무엇을 먹었어요?",
        "어제 식당에서 음식을 주문했어요.",
        "회의가 목요일로 바뀌었습니다.",
        "여동생은 바이올린을 연주해요.",
    ],
    "Russian": [
        "Что мы ели на ужин?",
        "Вчера мы ели суп в ресторане.",
        "Собрание перенесли на четверг.",
        "Моя сестра играет на скрипке.",
    ],
    "Arabic": [
        "ماذا قال الطبيب؟",
        "في المستشفى نصحوني بتناول الدواء.",
        "تغير موعد الاجتماع إلى يوم الخميس.",
        "أختي تعزف على الكمان.",
    ],
    "German": [
        "Welche Medizin gab mir der Arzt?",
        "Im Krankenhaus bekam ich eine Tablette.",
        "Unsere Sitzung ist jetzt erst am Donnerstag.",
        "Meine Schwester spielt in der Schule Geige.",
    ],
    "French": [
        "Que disait le médecin?",
        "À l'hôpital on m'a donné un médicament.",
        "La réunion est le jeudi après-midi.",
        "Ma sœur joue du piano à l'école.",
    ],
    "Spanish": [
        "¿Qué me dijo el médico?",
        "En el hospital me recetaron una medicina.",
        "La reunión se aplazó hasta el jueves.",
        "Mi hermana toca el violín.",
    ],
}


@pytest.mark.parametrize("language", SAID)
def test_a_question_is_nearest_to_what_answers_it(language: str) -> None:
    question, *rows = StaticEmbedder().embed(SAID[language])
    cosines = [float(row @ question) for row in rows]
    assert cosines[0] > max(cosines[1:]) + 0.05, cosines
