"""Runs scripts, each in a process of its own that has imported everything already.

A line of its input is a JSON object: ``script``, ``folder``, and ``out`` and ``err``, the files for
what it prints. The answer is its exit code.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import traceback
import warnings
from pathlib import Path


def main() -> None:
    import tantivy  # noqa: F401

    import bruno_memory_vec.memory
    import bruno_memory_vec.store.local
    import bruno_memory_vec.surfaces.cli.app  # noqa: F401

    # lancedb and Python 3.12 warn of forking beside other threads.
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            # It ends as any script does: threads are waited for, and what is registered runs.
            sys.exit(run(json.loads(line)))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def run(order: dict[str, str]) -> int:
    """Run a script as ``python SCRIPT`` does; returns its exit code."""
    os.chdir(order["folder"])
    for number, name in ((0, os.devnull), (1, order["out"]), (2, order["err"])):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT
        handle = os.open(name, flags, 0o600)
        os.dup2(handle, number)
        os.close(handle)
    script = order["script"]
    sys.argv = [script]
    sys.path[0] = str(Path(script).parent)
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    main()
