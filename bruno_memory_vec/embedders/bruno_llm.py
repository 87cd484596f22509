"""bruno-llm's embedding providers by name: ``bruno-llm:ollama/nomic-embed-text``."""

from __future__ import annotations

import inspect
import os
from typing import Any, get_args

from bruno_memory_vec.embedders.bruno import BrunoEmbedder
from bruno_memory_vec.embedders.options import read_options
from bruno_memory_vec.errors import InvalidInputError, MissingDependencyError
from bruno_memory_vec.indexers.urls import is_secret

SCHEME = "bruno-llm"
# Settings of ours; the others are the provider's arguments.
_OURS: dict[str, type] = {
    "dim": int,
    "dimension": int,
    "query_prompt": str,
    "document_prompt": str,
    "base_url": str,
}
# The packages of providers that bruno-llm registers only where these are installed.
_PACKAGES = {"openai": "openai"}
_OLD, _NEW = "/api/embeddings", "/api/embed"


def by_name(argument: str) -> BrunoEmbedder:
    """The embedder of ``PROVIDER/MODEL?options``.

    The provider gets, first to last: the options, the variables that bruno-llm names
    (``BRUNO_LLM_<PROVIDER>_EMBEDDING_<SETTING>``, then ``<PROVIDER>_API_KEY`` and
    ``<PROVIDER>_BASE_URL``), its own defaults. No request is made here.

    Args:
        argument: a provider of bruno-llm's ``EmbeddingFactory``, a slash, and the model; without a
            model it is the provider's default one. Options are the provider's own arguments, such
            as ``timeout``, ``batch_size`` and ``api_key``, and those of ours: ``base_url`` (the
            server), ``dimension`` (how long the model's vectors are, where the provider does not
            know it; OpenAI's text-embedding-3 models make vectors of that length), ``dim`` (cut
            them to this length), ``query_prompt`` and ``document_prompt``.

    Raises:
        MissingDependencyError: bruno-llm or the provider's package is not installed.
        InvalidInputError: there is no such provider, or an option is not usable.
    """
    try:
        from bruno_llm.embedding_factory import EmbeddingFactory
    except ImportError as error:
        raise MissingDependencyError("bruno-llm", "bruno-llm", cause=error) from error
    spec = f"{SCHEME}:{argument}"
    path, question, query = argument.partition("?")
    name, _, model = path.partition("/")
    name, model = name.strip().lower(), model.strip()
    if name not in EmbeddingFactory.list_providers():
        if name in _PACKAGES:
            raise MissingDependencyError(_PACKAGES[name], f"{SCHEME}-{name}")
        raise InvalidInputError(
            "embedder",
            f"bruno-llm has no provider {name!r}",
            fix=f"Write {SCHEME}:PROVIDER/MODEL with one of "
            f"{', '.join(EmbeddingFactory.list_providers())}.",
        )
    arguments = _arguments(EmbeddingFactory._providers[name])
    kinds = {**_OURS, **arguments}
    kinds.pop("model", None)
    options = read_options(query, spec, kinds) if question else {}
    settings = {**_of_environment(name, arguments), **options}
    if model:
        settings["model"] = model
    ours = {key: settings.pop(key) for key in _OURS if key in settings and key not in arguments}
    dimension = ours.pop("dimension", None)
    if dimension is not None and "dimensions" in arguments:
        settings["dimensions"] = dimension
    base_url = ours.pop("base_url", None)
    try:
        provider = EmbeddingFactory.create(name, settings)
    except Exception as error:
        secrets = [str(value) for key, value in settings.items() if is_secret(key)]
        problem = str(error)
        for secret in secrets:
            problem = problem.replace(secret, "***")
        raise InvalidInputError(
            "embedder",
            f"bruno-llm's provider {name!r} cannot be made: {problem}",
            fix=f"Give what it needs as options, such as {SCHEME}:{name}/MODEL?api_key=..., or as "
            f"variables {_prefix(name)}API_KEY.",
            cause=error,
        ) from error
    if base_url is not None:
        _to_another_server(provider, name, base_url)
    if dimension is not None and hasattr(provider, "_dimensions"):
        # It has no argument for it, or heeds it for some models only, and checks vectors by it.
        provider._dimensions = dimension
    _to_the_current_path(provider)
    return BrunoEmbedder(provider, **ours, owned=True)


def _arguments(provider: Any) -> dict[str, type]:
    """The named arguments of a provider's class, each with str, int or float as its type."""
    kinds: dict[str, type] = {}
    for parameter in inspect.signature(provider).parameters.values():
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        types = (parameter.annotation, *get_args(parameter.annotation))
        kinds[parameter.name] = next((kind for kind in (int, float) if kind in types), str)
    return kinds


def _prefix(name: str) -> str:
    return f"BRUNO_LLM_{name.upper()}_EMBEDDING_"


def _of_environment(name: str, arguments: dict[str, type]) -> dict[str, Any]:
    # Not EmbeddingFactory.create_from_env, which leaves numbers as texts.
    found: dict[str, Any] = {}
    for argument, kind in {**arguments, "base_url": str}.items():
        variable = _prefix(name) + argument.upper()
        text = os.environ.get(variable)
        if text:
            try:
                found[argument] = kind(text)
            except ValueError as error:
                raise InvalidInputError(
                    variable, f"{text!r} is no number", fix="Mend the variable.", cause=error
                ) from error
    for argument in ("api_key", "base_url"):
        common = os.environ.get(f"{name.upper()}_{argument.upper()}")
        if common and argument in arguments:
            found.setdefault(argument, common)
    return found


def _to_another_server(provider: Any, name: str, base_url: str) -> None:
    """For a provider without such an argument, whose client has the address."""
    client: Any = getattr(provider, "client", None)
    if not hasattr(client, "with_options"):
        raise InvalidInputError(
            "base_url",
            f"bruno-llm's provider {name!r} takes none",
            fix="Leave it out, or make the provider yourself and give it as the embedder.",
        )
    provider.client = client.with_options(base_url=base_url)


def _to_the_current_path(provider: Any) -> None:
    """Let the Ollama provider ask ``/api/embed``.

    bruno-llm 0.2.0 sends ``{"input": ...}`` to the older ``/api/embeddings``, which reads
    ``prompt`` and so answers with an empty vector. ``/api/embed`` reads ``input``, and its answer
    is one that the provider reads.
    """
    import httpx

    client = getattr(provider, "client", None)
    if not isinstance(client, httpx.AsyncClient) or "ollama" not in type(provider).__name__.lower():
        return

    async def redirect(request: httpx.Request) -> None:
        if request.url.path.endswith(_OLD):
            path = request.url.path.removesuffix(_OLD) + _NEW
            request.url = request.url.copy_with(path=path)

    client.event_hooks = {
        **client.event_hooks,
        "request": [*client.event_hooks["request"], redirect],
    }
