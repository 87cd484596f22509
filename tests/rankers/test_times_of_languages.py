"""The times that a question names, in each language that is read."""

from __future__ import annotations

import unicodedata
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from bruno_memory_vec.indexers.schema import micros
from bruno_memory_vec.indexers.text.analysis import LANGUAGES
from bruno_memory_vec.rankers import read_question
from bruno_memory_vec.rankers.time_expressions import find_periods
from bruno_memory_vec.rankers.time_expressions.other_languages import languages_of
from bruno_memory_vec.rankers.time_expressions.tables import TABLES

UTC = ZoneInfo("UTC")
WEDNESDAY = datetime(2024, 5, 15, 13, 30, tzinfo=UTC)


def found(text: str, now: datetime = WEDNESDAY) -> list[str]:
    """The periods in the zone of ``now``, each as its first and its last day."""

    def day(at: int) -> str:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)
        return moment.astimezone(now.tzinfo).isoformat()[:10]

    periods = find_periods(text, micros(now), now.tzinfo or UTC)
    return [f"{day(period.start)}..{day(period.end - 1)}" for period in periods]


CHINESE = {
    "2025年3月，我和谁聊过？": "2025-03-01..2025-03-31",
    "6月15日我去了哪里": "2023-06-15..2023-06-15",
    "3月份读了什么书": "2024-03-01..2024-03-31",
    "三月上旬的会议": "2024-03-01..2024-03-10",
    "十二月中旬": "2023-12-11..2023-12-20",
    "4月下旬": "2024-04-21..2024-04-30",
    "12月初": "2023-12-01..2023-12-10",
    "去年3月发生了什么": "2023-03-01..2023-03-31",
    "今年5月6日": "2024-05-06..2024-05-06",
    "前年年底": "2022-11-01..2022-12-31",
    "2023年上半年": "2023-01-01..2023-06-30",
    "2023年第三季度": "2023-07-01..2023-09-30",
    "上个月的账单": "2024-04-01..2024-04-30",
    "上个月底": "2024-04-21..2024-04-30",
    "上周三吃了什么": "2024-05-08..2024-05-08",
    "这周一": "2024-05-13..2024-05-13",
    "上上周": "2024-04-29..2024-05-05",
    "昨天": "2024-05-14..2024-05-14",
    "大前天": "2024-05-12..2024-05-12",
    "三天前": "2024-05-12..2024-05-12",
    "两周前": "2024-04-29..2024-05-05",
    "十一个月前": "2023-06-01..2023-06-30",
    "1月9日至11日期间": "2024-01-09..2024-01-11",
    "3月至5月": "2024-03-01..2024-05-31",
    "二〇二三年": "2023-01-01..2023-12-31",
    "最近去了哪": "2024-04-15..2024-05-16",
    "上周末": "2024-05-11..2024-05-12",
    "去年夏天": "2023-06-01..2023-08-31",
}
JAPANESE = {
    "昨日は何をしましたか": "2024-05-14..2024-05-14",
    "先週の月曜日": "2024-05-06..2024-05-06",
    "先月どこへ": "2024-04-01..2024-04-30",
    "３月上旬に": "2024-03-01..2024-03-10",
    "2023年5月6日の": "2023-05-06..2023-05-06",
    "2か月前": "2024-03-01..2024-03-31",
    "一昨年の夏": "2022-06-01..2022-08-31",
}
KOREAN = {
    "어제 뭐 했어?": "2024-05-14..2024-05-14",
    "지난주 월요일에": "2024-05-06..2024-05-06",
    "지난달": "2024-04-01..2024-04-30",
    "작년 3월 초에": "2023-03-01..2023-03-10",
    "2023년 5월 6일": "2023-05-06..2023-05-06",
    "두 달 전": "2024-03-01..2024-03-31",
    "사흘 전": "2024-05-12..2024-05-12",
}
ENGLISH = {
    "In early September, what did I buy?": "2023-09-01..2023-09-10",
    "on which day in mid-January": "2024-01-11..2024-01-20",
    "at the end of march": "2024-03-21..2024-03-31",
    "during the first week of March": "2024-03-01..2024-03-07",
    "from January 9th to 11th": "2024-01-09..2024-01-11",
    "late in 2022": "2022-11-01..2022-12-31",
}


