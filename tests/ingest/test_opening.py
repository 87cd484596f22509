"""Folders, archives and encodings that are meant to break things."""

from __future__ import annotations

import gzip
import io
import tarfile
import time
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.portability import BadLine, Turn, opening, read
from bruno_memory_vec.portability.decoding import Prefixed, as_utf8

LINE = b'{"conversation_id": "c", "role": "user", "content": "ol\xc3\xa1"}\n'


def zipped(**files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name.replace("__", "/"), data)
    return out.getvalue()


def test_archives_within_archives_are_read_two_deep(tmp_path: Path) -> None:
    path = tmp_path / "outer.zip"
    deepest = zipped(**{"d.zip": zipped(d=LINE)})
    middle = zipped(c=LINE, **{"deep.zip": deepest})
    path.write_bytes(zipped(a=LINE, broken=b"PK\x03\x04 no more", inner=zipped(b=LINE, m=middle)))
    left: Counter[str] = Counter()
    got = list(read(path, left_out=left))
    assert [one.place for one in got if isinstance(one, Turn)] == [
        f"{path}/a",
        f"{path}/inner/b",
        f"{path}/inner/m/c",
    ]
    (told,) = [one for one in got if isinstance(one, BadLine)]
    assert (told.place, "damaged" in told.problem) == (f"{path}/broken", True)
    assert left == {"files of no known format": 1}
    # So delivered, too: an archive that was packed once more.
    again = tmp_path / "again.zip.gz"
    again.write_bytes(gzip.compress(zipped(a=LINE)))
    assert len(list(read(again))) == 1
    assert len(list(read(tmp_path))) == 5


def tarred(path: Path, mode: str, files: dict[str, bytes]) -> None:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        link = tarfile.TarInfo("Takeout/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)


@pytest.mark.parametrize(("name", "mode"), [("takeout.tgz", "w:gz"), ("takeout.tar", "w")])
def test_a_tar_archive_is_read_as_a_zip(tmp_path: Path, name: str, mode: str) -> None:
    """Takeout offers both."""
    path = tmp_path / name
    tarred(path, mode, {"Takeout/b.jsonl": LINE * 3, "Takeout/a.jsonl": LINE, ".hidden": LINE})
    got = list(read(path))
    assert [one.place for one in got] == [f"{path}/Takeout/b.jsonl"] * 3 + [
        f"{path}/Takeout/a.jsonl"
    ]
    assert len(list(read(tmp_path))) == 4
    with pytest.raises(InvalidInputError, match="where its path is named"):
        list(read(io.BytesIO(path.read_bytes())))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if mode == "w:gz" else whole[:1100])
    with pytest.raises(InvalidInputError, match="damaged"):
        list(read(path))


def test_a_tar_archive_that_grows_without_measure_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "SLACK", 2**16)
    path = tmp_path / "bomb.tgz"
    tarred(path, "w:gz", {"a": b"\0" * 4 * 2**20})
    with pytest.raises(InvalidInputError, match="unpacks to far more"):
        list(read(path))


