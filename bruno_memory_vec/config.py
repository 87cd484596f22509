"""The configuration, from arguments, the environment, a file, or bruno-core's configuration."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from bruno_core.models.config import MemoryConfig as BrunoMemoryConfig
from pydantic import (
    BeforeValidator,
    Field,
    PlainValidator,
    SecretBytes,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from bruno_memory_vec.bruno_backends import from_connection
from bruno_memory_vec.compression_policy import CompressionPolicy
from bruno_memory_vec.config_sources import (
    PREFIX,
    FileSettings,
    check_environment,
    file_in_use,
    unknown,
)
from bruno_memory_vec.config_words import why
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.indexers.urls import HIDDEN, is_secret, masked
from bruno_memory_vec.prompts.token_bound import CountsTokens, GivenCounter
from bruno_memory_vec.retention_policy import FIELD as RETENTION
from bruno_memory_vec.retention_policy import retention_of
from bruno_memory_vec.rows.bounds import Bounds

__all__ = ["MemoryConfig", "masked", "one_config"]

_URLS = ("url", "urls")


def _named(folder: Any) -> Any:
    if isinstance(folder, str) and not folder.strip():
        raise ValueError("an empty text names no folder")  # Path("") would be the current one
    return Path(folder) if isinstance(folder, str) and "://" not in folder else folder


def _listed(urls: Any) -> Any:
    """URLs as a tuple; from a text, such as a variable's, they are separated by spaces, or JSON."""
    if isinstance(urls, str):
        urls = json.loads(urls) if urls.lstrip().startswith("[") else urls.split()
    return tuple(urls) if isinstance(urls, list) else urls


def _counts(given: Any) -> Any:
    if given is None or callable(given) or isinstance(given, (str, os.PathLike, CountsTokens)):
        return given
    raise ValueError("counts no tokens: give a function, an LLM or the path of a tokenizer.json")


def _key(given: Any) -> Any:
    """A key that is printed nowhere; what it is, and whether it fits, is the store's to say."""
    if isinstance(given, (bytes, bytearray)):
        return SecretBytes(bytes(given))
    if isinstance(given, str):
        return SecretStr(given)
    if given is None or callable(given) or isinstance(given, (SecretBytes, SecretStr)):
        return given
    if callable(getattr(given, "unwrapped", None)):
        return given  # a MasterKey of ours, as a key file gives it
    raise ValueError("is no key: give 32 bytes, a passphrase, or a function that wraps and unwraps")


def _compression(given: Any) -> Any:
    if not isinstance(given, dict):
        return given
    try:
        return CompressionPolicy(**given)
    except InvalidInputError as error:
        raise ValueError(error.message) from error


def _retention(given: Any) -> Any:
    try:
        return None if given is None else retention_of(given)
    except InvalidInputError as error:
        raise ValueError(error.message.removeprefix(f"{RETENTION}: ")) from error


_YES, _NO = ("true", "1", "yes", "on"), ("false", "0", "no", "off", "")


def _switch(given: Any) -> Any:
    """A truth value, also as a text of the environment; anything else as it is."""
    if isinstance(given, str) and given.strip().lower() in (*_YES, *_NO):
        return given.strip().lower() in _YES
    return given


def _metrics(given: Any) -> Any:
    given = _switch(given)
    if isinstance(given, bool) or given == "process":
        return given
    if all(callable(getattr(given, name, None)) for name in ("register", "unregister", "collect")):
        return given
    raise ValueError(
        'is no registry of prometheus_client: give True, False, "process" or such a registry'
    )


def _tracing(given: Any) -> Any:
    given = _switch(given)
    if isinstance(given, bool) or callable(getattr(given, "get_tracer", None)):
        return given
    raise ValueError("is no TracerProvider of OpenTelemetry: give True, False or such a provider")


