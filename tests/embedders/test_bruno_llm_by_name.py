"""``bruno-llm:PROVIDER/MODEL``, over a server that speaks Ollama's and OpenAI's wire format."""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from bruno_core.models.message import Message

from bruno_memory_vec import open_memory
from bruno_memory_vec.embedders import BrunoEmbedder, embed_texts, resolve_embedder
from bruno_memory_vec.errors import EmbeddingError, InvalidInputError, MissingDependencyError
from bruno_memory_vec.store.store import close_whole
from bruno_memory_vec.surfaces.cli.opening import configuration

pytest.importorskip("bruno_llm", reason='needs pip install "bruno-memory-vec[bruno-llm]"')

DIMENSION = 768


def vector(text: str, dimension: int) -> list[float]:
    """Of the words of a text: the more two share, the nearer."""
    made = np.zeros(dimension)
    for word in text.lower().split():
        made += np.random.default_rng(zlib.crc32(word.encode())).normal(size=dimension)
    return [float(value) for value in made]


class Server(BaseHTTPRequestHandler):
    """Answers as a current Ollama does, and as OpenAI does."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[list[tuple[str, dict[str, Any], str]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append((self.path, body, self.headers.get("Authorization", "")))
        texts = body.get("input", [])
        texts = [texts] if isinstance(texts, str) else texts
        dimension = body.get("dimensions") or DIMENSION
        if self.path == "/api/embed":
            answer: dict[str, Any] = {"embeddings": [vector(text, dimension) for text in texts]}
        elif self.path == "/api/embeddings":  # reads "prompt"
            answer = {"embedding": vector(body["prompt"], dimension) if "prompt" in body else []}
        elif self.path == "/v1/embeddings":
            rows = [
                {"object": "embedding", "index": index, "embedding": vector(text, dimension)}
                for index, text in enumerate(texts)
            ]
            usage = {"prompt_tokens": 1, "total_tokens": 1}
            answer = {"object": "list", "data": rows, "model": body["model"], "usage": usage}
        else:
            answer = {"error": "not found"}
        data = json.dumps(answer).encode()
        self.send_response(404 if "error" in answer else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Print nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OLLAMA_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    Server.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as listening:
        listening.daemon_threads = True
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


async def embedded(spec: str, *texts: str) -> Any:
    embedder = resolve_embedder(spec)
    assert isinstance(embedder, BrunoEmbedder)
    try:
        return await embed_texts(embedder, texts)
    finally:
        await embedder.close()


async def test_ollama(server: str) -> None:
    """bruno-llm 0.2.0 asks an address at which a current Ollama reads another field."""
    spec = f"bruno-llm:ollama/nomic-embed-text?base_url={server}&batch_size=2"
    vectors = await embedded(spec, "red boat", "", "red ship", "green tree")
    assert vectors.shape == (4, 768)
    assert not vectors[1].any()
    assert vectors[0] @ vectors[2] > 0.3 > vectors[0] @ vectors[3]
    assert [path for path, _, _ in Server.asked] == ["/api/embed", "/api/embed"]
    assert Server.asked[0][1] == {"model": "nomic-embed-text", "input": ["red boat", "red ship"]}


async def test_a_dimension_that_bruno_llm_has_wrong(server: str) -> None:
    spec = f"bruno-llm:ollama/all-minilm?base_url={server}"
    with pytest.raises(EmbeddingError, match=r"says 384 .*\?dimension=768 behind its name"):
        await embedded(spec, "red boat")
    assert (await embedded(f"{spec}&dimension=768", "red boat")).shape == (1, 768)


async def test_prompts_and_a_cut(server: str) -> None:
    spec = f"bruno-llm:ollama/x?dim=64&query_prompt=search_query:%20&base_url={server}"
    embedder = resolve_embedder(spec)
    assert isinstance(embedder, BrunoEmbedder)
    assert embedder.fingerprint.dimension == 64
    assert (await embed_texts(embedder, ["red boat"], "query")).shape == (1, 64)
    assert Server.asked[-1][1]["input"] == ["search_query: red boat"]
    await embedder.close()


async def test_openai(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openai", reason='needs pip install "bruno-memory-vec[bruno-llm-openai]"')
    monkeypatch.setenv("OPENAI_API_KEY", "hunter2")
    spec = f"bruno-llm:openai/text-embedding-3-small?dimension=512&base_url={server}/v1"
    assert (await embedded(spec, "red boat", "red ship")).shape == (2, 512)
    path, body, key = Server.asked[-1]
    assert (path, body["dimensions"], key) == ("/v1/embeddings", 512, "Bearer hunter2")


async def test_a_model_that_the_openai_provider_does_not_know(server: str) -> None:
    """Many servers speak OpenAI's format, Ollama's own ``/v1`` among them."""
    pytest.importorskip("openai", reason='needs pip install "bruno-memory-vec[bruno-llm-openai]"')
    spec = f"bruno-llm:openai/nomic-embed-text?dimension=768&api_key=none&base_url={server}/v1"
    assert (await embedded(spec, "red boat")).shape == (1, 768)
    assert "dimensions" not in Server.asked[-1][1]
    with pytest.raises(EmbeddingError, match="expected 1536, got 768"):
        await embedded(spec.replace("dimension=768&", ""), "red boat")


async def test_from_the_environment_numbers_are_numbers(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRUNO_LLM_OLLAMA_EMBEDDING_BATCH_SIZE", "1")
    monkeypatch.setenv("BRUNO_LLM_OLLAMA_EMBEDDING_MODEL", "mxbai-embed-large")
    monkeypatch.setenv("OLLAMA_BASE_URL", server)
    embedder = resolve_embedder("bruno-llm:ollama?dimension=768")
    assert isinstance(embedder, BrunoEmbedder)
    assert embedder.fingerprint.name == "mxbai-embed-large"
    assert embedder._provider.batch_size == 1
    await embed_texts(embedder, ["a", "b"])
    assert len(Server.asked) == 2
    await embedder.close()
    monkeypatch.setenv("BRUNO_LLM_OLLAMA_EMBEDDING_TIMEOUT", "soon")
    with pytest.raises(InvalidInputError, match="'soon' is no number"):
        resolve_embedder("bruno-llm:ollama")


async def test_a_memory_and_the_command_line(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = f"bruno-llm:ollama/nomic-embed-text?base_url={server}"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bruno-memory.toml").write_text(f'embedder = "{spec}"\nurl = "store"\n')
    assert configuration(None).embedder == spec
    assert configuration(None, "hash").embedder == "hash"
    async with open_memory() as memory:
        for text in ("the red boat", "the green tree"):
            await memory.store_message(Message(role="user", content=text), "talk", user_id="ana")
        hits = await memory.recall("a red boat", user_id="ana", k=1, profile="semantic")
        assert [hit.content for hit in hits] == ["the red boat"]
        assert (await memory.health())["embedder"].startswith("nomic-embed-text")
        store = await memory._lazy.get()
    client = store.embedder._provider.client  # type: ignore[attr-defined]
    assert client.is_closed, "what was opened for a name is closed with the memory"
    await close_whole(store)


@pytest.mark.parametrize(
    ("spec", "field", "says"),
    [
        ("bruno-llm:", "embedder", "has no provider ''.*one of ollama"),
        ("bruno-llm:olama/x", "embedder", "has no provider 'olama'"),
        ("bruno-llm:ollama/x?bas_url=y", "embedder", "Did you mean base_url?"),
        ("bruno-llm:ollama/x?model=y", "embedder", "is no option"),
        ("bruno-llm:ollama/x?timeout=soon", "timeout", "is no number. Write it as timeout=2.5"),
        ("bruno-llm:ollama/x?dim=0", "dim", "at least 1"),
        ("bruno-llm:ollama/x?batch_size=2.5", "batch_size", "no whole number"),
        ("bruno-lm:ollama/x", "embedder", "Did you mean bruno-llm?"),
    ],
)
def test_a_wrong_name_is_refused(spec: str, field: str, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says) as refusal:
        resolve_embedder(spec)
    assert refusal.value.field == field


def test_a_key_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for spec in (
        "bruno-llm:ollama/x?api_key=hunter2",
        "bruno-llm:ollama/x?timeout=1&api-key=hunter2",
        "bruno-llm:ollama/x?secret=hunter2&base_url=y",
        "nothing:x?api_key=hunter2",
    ):
        with pytest.raises(InvalidInputError) as refusal:
            resolve_embedder(spec)
        assert "hunter2" not in str(refusal.value)


def test_openai_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openai", reason='needs pip install "bruno-memory-vec[bruno-llm-openai]"')
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(InvalidInputError, match="BRUNO_LLM_OPENAI_EMBEDDING_API_KEY"):
        resolve_embedder("bruno-llm:openai/text-embedding-3-small")


@pytest.mark.parametrize(
    ("module", "provider", "package", "line"),
    [
        ("bruno_llm.embedding_factory", "ollama/x", "bruno-llm", "[bruno-llm]"),
        ("bruno_llm.providers.openai", "openai/x", "openai", "[bruno-llm-openai]"),
    ],
)
def test_a_missing_package_is_named(
    monkeypatch: pytest.MonkeyPatch, module: str, provider: str, package: str, line: str
) -> None:
    import sys

    if module.startswith("bruno_llm.providers"):
        from bruno_llm.embedding_factory import EmbeddingFactory

        # As bruno-llm leaves it where the package is not there.
        monkeypatch.delitem(EmbeddingFactory._providers, "openai", raising=False)
    else:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError) as missing:
        resolve_embedder(f"bruno-llm:{provider}")
    assert missing.value.package == package
    assert f'pip install "bruno-memory-vec{line}"' in missing.value.fix