#: Of each language: yesterday, two weeks ago, a month of a year, a day, last month, early in April,
#: last summer; then what is before or after a time, and what names none.
OTHERS: dict[str, list[str]] = {
    "german": [
        "Was haben wir gestern gemacht?",
        "Wo war ich vor zwei Wochen?",
        "Was habe ich im März 2023 gelesen?",
        "Wo waren wir am 3. Mai?",
        "Was habe ich letzten Monat bezahlt?",
        "Wer war Anfang April bei uns?",
        "Wo waren wir letzten Sommer?",
        "Was war vor 2019, und was nach dem 3. Mai 2020?",
        "Wer mag hier Mais, und was ist das?",
    ],
    "dutch": [
        "Wat deden we gisteren?",
        "Waar was ik twee weken geleden?",
        "Wat las ik in maart 2023?",
        "Waar waren we op 3 mei?",
        "Wat heb ik vorige maand betaald?",
        "Wie was er begin april bij ons?",
        "Waar waren we vorige zomer?",
        "Wat was er voor 2019 en na mei 2020?",
        "Wat is hier het beste?",
    ],
    "swedish": [
        "Vad gjorde vi i går?",
        "Var var jag för två veckor sedan?",
        "Vad läste jag i mars 2023?",
        "Var var vi den 3 maj?",
        "Vad betalade jag förra månaden?",
        "Vem var hos oss i början av april?",
        "Var var vi förra sommaren?",
        "Vad hände före 2019 och efter maj 2020?",
        "Vad är det för en planet, mars?",
    ],
    "danish": [
        "Hvad gjorde vi i går?",
        "Hvor var jeg for to uger siden?",
        "Hvad læste jeg i marts 2023?",
        "Hvor var vi den 3. maj?",
        "Hvad har jeg betalt sidste måned?",
        "Hvem var hos os i begyndelsen af april?",
        "Hvor var vi sidste sommer?",
        "Hvad skete der før 2019 og efter maj 2020?",
        "Hvad er det?",
    ],
    "norwegian": [
        "Hva gjorde vi i går?",
        "Hvor var jeg for to uker siden?",
        "Hva leste jeg i mars 2023?",
        "Hvor var vi den 3. mai?",
        "Hva betalte jeg forrige måned?",
        "Hvem var hos oss i begynnelsen av april?",
        "Hvor var vi forrige sommer?",
        "Hva skjedde før 2019 og etter mai 2020?",
        "Hva er det?",
    ],
    "french": [
        "Qu’est-ce que nous avons fait hier ?",
        "Où étais-je il y a deux semaines ?",
        "Qu'ai-je lu en mars 2023 ?",
        "Où étions-nous le 3 mai ?",
        "Qu'ai-je payé le mois dernier ?",
        "Qui est venu début avril ?",
        "Où étions-nous l'été dernier ?",
        "Que s'est-il passé avant 2019 et depuis mai 2020 ?",
        "Qui a été là, et que fait mars ?",
    ],
    "spanish": [
        "¿Qué hicimos ayer?",
        "¿Dónde estuve hace dos semanas?",
        "¿Qué leí en marzo de 2023?",
        "¿Dónde estuvimos el 3 de mayo?",
        "¿Qué pagué el mes pasado?",
        "¿Quién vino a principios de abril?",
        "¿Dónde estuvimos el verano pasado?",
        "¿Qué pasó antes de 2019 y después de mayo de 2020?",
        "¿Qué es lo que más le gusta?",
    ],
    "portuguese": [
        "O que fizemos ontem?",
        "Onde eu estava há duas semanas?",
        "O que eu li em março de 2023?",
        "Onde estávamos em 3 de maio?",
        "O que eu paguei no mês passado?",
        "Quem veio no início de abril?",
        "Onde estávamos no verão passado?",
        "O que foi antes de 2019 e depois de maio de 2020?",
        "Quem fez a segunda parte?",
    ],
    "italian": [
        "Che cosa abbiamo fatto ieri?",
        "Dove ero due settimane fa?",
        "Che cosa ho letto a marzo 2023?",
        "Dove eravamo il 3 maggio?",
        "Che cosa ho pagato il mese scorso?",
        "Chi è venuto all'inizio di aprile?",
        "Dove eravamo la scorsa estate?",
        "Che cosa è successo prima del 2019 e dopo maggio 2020?",
        "Chi è il sesto?",
    ],
    "romanian": [
        "Ce am făcut ieri?",
        "Unde eram acum două săptămâni?",
        "Ce am citit în martie 2023?",
        "Unde am fost pe 3 mai?",
        "Ce am plătit luna trecută?",
        "Cine a venit la începutul lui aprilie?",
        "Unde am fost vara trecută?",
        "Ce a fost înainte de 2019 și după mai 2020?",
        "Ce vrea mai mult?",
    ],
    "finnish": [
        "Mitä teimme eilen?",
        "Missä olin kaksi viikkoa sitten?",
        "Mitä luin maaliskuussa 2023?",
        "Missä olimme 3. toukokuuta?",
        "Mitä maksoin viime kuussa?",
        "Kuka oli meillä huhtikuun alussa?",
        "Missä olimme viime kesänä?",
        "Mitä tapahtui ennen 2019 ja 2020 jälkeen?",
        "Mitä se on?",
    ],
    "hungarian": [
        "Mit csináltunk tegnap?",
        "Hol voltam két héttel ezelőtt?",
        "Mit olvastam 2023. márciusban?",
        "Hol voltunk május 3-án?",
        "Mit fizettem a múlt hónapban?",
        "Ki volt nálunk április elején?",
        "Hol voltunk múlt nyáron?",
        "Mi történt 2019 előtt és 2020 után?",
        "Mi ez?",
    ],
    "turkish": [
        "Dün ne yaptık?",
        "İki hafta önce neredeydim?",
        "Mart 2023'te ne okudum?",
        "3 Mayıs'ta nerede kaldık?",
        "Geçen ay ne ödedim?",
        "Nisan başında kim geldi?",
        "Geçen yaz nerede kaldık?",
        "2019 öncesi değil, 2020 sonra ne oldu?",
        "Bu ne?",
    ],
    "greek": [
        "Τι κάναμε χθες;",
        "Πού ήμουν πριν δύο εβδομάδες;",
        "Τι διάβασα τον Μάρτιο του 2023;",
        "Πού ήμασταν στις 3 Μαΐου;",
        "Τι πλήρωσα τον περασμένο μήνα;",
        "Ποιος ήρθε στις αρχές Απριλίου;",
        "Πού ήμασταν το περασμένο καλοκαίρι;",
        "Τι έγινε πριν το 2019 και μετά το 2020;",
        "Τι είναι αυτό;",
    ],
    "russian": [
        "Что мы делали вчера?",
        "Где я был две недели назад?",
        "Что я читал в марте 2023 года?",
        "Где мы были 3 мая?",
        "Сколько я заплатил в прошлом месяце?",
        "Кто приходил в начале апреля?",
        "Где мы были прошлым летом?",
        "Что было до 2019 и после мая 2020?",
        "Что это такое?",
    ],
    "arabic": [
        "ماذا فعلنا أمس؟",
        "أين كنت قبل أسبوعين؟",
        "ماذا قرأت في مارس 2023؟",
        "أين كنا في ٣ مايو؟",
        "كم دفعت الشهر الماضي؟",
        "من جاء في أوائل أبريل؟",
        "أين كنا في الصيف الماضي؟",
        "ماذا حدث قبل 2019 وبعد ذلك؟",
        "ما هذا؟",
    ],
    "tamil": [
        "நேற்று என்ன செய்தோம்?",
        "இரண்டு வாரங்களுக்கு முன்பு எங்கே இருந்தேன்?",
        "மார்ச் 2023 என்ன படித்தேன்?",
        "மே 3 எங்கே இருந்தோம்?",
        "கடந்த மாதம் எவ்வளவு செலவு?",
        "ஏப்ரல் தொடக்கத்தில் யார் வந்தார்?",
    ],
}
WANTED = (
    "2024-05-14..2024-05-14",
    "2024-04-29..2024-05-05",
    "2023-03-01..2023-03-31",
    "2024-05-03..2024-05-03",
    "2024-04-01..2024-04-30",
    "2024-04-01..2024-04-10",
    "2023-06-01..2023-08-31",
)


