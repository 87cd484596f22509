"""The REST client that LanceDB brings, loaded when it is asked for and not with LanceDB.

``lancedb`` imports the data models of ``lance_namespace_urllib3_client``, which a folder has a use
for, and with them, as its package imports all it has, the client itself: some hundred methods whose
arguments pydantic makes validators of, a third of the time that importing LanceDB takes.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from threading import RLock
from types import ModuleType
from typing import Any, Final

#: The package whose own module is put off. Its submodules are imported as ever.
REST_CLIENT: Final = "lance_namespace_urllib3_client"

_LOADING = RLock()


class _PutOff(ModuleType):
    """A package whose code runs when a name is asked for that it does not have yet."""

    def __getattr__(self, name: str) -> Any:
        # What looks through all modules, as warnings and inspect do, asks for names like these.
        if name.startswith("__") and name not in ("__all__", "__version__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        with _LOADING:
            if isinstance(self, _PutOff):
                spec = self.__spec__
                assert spec is not None
                assert spec.loader is not None
                self.__class__ = ModuleType  # type: ignore[assignment]
                try:
                    spec.loader.exec_module(self)
                except BaseException:
                    self.__class__ = _PutOff
                    raise
        return getattr(self, name)


def put_off_rest_client() -> None:
    """Let the client be loaded when a name of it is asked for; nothing, where it is loaded."""
    if REST_CLIENT in sys.modules:
        return
    spec: ModuleSpec | None = find_spec(REST_CLIENT)
    if spec is None or spec.loader is None or spec.submodule_search_locations is None:
        return  # another release of LanceDB, without it
    module = module_from_spec(spec)
    module.__class__ = _PutOff
    sys.modules.setdefault(REST_CLIENT, module)
