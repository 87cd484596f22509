"""Memories over an engine that searches text itself, from its own search and from held rows."""

from __future__ import annotations

from typing import Any

import pytest

from bruno_memory_vec import open_memory
from bruno_memory_vec.testing import FindingConformance, ListingConformance, RecallConformance
from tests.text_engine import TextDeployment


class TextEngine:
    persistent = False
    held = False

    @pytest.fixture(autouse=True)
    def _deployed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            "bruno_memory_vec.store.store.deployment_of", lambda url: TextDeployment(held=self.held)
        )

    async def open_memory(self, **settings: Any) -> Any:
        settings.setdefault("embedder", "hash")
        return await open_memory("memory://", **settings)


class HeldTextEngine(TextEngine):
    held = True


@pytest.mark.slow
class TestTextEngineRecall(TextEngine, RecallConformance):
    pass


class TestTextEngineFinding(TextEngine, FindingConformance):
    pass


@pytest.mark.slow
class TestHeldFinding(HeldTextEngine, FindingConformance):
    pass


@pytest.mark.slow
class TestTextEngineListing(TextEngine, ListingConformance):
    pass


class TestHeldRecall(HeldTextEngine, RecallConformance):
    pass