def test_there_are_words_of_every_language_that_the_analyser_knows() -> None:
    assert set(TABLES) | {"english"} == LANGUAGES
    assert set(OTHERS) == set(TABLES)


@pytest.mark.parametrize("language", OTHERS)
def test_times_are_read_in(language: str) -> None:
    texts = OTHERS[language]
    named = dict(zip(texts, WANTED, strict=False))
    assert {text: found(text) for text in named} == {text: [one] for text, one in named.items()}
    assert [found(text) for text in texts[7:]] == [[] for _ in texts[7:]]
    # With accents as letters of their own, without any, and in capitals.
    apart = unicodedata.normalize("NFD", texts[2])
    assert found(apart) == [WANTED[2]]
    if language not in ("tamil", "russian"):
        assert found("".join(filter(lambda one: not unicodedata.combining(one), apart)))
    assert found(texts[2].upper()) == [WANTED[2]]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Wo war ich letzten Montag?", "2024-05-13..2024-05-13"),
        ("¿Qué hice el viernes pasado?", "2024-05-10..2024-05-10"),
        ("Qu'ai-je fait samedi dernier ?", "2024-05-11..2024-05-11"),
        ("Что мы делали в прошлую пятницу?", "2024-05-10..2024-05-10"),
        ("Was habe ich in den letzten zwei Wochen gegessen?", "2024-05-01..2024-05-16"),
        ("Wo waren wir vom 3. bis 5. März?", "2024-03-03..2024-03-05"),
        ("Was war Ende 2022?", "2022-11-01..2022-12-31"),
        ("Was war am 3.5.2023?", "2023-05-03..2023-05-03"),
        ("¿Qué hice hace 3 años?", "2021-01-01..2021-12-31"),
        ("qui est venu mi-janvier", "2024-01-11..2024-01-20"),
        ("Was habe ich kürzlich gekauft?", "2024-04-15..2024-05-16"),
        ("Che cosa ho fatto ieri sera?", "2024-05-14..2024-05-15"),
        ("Dove ho dormito lo scorso fine settimana?", "2024-05-11..2024-05-12"),
        ("hace tres días", "2024-05-12..2024-05-12"),
        ("kaksi viikkoa sitten", "2024-04-29..2024-05-05"),
    ],
)
def test_weekdays_ranges_parts_and_what_tells_no_language(text: str, wanted: str) -> None:
    assert found(text) == [wanted]


