"""How a store was made is told without opening it."""

from __future__ import annotations

from pathlib import Path

from bruno_memory_vec import MemoryConfig, open_memory
from bruno_memory_vec.embedders.resolve import resolve_embedder
from bruno_memory_vec.store.deployment import Made, TellsHowMade, deployment_of


async def test_a_folder_tells_its_embedder_and_language_and_is_not_made(tmp_path: Path) -> None:
    config = MemoryConfig(url=str(tmp_path / "store"))
    deployment = deployment_of(config.url)
    assert isinstance(deployment, TellsHowMade)
    assert await deployment.made(config) is None
    assert not (tmp_path / "store").exists()
    for language in ("german", "none"):
        async with open_memory(config.url, embedder="hash", language=language):
            pass
        # Also while another object has it open.
        made = await deployment.made(config)
        assert made == Made(resolve_embedder("hash").fingerprint, language)


async def test_nothing_is_in_memory_before_it_is_opened() -> None:
    deployment = deployment_of("memory://")
    assert isinstance(deployment, TellsHowMade)
    assert await deployment.made(MemoryConfig(url="memory://")) is None
