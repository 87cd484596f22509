"""Puts what was found into messages, as long as the budget lasts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo

from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec.context.found import Found
from bruno_memory_vec.context.report import ContextItem, LeftOut, Reason
from bruno_memory_vec.conversations.context import RECALLED
from bruno_memory_vec.conversations.window import TOKENS_A_MESSAGE
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.indexers.schema import MEMORY, MESSAGE
from bruno_memory_vec.prompts.notes import (
    CHARACTERS_A_TOKEN,
    LEAST_OF_A_LINE,
    Line,
    cited_block,
    speaker_label,
)
from bruno_memory_vec.prompts.quoting import quotable
from bruno_memory_vec.prompts.token_bound import Counter

# The headings of what is not told by its date.
_HEADINGS = {"profile": "About the user:", "pinned": "Pinned:", "summary": "Summaries:"}
_ORDER = (*_HEADINGS, "turns")
# Under which heading a line stands: its section, and of turns the conversation and the date.
_Heading = tuple[str, tuple[str | None, str]]
_FIRST = datetime.min.replace(tzinfo=timezone.utc) + timedelta(days=2)
_LAST = datetime.max.replace(tzinfo=timezone.utc) - timedelta(days=2)


@dataclass(slots=True, eq=False)
class _Quoted:
    """A line of the block.

    Attributes:
        found: what it quotes.
        section: under which heading it stands: of :data:`_HEADINGS`, or "turns".
        group: conversation and date, for "turns".
        line: as far as it is shown, still without its mark.
        shown: the quotation.
        tokens: what it costs.
        heading: what its heading costs, where it is the first one under it.
        bundle: the same of lines that are shown together or not at all; None of one by itself.
    """

    found: Found
    section: str
    group: tuple[str | None, str]
    line: str
    shown: str
    tokens: int
    whole: bool
    heading: int
    bundle: int | None = None

    def of(self, bundle: int | None) -> bool:
        """Whether it belongs to a bundle."""
        return bundle is not None and self.bundle == bundle


class Packing:
    """Messages under a budget: whole messages, and lines that quote what is recalled.

    Args:
        question: stays, whatever else does.
        budget: the most tokens of all messages, with :data:`TOKENS_A_MESSAGE` for each of them.
        count: counts the tokens of a text.
        zone: in which dates are shown.

    Raises:
        InvalidInputError: the question alone has more tokens than the budget.
    """

    def __init__(self, question: Found, budget: int, count: Counter, zone: tzinfo) -> None:
        assert question.message is not None
        self._question, self._budget = question, budget
        self._count, self._zone = count, zone
        self._asked = count(question.message.content) + TOKENS_A_MESSAGE
        if self._asked > budget:
            raise InvalidInputError(
                "budget",
                f"is {budget} tokens, and the question alone has {self._asked}",
                fix=f"Give a budget of at least {self._asked}, or ask a shorter question.",
            )
        #: How many tokens are left.
        self.room = budget - self._asked
        self._frame = count(cited_block([])) + TOKENS_A_MESSAGE
        self._systems: list[tuple[Found, int]] = []
        self._recent: list[tuple[Found, int]] = []
        self._quoted: list[_Quoted] = []
        self._headed: set[_Heading] = set()
        self._bundles = 0
        self._left_out: list[LeftOut] = []
        # By (kind, id), and by what is said: nothing is shown twice.
        self._ids: set[tuple[str, str]] = set()
        self._texts: set[str] = set()
        # Of each row that is shown, by (kind, id), its text as far as it is shown, and whether that
        # is all; and the lines that go as soon as a row that they were taken from is shown.
        self._rows: dict[tuple[str, str], tuple[str, bool]] = {}
        self._retelling: list[_Quoted] = []
        self._note(question, question.text, True)

    def shows(self, found: Found) -> bool:
        """Whether the context shows this already, or another text that says the same."""
        return self.shows_id(found) or _said(found.full or found.text) in self._texts

    def shows_id(self, found: Found) -> bool:
        """Whether the context shows this very row."""
        return found.id is not None and (found.kind, found.id) in self._ids

    def says(self, found: Found) -> bool:
        """Whether the context shows what a fact, or a line of the profile, was taken from.

        That is a message in which it was said; of a fact, also the line of the profile with its
        value; of such a line, also the memory. A row of which only a part is shown has to hold the
        value in it, and so has one of a line with several values.
        """
        if found.source == "pinned" or not (found.turns or found.values):
            return False
        sources = [(MESSAGE, id_) for id_ in found.turns]
        sources += [(MEMORY, id_) for id_ in found.memories]
        told = [self._rows[source] for source in sources if source in self._rows]
        if len(found.values) <= 1 and any(whole for _, whole in told):
            return True
        texts = [_said(quotable(text)) for text, _ in told]
        values = [_said(value) for value in found.values]
        if texts and values and all(any(value in text for text in texts) for value in values):
            return True
        return any(
            found.id in one.found.memories and {*values} <= {*map(_said, one.found.values)}
            for one in self._retelling
        )

    def leave_out(self, found: Found, reason: Reason) -> None:
        """Note that something does not go in."""
        line = found.line if found.id is None and found.line is not None else ""
        self._left_out.append(LeftOut(found.source, found.kind, found.id, reason, line))

    def system(self, found: Found, most: int) -> int:
        """Show a system message. Returns what it took, 0 where it does not fit."""
        cost = self._cost(found)
        if cost > min(most, self.room):
            self.leave_out(found, "budget")
            return 0
        self._systems.append((found, cost))
        self._take(found, cost)
        return cost

    def recent(self, unit: Sequence[Found], most: int) -> int:
        """Show messages before those that are shown, all or none. Returns what they took.

        What they say is not quoted any more.
        """
        costs = [self._cost(found) for found in unit]
        own = {(found.kind, found.id) for found in unit}
        again = [one for one in self._quoted if (one.found.kind, one.found.id) in own]
        freed = sum(one.tokens for one in again)
        if sum(costs) > min(most, self.room + freed):
            return 0
        for one in again:
            self._unquote(one)
        for found, cost in reversed(list(zip(unit, costs, strict=True))):
            self._recent.insert(0, (found, cost))
            self._take(found, cost)
        self._drop_retold()
        return sum(costs)

    def quote(self, found: Found, most: int | None = None, *, cut: bool = False) -> int:
        """Quote something in the block. Returns what it took, 0 where it does not fit.

        Args:
            found: what.
            most: how many tokens it may take, at most those that are left; the head and the marks
                of the block are not counted in it.
            cut: whether it may be cut where it does not fit.
        """
        taken = self._quote(found, most, cut=cut)
        if taken:
            self._drop_retold()
        return taken

    def _quote(self, found: Found, most: int | None = None, *, cut: bool = False) -> int:
        room = self.room if self._quoted else self.room - self._frame
        if most is not None:
            room = min(most, room)
        section = found.source if found.source in _HEADINGS else "turns"
        at = None if found.at is None else min(max(found.at, _FIRST), _LAST).astimezone(self._zone)
        date = "" if at is None else f"{at:%Y-%m-%d}"
        group = (found.conversation_id, date) if section == "turns" else (None, "")
        head = f"{speaker_label(found.who)}: "
        if section != "turns" and date:
            head = f"{date} {head}"
        heading = 0
        if (section, group) not in self._headed:
            heading = self._count(f"{_HEADINGS.get(section) or f'{date}:'}\n")
        room -= heading
        if room < LEAST_OF_A_LINE:
            return 0
        mark = f"[m{len(self._quoted) + 1}] "

        def cost(text: str) -> int:
            return self._count(f"{mark}{text}\n")

        text, whole = found.line, found.whole
        if text is None:
            line = Line.of(head, found.text, room * CHARACTERS_A_TOKEN)
            if line is None:
                return 0
            text, whole = line.whole, whole and not line.was_cut
            if cut and cost(text) > room:
                text, whole = line.cut(lambda one: cost(one) <= room), False
        taken = 0 if text is None else cost(text)
        if text is None or taken > room:
            return 0
        taken += heading
        if not self._quoted:
            self.room -= self._frame
        self._headed.add((section, group))
        shown = found.text if found.line is not None else text[len(head) + 1 : -1]
        one = _Quoted(found, section, group, text, shown, taken, whole, heading)
        self._quoted.append(one)
        if found.source != "pinned" and (found.turns or found.memories):
            self._retelling.append(one)
        self.room -= taken
        self._note(found, shown, whole)
        return taken

    def quote_all(self, several: Sequence[Found]) -> bool:
        """Quote some together, or none of them."""
        room, before, headed = self.room, list(self._quoted), set(self._headed)
        ids, texts, rows = set(self._ids), set(self._texts), dict(self._rows)
        for found in several:
            if not self._quote(found):
                self.room, self._quoted, self._headed = room, before, headed
                self._ids, self._texts, self._rows = ids, texts, rows
                return False
        self._bundles += 1
        for one in self._quoted[len(before) :]:
            one.bundle = self._bundles
        self._drop_retold()
        return True

    def built(self) -> tuple[list[Message], list[ContextItem], list[LeftOut], int]:
        """The messages, what each shows, what was left out, and how many tokens there are."""
        while True:
            messages, items = self._made()
            tokens = sum(self._count(one.content) + TOKENS_A_MESSAGE for one in messages)
            if tokens <= self._budget or not self._drop_last():
                return messages, items, self._left_out, tokens

    def _drop_last(self) -> bool:
        """Drop the least needed: a tokenizer may make more of the whole than of its parts."""
        if self._quoted:
            last = self._quoted[-1]
            for one in [one for one in self._quoted if one is last or one.of(last.bundle)]:
                self._unquote(one)
                self.leave_out(one.found, "budget")
        elif self._recent:
            place = 1
            while place < len(self._recent) and self._recent[place][0].is_result:
                place += 1
            for found, _ in self._recent[:place]:
                self.leave_out(found, "budget")
            del self._recent[:place]
        elif self._systems:
            self.leave_out(self._systems.pop()[0], "budget")
        else:
            return False
        return True

    def _cost(self, found: Found) -> int:
        assert found.message is not None
        return self._count(found.message.content) + TOKENS_A_MESSAGE

    def _take(self, found: Found, tokens: int) -> None:
        self.room -= tokens
        self._note(found, found.text, True)

    def _note(self, found: Found, shown: str, whole: bool) -> None:
        if found.id is not None:
            self._ids.add((found.kind, found.id))
            self._rows[found.kind, found.id] = shown, whole
        self._texts.add(_said(found.full or found.text))

    def _drop_retold(self) -> None:
        """Drop facts and lines of the profile if what they were taken from is shown now."""
        for one in [one for one in self._retelling if self.says(one.found)]:
            self._unquote(one)
            self.leave_out(one.found, "duplicate")

    def _unquote(self, one: _Quoted) -> None:
        self._quoted.remove(one)
        if one in self._retelling:
            self._retelling.remove(one)
        self.room += one.tokens
        if one.heading:
            for other in self._quoted:
                if (other.section, other.group) == (one.section, one.group):
                    # The heading stays, and is that one's.
                    other.heading, other.tokens = one.heading, other.tokens + one.heading
                    self.room -= one.heading
                    break
            else:
                self._headed.discard((one.section, one.group))
        if not self._quoted:
            self.room += self._frame

    def _made(self) -> tuple[list[Message], list[ContextItem]]:
        messages, items = [], []
        for found, cost in self._systems:
            messages.append(_message(found))
            items.append(_item(found, cost))
        if self._quoted:
            lines: list[str] = []
            for heading, ones in self._groups():
                lines.append(heading)
                for one in ones:
                    cite = f"m{len(items) - len(self._systems) + 1}"
                    lines.append(f"[{cite}] {one.line}")
                    items.append(_item(one.found, one.tokens, cite, one.shown, one.whole))
            block = cited_block(lines)
            told = len(self._quoted)
            messages.append(
                Message(role=MessageRole.SYSTEM, content=block, metadata={RECALLED: told})
            )
        for found, cost in (*self._recent, (self._question, self._asked)):
            messages.append(_message(found))
            items.append(_item(found, cost))
        return messages, items

    def _groups(self) -> Iterator[tuple[str, list[_Quoted]]]:
        """Headings and what stands below them: of turns the oldest first."""
        groups: dict[_Heading, list[_Quoted]] = {}
        for one in self._quoted:
            groups.setdefault((one.section, one.group), []).append(one)
        for ones in groups.values():
            if ones[0].section != "profile":
                ones.sort(key=_when)
        ordered = sorted(
            groups.items(), key=lambda pair: (_ORDER.index(pair[0][0]), _when(pair[1][0]))
        )
        for (section, (_, date)), ones in ordered:
            yield _HEADINGS.get(section) or f"{date}:", ones


def _when(one: _Quoted) -> tuple[datetime, int]:
    found = one.found
    return found.at or _LAST, -1 if found.turn is None else found.turn


def _said(text: str) -> str:
    return " ".join(text.split()).casefold()


def _message(found: Found) -> Message:
    assert found.message is not None
    return found.message


def _item(
    found: Found,
    tokens: int,
    cite: str | None = None,
    text: str | None = None,
    whole: bool = True,
) -> ContextItem:
    return ContextItem(
        source=found.source,
        kind=found.kind,
        id=found.id,
        cite=cite,
        text=_message(found).content if text is None else text,
        tokens=tokens,
        whole=whole,
        conversation_id=found.conversation_id,
        turn=found.turn,
        speaker=found.speaker,
        at=found.at,
        score=found.score,
    )
