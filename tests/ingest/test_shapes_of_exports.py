"""Shapes that real exports have beside the usual ones: nothing of them is lost or made up."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from bruno_memory_vec.portability import Turn, read


def said(folder: Path, name: str, content: Any) -> list[tuple[str, str]]:
    """By conversation what was said, of a file of a text, a JSON value or JSON lines."""
    if isinstance(content, list) and name.endswith(".jsonl"):
        content = "\n".join(map(json.dumps, content))
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / name).write_bytes(text.encode())
    return told(folder / name)


def told(source: Path, left_out: Counter[str] | None = None) -> list[tuple[str, str]]:
    got = list(read(source, left_out=left_out))
    turns = [turn for turn in got if isinstance(turn, Turn)]
    assert len(turns) == len(got), got
    return [(turn.conversation_id, turn.message.content) for turn in turns]


def test_what_was_pasted_or_attached_without_a_word(tmp_path: Path) -> None:
    def message(number: int, **more: Any) -> dict[str, Any]:
        at = f"2025-01-01T10:00:0{number}Z"
        return {"uuid": f"m{number}", "text": "", "sender": "human", "created_at": at, **more}

    pasted = {"file_name": "", "extracted_content": "a long text about zebras"}
    attached = {"file_name": "a.pdf", "extracted_content": "of the file"}
    (tmp_path / "chats.json").write_text(
        json.dumps(
            [
                {
                    "uuid": "c",
                    "chat_messages": [
                        message(1, attachments=[pasted]),
                        message(2, attachments=[attached]),
                        message(3, files=[{"file_name": "b.png"}]),
                    ],
                }
            ]
        )
    )
    left: Counter[str] = Counter()
    assert told(tmp_path / "chats.json", left) == [
        ("c", "a long text about zebras"),
        ("c", "[file: a.pdf]"),
        ("c", "[file: b.png]"),
    ]
    assert left == {"texts of attached files": 1}


def chatgpt(*messages: dict[str, Any]) -> list[Any]:
    nodes = {
        str(number): {
            "id": str(number),
            "parent": str(number - 1) if number else None,
            "message": {"id": str(number), "create_time": 1_700_000_000 + number, **message},
        }
        for number, message in enumerate(messages)
    }
    return [{"id": "c", "mapping": nodes, "current_node": str(len(messages) - 1)}]


def test_chatgpt_files_alone_and_marks_of_sources(tmp_path: Path) -> None:
    mark = "\ue200cite\ue202turn0search1\ue201"
    chat = chatgpt(
        {
            "author": {"role": "user"},
            "content": {"content_type": "text", "parts": [""]},
            "metadata": {"attachments": [{"name": "trip.pdf"}]},
        },
        {
            "author": {"role": "assistant"},
            "content": {
                "content_type": "text",
                "parts": [
                    f'In \ue200entity\ue202["city","Porto","in Portugal"]\ue201 it rains{mark}.'
                    " So \ue200cite\ue202turn1\ue201 stay."
                ],
            },
            "metadata": {"content_references": [{"matched_text": mark, "alt": " ([met](u))"}]},
        },
    )
    assert said(tmp_path, "conversations.json", chat) == [
        ("c", "[file: trip.pdf]"),
        ("c", "In Porto it rains ([met](u)). So  stay."),
    ]


def test_whatsapp_in_other_languages(tmp_path: Path) -> None:
    text = (
        "\u200e[03.10.25, 18:50:02] Ana: \u200eNachrichten sind Ende-zu-Ende-verschlüsselt.\n"
        "[03.10.25, 18:50:03] Ana: Hallo\nzweite Zeile\n\nvierte: Zeile\n"
        "\u200e[03.10.25, 18:50:09] Ben: \u200eBild weggelassen\n"
        "[03.10.25, 18:51:09] Ben: ok \u200e<Diese Nachricht wurde bearbeitet.>\n"
        "\u200e[03.10.25, 18:51:10] Ben: da \u200e<Anhang: 1.jpg>\n"
        "\u200e[13.10.25, 18:51:09] Ben: \u200eUMFRAGE:\nWo?\n\u200eOPTION: hier (1 Stimme)\n"
    )
    assert [words for _, words in said(tmp_path, "_chat.txt", text)] == [
        "Ana: Hallo\nzweite Zeile\n\nvierte: Zeile",
        "Ben: [image]",
        "Ben: ok",
        "Ben: da",
        "Ben: UMFRAGE:\nWo?\nOPTION: hier (1 Stimme)",
    ]


def test_telegram_polls_places_and_contacts(tmp_path: Path) -> None:
    def message(number: int, **more: Any) -> dict[str, Any]:
        when = {"date": "2025-10-03T18:50:00", "date_unixtime": str(1_759_510_200 + number)}
        return {"id": number, "type": "message", "from": "Ben", "from_id": "u2", **when, **more}

    poll = {"question": "Where to?", "answers": [{"text": "Lisbon"}, {"text": "Porto"}]}
    place = {"latitude": 38.7, "longitude": -9.1}
    chat = {
        "name": "Ben",
        "type": "personal_chat",
        "id": 42,
        "messages": [
            message(1, text="", poll=poll),
            message(2, text="", location_information=place, place_name="The café"),
            message(3, text="", contact_information={"first_name": "Tom", "phone_number": "+1"}),
        ],
    }
    assert [words for _, words in said(tmp_path, "result.json", chat)] == [
        "Ben: Where to?\n- Lisbon\n- Porto",
        "Ben: The café (38.7, -9.1)",
        "Ben: Tom +1",
    ]


def test_slack_blocks_and_attachments_alone(tmp_path: Path) -> None:
    section = {
        "type": "rich_text_section",
        "elements": [{"type": "text", "text": "ask "}, {"type": "user", "user_id": "U2"}],
    }
    messages = [
        {
            "subtype": "bot_message",
            "username": "jira",
            "attachments": [{"title": "Ticket 7", "text": "opened", "fallback": "Ticket"}],
        },
        {"user": "U2", "blocks": [{"type": "rich_text", "elements": [section]}]},
        {"username": "ci", "subtype": "bot_message", "attachments": [{"fallback": "it is red"}]},
    ]
    export = [
        {"type": "message", "text": "", "ts": f"175951020{number}.000100", **message}
        for number, message in enumerate(messages)
    ]
    assert [words for _, words in said(tmp_path, "day.json", export)] == [
        "jira: Ticket 7\nopened",
        "U2: ask @U2",
        "ci: it is red",
    ]


def test_discord_embeds_alone_and_what_was_passed_on(tmp_path: Path) -> None:
    def message(number: int, **more: Any) -> dict[str, Any]:
        author = {"id": "6", "name": "bot", "isBot": True}
        when = f"2025-10-03T18:5{number}:00+02:00"
        return {"id": str(number), "timestamp": when, "content": "", "author": author, **more}

    embeds = [{"title": "A", "fields": [{"name": "Score", "value": "7"}]}, {"title": "B"}]
    export = {
        "guild": {},
        "channel": {"id": "2"},
        "messages": [message(1, embeds=embeds), message(2, forwardedMessage={"content": "words"})],
    }
    assert [words for _, words in said(tmp_path, "channel.json", export)] == [
        "bot: A\nScore: 7\nB",
        "bot: words",
    ]


MAIL = """From 1@xxx Fri Oct 03 18:50:00 +0000 2025
From: ana@example.com
Subject: Photos
Message-ID: <1@x>
Date: Fri, 3 Oct 2025 20:50:00 +0200
Content-Type: multipart/mixed; boundary="b"