class MemoryConfig(BaseSettings):
    """How a memory is opened and behaves.

    Each field is taken from the first of these that names it: the arguments, the environment
    (``BRUNO_MEMORY_<FIELD>``), the file, its default. The file is the one that
    ``BRUNO_MEMORY_CONFIG`` names, else ``bruno-memory.toml`` in the current directory; it is TOML
    with the fields as keys. Where one names ``url``, the ``urls`` of those behind it do not count,
    and the other way round. Relative paths are those of the current directory, wherever the file
    is.

    A variable ``BRUNO_MEMORY_...`` that is much like a field's and is none is refused, because it
    is a typing error; any other is logged as a warning.

    Attributes:
        url: a folder, ``file://`` URL of one, ``memory://`` for a store that is not kept, or the
            URL of a server.
        urls: several, in place of ``url``. The first one that can be opened is used. What leads to
            the next one is a server or folder that cannot be reached, read or written
            (BackendUnavailable), or a package that is not installed (MissingDependencyError);
            every other error is raised. ``health()`` and the log say which was chosen, and why the
            ones before it were not. What is written to one is not in the others. From the
            environment: separated by spaces, or a JSON list.
        embedder: "static" (default), "hash" (tests), "sentence-transformers:NAME_OR_PATH",
            "bruno-llm:PROVIDER/MODEL", both with options after it, such as ``?dim=256``
            (`resolve_embedder` lists them), or another package's.
        sessions: where sessions, profiles and the hot context are, if not beside the rows: a folder
            (or ``sqlite:///its/absolute/path``) for one writing process, ``sqlite://:memory:``, or
            the URL of a server that many processes share. None: where the store of ``url`` keeps
            them itself.
        without_sessions: where a server of sessions does not answer: "refuse" every call that needs
            it, or go on with the "rows" alone. Then ``get_context`` and recall answer from the
            rows; writes, profiles and sessions are refused, and ``health()`` says so.
        qdrant_api_key: the API key of a Qdrant server. Without it QDRANT_API_KEY in the environment
            counts. It is printed nowhere.
        key: encrypts the store at rest: 32 bytes, a passphrase, or a function of a key management
            service, ``key("wrap" or "unwrap", bytes) -> bytes``. It is printed nowhere. A store
            that was made with a key opens only with that one, and a plain one only without
            (docs/security.md).
        key_file: a file with the key: 32 bytes, these in hexadecimal or base64, or a passphrase in
            one line. ``key`` goes before it.
        keyed_index: keep an index of an encrypted store on the disk, of hashed terms and rotated
            vectors, so that searches over all users, and of users too large for memory, need not
            open every row. What it gives away is in docs/security.md. Another value than the
            store's makes or removes it at the next opening to write. None: as the store has it, and
            a new one has none.
        embed_timeout: how long an embedder may take, in seconds, plus half a second for each text.
            A longer call fails with an EmbeddingError, and later writes go on.
        embedding_cache: a folder that caches the vectors of slow embedders, for all stores that
            name it, or the URL of a Redis that many machines share. None: no cache. The static
            embedder is faster than a cache and has none.
        embedding_cache_mb: how large its file may grow, in MiB.
        profile: a recall profile by name, or the path of a TOML file.
        recall_cache_mb: size in MiB of the cache of rows of recently active users. A user with
            1,000 rows takes 2 MiB. 0: no cache.
        approximate_search: whether a search over all users, or over a user of more than 120,000
            rows, may go by an approximate index of a folder's vectors, which upkeep builds from
            30,000 rows on. False: every search compares all rows of its scope.
        user_files: keep a file for each user of a folder's store, derived from the rows, so that
            a user's first recall reads one file. Without a cache there is none.
        read_only: read beside another process that writes.
        fsync: an acknowledged write survives a power cut, not only a killed process. Every commit
            then waits for the disk: some milliseconds.
        max_content_chars: how long the text of a message or memory may be, in characters.
        max_metadata_bytes: how large the metadata of one may be, in bytes as JSON. The tags, the
            source and the rest of a memory may be as large each, and so may the preferences, the
            profile and the metadata of a user or session.
        max_rows_per_call: how many messages or memories one call may store. They are one commit,
            and other callers wait until it is made.
        max_messages: how many of a conversation's last turns ``get_context`` returns.
        default_user: the owner of a conversation when no user is named.
        language: the language of the stemmer, or "none". A store remembers its own.
        short_term_ttl: how long SHORT_TERM memories without ``expires_at`` live. None: forever.
        keep_expired: how long upkeep keeps a memory after its ``expires_at``, hidden, for
            ``include_expired``. By default it is removed as soon as upkeep finds it.
        session_idle_after: where nothing was stored for so long, a session is idle. None: none is.
            Not longer than ``session_expires_after``; the default is that where it is shorter.
        session_expires_after: one in which nothing was stored for so long is ended, at the next
            ``get_context`` or by upkeep, and the next one begins in the same conversation, whose
            messages stay. None: none is.
        recall_in_context: put recalled memories into the context that ``get_context`` gave out.
        recall_tokens: how many tokens that text may have, its heading and marks included.
        recall_k: how many hits it may have.
        recall_confidence: 0..1. Nothing is put there where ``Hits.confidence``, the probability
            that what is recalled holds an answer, is less. 0: whatever is recalled is put there.
        event_content: whether events of messages, on the bus that ``events=`` names, have their
            texts. By default they have ids and numbers.
        context_tokens: how many tokens the messages of ``get_context`` may have, what is recalled
            into them not included. The newest are kept, each whole; the newest of all even if it is
            longer. None: only ``max_messages`` bounds them.
        compression: what is compressed, when, and how much detail stays, where ``compress`` is
            given no other policy; and with ``background=True`` in it, by itself. None: nothing is
            compressed by itself. From the environment: a JSON object of its fields.
        count_tokens: counts the tokens of a text as the model does that will read it: a function,
            an LLM of bruno-core, or the path of a ``tokenizer.json``. It has to be fast. Without it
            they are estimated so that no current model counts more: for English, one and a half
            times as many as there are.
        audit: keep an audit trail: who read, wrote, deleted and exported what of whom, without
            content. What cannot be noted in it is not done.
        audit_folder: where the trail is kept. None: in the folder of the store.
        audit_ids: how it names users: as they were "given", or "hashed" with ``audit_key``.
        audit_key: a secret of 16 characters or more, with which the entries are chained, so that
            who can write the files cannot make entries. It is printed nowhere.
        audit_file_mb: after how many MiB the next file of the trail begins.
        extract: extract facts and preferences of users from what they say, in the background:
            "off", by "patterns" (English), or by the memory's model ("llm"). Turns that were
            stored before this was set are left to ``memory.facts.extract``.
        extract_pause: a model is asked so many seconds after the last turn of a conversation, or
            as soon as 20 turns wait.
        retention_days: how many days rows are kept, by kind: one number for all, or such as
            ``{"message": 365, "message.tool": 30, "memory.short_term": 7}``; the special kind goes
            before the general one, and None in it keeps a kind for good. ``maintain()`` deletes
            what is older, by ``created_at``; pinned rows are kept. None: everything is kept.
        extract_timeout: how long a model may take for one answer, in seconds.
        metrics: measure what the memory does: False, True (for a scrape by Prometheus, in the
            default registry of ``prometheus_client``), such a registry, or "process" (only for
            ``memory.latencies()``, without that package). See docs/observability.md.
        tracing: make OpenTelemetry spans: False, True (by the global provider), or a
            ``TracerProvider``.
        operation_log: write a line for each operation that has ended, without content, to the
            logger ``bruno_memory_vec.operations`` at the level INFO: "off", "text" or "json".
        operation_log_users: how a line names the users that an operation was about: "none" leaves
            them out, "hashed" by ``audit_key`` as the audit trail does, "given" as they are.
        observed_as: what names the store in metrics, spans and lines; it must name no user. None:
            the last part of its ``url``.
        trace_content: whether spans have questions, found texts and the ids of conversations.
    """

    # A refused value may be a password.
    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True
    )

    url: str = Field(default="./bruno-memory", min_length=1)
    embedder: str = Field(default="static", min_length=1)
    sessions: str | None = Field(default=None, min_length=1)
    urls: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], NoDecode] = ()
    without_sessions: Literal["refuse", "rows"] = "refuse"
    qdrant_api_key: SecretStr | None = Field(default=None, exclude=True, repr=False)
    key: Annotated[
        SecretBytes | SecretStr | Callable[[str, bytes], bytes] | None, PlainValidator(_key)
    ] = Field(default=None, exclude=True, repr=False)
    key_file: Annotated[Path, BeforeValidator(_named)] | None = None
    keyed_index: bool | None = None
    embed_timeout: float = Field(default=120.0, gt=0, le=86_400)
    embedding_cache: Annotated[Path | str, BeforeValidator(_named)] | None = None
    embedding_cache_mb: int = Field(default=512, ge=1, le=1_000_000)
    profile: str = Field(default="balanced", min_length=1)
    recall_cache_mb: int = Field(default=256, ge=0, le=1_000_000)
    approximate_search: bool = True
    user_files: bool = True
    read_only: bool = False
    fsync: bool = False
    max_content_chars: int = Field(default=Bounds.max_content_chars, ge=1, le=500_000_000)
    max_metadata_bytes: int = Field(default=Bounds.max_metadata_bytes, ge=2, le=500_000_000)
    max_rows_per_call: int = Field(default=Bounds.max_rows_per_call, ge=1, le=10_000_000)
    max_messages: int = Field(default=20, ge=2, le=1000)
    default_user: str = Field(default="default", min_length=1)
    language: str | None = None
    short_term_ttl: timedelta | None = Field(
        default=None, gt=timedelta(0), le=timedelta(days=36_525)
    )
    keep_expired: timedelta = Field(
        default=timedelta(0), ge=timedelta(0), le=timedelta(days=36_525)
    )
    session_idle_after: timedelta | None = Field(
        default=timedelta(minutes=30), gt=timedelta(0), le=timedelta(days=36_525)
    )
    session_expires_after: timedelta | None = Field(
        default=timedelta(days=1), gt=timedelta(0), le=timedelta(days=36_525)
    )
    recall_in_context: bool = True
    recall_tokens: int = Field(default=600, ge=100, le=100_000)
    recall_k: int = Field(default=6, ge=1, le=100)
    recall_confidence: float = Field(default=0.0, ge=0, le=1)
    event_content: bool = False
    context_tokens: int | None = Field(default=None, ge=100, le=10_000_000)
    compression: Annotated[CompressionPolicy | None, BeforeValidator(_compression)] = None
    count_tokens: Annotated[GivenCounter | None, PlainValidator(_counts)] = Field(
        default=None, exclude=True, repr=False
    )
    audit: bool = False
    audit_folder: Annotated[Path | None, BeforeValidator(_named)] = None
    audit_ids: Literal["given", "hashed"] = "given"
    audit_key: SecretStr | None = Field(default=None, min_length=16, exclude=True, repr=False)
    audit_file_mb: int = Field(default=16, ge=1, le=100_000)
    extract: Literal["off", "patterns", "llm"] = "off"
    extract_pause: float = Field(default=10.0, ge=0, le=86_400)
    retention_days: Annotated[dict[str, float | None] | None, BeforeValidator(_retention)] = None
    extract_timeout: float = Field(default=60.0, gt=0, le=86_400)
    metrics: Annotated[Any, PlainValidator(_metrics)] = Field(default=False, exclude=True)
    tracing: Annotated[Any, PlainValidator(_tracing)] = Field(default=False, exclude=True)
    operation_log: Literal["off", "text", "json"] = "off"
    operation_log_users: Literal["none", "hashed", "given"] = "none"
    observed_as: str | None = Field(default=None, min_length=1, max_length=200)
    trace_content: bool = False

    @model_validator(mode="before")
    @classmethod
    def _url_of_several(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or "urls" not in values:
            return values
        try:
            urls = _listed(values["urls"])
        except ValueError as error:
            raise InvalidInputError(
                "urls", f"is no JSON list: {error}", fix='Write ["one", "another"].', cause=error
            ) from error
        if (
            not isinstance(urls, tuple)
            or not urls
            or not all(isinstance(u, str) and u for u in urls)
        ):
            return {**values, "urls": urls}
        # The one in use stands in `url`, so that the settings of an open memory are settings.
        if values.get("url", urls[0]) not in urls:
            raise InvalidInputError(
                "url", "is given beside urls, and is none of them", fix="Give one of the two."
            )
        return {"url": urls[0], **values, "urls": urls}

    @model_validator(mode="after")
    def _a_trail_names_nobody(self) -> MemoryConfig:
        if self.audit_ids == "hashed" and self.audit_key is None:
            raise InvalidInputError(
                "audit_key",
                "is missing, and audit_ids='hashed' hashes with it",
                fix="Give a secret of 16 characters or more.",
            )
        encrypted = self.key is not None or self.key_file is not None
        if self.audit and encrypted and self.audit_ids != "hashed":
            raise InvalidInputError(
                "audit_ids",
                "is 'given', so that the audit trail of an encrypted store would name its users",
                fix='Give audit_ids="hashed" and an audit_key.',
            )
        return self

    @model_validator(mode="after")
    def _lines_name_nobody(self) -> MemoryConfig:
        if self.operation_log_users == "hashed" and self.audit_key is None:
            raise InvalidInputError(
                "audit_key",
                "is missing, and operation_log_users='hashed' hashes with it",
                fix="Give a secret of 16 characters or more.",
            )
        encrypted = self.key is not None or self.key_file is not None
        if encrypted and self.operation_log_users == "given":
            raise InvalidInputError(
                "operation_log_users",
                "is 'given', so that the log of an encrypted store would name its users",
                fix='Give operation_log_users="hashed" and an audit_key, or "none".',
            )
        return self

    @model_validator(mode="after")
    def _keyed_by_a_key(self) -> MemoryConfig:
        if self.keyed_index and self.key is None and self.key_file is None:
            raise InvalidInputError(
                "keyed_index",
                "is on, and no key is given: it is for encrypted stores",
                fix="Give key=... or key_file=..., or leave keyed_index out: a plain store has its "
                "indexes anyway.",
            )
        return self

    @model_validator(mode="after")
    def _idle_before_it_expires(self) -> MemoryConfig:
        idle, expires = self.session_idle_after, self.session_expires_after
        if idle is None or expires is None or idle <= expires:
            return self
        if "session_idle_after" in self.model_fields_set:
            raise InvalidInputError(
                "session_idle_after",
                f"is {idle}, longer than session_expires_after, which is {expires}: no session "
                "would ever be idle",
                fix="Give a shorter session_idle_after, a longer session_expires_after, or None.",
            )
        object.__setattr__(self, "session_idle_after", expires)
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The sources, in their order; see the class."""
        check_environment(settings_cls.model_fields)
        sources = (init_settings, env_settings, FileSettings(settings_cls))
        return tuple(
            InitSettingsSource(settings_cls, values)
            for values in _without_overruled([source() for source in sources])
        )

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """The fields with secrets hidden; so are they in ``str()`` and ``repr()``."""
        for name, value in super().__repr_args__():
            yield name, _masked(value)

    @classmethod
    def origins(cls, **given: Any) -> dict[str, str]:
        """Where the value of each field comes from, if ``given`` are the arguments.

        Returns:
            For each field "argument", "environment (BRUNO_MEMORY_...)", "file (its path)" or
            "default".

        Raises:
            InvalidInputError: a variable or the file is not usable.
        """
        check_environment(cls.model_fields)
        environment, file = EnvSettingsSource(cls)(), FileSettings(cls)()
        found = dict.fromkeys(cls.model_fields, "default")
        named = ("argument", "environment ({variable})", f"file ({file_in_use()})")
        values = _without_overruled([given, environment, file])
        for origin, one in reversed(list(zip(named, values, strict=True))):
            for field in one:
                found[field] = origin.format(variable=f"{PREFIX}{field.upper()}")
        return found

    def shown(self) -> dict[str, Any]:
        """Each field as a plain value that may be printed: ``***`` in place of secrets."""
        return {name: _shown(name, getattr(self, name)) for name in type(self).model_fields}

    @property
    def bounds(self) -> Bounds:
        """How much one call may give to be stored."""
        return Bounds(self.max_content_chars, self.max_metadata_bytes, self.max_rows_per_call)

    @classmethod
    def build(cls, **values: Any) -> MemoryConfig:
        """A configuration of the given values.

        Raises:
            InvalidInputError: a value, given or in the environment, is not usable.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            field = str(first["loc"][0]) if first["loc"] else "config"
            if first["type"] == "extra_forbidden":
                raise unknown(field, "there is no such setting", cls.model_fields) from error
            origin = cls.origins(**values).get(field, "argument")
            raise InvalidInputError(
                field, why(first), fix=f"Mend the {origin}.", cause=error
            ) from error

    @classmethod
    def from_bruno(cls, config: BrunoMemoryConfig) -> MemoryConfig:
        """The same, from ``bruno_core.models.config.MemoryConfig``.

        =====================  ==================================================================
        its field              becomes
        =====================  ==================================================================
        backend                what ``connection_string`` is read as, see below
        connection_string      ``url``, or ``sessions`` where the backend is "redis"
        max_messages           ``max_messages``
        embedding_model        ``embedder``, by a name of ours
        enable_embeddings      False: the profile "lexical", which recalls by words alone
        additional_params      any other field, by its name
        =====================  ==================================================================

        The backends are "lancedb" or "folder" (a folder), "memory" (``memory://``), "qdrant"
        (``qdrant://``, and ``host:6333`` or ``http://host:6333`` become that), "redis" (the
        sessions; ``additional_params`` names the ``url`` of the rows), "postgres"
        (``postgresql://``), and the scheme of any other URL. bruno-core's thresholds and
        ``compression_threshold`` have no meaning here, as nothing is compressed or forgotten.
        Environment and file count for what it does not name.

        Raises:
            InvalidInputError: the backend and the connection string do not fit, two fields name
                the same, or a value is not usable.
        """
        values: dict[str, Any] = {"max_messages": config.max_messages}
        if config.embedding_model:
            values["embedder"] = config.embedding_model
        if not config.enable_embeddings:
            values["profile"] = "lexical"
        values.update(from_connection(config.backend, config.connection_string))
        others = config.additional_params
        twice = sorted((values.keys() & others.keys()) - {"max_messages", "profile"})
        if twice:
            raise InvalidInputError(
                "additional_params",
                f"names {twice[0]!r}, which another field of it names, too",
                fix="Leave one of the two out.",
            )
        values.update(others)
        origins = cls.origins(**values)
        if config.backend == "redis" and all(origins[name] == "default" for name in _URLS):
            raise InvalidInputError(
                "backend",
                "'redis' holds sessions, and no rows",
                fix="Name the rows, too, such as additional_params={'url': './memory'}.",
            )
        return cls.build(**values)


def _without_overruled(sources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The values of sources; ``url`` and ``urls`` only of the first one that names either."""
    kept, named = [], False
    for values in sources:
        kept.append(
            {name: value for name, value in values.items() if not (named and name in _URLS)}
        )
        named = named or any(name in _URLS for name in values)
    return kept


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return masked(value)
    return tuple(map(_masked, value)) if isinstance(value, tuple) else value


def _shown(name: str, value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, tuple):
        return [_shown(name, one) for one in value]
    named = name != "key_file" and is_secret(name)
    secret = name == "key" or isinstance(value, SecretStr) or named
    return HIDDEN if secret else masked(str(value))


def one_config(config: Any, given: dict[str, Any]) -> MemoryConfig:
    """A config that was given whole, or one of single settings.

    Raises:
        InvalidInputError: both were given, or something else, or a setting is not usable.
    """
    if config is None:
        return MemoryConfig.build(**given)
    if isinstance(config, BrunoMemoryConfig):
        config = MemoryConfig.from_bruno(config)
    if not isinstance(config, MemoryConfig):
        raise InvalidInputError(
            "config",
            f"is a {type(config).__name__}",
            fix="Give a MemoryConfig. A file is named by the variable BRUNO_MEMORY_CONFIG.",
        )
    if given:
        raise InvalidInputError(
            "config",
            f"was given beside {', '.join(sorted(given))}",
            fix="Give either a config or single settings.",
        )
    return config
