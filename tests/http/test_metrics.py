"""``/metrics`` and ``/readyz``: for whoever looks after the server."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from tests.http.support import problem, said, served


async def test_a_scrape_is_answered_where_the_memory_is_measured() -> None:
    registry = CollectorRegistry()
    async with served(metrics=registry) as one:
        await one.user("ana").post("/v1/messages", json=said("a boat"))
        answer = await one.http.get("/metrics")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain; version=")
        assert "bruno_memory_operations_total{" in answer.text
        assert "ana" not in answer.text
        newer = await one.http.get(
            "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}
        )
        assert newer.headers["content-type"].startswith("application/openmetrics-text")
        assert newer.text.endswith("# EOF\n")
        assert "/metrics" not in (await one.http.get("/openapi.json")).text
    assert not list(registry.collect())


@pytest.mark.parametrize("metrics", [False, "process"])
async def test_there_is_none_where_nothing_is_exposed(metrics: object) -> None:
    async with served(metrics=metrics) as one:
        assert (await one.http.get("/metrics")).status_code == 404


async def test_with_tokens_it_takes_an_administrator(tmp_path: Path) -> None:
    async with served(tokens=tmp_path / "tokens.json", metrics=CollectorRegistry()) as one:
        problem(await one.http.get("/metrics"), 401)
        for role in ("reader", "member"):
            problem(await one.holder("ana", role=role).get("/metrics"), 403)
        assert (await one.holder("ops", role="admin").get("/metrics")).status_code == 200
        # The probe needs no token, and tells nothing but a word.
        ready = await one.http.get("/readyz")
        assert (ready.status_code, ready.json()) == (200, {"status": "ok"})