def test_a_damaged_archive_is_refused() -> None:
    whole = zipped(a=LINE * 500)
    with pytest.raises(InvalidInputError, match="damaged"):
        list(read(io.BytesIO(whole[: len(whole) // 2])))
    changed = bytearray(whole)
    changed[60:70] = b"\xff" * 10
    (told,) = [item for item in read(io.BytesIO(bytes(changed))) if isinstance(item, BadLine)]
    assert "damaged" in told.problem
    for broken in (gzip.compress(LINE * 99)[:-9], gzip.compress(LINE)[:12] + b"\xff" * 20):
        with pytest.raises(InvalidInputError, match="damaged"):
            list(read(io.BytesIO(broken)))


def test_an_archive_with_a_password_is_refused_with_what_to_do(tmp_path: Path) -> None:
    data = bytearray(zipped(a=LINE))
    # The flag of an encrypted entry, in its header and in the directory.
    data[6] |= 1
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(InvalidInputError, match="is encrypted") as caught:
        list(read(io.BytesIO(bytes(data))))
    assert "password" in caught.value.fix


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "MOST_FILES", 3)
    for number in range(4):
        (tmp_path / f"{number}.jsonl").write_bytes(LINE)
    for source in (tmp_path, io.BytesIO(zipped(a=LINE, b=LINE, c=LINE, d=LINE))):
        with pytest.raises(InvalidInputError, match="more than 3 files"):
            list(read(source))


def test_all_that_an_archive_unpacks_to_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "MOST_UNPACKED", 5_000)
    got = list(read(io.BytesIO(zipped(a=LINE * 40, b=LINE * 40, c=LINE * 40))))
    assert any(isinstance(item, BadLine) and "unpacks to" in item.problem for item in got)


def test_small_files_of_an_archive_do_not_unpack_to_more_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each within its own bound, ten files of blanks were ten times as much as one may be."""
    monkeypatch.setattr(opening, "SLACK", 2**20)
    blank = b"[" + b" " * 900_000 + b"]"
    assert not list(read(io.BytesIO(zipped(a=blank))))
    bomb = zipped(**{f"f{number}": blank for number in range(10)})
    got = list(read(io.BytesIO(bomb)))
    assert any(isinstance(item, BadLine) and "unpacks to" in item.problem for item in got)


@pytest.mark.parametrize("name", ["a.json", "a.md", "a.jsonl"])
def test_blanks_take_no_time(name: str) -> None:
    """Millions of blank lines fit into a few KiB, and each took as long as a message."""
    began = time.thread_time()
    blank = zipped(**{name: b"\n" * 1_000_000})
    (told,) = [item for item in read(io.BytesIO(blank)) if isinstance(item, BadLine)]
    assert "more than 100,000 blank lines in a row" in told.problem
    long = b"[" + b" " * 30_000_000 + b'{"role": "user", "content": "x"}]'
    assert len(list(read(io.BytesIO(long)))) == 1
    assert time.thread_time() - began < 2


def test_what_is_hidden_or_linked_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "a.jsonl").write_bytes(LINE)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "b.jsonl").write_bytes(LINE)
    (tmp_path / "loop").symlink_to(tmp_path)
    assert [item.place for item in read(tmp_path)] == [str(tmp_path / "in" / "b.jsonl")]
    assert list(read(tmp_path / "loop" / ".git")) != []  # a folder that is named is read


def test_an_empty_folder_or_archive_gives_nothing(tmp_path: Path) -> None:
    assert list(read(tmp_path)) == []
    assert list(read(io.BytesIO(zipped()))) == []
    with pytest.raises(InvalidInputError, match="empty list"):
        read([])


def test_a_whatsapp_archive_is_called_by_its_chat(tmp_path: Path) -> None:
    path = tmp_path / "WhatsApp Chat - Ben.zip"
    path.write_bytes(zipped(**{"_chat.txt": b"[13/02/25, 18:50:01] Ana: hi\n"}))
    (turn,) = read(path)
    assert isinstance(turn, Turn)
    assert turn.conversation_id == "whatsapp/Ben"


def test_slack_in_an_archive_has_its_names(tmp_path: Path) -> None:
    users = b'[{"id": "U1", "profile": {"display_name": "Ana"}}]'
    day = b'[{"type": "message", "user": "U1", "text": "hi", "ts": "1740823260.000200"}]'
    data = zipped(**{"users.json": users, "general__2025-03-01.json": day})
    (turn,) = read(io.BytesIO(data))
    assert isinstance(turn, Turn)
    assert (turn.conversation_id, turn.message.content) == ("slack/general", "Ana: hi")


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=200)


@given(texts, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]), st.integers(1, 9))
def test_any_text_comes_as_utf_8(text: str, encoding: str, size: int) -> None:
    stream = as_utf8(io.BytesIO(text.encode(encoding)))
    parts = []
    while part := stream.read(size):
        parts.append(part)
    found = b"".join(parts).decode()
    # A mark that is the text's own first character is one, too.
    assert found == (text if encoding != "utf-8" else text.removeprefix("\ufeff"))


@given(st.binary(max_size=40), st.binary(max_size=40), st.lists(st.integers(1, 20), max_size=30))
def test_bytes_before_a_stream_change_nothing(begin: bytes, rest: bytes, sizes: list[int]) -> None:
    whole, made = io.BytesIO(begin + rest), Prefixed(begin, io.BytesIO(rest))
    for number, size in enumerate(sizes):
        if number % 2:
            assert made.readline(size) == whole.readline(size)
        else:
            # A stream may give fewer bytes than were asked for.
            got = made.read(size)
            assert got == whole.read(len(got))
    assert made.readline() == whole.readline()
