"""Lines that say the same are messages of their own, whoever said them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from bruno_memory_vec import open_memory
from bruno_memory_vec.portability import Turn, read

WAYS = [{}, {"user_id": "ana"}]


def turns(*lines: dict[str, Any], **arguments: Any) -> list[Turn]:
    text = "\n".join(json.dumps(line) for line in lines)
    found = list(read(io.StringIO(text), format="jsonl", **arguments))
    assert all(isinstance(one, Turn) for one in found), found
    return [one for one in found if isinstance(one, Turn)]


def line(content: str = "Yes.", conversation: str = "talk", **more: Any) -> dict[str, Any]:
    return {"conversation_id": conversation, "role": "user", "content": content, **more}


@pytest.mark.parametrize("whose", WAYS)
@pytest.mark.parametrize("given", WAYS)
def test_equal_lines_have_ids_of_their_own(whose: dict[str, str], given: dict[str, str]) -> None:
    lines = [line(**whose), line("No.", **whose), line(**whose), line(**whose)]
    ids = [turn.message.id for turn in turns(*lines, **given)]
    assert len(set(ids)) == 4
    assert ids == [turn.message.id for turn in turns(*lines, **given)]


def test_other_users_and_conversations_do_not_move_the_ids() -> None:
    own = [line(user_id="ana"), line(user_id="ana")]
    others = [line(user_id="ben"), line(conversation="other", user_id="ana")]
    alone = [turn.message.id for turn in turns(*own)]
    mixed = turns(own[0], *others, own[1], *others)
    assert len({turn.message.id for turn in mixed}) == 6
    found = [t.message.id for t in mixed if (t.user_id, t.conversation_id) == ("ana", "talk")]
    assert found == alone


async def test_both_are_stored(tmp_path: Path) -> None:
    file = tmp_path / "talk.jsonl"
    file.write_text("".join(json.dumps(line(user_id="ana")) + "\n" for _ in range(3)))
    async with open_memory("memory://", embedder="hash") as memory:
        for _ in range(2):  # again: the same messages
            for turn in read(file):
                assert isinstance(turn, Turn)
                await memory.store_message(turn.message, turn.conversation_id, user_id=turn.user_id)
        assert [m.content for m in await memory.retrieve_messages("talk")] == ["Yes."] * 3