@pytest.mark.parametrize(
    "text",
    [
        "Can I have extra mayo?",
        "Where was the Mars bar?",
        "What did the hier say about the mai tai?",
        "Was the pasta al dente?",
        "Who is Dora May?",
        "the ocak restaurant",
    ],
)
def test_words_of_other_languages_mean_no_time_in_english(text: str) -> None:
    assert found(text) == []


def test_a_question_without_a_time_is_read_by_english_alone() -> None:
    """Other languages' patterns take ten times as long."""
    for text in ("What did Ana order for lunch?", "Where is my car?", "Who was that in the park"):
        assert languages_of(text.lower()) == []
    assert languages_of("wo ist mein auto") == ["german"]


@pytest.mark.parametrize("cases", [CHINESE, JAPANESE, KOREAN, ENGLISH])
def test_a_time_is_read_in_its_language(cases: dict[str, str]) -> None:
    assert {text: found(text) for text in cases} == {text: [one] for text, one in cases.items()}


@pytest.mark.parametrize(
    "text",
    [
        "2019年以前",
        "三月之后我做了什么",
        "十一个月",
        "三个周三晚上",
        "月曜日に",
        "第一季度的奖金",
        "13月",
        "2月30日",
        "我的岁月",
        "春节假期",
        "まいにち",
        "2019년 이후",
        "초등학교",
    ],
)
def test_these_name_no_time(text: str) -> None:
    assert found(text) == []


def test_each_of_several_is_found_and_a_year_said_once_holds_for_the_next() -> None:
    assert found("2022年9月和10月") == ["2022-09-01..2022-09-30", "2022-10-01..2022-10-31"]
    assert found("9月4日、9月7日及9月11日") == [
        f"2023-09-{day}..2023-09-{day}" for day in ("04", "07", "11")
    ]


def test_recently_counts_only_beside_no_date() -> None:
    assert found("2023年3月，他最近在忙什么") == ["2023-03-01..2023-03-31"]
    assert found("In March 2023, what had she recently learned?") == ["2023-03-01..2023-03-31"]


def test_days_are_those_of_the_question_s_own_time_and_zone() -> None:
    late = datetime(2025, 12, 31, 18, tzinfo=UTC)
    for zone, yesterday, year in (
        ("America/New_York", "2025-12-30", 2025),
        ("Asia/Shanghai", "2025-12-31", 2026),
    ):
        now = late.astimezone(ZoneInfo(zone))
        assert found("昨天", now) == [f"{yesterday}..{yesterday}"]
        assert found("今年", now) == [f"{year}-01-01..{year}-12-31"]
        (period,) = read_question("昨天", micros(now), ZoneInfo(zone)).periods
        start = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=period.start)
        assert start.astimezone(ZoneInfo(zone)).hour == 0
