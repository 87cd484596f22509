"""The times that a question names, in each language that is read."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from bruno_memory_vec.indexers.schema import micros
from bruno_memory_vec.rankers import read_question
from bruno_memory_vec.rankers.time_expressions import find_periods

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
