"""Two writers, and a writer beside three readers, each a process: refused or right, never wrong."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bruno_memory_vec import open_memory
from tests.durability.support import Child, rows_of
from tests.torture.conftest import Torture, counts

pytestmark = pytest.mark.slow

# Seconds after which a reader that does not find a row never will: a busy machine needs far less.
_NEVER = 120

# Opens a folder for "open", closes it for "close", stores a message for anything else.
_OPENER = """
import asyncio, json, os, sys
from bruno_core.models.message import Message, MessageRole
from bruno_memory_vec import open_memory
from bruno_memory_vec.errors import StoreLockedError

async def main():
    memory = None
    print("open", flush=True)
    while line := (await asyncio.to_thread(sys.stdin.readline)).strip():
        answer = {"pid": os.getpid()}
        try:
            if line == "open":
                memory = await open_memory(sys.argv[1], embedder="hash")
            elif line == "close":
                await memory.close()
            else:
                message = Message(role=MessageRole.USER, content=line)
                await memory.store_message(message, "talk", user_id="ana")
        except StoreLockedError as error:
            answer["refused"] = str(error)
        print(json.dumps(answer), flush=True)

asyncio.run(main())
"""

# Stores batches for two users, and writes a line into the log when one is acknowledged. Now and
# then it fills and clears a conversation, and compacts. Versions older than argv[3] seconds go.
_WRITER = """
import asyncio, json, os, random, sys
from datetime import timedelta
from bruno_core.models.message import Message, MessageRole
from bruno_memory_vec import open_memory
from bruno_memory_vec.indexers import lance
from tests.durability.child_writer import word

lance._KEEP_VERSIONS = timedelta(seconds=float(sys.argv[3]))
dice = random.Random(int(sys.argv[4]))

def batch(user, number, size):
    return [
        Message(role=MessageRole.USER, content=f"{user} {number} {size} {n} {word(number)}")
        for n in range(size)
    ]

async def main():
    log = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    done = {"batches": 0, "rows": 0, "cleared": 0, "compacted": 0}
    async with open_memory(sys.argv[1], embedder="hash") as memory:

        async def one(number):
            user, size = dice.choice(("ana", "bo")), dice.choice((1, 1, 2, 7, 40))
            conversation = f"{user}-{dice.randrange(3)}"
            await memory.store_messages(batch(user, number, size), conversation, user_id=user)
            line = json.dumps([user, conversation, number, size])
            os.write(log, (line + "\\n").encode())
            done["batches"] += 1
            done["rows"] += size

        async def scratch(number):
            for user in ("ana", "bo"):
                talk = f"{user}-scratch"
                await memory.store_messages(batch(user, number, 20), talk, user_id=user)
                await memory.clear_history(talk)
            done["cleared"] += 2

        await one(0)
        print("open", flush=True)
        over = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
        number = 0
        # On, too, until each kind of work was done once.
        while not over.done() or min(done.values()) == 0:
            together = dice.choice((1, 1, 5))
            await asyncio.gather(*(one(number + n + 1) for n in range(together)))
            number += together
            if dice.random() < 0.1:
                number += 1
                await scratch(number)
            if dice.random() < 0.05:
                await memory.maintain()
                done["compacted"] += 1
        report = await memory.health()
        done["problems"] = report["problems"]
    print(json.dumps(done), flush=True)

asyncio.run(main())
"""

# Looks again and again until it is told to stop, and says what was wrong.
_READER = """
import asyncio, json, random, sys, time
from collections import Counter
from bruno_memory_vec import open_memory
from tests.durability.child_writer import word

dice = random.Random(int(sys.argv[3]))
soon = float(sys.argv[4])
done, wrong = Counter(), []

def check(condition, what):
    if not condition and len(wrong) < 10:
        wrong.append(what)

def acknowledged():
    with open(sys.argv[2]) as log:
        return [json.loads(line) for line in log]

async def conversation(memory, user, seen):
    \"\"\"Whole batches only, every acknowledged one, and nothing that was seen is missing.\"\"\"
    name = f"{user}-{dice.choice((0, 1, 2, 'scratch'))}"
    wanted = {number for _, place, number, _ in acknowledged() if place == name}
    said = await memory.for_user(user).retrieve_messages(name)
    parts = Counter()
    for message in said:
        owner, number, size, _, _ = message.content.split()
        check(owner == user, f"{user} is shown {message.content!r}")
        parts[int(number), int(size)] += 1
    for (number, size), count in parts.items():
        check(count == size, f"batch {number} of {size} rows has {count} in {name}")
    found = {number for number, _ in parts}
    if not name.endswith("scratch"):
        check(wanted <= found, f"acknowledged, not seen in {name}: {sorted(wanted - found)[:5]}")
        gone = seen.setdefault(name, set()) - found
        check(not gone, f"seen before, gone from {name}: {sorted(gone)[:5]}")
        seen[name] |= found
    done["conversations"] += 1

async def foreign(memory, user):
    other = "bo" if user == "ana" else "ana"
    said = await memory.for_user(user).retrieve_messages(f"{other}-0")
    check(not said, f"{user} is shown {other}'s conversation")
    done["foreign"] += 1

