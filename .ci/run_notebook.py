"""Runs notebooks, each from its own folder, and fails where a cell raises.

python .ci/run_notebook.py FILE...           writes nothing
python .ci/run_notebook.py --save FILE...    keeps what they show, for readers on the web
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

_ROOT = Path(__file__).resolve().parent.parent
_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def main() -> int:
    """Run the command; 1 where a notebook failed."""
    parser = argparse.ArgumentParser(prog="run_notebook.py", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--save", action="store_true", help="write the outputs into the files")
    arguments = parser.parse_args()
    failed = 0
    for path in arguments.files:
        notebook = nbformat.read(path, as_version=4)
        try:
            _run(notebook, path)
        except CellExecutionError as error:
            print(f"{path}: {error}", file=sys.stderr)
            failed = 1
            continue
        if arguments.save:
            _tidy(notebook)
            if blemishes := _blemishes(notebook):
                print(f"{path}: not saved, its outputs hold {blemishes[0]}", file=sys.stderr)
                failed = 1
                continue
            nbformat.write(notebook, path)
            print(f"{path}: saved, {path.stat().st_size / 1000:.0f} kB")
    return failed


def _run(notebook: Any, path: Path) -> None:
    client = NotebookClient(
        notebook,
        timeout=900,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()


def _tidy(notebook: Any) -> None:
    """Leave out what differs from run to run and shows nothing."""
    notebook.metadata = nbformat.from_dict(_METADATA)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({})
        for output in cell.get("outputs", ()):
            # Of a table or a plot, the plain text is an object's repr with random ids.
            if len(output.get("data", {})) > 1:
                output["data"].pop("text/plain", None)


def _blemishes(notebook: Any) -> list[str]:
    found = []
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", ()):
            if output.get("name") == "stderr":
                found.append(f"a warning or a progress bar (cell {number}): {output['text'][:200]}")
            shown = {kind: str(part) for kind, part in output.get("data", {}).items()}
            shown.pop("image/png", None)  # base64 has any letters
            texts = [output.get("text", ""), *shown.values()]
            for folder in (str(_ROOT), str(Path.home()), "/tmp/"):  # noqa: S108 - looked for
                if any(re.search(re.escape(folder) + r"\b", text) for text in texts):
                    found.append(f"a path of this machine (cell {number}): {folder}")
    return found


if __name__ == "__main__":
    sys.exit(main())
