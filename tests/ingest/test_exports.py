"""A small file of each format, shaped as the real ones, with invented people."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import zipfile
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from bruno_core.models.message import MessageType

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.portability import BadLine, Turn, read

EXPORTS = Path(__file__).parent / "exports"
Said = tuple[str, str, str]


def turns(source: Any, left_out: Counter[str] | None = None, **options: Any) -> list[Turn]:
    got = list(read(source, left_out=left_out, **options))
    assert [item for item in got if isinstance(item, BadLine)] == []
    return [item for item in got if isinstance(item, Turn)]


def said(got: list[Turn]) -> list[Said]:
    return [(t.conversation_id, t.message.role.value, t.message.content) for t in got]


def of(name: str, **options: Any) -> tuple[list[Turn], Counter[str]]:
    left: Counter[str] = Counter()
    return turns(EXPORTS / name, left, **options), left


def branch(conversation: str, first: str) -> str:
    """What a branch is called that begins with this node."""
    return f"{conversation}/branch-{hashlib.sha256(first.encode()).hexdigest()[:8]}"


def test_chatgpt_branches_tools_and_voice() -> None:
    got, left = of("chatgpt.json")
    bread = "68c0ffee-0000-4000-8000-000000000001"

    swim = "68c0ffee-0000-4000-8000-000000000002"
    prompt = '{"prompt": "a loaf of bread, watercolour", "size": "1024x1024"}'
    assert said(got) == [
        (bread, "user", "How long do I proof the dough?"),
        (bread, "assistant", "About two hours at 22 degrees."),
        (bread, "user", "Draw it for me"),
        (bread, "assistant", f"called dalle.text2im({prompt})"),
        (bread, "assistant", "[image: a loaf of bread, watercolour]"),
        (bread, "assistant", "Here it is."),
        (
            branch(bread, "aaaa0009-0000-4000-8000-000000000000"),
            "assistant",
            "Until it has doubled.",
        ),
        (swim, "user", "Where can I swim in Porto?"),
        (swim, "assistant", "Matosinhos has a wide beach."),
        (swim, "assistant", "called python(print(2 + 2))"),
        (swim, "tool", "4"),
        (swim, "user", "What is on this?"),
    ]
    kinds = [turn.message.message_type for turn in got]
    assert kinds[3] == kinds[9] == MessageType.ACTION
    assert kinds[4] == MessageType.IMAGE
    # A message without a time follows the one before it, and is marked.
    assert (got[5].timed, got[5].message.timestamp) == (
        False,
        datetime(2025, 9, 16, 5, 21, 10, 1),
    )
    assert got[-1].message.metadata == {
        "title": "Swimming",
        "files": ["beach.jpg"],
        "noted": ["image"],
    }
    assert left == {
        "messages hidden by the site": 1,
        "reasoning": 1,
        "sounds whose words are there": 2,
        "empty tool results": 1,
    }


def test_claude_ai() -> None:
    got, left = of("claude.json")
    chat = "c1a0de00-1111-4000-8000-000000000000"
    assert said(got) == [
        (chat, "user", "When does the train to Faro leave?"),
        (chat, "assistant", "Let me look."),
        (chat, "assistant", 'called web_search({"query": "train Lisbon Faro"})'),
        (chat, "tool", "08:32 from Oriente"),
        (chat, "assistant", "At 08:32."),
        (branch(chat, "c1a0de00-0000-4000-8000-000000000003"), "user", "And back?"),
        (chat, "user", "And back on Sunday?"),
        (chat, "assistant", "At 19:05."),
    ]
    assert {turn.user_id for turn in got} == {"acc00000-0000-4000-8000-000000000001"}
    assert got[0].message.metadata == {"title": "Trains to Faro", "files": ["timetable.txt"]}
    assert left == {"reasoning": 1, "empty tool results": 1, "texts of attached files": 1}
    # The number of an account is no name: the caller's counts.
    assert {turn.user_id for turn in of("claude.json", user_id="ana")[0]} == {"ana"}


def test_two_accounts_are_not_put_together() -> None:
    chats = json.loads((EXPORTS / "claude.json").read_text("utf-8"))
    chats.append({**chats[0], "uuid": "other", "account": {"uuid": "another"}})
    data = json.dumps(chats).encode()
    assert {turn.user_id for turn in turns(io.BytesIO(data))} == {
        "acc00000-0000-4000-8000-000000000001",
        "another",
    }
    with pytest.raises(InvalidInputError, match="more than one account") as caught:
        turns(io.BytesIO(data), user_id="ana")
    assert caught.value.field == "user_id"


def test_session_logs() -> None:
    got, left = of("claude-code.jsonl")
    session = "5e551000-0000-4000-8000-000000000001"
    assert said(got) == [
        (session, "user", "Why does the parser drop the last line?"),
        (session, "assistant", 'called Read({"file_path": "parser.py"})'),
        (session, "tool", "for line in text.split('\\n')[:-1]:"),
        (session, "assistant", "It slices the last line off."),
        (f"{session}/agent", "user", "Find the tests of the parser."),
    ]
    assert left == {"events of the program": 2, "what the program puts in": 1, "reasoning": 1}
    assert got[0].source_id == "e0000000-0000-4000-8000-000000000002"
    got, left = of("codex.jsonl")
    assert {turn.conversation_id for turn in got} == {"019a0000-0000-7000-8000-000000000001"}
    assert [words for _, _, words in said(got)] == [
        "Make the footer sticky",
        'called shell({"command":["ls"]})',
        "index.html\nsite.css",
        "Done: position sticky in site.css.",
    ]
    assert all(turn.timed for turn in got)
    assert left["reasoning"] == left["empty tool results"] == 1
    old = said(of("codex-old.jsonl")[0])
    assert [words for _, _, words in old] == ["List the files", "Two files."]


def test_parts_of_the_apis() -> None:
    got, left = of("anthropic.json")
    assert [(role, words) for _, role, words in said(got)] == [
        ("system", "You are a travel guide."),
        ("user", "What is the weather in Lisbon?"),
        ("assistant", "I look it up."),
        ("assistant", 'called weather({"city": "Lisbon"})'),
        ("tool", "19 degrees"),
        ("assistant", "19 degrees."),
    ]
    assert left == {"empty tool results": 1}
    got, left = of("openai-items.json")
    assert [(role, words) for _, role, words in said(got)] == [
        ("user", "Book a table for two"),
        ("assistant", 'called book({"people": 2})'),
        ("tool", "booked for 20:00"),
        ("assistant", "Your table is at 20:00."),
    ]
    got, _ = of("openai-response.json")
    assert [words for _, _, words in said(got)] == [
        'called web_search({"type": "search", "query": "tide times Porto"})',
        "High tide is at 14:10.",
    ]


def test_collections_for_training() -> None:
    got, left = of("sharegpt.json")
    assert said(got) == [
        ("identity_0", "user", "Who wrote Os Lusíadas?"),
        ("identity_0", "assistant", "Luís de Camões."),
        ("identity_1", "system", "Be short."),
        ("identity_1", "user", "Weather?"),
        ("identity_1", "assistant", 'called a tool({"name": "weather"})'),
        ("identity_1", "assistant", "I do not know."),
    ]
    # One empty result of a tool refuses nothing.
    assert left == {"empty tool results": 1}
    got, _ = of("ultrachat.jsonl")
    assert [role for _, role, _ in said(got)] == ["user", "assistant"] * 2
    got, _ = of("oasst.jsonl")
    tree = "0a500001-0000-4000-8000-000000000000"
    assert said(got) == [
        (tree, "user", "What is a monsoon?"),
        (tree, "assistant", "A wind that turns with the season."),
        (branch(tree, "0a500002-0000-4000-8000-000000000000"), "assistant", "Rain."),
    ]
    assert said(of("oasst-trees.jsonl")[0]) == [
        ("t-1", "user", "Hi"),
        ("t-1", "assistant", "Hello"),
    ]


def test_frameworks() -> None:
    got, _ = of("langchain.json")
    assert said(got) == [
        ("exports/langchain", "user", "My cat is called Pixel"),
        ("exports/langchain", "assistant", 'called note({"cat": "Pixel"})'),
        ("exports/langchain", "tool", "saved"),
        ("exports/langchain", "assistant", "Noted: Pixel."),
    ]
    assert [words for _, _, words in said(of("langchain-lc.jsonl")[0])] == [
        "Good morning",
        "Good morning, Ana",
    ]
    assert said(of("llamaindex.json")[0]) == [
        ("ana", "user", "I moved to Braga"),
        ("ana", "assistant", "How is Braga?"),
        ("ben", "user", "I moved to Évora"),
    ]
    (node,) = of("llamaindex-docstore.json")[0]
    assert (node.kind, node.message.content) == ("document", "The rent is due on the fifth.")
    got, left = of("open-webui.json")
    chat = "0e000000-0000-4000-8000-000000000001"
    assert said(got) == [
        (chat, "user", "How often do I water a fern?"),
        (chat, "assistant", "Twice a week."),
        (branch(chat, "m2"), "assistant", "Daily."),
    ]
    assert left == {"reasoning": 1}


def test_google() -> None:
    got, left = of("gemini")
    assert said(got) == [
        ("gemini/2025-09-01", "user", "When is the museum open?"),
        ("gemini/2025-09-01", "assistant", "From 10 to 18.\n- Closed on Monday"),
        ("gemini/2025-09-02", "user", "and in winter?"),
        ("gemini/2025-09-02", "assistant", "Then it is closed."),
    ]
    assert left == {"other activities": 2}
    got, left = of("ai-studio.json")
    assert [words for _, _, words in said(got)] == [
        "Answer in one line.",
        "Name a river in Portugal",
        "The Douro.",
        "[image]",
    ]
    times = [turn.message.timestamp for turn in got]
    assert times == sorted(set(times))
    assert left == {"reasoning": 1}


def test_google_as_a_page() -> None:
    got, left = of("gemini-page")
    assert said(got) == [
        ("gemini/2025-09-01", "user", "When is the museum open?"),
        ("gemini/2025-09-01", "assistant", "From 10 to 18.\n- Closed on Monday"),
        ("gemini/7b0000000000aaaa", "user", "What is on this?"),
        ("gemini/7b0000000000aaaa", "assistant", "A beach & a boat."),
        ("gemini/2025-09-02", "user", "and in winter?"),
        ("gemini/2025-09-02", "assistant", "Then it is closed."),
    ]
    assert got[2].message.metadata == {"noted": ["Attached 1 file.", "beach.png"]}
    assert got[0].message.timestamp == datetime(2025, 9, 1, 18)
    assert got[4].message.timestamp == datetime(2025, 9, 2, 7)
    assert left == {"other activities": 1}
    # The same messages as JSON has, by which they are known again.
    as_json = {turn.message.content: turn.source_id for turn in of("gemini")[0]}
    assert as_json.items() <= {turn.message.content: turn.source_id for turn in got}.items()


PAGE = (EXPORTS / "gemini-page" / "MyActivity.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("shown", "time"),
    [
        ("02.09.2026, 13:26:27 MESZ", datetime(2026, 9, 2, 11, 26, 27)),
        ("2 sept. 2026, 13:26:27 UTC+02:00", datetime(2026, 9, 2, 11, 26, 27)),
        ("10 de mai. de 2026, 03:46:09 BRT", datetime(2026, 5, 10, 6, 46, 9)),
        ("1. 1. 2026 10:00:00 SEČ", datetime(2026, 1, 1, 9)),
        ("2026年6月19日 12:23:08 CST", datetime(2026, 6, 19, 4, 23, 8)),
        ("2026. 9. 2. 오후 1:26:27 GMT+9", datetime(2026, 9, 2, 4, 26, 27)),
        ("May 19, 2026, 7:07:02 PM GMT-03:00", datetime(2026, 5, 19, 22, 7, 2)),
        ("2 Sept 2026, 13:26:27 IST", datetime(2026, 9, 2, 7, 56, 27)),
    ],
)
def test_times_of_a_page_in_many_languages(shown: str, time: datetime) -> None:
    page = PAGE.replace("Sep 1, 2025, 11:00:00\u202fAM PDT", shown)
    got = {
        turn.message.content: turn.message.timestamp for turn in turns(io.BytesIO(page.encode()))
    }
    assert got["When is the museum open?"] == time


def test_pages_that_are_none_of_gemini_or_not_whole() -> None:
    left: Counter[str] = Counter()
    turns(io.BytesIO(PAGE.replace("AM PDT", "AM QXZ").encode()), left)
    assert left["time zones that nobody knows, taken as UTC"] == 4
    with pytest.raises(InvalidInputError, match="none of Gemini"):
        turns(io.BytesIO(PAGE.replace("Gemini", "Maps").encode()))
    for broken, problem in (
        (PAGE.replace("Sep 1, 2025, 11:00", "1 Smarch 2025, 11:00"), "none that is understood"),
        (PAGE[: PAGE.index("Closed on")], "ends in its midst"),
    ):
        bad = [one for one in read(io.BytesIO(broken.encode())) if isinstance(one, BadLine)]
        assert [problem in one.problem for one in bad] == [True]


@pytest.mark.slow
def test_a_page_is_one_line_of_any_length() -> None:
    card = PAGE[PAGE.index('<div class="outer-cell') : PAGE.index("</div></body>")]
    page = PAGE.replace(card, card * 7_000)
    assert len(page) > 20 * 2**20
    assert len(turns(io.BytesIO(page.encode()))) == 42_000


def test_messengers() -> None:
    got, left = of("telegram.json")
    assert said(got) == [
        ("telegram/4242", "user", "Ana: see https://example.org"),
        ("telegram/4242", "assistant", "Ben: [audio]"),
        ("telegram/4242", "assistant", "Ben: Looks good"),
    ]
    assert got[0].message.timestamp == datetime(2025, 6, 1, 12)
    assert left == {"events of the messenger": 1}
    got, left = of("slack")
    assert said(got) == [
        ("slack/general", "user", "Ana: @Ben Cruz lunch at Tasca (https://example.org) & coffee?"),
        ("slack/general", "user", "Ben Cruz: Sure"),
        ("slack/general", "assistant", "Reminder: Lunch in 5 minutes"),
    ]
    assert [turn.position for turn in got] == [0, 1, 2]
    # Who the user is among those who speak is known by the name.
    roles = [role for _, role, _ in said(of("slack", user_id="ana")[0])]
    assert roles == ["user", "assistant", "assistant"]
    got, _ = of("discord.json")
    assert said(got) == [
        ("discord/20", "user", "Ana: My starter smells of apples"),
        ("discord/20", "assistant", "Helper: That is fine"),
    ]
    assert said(of("discord-package")[0]) == [("discord/21", "user", "My starter is a week old")]


def test_the_older_package_of_discord() -> None:
    got, left = of("discord-old")
    # The newest stands first in it.
    assert said(got) == [
        ("discord/31", "user", "[file: loaf.jpg]"),
        ("discord/31", "user", "Is the oven hot?"),
        ("discord/31", "user", 'two lines, "quoted"\nsecond'),
    ]
    assert [turn.source_id for turn in got] == ["301", "302", "303"]
    assert got[1].message.metadata == {"title": "Direct Message with ben#0"}
    assert left == {"files of no known format": 2}
    table = (EXPORTS / "discord-old/messages/c31/messages.csv").read_bytes()
    for broken, problem in (
        (table.replace(b"hot?", b"hot?,more"), "expected 4 columns, got 5"),
        (table.replace(b'""quoted""', b'"quoted""'), "the table is broken"),
        (table.replace(b"2021-02-03 09", b"yesterday 09"), "got 'yesterday"),
    ):
        bad = [one for one in read(io.BytesIO(broken)) if isinstance(one, BadLine)]
        assert [problem in one.problem for one in bad] == [True]
    assert said(turns(io.BytesIO(table.decode().encode("utf-16")))) == said(
        turns(io.BytesIO(table))
    )
    with pytest.raises(InvalidInputError, match="is no claude but a channel of Discord"):
        turns(io.BytesIO(table), format="claude")


def test_what_claude_ai_remembers_and_its_projects() -> None:
    got, left = of("claude-knowledge")
    project = "claude-project/0f000000-0000-4000-8000-000000000001"
    assert [(t.kind, t.conversation_id, t.message.content) for t in got] == [
        ("memory", "claude-memory", "Work context\n\nAna bakes bread for a living."),
        ("memory", "claude-memory", "Personal context\n\nShe lives in Porto."),
        ("memory", "claude-memory", "Purpose\n\nA site for the bakery."),
        ("document", project, "Texts of the site"),
        ("document", project, "Answer in one line."),
        (
            "document",
            f"{project}/0d000000-0000-4000-8000-000000000001",
            "Prices\n\nA loaf is three euros.",
        ),
    ]
    assert got[2].message.metadata["project_name"] == "Bakery"
    assert got[5].message.metadata["title"] == "prices.md"
    assert {turn.user_id for turn in got} == {"acc00000-0000-4000-8000-000000000001"}
    assert {turn.user_id for turn in of("claude-knowledge", user_id="ana")[0]} == {"ana"}
    assert left == {"projects that Claude.ai has made as examples": 1}
    # Newer exports have an object a file.
    (memory,) = json.loads((EXPORTS / "claude-knowledge/memories.json").read_text("utf-8"))
    alone = turns(io.BytesIO(json.dumps(memory).encode()))
    assert [turn.message.content for turn in alone] == [t.message.content for t in got[:3]]


def test_whatsapp() -> None:
    got, left = of("whatsapp-android.txt")
    assert [(role, words) for _, role, words in said(got)] == [
        ("user", "Ana: Did you feed the cat?"),
        ("user", "Ben: Yes\nand the fish"),
        ("user", "Ben: look at her"),
        ("user", "Ana: [file]"),
    ]
    assert got[0].message.timestamp == datetime(2025, 2, 13, 18, 50)
    assert left == {"events of the messenger": 1}
    got, left = of("whatsapp-iphone.txt", user_id="ana")
    assert [(role, words) for _, role, words in said(got)] == [
        ("user", "Ana: Lunch on Friday?"),
        ("assistant", "Ben: Yes: at one"),
        ("assistant", "Ben: [image]"),
    ]
    assert got[0].message.timestamp == datetime(2025, 2, 3, 18, 50, 2)
    assert left == {"events of the messenger": 1}


def test_whatsapp_dates_that_may_be_either_are_refused_once() -> None:
    chat = b"03/04/2025, 18:50 - Ana: one\n05/06/2025, 18:51 - Ben: two\n"
    with pytest.raises(InvalidInputError, match="its day or with its month") as caught:
        turns(io.BytesIO(chat))
    assert caught.value.field == "dates"
    day = turns(io.BytesIO(chat), dates="day-first")
    month = turns(io.BytesIO(chat), dates="month-first")
    assert day[0].message.timestamp == datetime(2025, 4, 3, 18, 50)
    assert month[0].message.timestamp == datetime(2025, 3, 4, 18, 50)
    # Only one way keeps the messages in their order.
    ordered = b"03/04/2025, 18:50 - Ana: one\n01/05/2025, 18:51 - Ben: two\n"
    assert turns(io.BytesIO(ordered))[0].message.timestamp == datetime(2025, 4, 3, 18, 50)


@pytest.mark.parametrize(
    ("line", "time"),
    [
        ("10/13/25, 6:50\u202fPM - Ana: hi", datetime(2025, 10, 13, 18, 50)),
        ("13/02/2025 à 18:50 - Ana: hi", datetime(2025, 2, 13, 18, 50)),
        ("[13/02/2025 à 18:50:02] Ana: hi", datetime(2025, 2, 13, 18, 50, 2)),
        ("[13/2/25, 6:50:02\u202fp.\u202fm.] Ana: hi", datetime(2025, 2, 13, 18, 50, 2)),
        ("13.2.2025 klo 18.50 - Ana: hi", datetime(2025, 2, 13, 18, 50)),
        ("13. 2. 2025, 18:50 - Ana: hi", datetime(2025, 2, 13, 18, 50)),
        ("2025. 02. 13. 18:50 - Ana: hi", datetime(2025, 2, 13, 18, 50)),
        ("13.02.2025 г., 18:50 ч. - Ana: hi", datetime(2025, 2, 13, 18, 50)),
        ("\u200f13\u200f/2\u200f/2025، 6:50 م - Ana: hi", datetime(2025, 2, 13, 18, 50)),
        ("١٣/٢/٢٠٢٥، ٦:٥٠ م - Ana: hi", datetime(2025, 2, 13, 18, 50)),
        # Thai phones write the years of another calendar, in which others are leap years.
        ("29/2/2567 18:50 - Ana: hi", datetime(2024, 2, 29, 18, 50)),
    ],
)
def test_whatsapp_dates_of_other_languages(line: str, time: datetime) -> None:
    (turn,) = turns(io.BytesIO(f"{line}\n".encode()))
    assert (turn.message.content, turn.message.timestamp) == ("Ana: hi", time)


def test_whatsapp_media_and_deleted_messages_of_android() -> None:
    chat = (
        "13.02.2025, 18:50 - Ana: <Media jätettiin pois>\n"
        "13.02.2025, 18:51 - Ana: <メディアは含まれていません>\n"
        "13.02.2025, 18:52 - Ana: This message was deleted\n"
        "13.02.2025, 18:53 - Ana: <div> is no medium\n"
    )
    left: Counter[str] = Counter()
    got = turns(io.BytesIO(chat.encode()), left)
    words = [turn.message.content for turn in got]
    assert words == ["Ana: [file]", "Ana: [file]", "Ana: <div> is no medium"]
    assert left == {"events of the messenger": 1}


def test_what_lies_beside_the_chats_is_told() -> None:
    for beside, what in (
        ({"id": "user-1", "email": "a@example.org", "chatgpt_plus_user": True}, "the account"),
        ([{"message_id": "m", "conversation_id": "c", "rating": "thumbsUp"}], "the ratings"),
        ([{"id": "s", "conversation_id": "c", "is_anonymous": True}], "the list of chats"),
    ):
        with pytest.raises(InvalidInputError, match=f"is {what}.*name the whole folder"):
            turns(io.BytesIO(json.dumps(beside).encode()))
    with pytest.raises(InvalidInputError, match="a JSON object with the keys 'version'"):
        turns(io.BytesIO(b'{"version": 1, "files": []}'))


def test_a_chat_that_does_not_say_its_branch_is_read_to_its_end() -> None:
    chats = json.loads((EXPORTS / "chatgpt.json").read_text("utf-8"))
    del chats[1]["current_node"]
    got = turns(io.BytesIO(json.dumps(chats).encode()))
    assert len(got) == len(of("chatgpt.json")[0])


def test_memories_benchmarks_and_mail() -> None:
    got, left = of("mem0.json")
    assert [(t.user_id, t.conversation_id, t.kind, t.message.content) for t in got] == [
        ("ana", "mem0", "memory", "Allergic to peanuts"),
        ("ben", "r-7", "memory", "Plays the cello"),
    ]
    assert [turn.timed for turn in got] == [True, False]
    assert left == {"relations of a graph": 1}
    got, _ = of("longmemeval.json")
    assert [(t.user_id, t.conversation_id, t.message.timestamp) for t in got] == [
        ("q_01", "q_01/answer_1", datetime(2023, 5, 20, 2, 21)),
        ("q_01", "q_01/answer_1", datetime(2023, 5, 20, 2, 21, 1)),
    ]
    got, _ = of("mail.mbox", user_id="ben@example.org")
    first = "Ana Reis: Chá on Sunday\n\nShall we meet at four?\nFrom the window you see the river."
    assert said(got) == [
        ("mail/1@example.org", "assistant", first),
        ("mail/1@example.org", "user", "Ben: Re: tea\n\nFour is fine."),
    ]
    assert got[0].message.timestamp == datetime(2025, 10, 3, 16, 50)
    assert got[1].message.metadata["noted"] == ["file: map.pdf"]


def test_documents() -> None:
    got, _ = of("note.md")
    assert [turn.message.content for turn in got] == [
        "What grows where.",
        "Balcony\n\n- basil\n- mint",
        "Soil\n\nPeat free.\n\n```\n# no heading\n```",
    ]
    assert {(turn.kind, turn.message.timestamp) for turn in got} == {
        ("document", datetime(2025, 4, 12))
    }
    assert got[2].message.metadata == {
        "title": "Garden",
        "tags": ["plants", "balcony"],
        "heading": "Balcony > Soil",
    }
    (letter,) = of("letter.txt")[0]
    assert letter.message.content == "Dear Ana,\n\nthe house is yellow now.\n\nBen"
    assert letter.kind == "document"
    long = "word " * 2_000
    parts = turns(io.BytesIO(long.encode()))
    assert len(parts) > 5
    assert max(len(turn.message.content) for turn in parts) <= 1_500
    assert sum(turn.message.content.count("word") for turn in parts) == 2_000


def test_texts_that_look_like_json_or_like_nothing(tmp_path: Path) -> None:
    (tmp_path / "links.txt").write_text("[a link](https://example.org)\nand more\n")
    (tmp_path / "braces.txt").write_text("{{greeting}}, Ana\n")
    (tmp_path / "LICENSE").write_text("You may do as you like.\n")
    (tmp_path / "server.log").write_text("2025-01-01 started\n")
    left: Counter[str] = Counter()
    got = turns(tmp_path, left)
    assert [turn.message.content for turn in got] == [
        "{{greeting}}, Ana",
        "[a link](https://example.org)\nand more",
    ]
    # Of a folder only what is called a text is one; a file that is named is read.
    assert left == {"files of no known format": 2}
    assert len(turns(tmp_path / "LICENSE")) == 1
    chat = tmp_path / "chat.txt"
    chat.write_text('[{"role": "user", "content": "JSON by another name"}]')
    assert turns(chat)[0].message.content == "JSON by another name"


def test_what_others_call_our_fields() -> None:
    got, _ = of("jsonl-others.jsonl")
    assert [(t.conversation_id, t.user_id, t.message.role.value) for t in got] == [
        ("7", "12", "user"),
        ("7", "12", "assistant"),
        ("8", "13", "user"),
    ]
    assert [turn.message.timestamp for turn in got] == [
        datetime(2025, 10, 3, 18, 50),
        datetime(2025, 10, 3, 18, 50, 1),
        datetime(2025, 10, 3, 18, 50),
    ]


def test_two_people_in_one_list_stay_two() -> None:
    got, _ = of("two-people.json")
    assert [(t.user_id, t.conversation_id, t.timed) for t in got] == [
        ("ana", "s1", True),
        ("ben", "s2", True),
    ]


def test_a_file_that_names_another_user_is_refused_or_replaced() -> None:
    with pytest.raises(InvalidInputError, match="names the user 'ana'") as caught:
        of("two-people.json", user_id="zoe")
    assert caught.value.field == "user_id"
    assert "--replace-user" in caught.value.fix
    got, _ = of("two-people.json", user_id="zoe", replace_user=True)
    assert {turn.user_id for turn in got} == {"zoe"}
    with pytest.raises(InvalidInputError, match="without user_id"):
        read(EXPORTS / "two-people.json", replace_user=True)


@pytest.mark.parametrize("name", sorted(path.name for path in EXPORTS.iterdir()))
def test_a_folder_of_all_reads_as_each_alone(name: str) -> None:
    """Every export is known, and nothing of it is a bad line."""
    got, _ = of(name)
    assert got
    assert all(turn.place for turn in got)


def test_everything_in_one_archive(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(EXPORTS.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(EXPORTS))
        archive.writestr("../../evil.jsonl", '{"role": "user", "content": "out"}\n')
        archive.writestr("__MACOSX/._x.json", b"\0\5\26")
    alone = turns([EXPORTS], conversation_id="c")
    got = [item for item in read(path, conversation_id="c") if isinstance(item, Turn)]
    assert Counter(t.message.content for t in got) == Counter(t.message.content for t in alone)
    # A name that leads out of the archive leads nowhere, and is passed over.
    assert sorted(one.name for one in tmp_path.iterdir()) == ["all.zip"]
    with path.open("rb") as stream:
        assert turns(stream, conversation_id="c")


def test_gzip_and_other_encodings(tmp_path: Path) -> None:
    plain = (EXPORTS / "claude.json").read_bytes()
    expected = said(turns(io.BytesIO(plain)))
    for data in (
        gzip.compress(plain),
        plain.decode().encode("utf-16"),
        plain.decode().encode("utf-16-le"),
        plain.decode().encode("utf-16-be"),
        b"\xef\xbb\xbf" + plain,
        gzip.compress(plain.decode().encode("utf-16")),
    ):
        assert said(turns(io.BytesIO(data))) == expected
    packed = tmp_path / "chats.json.gz"
    packed.write_bytes(gzip.compress(plain))
    assert said(turns(packed)) == expected


def test_an_archive_that_grows_without_measure_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bruno_memory_vec.portability import opening

    monkeypatch.setattr(opening, "SLACK", 10_000)
    bomb = b'{"role": "user", "conversation_id": "c", "content": "' + b"0" * 10_000_000 + b'"}'
    packed = tmp_path / "bomb.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jsonl", bomb)
    (told,) = read(packed)
    assert isinstance(told, BadLine)
    assert "unpacks to far more" in told.problem
    with pytest.raises(InvalidInputError, match="unpacks to more than"):
        list(read(io.BytesIO(gzip.compress(bomb))))


def test_two_files_of_one_name_stay_two(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "chat.json").write_text('[{"role": "user", "content": "hi"}]')
    alone = [turns(tmp_path / folder / "chat.json")[0] for folder in ("one", "two")]
    assert [turn.conversation_id for turn in alone] == ["one/chat", "two/chat"]
    together = turns(tmp_path)
    assert [turn.conversation_id for turn in together] == ["one/chat", "two/chat"]
    several = turns([tmp_path / "one/chat.json", tmp_path / "two/chat.json"])
    assert [turn.message.id for turn in several] == [turn.message.id for turn in together]


def test_of_several_files_a_broken_one_is_a_bad_line(tmp_path: Path) -> None:
    shutil.copy(EXPORTS / "telegram.json", tmp_path / "a.json")
    (tmp_path / "b.json").write_text('[{"role": "user", ')
    (tmp_path / "c.pdf").write_bytes(b"%PDF-1.7\n")
    (tmp_path / ".hidden.json").write_text("{")
    (tmp_path / "link.json").symlink_to(EXPORTS / "claude.json")
    left: Counter[str] = Counter()
    got = list(read(tmp_path, left_out=left))
    (bad,) = [item for item in got if isinstance(item, BadLine)]
    assert bad.place == str(tmp_path / "b.json")
    assert "not one usable JSON document" in bad.problem
    assert len(got) == 4
    assert left["files of no known format"] == 1


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.pdf", b"%PDF-1.7\n%\xe2\xe3", "a.pdf is a PDF"),
        ("a.json", b"no json\n" * 30, "is no JSON, although its name says so"),
        ("a.html", b"<!doctype html><p>hi", "page of HTML"),
        ("a.csv", b"a,b\n1,2\n", "is a table"),
        ("a.json", b'{"chat_messages": 5, "uuid": "x"}', "the nearest is claude, which has name"),
        ("a.jsonl", b'{"colour": "red"}\n' * 30, "is JSON lines with the keys 'colour'"),
        ("a.bin", b"ab\0\0cd", "a binary file"),
    ],
)
def test_what_it_is_not_is_said_in_one_sentence(
    tmp_path: Path, name: str, data: bytes, says: str
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InvalidInputError, match=says) as caught:
        list(read(path))
    assert caught.value.field == "source"
    assert str(caught.value).count("\n") == 0


def test_a_format_that_it_is_not_names_the_one_that_it_is() -> None:
    with pytest.raises(InvalidInputError, match="no telegram but ChatGPT's export") as caught:
        list(read(EXPORTS / "chatgpt.json", format="telegram"))
    assert "'chatgpt'" in caught.value.fix
    with pytest.raises(InvalidInputError, match="no jsonl but"):
        list(read(EXPORTS / "claude-code.jsonl", format="jsonl"))


def test_what_cannot_be_stored_is_taken_out_of_the_output_of_programs() -> None:
    event = {
        "type": "user",
        "sessionId": "s",
        "timestamp": "2025-11-02T10:00:00Z",
        "message": {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t", "content": "a\0b\ud800" + "c" * 9_000}
            ],
        },
    }
    left: Counter[str] = Counter()
    (turn,) = turns(io.BytesIO(json.dumps(event).encode()), left)
    assert turn.message.content.startswith("ab?ccc")
    assert turn.message.content.endswith("[... 1,004 characters more]")
    assert left == {
        "characters that cannot be stored": 1,
        "long calls and results of tools, cut": 1,
    }


def test_a_sound_without_words_is_noted() -> None:
    message = {
        "author": {"role": "user"},
        "create_time": 1.0,
        "content": {
            "content_type": "multimodal_text",
            "parts": [
                {"content_type": "audio_transcription", "text": ""},
                {"content_type": "audio_asset_pointer", "asset_pointer": "sediment://x"},
            ],
        },
    }
    chat = {"id": "c", "current_node": "a", "mapping": {"a": {"parent": None, "message": message}}}
    (turn,) = turns(io.BytesIO(json.dumps([chat]).encode()))
    assert (turn.message.content, turn.message.message_type) == ("[audio]", MessageType.AUDIO)


def test_what_is_nested_without_end_is_a_bad_line() -> None:
    deep: Any = "x"
    for _ in range(50):
        deep = [deep]
    deeper: Any = deep
    for _ in range(800):
        deeper = [deeper]
    call = {"name": "f", "args": {"a": [[deeper]]}, "id": "1"}
    message = {"type": "ai", "data": {"content": "", "tool_calls": [call], "type": "ai"}}
    (told,) = read(io.BytesIO(json.dumps([message]).encode()))
    assert isinstance(told, BadLine)
    assert "levels deep" in told.problem
    block = {"type": "tool_result", "tool_use_id": "t", "content": deeper}
    event = {"type": "user", "sessionId": "s", "message": {"role": "user", "content": [block]}}
    assert turns(io.BytesIO(json.dumps(event).encode())) == []
    # The results of tools are texts, however they are nested.
    block = {"type": "tool_result", "tool_use_id": "t", "content": deep}
    event = {"type": "user", "sessionId": "s", "message": {"role": "user", "content": [block]}}
    (turn,) = turns(io.BytesIO(json.dumps(event).encode()))
    assert turn.message.content == "x"