async def recall(memory, user):
    \"\"\"An acknowledged row is found; by its words once the writer has committed them.\"\"\"
    user, place, number, size = dice.choice([a for a in acknowledged() if a[0] == user])
    text = f"{user} {number} {size} {dice.randrange(size)} {word(number)}"
    profile, until = dice.choice(("lexical", "semantic", "balanced")), time.monotonic() + soon
    while True:
        query = word(number) if profile == "lexical" else text
        hits = await memory.recall(query, user_id=user, k=60, profile=profile)
        for hit in hits:
            check(hit.content.split()[0] == user, f"{user} recalls {hit.content!r}")
        if text in {hit.content for hit in hits}:
            break
        if time.monotonic() > until:
            check(False, f"{profile} does not find {text!r}, acknowledged")
            break
        done["recalled again"] += 1
    done["recalls"] += 1

async def statistics(memory, user):
    wanted = sum(size for owner, _, _, size in acknowledged() if owner == user)
    total = (await memory.get_statistics(user))["total_messages"]
    check(total >= wanted, f"{user} has {total} rows, {wanted} are acknowledged")
    done["statistics"] += 1

async def main():
    seen = {}
    async with open_memory(sys.argv[1], embedder="hash", read_only=True) as memory:
        print("open", flush=True)
        over = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
        # On, too, until it has looked in each way once.
        ways = {"conversations", "foreign", "recalls", "statistics"}
        while not over.done() or not ways <= done.keys():
            user = dice.choice(("ana", "bo"))
            work = dice.choice((conversation, conversation, foreign, recall, recall, statistics))
            if work is conversation:
                await work(memory, user, seen)
            else:
                await work(memory, user)
    print(json.dumps({"done": done, "wrong": wrong}), flush=True)

asyncio.run(main())
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Child]]:
    """Starts a child from a script's text; ends what is left of them."""
    started: list[Child] = []

    def begin(script: str, *arguments: object) -> Child:
        path = tmp_path / f"script{len(started)}.py"
        path.write_text(script)
        started.append(Child(path, *map(str, arguments)))
        return started[-1]

    yield begin
    for child in started:
        if child.process.poll() is None:
            child.kill()
        child.end()


async def answer(child: Child) -> Any:
    line = await asyncio.to_thread(child.hear)
    assert line, "the child has ended"
    return json.loads(line)


async def ask(children: list[Child], line: str) -> list[dict[str, Any]]:
    """Tell all the same at once; what each answers."""
    for child in children:
        child.say(line)
    return [await answer(child) for child in children]


async def test_two_writers_race_for_a_folder(
    tmp_path: Path, start: Callable[..., Child], torture: Torture
) -> None:
    rounds = torture.choose(10, 100)
    folder = tmp_path / "store"
    writers = [start(_OPENER, folder) for _ in range(2)]
    for writer in writers:
        assert writer.hear() == "open"
    wins: Counter[int] = Counter()
    unnamed = 0
    stored = []
    for round_ in range(rounds):
        answers = await ask(writers, "open")
        winners = [w for w, a in zip(writers, answers, strict=True) if "refused" not in a]
        assert len(winners) == 1, answers
        winner = winners[0]
        loser = writers[1 - writers.index(winner)]
        refusal = next(a["refused"] for a in answers if "refused" in a)
        # In the moment between the lock and its name there is nobody to name yet.
        named = f"process {winner.process.pid} "
        assert named in refusal or "another process" in refusal, refusal
        unnamed += named not in refusal
        assert named in (await ask([loser], "open"))[0]["refused"]
        stored.append(f"round {round_}")
        assert "refused" not in (await ask([winner], stored[-1]))[0]
        await ask([winner], "close")
        wins[winner.process.pid] += 1
    await ask(writers[:1], "open")
    writers[0].kill()  # a killed holder holds nothing
    assert "refused" not in (await ask(writers[1:], "open"))[0]
    await ask(writers[1:], "close")
    async with open_memory(str(folder), embedder="hash") as memory:
        assert sorted(row["content"] for row in await rows_of(memory)) == sorted(stored)
    counts(races=rounds, wins=" and ".join(map(str, wins.values())), refused_unnamed=unnamed)


async def test_a_writer_and_three_readers(
    tmp_path: Path, start: Callable[..., Child], torture: Torture
) -> None:
    # A writer keeps old versions for a minute. The short form is over before that.
    for keep, seconds in torture.choose(((1.0, 4.0),), ((1.0, 30.0), (60.0, 75.0))):
        folder = tmp_path / f"kept {keep:.0f} s"
        folder.mkdir()
        await write_and_read(folder, start, keep, seconds)


async def write_and_read(
    where: Path, start: Callable[..., Child], keep: float, seconds: float
) -> None:
    """A writer that keeps old versions for ``keep`` seconds, and readers, for a while."""
    folder, log = where / "store", where / "log"
    dice = random.Random(1)
    writer = start(_WRITER, folder, log, keep, dice.randrange(100))
    assert await asyncio.to_thread(writer.hear) == "open"
    readers = [start(_READER, folder, log, dice.randrange(100), _NEVER) for _ in range(3)]
    for reader in readers:
        assert await asyncio.to_thread(reader.hear) == "open"
    await asyncio.sleep(seconds)
    reports = await ask(readers, "stop")
    written = (await ask([writer], "stop"))[0]
    looks: Counter[str] = Counter()
    for report in reports:
        assert report["wrong"] == []
        looks.update(report["done"])
        assert min(report["done"].values()) > 0
    assert written.pop("problems") == {}
    assert min(written.values()) > 0
    counts(keep_seconds=keep, **written)
    counts(readers=3, **dict(looks))
    async with open_memory(str(folder), embedder="hash") as memory:
        assert len(await rows_of(memory)) == written["rows"]
