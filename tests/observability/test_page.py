"""docs/observability.md, the dashboard and the alerts name what a scrape really has."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from bruno_core.models.message import Message, MessageRole
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from bruno_memory_vec import open_memory
from bruno_memory_vec.observability.metrics import METRICS, scraped_name
from bruno_memory_vec.observability.tracing import GEN_AI

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
DASHBOARD = json.loads((ROOT / "deploy/grafana/bruno-memory-vec.json").read_text(encoding="utf-8"))
RULES = yaml.safe_load((ROOT / "deploy/prometheus/bruno-memory-vec.rules.yml").read_text("utf-8"))
_NAME = re.compile(r"\bbruno_memory_\w+")
_SELECTOR = re.compile(r"(bruno_memory_\w+)(?:\{([^}]*)\})?")


def panel_queries() -> list[str]:
    return [one["expr"] for panel in DASHBOARD["panels"] for one in panel.get("targets", ())]


def queries() -> list[str]:
    """Every query of the dashboard, and its variable's."""
    return [*panel_queries(), *(str(one["query"]) for one in DASHBOARD["templating"]["list"])]


def alerts() -> list[dict[str, Any]]:
    return [rule for group in RULES["groups"] for rule in group["rules"]]


async def test_every_name_is_one_of_a_real_scrape(tmp_path: Path) -> None:
    registry, exporter = CollectorRegistry(), InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    async with open_memory(
        tmp_path / "m",
        embedder="hash",
        metrics=registry,
        tracing=provider,
        embedding_cache=tmp_path / "vectors",
    ) as memory:
        message = Message(role=MessageRole.USER, content="a boat")
        await memory.store_message(message, "c", user_id="ana")
        await memory.recall("boat", user_id="ana")
        await memory.build_context("boat", conversation_id="c", user_id="ana")
        await memory.clear_history("c", keep_system_messages=False)
        observer = memory._lazy.observer
        assert observer is not None
        observer.failed("something", ValueError("for this test"))
        with pytest.raises(ValueError, match="no memory"), observer.background("something"):
            raise ValueError("no memory of it")
        observer._due_at = 0.0
        await memory.health()
        assert observer._looking is not None
        await observer._looking
        with pytest.raises(Exception, match="k"):
            await memory.recall("boat", user_id="ana", k=0)
        text = generate_latest(registry).decode()
    scraped: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            scraped.setdefault(sample.name, set()).update(sample.labels)
    # The page has each metric, its kind, its labels and its help, and no other.
    told = re.findall(r"^\| `(bruno_memory_\w+)` \| (\w+) \| (.*?) \| (.*) \|$", PAGE, re.MULTILINE)
    assert [(name, kind) for name, kind, _, _ in told] == [
        (scraped_name(metric), metric.kind) for metric in METRICS
    ]
    for (name, kind, labels, meaning), metric in zip(told, METRICS, strict=True):
        sample = f"{name}_bucket" if kind == "histogram" else name
        assert sample in scraped, f"the scrape of this test has no {sample}"
        named = set(re.findall(r"`(\w+)`", labels))
        assert scraped[sample] - {"store", "le"} == named == set(metric.labels)
        assert meaning == metric.help
    # Each query of the dashboard and of the alerts asks for what is there, by labels that it has.
    asked = [*queries(), *(rule["expr"] for rule in alerts())]
    found = 0
    for query in asked:
        for name, selector in _SELECTOR.findall(query):
            found += 1
            assert name in scraped, f"{name} of {query!r} is in no scrape"
            for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector):
                assert label in scraped[name], f"{name} has no label {label}: {query!r}"
        for grouped in re.findall(r"by \(([^)]*)\)", query):
            labels_of = set().union(*(scraped[name] for name in _NAME.findall(query)))
            assert set(re.split(r",\s*", grouped)) <= labels_of | {"instance"}, query
    assert found > 50, "they are not found any more: this shows nothing"
    # And the page names every span.
    spans = {span.name for span in exporter.get_finished_spans()}
    assert {"search_memory", "upsert_memory", "delete_memory"} <= spans
    for name in spans:
        stage = re.fullmatch(r"bruno\.memory\.(recall|write|context)\.(\w+)", name)
        if stage is None:
            continue
        (row,) = re.findall(rf"^\| `bruno\.memory\.{stage[1]}\.STAGE` \| (.*) \|$", PAGE, re.M)
        assert f"`{stage[2]}`" in row


def test_the_page_says_what_the_conventions_call_each_operation() -> None:
    rows = dict(re.findall(r"^\| `(\w+_memory)` \| (.*) \|$", PAGE, re.MULTILINE))
    assert rows.keys() == set(GEN_AI.values())
    for operation, conventional in GEN_AI.items():
        assert f"`{operation}`" in rows[conventional]


def test_every_alert_is_on_the_page_and_has_what_prometheus_wants() -> None:
    named = [rule["alert"] for rule in alerts()]
    assert len(named) == len(set(named))
    for rule in alerts():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert {"summary", "description"} == set(rule["annotations"])
        assert re.fullmatch(r"\d+m", rule.get("for", "1m"))
        assert rule["expr"].count("(") == rule["expr"].count(")")
        # What a text names of the labels is there after the query's grouping.
        used = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        (grouped, *_) = re.findall(r"by \(([^)]*)\)", rule["expr"])
        assert used <= set(re.split(r",\s*", grouped))
    assert re.findall(r"^\| `(BrunoMemory\w+)` \|", PAGE, re.MULTILINE) == named


def test_the_dashboard_is_one_that_grafana_imports() -> None:
    places = []
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        places += [
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        ]
        if panel["type"] != "row":
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            refs = [target["refId"] for target in panel["targets"]]
            assert len(refs) == len(set(refs)) > 0
    assert len(places) == len(set(places)), "panels overlap"
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(numbers) == len(set(numbers))
    assert [one["name"] for one in DASHBOARD["templating"]["list"]] == ["datasource", "store"]
    assert all('store=~"$store"' in query for query in panel_queries())


@pytest.mark.slow
def test_the_examples_run(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 4
    said = []
    for block in blocks:
        done = subprocess.run(
            [sys.executable, "-c", block],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        said.append(done.stdout + done.stderr)
    assert said[0].startswith("2 {'ok': 2} p95 ")
    assert int(said[1].split()[0]) > 30
    assert "search_memory" in said[2]
    lines = [json.loads(line) for line in said[3].splitlines() if line.startswith("{")]
    assert [line["operation"] for line in lines] == ["connect", "recall", "close"]
    (shown,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert set(json.loads(shown)) - {"messages"} == set(lines[1])
