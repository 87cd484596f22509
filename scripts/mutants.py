"""Mutation runs: faults put in by a machine, and whether a test notices.

``make mutants`` (the extra `mutants`). Of each module a seeded sample of places is mutated, one
mutant a place: a full run would take days on two cores. The mutations are cosmic-ray's operators
and three of ours, which leave out a call, a change of state, or a keyword argument. Each mutant is
run in a copy of the working tree, against the few test files that are to notice it.

What cannot matter is not mutated: annotations, decorators, log messages, module constants that
only cost time (TUNING). A mutant that runs into the time limit counts as killed.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import json
import os
import queue
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cosmic_ray.ast import Visitor, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator, operator_names
from parso.python.tree import Keyword

ROOT = Path(__file__).resolve().parent.parent

#: group -> module -> the test files that are to kill its mutants, the quickest first. Paths below
#: `tests`. A module that moves is renamed here and nowhere else.
MODULES: dict[str, dict[str, str]] = {
    "writing": {
        "bruno_memory_vec/writing/commit.py": "unit/test_batches unit/test_writing",
        "bruno_memory_vec/writing/queue.py": "unit/test_write_queue unit/test_writing",
        "bruno_memory_vec/writing/ahead.py": "unit/test_large_calls",
        "bruno_memory_vec/writing/turns.py": "unit/test_write_queue",
        "bruno_memory_vec/writing/known_ids.py": "properties/test_known_ids unit/test_batches "
        "unit/test_writing",
        "bruno_memory_vec/writing/background.py": "unit/test_background",
        "bruno_memory_vec/writing/projections/__init__.py": "unit/test_following unit/test_writing",
        "bruno_memory_vec/writing/projections/lexical.py": "unit/test_following",
        "bruno_memory_vec/writing/projections/sessions.py": "unit/test_following unit/test_writing",
        "bruno_memory_vec/writing/writer.py": "unit/test_writing unit/test_batches unit/test_kinds",
    },
    "sessions": {
        "bruno_memory_vec/sessions/cache.py": "unit/test_hot_cache",
        "bruno_memory_vec/sessions/sqlite.py": "unit/test_sessions unit/test_hot_cache "
        "unit/test_sessions_connection unit/test_other_formats",
    },
    "access": {
        "bruno_memory_vec/rows/checks.py": "unit/test_access unit/test_validation",
        "bruno_memory_vec/recall/request.py": "unit/test_access",
        "bruno_memory_vec/rows/metadata_pairs.py": "unit/test_metadata_pairs",
        "bruno_memory_vec/conversations/conversations.py": "unit/test_access unit/test_kinds",
        "bruno_memory_vec/access.py": "unit/test_access unit/test_kinds "
        "isolation/test_views_tell_nothing",
        "bruno_memory_vec/sessions/owners.py": "isolation/test_beginnings unit/test_access "
        "isolation/test_views_tell_nothing",
        "bruno_memory_vec/writing/ownership.py": "isolation/test_beginnings",
        "bruno_memory_vec/upkeep/ownership.py": "unit/test_ownership",
    },
    "log": {
        "indexers/lance/write_ahead_log.py": "unit/test_row_log unit/test_log_parts "
        "durability/test_names_synced",
        "indexers/lance/memtable.py": "unit/test_log_parts unit/test_row_log",
        "indexers/lance/write_ahead_log_index.py": "unit/test_log_parts unit/test_row_log",
    },
    "context": {
        "bruno_memory_vec/conversations/context.py": "unit/test_context "
        "assistant/test_recalled_notes properties/test_context_building",
    },
}

#: Constants that say from where on another way is quicker, or how long to wait: both sides of them
#: give the same answers, and no test should say which is taken.
TUNING = set(
    "_ROWS_ON_THE_LOOP _CHARACTERS_ON_THE_LOOP _MODELS_ON_THE_LOOP _REMEMBERED_TURNS "
    "_REMEMBERED_OWNERS _BATCH_ROWS _QUIET_TURNS QUEUE_ROWS QUEUE_CHARACTERS _ANSWERS_AT_ONCE "
    "LEXICAL_DELAY _USES_BEFORE_FLUSH _REST _ROWS_A_COMMIT _RECENT _FEW _WEIGHTS PAUSE LONGEST "
    "AGAIN _AGAIN _TRIES _JOINED_ON_THE_LOOP _BYTES_ON_THE_LOOP LOGGED_ROWS LOGGED_BYTES "
    "MEMTABLE_ROWS MEMTABLE_BYTES _CHARACTERS_A_TOKEN _BLANK _MOST_CHARACTERS "
    "_MOST_CONTEXTS".split()
)

_SWAPS = {
    "ReplaceComparisonOperator": "Lt_LtE Lt_Gt LtE_Lt Gt_GtE Gt_Lt GtE_Gt Eq_NotEq NotEq_Eq "
    "In_NotIn NotIn_In Is_IsNot IsNot_Is",
    "ReplaceBinaryOperator": "Add_Sub Sub_Add Mul_Add FloorDiv_Mul Div_Mul Mod_Add BitAnd_BitOr "
    "BitOr_BitAnd Pow_Mul",
    "ReplaceUnaryOperator": "Delete_USub Delete_Not Delete_Invert",
}
_PLAIN = """AddNot ReplaceTrueWithFalse ReplaceFalseWithTrue ReplaceAndWithOr ReplaceOrWithAnd
    ReplaceBreakWithContinue ReplaceContinueWithBreak ExceptionReplacer NumberReplacer
    ZeroIterationForLoop""".split()


# Our operators


class _Ours(Operator):
    @classmethod
    def examples(cls) -> tuple[()]:
        return ()


class _DropStatement(_Ours):
    """Put ``pass`` in the place of statements that :meth:`drops` names."""

    def mutation_positions(self, node: Any) -> list[Any]:
        fits = node.type == "simple_stmt" and self.drops(node.children[0])
        return [(node.start_pos, node.end_pos)] if fits else []

    def mutate(self, node: Any, index: int) -> Any:
        first = node.get_first_leaf()
        node.children[0] = Keyword("pass", first.start_pos, first.prefix)
        return node

    def drops(self, statement: Any) -> bool:
        raise NotImplementedError


class DropCall(_DropStatement):
    """Leave out a call whose result nobody uses."""

    def drops(self, statement: Any) -> bool:
        return statement.type in {"atom_expr", "power"} and statement.get_last_leaf().value == ")"


class DropChange(_DropStatement):
    """Leave out a change of an attribute or an item, or of a sum."""

    def drops(self, statement: Any) -> bool:
        if statement.type != "expr_stmt" or statement.children[1].type == "annassign":
            return False
        operator, target = statement.children[1], statement.children[0]
        return target.type in {"atom_expr", "power"} or getattr(operator, "value", "") != "="


class DropKeyword(_Ours):
    """Leave out a keyword argument."""

    def _arguments(self, node: Any) -> list[int]:
        if node.type not in {"arglist", "trailer"}:
            return []
        return [
            place
            for place, child in enumerate(node.children)
            if child.type == "argument"
            and getattr(child.children[1], "value", "") == "="
            # `raise ... from error` says the same.
            and child.children[0].value != "cause"
        ]

    def mutation_positions(self, node: Any) -> list[Any]:
        # Not one by one: the node is mutated before the next would be asked for.
        arguments = [node.children[place] for place in self._arguments(node)]
        return [(one.start_pos, one.end_pos) for one in arguments]

    def mutate(self, node: Any, index: int) -> Any:
        place = self._arguments(node)[index]
        comma = place + 1 < len(node.children) and node.children[place + 1].value == ","
        del node.children[place : place + 1 + comma]
        return node


def operators() -> dict[str, Operator]:
    """Every mutation that is made, by name; variants of one are named FAMILY_VARIANT."""
    chosen = {}
    for path in operator_names():
        name = path.split("/")[1]
        family, _, variant = name.partition("_")
        if name in _PLAIN or variant in _SWAPS.get(family, "").split():
            chosen[name] = get_operator(path)
    made: dict[str, Operator] = {name: kind() for name, kind in sorted(chosen.items())}
    return {**made, **{kind.__name__: kind() for kind in (DropCall, DropChange, DropKeyword)}}


# Mutants


@dataclass(frozen=True)
class Mutant:
    """One fault, and the whole source that has it."""

    module: str
    operator: str
    line: int
    source: str


@dataclass
class Outcome:
    """What became of a mutant."""

    module: str
    operator: str
    line: int
    result: str
    seconds: float
    diff: str
    by: str = ""


@dataclass
class Report:
    """Of one run."""

    seed: int
    size: int
    seconds: float = 0.0
    outcomes: list[Outcome] = field(default_factory=list)


class _Finder(Visitor):
    def __init__(self, name: str, operator: Operator) -> None:
        self.name, self.operator = name, operator
        self.found: list[tuple[Any, Any]] = []

    def visit(self, node: Any) -> Any:
        for position in self.operator.mutation_positions(node):
            self.found.append((position[0], node))
        return node


def places(source: str) -> dict[tuple[Any, str], list[tuple[str, int]]]:
    """Each place, as its position and the family of mutations: the mutations that it may get."""
    found: dict[tuple[Any, str], list[tuple[str, int]]] = {}
    for name, operator in operators().items():
        finder = _Finder(name, operator)
        finder.walk(get_ast(source))
        for occurrence, (start, node) in enumerate(finder.found):
            if _matters(node, start):
                family = name.partition("_")[0]
                found.setdefault((start, family), []).append((name, occurrence))
    return found


def _matters(node: Any, start: Any) -> bool:
    inner, outer = node, node.parent
    if _is_log(node):
        return False
    while outer is not None:
        kind = outer.type
        if kind in {"decorator", "tfpdef"} or _is_log(outer):
            return False
        if kind == "annassign" and inner is outer.children[1]:
            return False
        if kind == "funcdef" and inner is outer.annotation:
            return False
        if kind == "if_stmt" and "TYPE_CHECKING" in outer.children[1].get_code():
            return False
        if kind == "expr_stmt" and outer.parent.parent.type == "file_input":
            names = {name.value for name in outer.get_defined_names()}
            if names & TUNING or "TypeVar" in outer.get_code() or "|" in outer.get_code():
                return False
        inner, outer = outer, outer.parent
    return True


def _is_log(node: Any) -> bool:
    return node.type in {"atom_expr", "simple_stmt"} and node.get_code().strip().startswith("_log")


def sample(module: str, size: int, seed: int) -> list[Mutant]:
    """So many mutants of a module, at different places; the first of a larger sample."""
    source = (ROOT / module).read_text(encoding="utf-8")
    draw = random.Random(f"{seed} {module}")
    found, every = places(source), operators()
    order, chosen = sorted(found), []
    draw.shuffle(order)
    for place in order:
        name, number = draw.choice(found[place])
        mutated = _mutated(source, every[name], number)
        if mutated is not None and len(chosen) < size:
            chosen.append(Mutant(module, name, place[0][0], mutated))
    return chosen


def _mutated(source: str, operator: Operator, occurrence: int) -> str | None:
    """The source with a fault; None where the operator makes none that is Python."""
    try:
        mutated = mutate_code(source, operator, occurrence)
        compile(mutated or "?", "a mutant", "exec")
    except (SyntaxError, AttributeError):
        # cosmic-ray takes the star of a parameter list for a product, and cannot replace
        # an exception that has a dot in its name.
        return None
    return str(mutated)


# Running

# Importing what the package needs takes longer than many tests, so one process does it, and forks
# for each mutant. The package itself is imported by the children alone; so are the engines, whose
# threads would not survive a fork, and pytest's plugins, which it wants to import itself.
_NURSERY = """
import importlib.util, json, os, signal, sys, time, traceback
import aiosqlite, bruno_core.models, numpy, pyarrow.compute, pydantic_settings, pytest
import rich.table, structlog, typer.testing
print(importlib.util.find_spec("bruno_memory_vec").origin, flush=True)
for line in sys.stdin:
    order = json.loads(line)
    child = os.fork()
    if child == 0:
        os.setsid()
        said = os.open(order["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        for stream in (1, 2):
            os.dup2(said, stream)
        code = 3
        try:
            code = int(pytest.main(order["arguments"]))
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    end = time.monotonic() + order["timeout"]
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        if time.monotonic() > end:
            os.killpg(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            break
        time.sleep(0.01)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


class Copy:
    """A copy of the working tree, to put faults into."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "repo"
        skip = shutil.ignore_patterns(".*", "*.egg-info", "build", "__pycache__", "memory")
        shutil.copytree(ROOT, self.root, symlinks=True, ignore=skip)
        # Tests look for data beside the repository.
        if (ROOT.parent / "shared").exists():
            (folder / "shared").symlink_to((ROOT.parent / "shared").resolve())
        self._written = time.time()
        self._said = folder / "said.txt"
        # In CI's profile Hypothesis tries the same examples each time.
        env = {**os.environ, "CI": "1", "PYTHONPATH": str(self.root)}
        self._nursery = subprocess.Popen(
            [sys.executable, "-c", _NURSERY], cwd=self.root, env=env, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        place = self._answer()
        assert Path(place).is_relative_to(self.root), f"tests would see {place}"

    def close(self) -> None:
        """End the process that bears the others."""
        assert self._nursery.stdin is not None
        self._nursery.stdin.close()
        self._nursery.wait(60)

    def _answer(self) -> str:
        assert self._nursery.stdout is not None
        return self._nursery.stdout.readline().strip()

    def write(self, module: str, source: str) -> None:
        """Put a source in place. Its time is a new one, so that no compiled one is taken for it."""
        path = self.root / module
        path.write_text(source, encoding="utf-8")
        self._written += 2
        os.utime(path, (self._written, self._written))

    def test(self, files: list[str], timeout: float) -> tuple[str, str, float]:
        """Run test files to the first failure: how it ended, which failed, in how many seconds."""
        options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:cov", "--no-header"]
        order = {"arguments": [*options, *files], "timeout": timeout, "said": str(self._said)}
        started = time.monotonic()
        assert self._nursery.stdin is not None
        self._nursery.stdin.write(json.dumps(order) + "\n")
        self._nursery.stdin.flush()
        code = int(self._answer())
        seconds = time.monotonic() - started
        if code in {-signal.SIGKILL, 0}:
            return "passed" if code == 0 else "timeout", "", seconds
        said = self._said.read_text(encoding="utf-8", errors="replace")
        if code in {4, 5}:  # no such test
            raise RuntimeError(f"pytest ended with {code}:\n{said}")
        heads = ("FAILED ", "ERROR tests")
        named = [line for line in said.splitlines() if line.startswith(heads)]
        return "failed", (named or said.splitlines() or [""])[-1][:200], seconds


def run(args: argparse.Namespace) -> Report:
    """Run the samples of all chosen modules."""
    report, work = Report(args.seed, args.size), queue.Queue[Any]()
    began = time.monotonic()
    for module, files in chosen_modules(args).items():
        work.put((module, files))
    copies = Path(tempfile.mkdtemp(prefix="mutants-"))
    failed: list[BaseException] = []

    def serve(number: int) -> None:
        try:
            copy = Copy(copies / str(number))
            with contextlib.suppress(queue.Empty), contextlib.closing(copy):
                while True:
                    module, files = work.get_nowait()
                    report.outcomes.extend(of_module(copy, module, files, args))
                    # What was done is there if a later one fails.
                    write(report, args.json)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=serve, args=(number,)) for number in range(args.jobs)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        shutil.rmtree(copies, ignore_errors=True)
    if failed:
        raise failed[0]
    report.seconds = round(time.monotonic() - began, 1)
    return report


def write(report: Report, path: Path) -> None:
    """Write a report as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(report), indent=1) + "\n", encoding="utf-8")


def chosen_modules(args: argparse.Namespace) -> dict[str, list[str]]:
    """The modules that were asked for, with the paths of their tests."""
    return {
        module: [f"tests/{name}.py" for name in names.split()]
        for group, modules in MODULES.items()
        for module, names in modules.items()
        if (not args.group or group in args.group)
        and (not args.module or any(part in module for part in args.module))
    }


def of_module(
    copy: Copy, module: str, files: list[str], args: argparse.Namespace
) -> Iterator[Outcome]:
    """Run a module's sample."""
    source = (ROOT / module).read_text(encoding="utf-8")
    chosen = sample(module, args.size, args.seed)[args.skip :]
    if not chosen:
        return
    result, why, seconds = copy.test(files, 600)
    if result != "passed":
        raise RuntimeError(f"{module}: without a mutation its tests end as {result}: {why}")
    limit = 15 + 3 * seconds
    for mutant in chosen:
        copy.write(module, mutant.source)
        try:
            ended, by, took = copy.test(files, limit)
        finally:
            copy.write(module, source)
        result = {"passed": "survived", "failed": "killed", "timeout": "killed"}[ended]
        after = mutant.source.splitlines()
        lines = difflib.unified_diff(source.splitlines(), after, lineterm="", n=1)
        diff = "\n".join(list(lines)[2:])
        outcome = Outcome(
            module, mutant.operator, mutant.line, result, round(took, 1), diff, by or ended
        )
        print(f"{result:8} {module}:{mutant.line} {mutant.operator} {by or ended}", flush=True)
        yield outcome


def table(report: Report) -> str:
    """The numbers of each module and group, then each survivor with its diff."""
    lines = ["| module | mutants | killed | survived | share |", "| --- | --- | --- | --- | --- |"]
    for group, modules in MODULES.items():
        whole = [0, 0]
        for module in modules:
            own = [one for one in report.outcomes if one.module == module]
            if own:
                killed = sum(one.result == "killed" for one in own)
                whole = [whole[0] + len(own), whole[1] + killed]
                lines.append(_line(module, len(own), killed))
        if whole[0]:
            lines.append(_line(f"**{group}**", *whole))
    for one in report.outcomes:
        if one.result == "survived":
            lines.append(f"\n{one.module}:{one.line} {one.operator}\n{one.diff}")
    return "\n".join(lines)


def _line(name: str, mutants: int, killed: int) -> str:
    return f"| {name} | {mutants} | {killed} | {mutants - killed} | {killed / mutants:.0%} |"


def main() -> None:
    """Run, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, default=15, help="mutants a module (default 15)")
    parser.add_argument("--skip", type=int, default=0, help="leave out the first of them")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--group", action="append", choices=list(MODULES))
    parser.add_argument("--module", action="append", help="part of a module's path")
    parser.add_argument("--jobs", type=int, default=1, help="copies that run at once")
    parser.add_argument("--json", type=Path, default=ROOT / "benchmarks/results/mutants.json")
    args = parser.parse_args()
    report = run(args)
    write(report, args.json)
    print(table(report))


if __name__ == "__main__":
    main()
