"""The oracle of the tests with several processes: it says what is wrong, and only that."""

from __future__ import annotations

from pathlib import Path

from tests.faults.history import History, wrong_in_context


def _stored(history: History, operation: str, *ids: str) -> None:
    texts = [f"text {id_}" for id_ in ids]
    history.begin(operation, do="store", user="ana", place="talk", ids=ids, texts=texts)
    history.end(operation)


def test_what_was_acknowledged_has_to_be_seen_and_what_was_deleted_must_not(tmp_path: Path) -> None:
    history, other = History(tmp_path / "log"), History(tmp_path / "log")
    _stored(history, "1", "a")
    since = other.now()
    other.begin("2", do="store", user="ana", place="talk", ids=["b"], texts=["text b"])
    until = history.now()
    a, b = history.items["a"], history.items["b"]
    assert (a.is_there(since, until), b.is_there(since, until)) == (True, False)
    history.begin("3", do="clear", place="talk")
    since = other.now()
    # It is being deleted: either is right.
    assert (other.items["a"].is_there(since, since), other.items["a"].is_gone(since)) == (
        False,
    ) * 2
    history.end("3")
    other.end("2")
    _stored(other, "4", "c")
    since = history.now()
    assert [history.items[id_].is_gone(since) for id_ in "abc"] == [True, False, False]
    assert [history.items[id_].is_there(since, since) for id_ in "abc"] == [False, False, True]
    history.close()
    other.close()


def test_a_context_is_wrong_where_it_lacks_mixes_up_or_keeps(tmp_path: Path) -> None:
    history = History(tmp_path / "log")
    for id_ in "abc":
        _stored(history, id_, id_)
    now = history.now()

    def wrong(seen: str, told: str = "abc") -> str:
        return "; ".join(wrong_in_context(history, "talk", list(seen), list(told), now, now))

    assert wrong("abc") == wrong("bc") == wrong("c") == ""  # the last ones
    assert "lacks 'text c'" in wrong("ab")
    assert "lacks 'text a'" in wrong("")
    assert "order" in wrong("acb")
    assert "not among the rows" in wrong("bc", told="bc")
    history.begin("clear", do="clear", place="talk")
    history.end("clear")
    now = history.now()
    assert "which was deleted" in wrong("c", told="")
    history.close()