--b
Content-Type: multipart/alternative; boundary="c"

--c
Content-Type: text/plain

first
--c
Content-Type: multipart/mixed; boundary="d"

--d
Content-Type: text/html

<p>first</p>
--d
Content-Type: application/pdf; name="trip.pdf"

AAAA
--d--
--c--
--b
Content-Type: image/jpeg; name="x.jpg"

AAAA
--b
Content-Type: text/plain

second
--b--

From 2@xxx Fri Oct 03 18:51:00 +0000 2025
From: ben@example.com
Subject: Only a subject
Message-ID: <2@x>
Date: Fri, 3 Oct 2025 20:51:00 +0200


From 3@xxx Fri Oct 03 18:52:00 +0000 2025
From: ben@example.com
Message-ID: <3@x>
Date: Fri, 3 Oct 2025 20:52:00 +0200
Content-Type: multipart/mixed; boundary="b"

--b
Content-Type: text/html

<p>see below</p>
--b
Content-Type: message/rfc822

From: tom@example.com
Subject: Bread
Content-Type: text/plain

not ben's words
--b--
"""


def test_mails_of_several_texts_of_a_subject_and_passed_on(tmp_path: Path) -> None:
    assert [words for _, words in said(tmp_path, "all.mbox", MAIL)] == [
        "ana@example.com: Photos\n\nfirst\n\nsecond",
        "ben@example.com: Only a subject",
        "ben@example.com: see below",
    ]
    notes = [
        turn.message.metadata.get("noted")
        for turn in read(tmp_path / "all.mbox")
        if isinstance(turn, Turn)
    ]
    assert notes == [["file: trip.pdf", "image: x.jpg"], None, ["file: Bread"]]


def test_agents_at_work_at_once_are_apart(tmp_path: Path) -> None:
    log = [
        {
            "sessionId": "s",
            "type": "user",
            "isSidechain": bool(agent),
            "agentId": agent,
            "uuid": str(number),
            "timestamp": f"2025-10-03T18:50:0{number}Z",
            "message": {"role": "user", "content": f"said {number}"},
        }
        for number, agent in enumerate((None, "a", "b", "a"))
    ]
    assert said(tmp_path, "log.jsonl", log) == [
        ("s", "said 0"),
        ("s/agent-a", "said 1"),
        ("s/agent-b", "said 2"),
        ("s/agent-a", "said 3"),
    ]


def test_a_session_of_codex_that_goes_on_from_another_has_its_own_name(tmp_path: Path) -> None:
    words = [{"type": "input_text", "text": "do it"}]
    log = [
        {"type": "session_meta", "payload": {"id": "new", "forked_from_id": "old"}},
        {"type": "session_meta", "payload": {"id": "old"}},
        {
            "type": "response_item",
            "payload": {"type": "message", "role": "user", "content": words},
        },
    ]
    assert said(tmp_path, "rollout.jsonl", log) == [("new", "do it")]


def test_whatsapp_with_the_half_of_the_day_before_the_clock(tmp_path: Path) -> None:
    chinese = "2025/10/3 上午12:05 - Ana: 你好\n2025/10/3 下午6:50 - Ben: 好\n"
    korean = "2025년 10월 3일 오후 6:50, Ana : 안녕\n"
    iphone = "[2025. 10. 3. 오전 6:50:02] Ana: 안녕\n"
    for text, hours in ((chinese, [0, 18]), (korean, [18]), (iphone, [6])):
        (tmp_path / "_chat.txt").write_text(text, "utf-8")
        got = [turn for turn in read(tmp_path / "_chat.txt") if isinstance(turn, Turn)]
        assert [turn.message.timestamp.hour for turn in got] == hours
        assert {turn.message.metadata["speaker"] for turn in got} <= {"Ana", "Ben"}


def test_whatsapp_a_group_with_a_colon_in_its_name_says_nothing(tmp_path: Path) -> None:
    text = (
        "10/13/2025, 6:50 PM - Ana: a: b\n"
        '10/13/2025, 6:51 PM - Ana changed the group name from "a" to "b: c"\n'
    )
    assert [words for _, words in said(tmp_path, "_chat.txt", text)] == ["Ana: a: b"]


def test_an_assistant_that_refuses_speaks_or_says_nothing(tmp_path: Path) -> None:
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "refusal": "I cannot"},
        {"role": "assistant", "content": None, "audio": {"id": "a", "transcript": "spoken"}},
        {"role": "assistant", "content": None},
    ]
    assert [words for _, words in said(tmp_path, "chat.json", {"messages": messages})] == [
        "hi",
        "I cannot",
        "spoken",
    ]


def test_what_was_typed_while_claude_code_was_at_work(tmp_path: Path) -> None:
    def event(kind: str, **more: Any) -> dict[str, Any]:
        return {"type": kind, "sessionId": "s", "timestamp": "2026-02-01T10:00:00Z", **more}

    queued = {"type": "queued_command", "prompt": "and the docs", "commandMode": "prompt"}
    task = {**queued, "prompt": "task 7 has ended", "commandMode": "task-notification"}
    stopped = {"role": "user", "content": "[Request interrupted by user for tool use]"}
    assert said(
        tmp_path,
        "log.jsonl",
        [
            event("user", uuid="1", message={"role": "user", "content": "mend the parser"}),
            event("attachment", uuid="2", attachment=queued),
            event("attachment", uuid="3", attachment=task),
            event("user", uuid="4", message=stopped),
        ],
    ) == [("s", "mend the parser"), ("s", "and the docs")]


def test_a_tree_of_another_maker_is_read_or_counted(tmp_path: Path) -> None:
    def node(number: int, message: Any) -> dict[str, Any]:
        return {
            "id": str(number),
            "parent": str(number - 1) if number else None,
            "message": message,
        }

    def part(kind: str, text: str) -> dict[str, Any]:
        return {"type": kind, "content": text}

    at = "2026-01-01T00:00:00Z"
    nodes = [
        node(0, None),
        node(1, {"inserted_at": at, "fragments": [part("REQUEST", "hi")]}),
        node(2, {"inserted_at": at, "fragments": [part("THINK", "hm"), part("RESPONSE", "yo")]}),
        node(3, {"words": "of a form that nobody knows"}),
    ]
    path = tmp_path / "deepseek.json"
    path.write_text(json.dumps([{"id": "d", "mapping": {one["id"]: one for one in nodes}}]))
    left: Counter[str] = Counter()
    assert told(path, left) == [("d", "hi"), ("d", "yo")]
    roles = [turn.message.role.value for turn in read(path) if isinstance(turn, Turn)]
    assert roles == ["user", "assistant"]
    assert left == {"reasoning": 1, "messages of an unknown form": 1}


def test_words_of_telegram_in_its_entities_and_behind_links(tmp_path: Path) -> None:
    def message(number: int, **more: Any) -> dict[str, Any]:
        at = f"2025-06-01T12:00:0{number}"
        return {"id": number, "type": "message", "date": at, "from": "Ben", "text": "", **more}

    link = {"type": "text_link", "text": "the hut", "href": "https://example.org/hut"}
    chat = {
        "name": "Ben",
        "id": 7,
        "messages": [
            message(1, text=["see ", link]),
            message(2, text_entities=[{"type": "plain", "text": "in entities"}]),
            message(
                3, poll={"question": {"text": "Where?"}, "answers": [{"text": {"text": "Here"}}]}
            ),
        ],
    }
    assert [words for _, words in said(tmp_path, "result.json", chat)] == [
        "Ben: see the hut (https://example.org/hut)",
        "Ben: in entities",
        "Ben: Where?\n- Here",
    ]


def test_ids_of_telegram_that_are_no_texts_are_no_harm(tmp_path: Path) -> None:
    message = {"id": 1, "type": "message", "date": "2025-06-01T12:00:00", "text": "hi"}
    messages = [{**message, "from": "Ben", "from_id": odd} for odd in ([], {}, [1], 7)]
    chat = {"name": "Ben", "type": "personal_chat", "id": 7, "messages": messages}
    assert said(tmp_path, "result.json", chat) == [("telegram/7", "Ben: hi")] * 4


def test_marks_of_slack_and_what_programs_post(tmp_path: Path) -> None:
    def message(number: int, **more: Any) -> dict[str, Any]:
        return {"type": "message", "ts": f"174082320{number}.000100", "text": "", **more}

    marked = "<!here> <#C1|general> <!subteam^S1|@team> <mailto:a@e.org|a@e.org> <!date^1^{x}|May>"
    deployed = [{"title": "Deployed", "text": "version 1"}]
    (tmp_path / "general").mkdir()
    day = tmp_path / "general" / "2025-03-01.json"
    day.write_text(
        json.dumps(
            [
                message(1, user="U1", text=marked),
                message(2, user="U9", bot_id="B", bot_profile={"name": "ci"}, text="beep",
                        attachments=deployed),
                message(3, subtype="file_comment", text="nice", comment={"user": "U2"}),
            ]
        )
    )  # fmt: skip
    assert [words for _, words in told(tmp_path)] == [
        "U1: @here #general @team a@e.org May",
        "ci: beep\nDeployed\nversion 1",
        "U2: nice",
    ]


def test_discord_with_the_newest_first_and_kinds_by_number(tmp_path: Path) -> None:
    def message(number: int, kind: str) -> dict[str, Any]:
        at = f"2025-10-01T09:0{number}:00.000+00:00"
        author = {"id": "9", "name": "ana"}
        return {"id": str(number), "type": kind, "timestamp": at, "content": kind, "author": author}

    kinds = ["20", "19", "Default"]
    messages = [message(3 - place, kind) for place, kind in enumerate(kinds)]
    channel = {"guild": {"name": "G"}, "channel": {"id": "20"}, "messages": messages}
    assert [words for _, words in said(tmp_path, "channel.json", channel)] == [
        "ana: Default",
        "ana: 19",
        "ana: 20",
    ]


def test_one_mail_that_is_in_no_mailbox(tmp_path: Path) -> None:
    mail = (
        "Return-Path: <ana@example.org>\nFrom: Ana <ana@example.org>\nTo: ben@example.org\n"
        "Subject: =?utf-8?Q?Ch=C3=A1?=\nDate: Fri, 3 Oct 2025 17:50:00 +0100\n"
        "Message-ID: <1@example.org>\nContent-Transfer-Encoding: base64\n\n"
        "TyBjaMOhIGVzdMOhIHByb250bw==\n"
    )
    for name in ("letter.eml", "letter", "letter.mail"):
        assert said(tmp_path, name, mail) == [
            ("mail/1@example.org", "Ana: Chá\n\nO chá está pronto")
        ]
    # Of a folder, too; and a note that begins with such a line is none.
    assert len(told(tmp_path)) == 3
    assert said(tmp_path, "note", "From: the window\nyou see the river\n")[0][0].endswith("note")


def test_an_empty_answer_of_a_benchmark_refuses_nothing(tmp_path: Path) -> None:
    question = {
        "question_id": "q",
        "haystack_dates": ["2023/05/20 (Sat) 02:21"],
        "haystack_sessions": [
            [{"role": "user", "content": "a"}, {"role": "assistant", "content": ""}]
        ],
    }
    assert said(tmp_path, "lme.json", [question]) == [("q/0", "a")]
