"""The configuration, from arguments, the environment, or bruno-core's configuration."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from bruno_core.models.config import MemoryConfig as BrunoMemoryConfig
from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.prompts.token_bound import Counter
from bruno_memory_vec.rows.bounds import Bounds


def _named(folder: Any) -> Any:
    if isinstance(folder, str) and not folder.strip():
        raise ValueError("an empty text names no folder")  # Path("") would be the current one
    return folder


class MemoryConfig(BaseSettings):
    """How a memory is opened and behaves.

    Every field can also come from the environment as ``BRUNO_MEMORY_<FIELD>``.

    Attributes:
        url: a folder, ``file://`` URL of one, or ``memory://`` for a store that is not kept.
        embedder: "static" (default), "hash" (tests), or "sentence-transformers:NAME_OR_PATH", which
            takes options after it: ``?dim=256&device=cpu`` (`resolve_embedder` lists them).
        sessions: where sessions, profiles and the hot context are, if not beside the rows: a folder
            (or ``sqlite:///its/absolute/path``) for one writing process, ``sqlite://:memory:``, or
            the URL of a server that many processes share. None: where the store of ``url`` keeps
            them itself.
        embed_timeout: how long an embedder may take, in seconds, plus half a second for each text.
            A longer call fails with an EmbeddingError, and later writes go on.
        embedding_cache: a folder that caches the vectors of slow embedders, for all stores that
            name it. None: no cache. The static embedder is faster than a cache and has none.
        embedding_cache_mb: how large its file may grow, in MiB.
        profile: a recall profile by name, or the path of a TOML file.
        recall_cache_mb: size in MiB of the cache of rows of recently active users. A user with
            1,000 rows takes 1.5 MiB. 0: no cache.
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
        recall_in_context: put recalled memories into the context that ``get_context`` gave out.
        recall_tokens: how many tokens that text may have, its heading and marks included.
        recall_k: how many hits it may have.
        recall_confidence: 0..1. Nothing is put there where ``Hits.confidence``, the probability
            that what is recalled holds an answer, is less. 0: whatever is recalled is put there.
        context_tokens: how many tokens the messages of ``get_context`` may have, what is recalled
            into them not included. The newest are kept, each whole; the newest of all even if it is
            longer. None: only ``max_messages`` bounds them.
        count_tokens: counts the tokens of a text as the model does that will read it; it has to be
            fast. Without it they are estimated so that no current model counts more: for English,
            one and a half times as many as there are.
    """

    model_config = SettingsConfigDict(env_prefix="BRUNO_MEMORY_", extra="forbid", frozen=True)

    url: str = Field(default="./bruno-memory", min_length=1)
    embedder: str = Field(default="static", min_length=1)
    sessions: str | None = Field(default=None, min_length=1)
    embed_timeout: float = Field(default=120.0, gt=0, le=86_400)
    embedding_cache: Annotated[Path, BeforeValidator(_named)] | None = None
    embedding_cache_mb: int = Field(default=512, ge=1, le=1_000_000)
    profile: str = Field(default="balanced", min_length=1)
    recall_cache_mb: int = Field(default=160, ge=0, le=1_000_000)
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
    recall_in_context: bool = True
    recall_tokens: int = Field(default=600, ge=100, le=100_000)
    recall_k: int = Field(default=6, ge=1, le=100)
    recall_confidence: float = Field(default=0.0, ge=0, le=1)
    context_tokens: int | None = Field(default=None, ge=100, le=10_000_000)
    count_tokens: Counter | None = Field(default=None, exclude=True, repr=False)

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
            field = ".".join(str(part) for part in first["loc"]) or "config"
            known = ", ".join(cls.model_fields)
            fix = (
                f"The fields are {known}."
                if first["type"] == "extra_forbidden"
                else "Mend the argument, or the BRUNO_MEMORY_ variable of this name."
            )
            raise InvalidInputError(field, first["msg"], fix=fix, cause=error) from error

    @classmethod
    def from_bruno(cls, config: BrunoMemoryConfig) -> MemoryConfig:
        """The same, from ``bruno_core.models.config.MemoryConfig``.

        ``connection_string`` is the url, ``embedding_model`` the embedder and
        ``additional_params`` any other field.
        """
        values: dict[str, Any] = {
            "max_messages": config.max_messages,
            **config.additional_params,
        }
        if config.connection_string:
            values["url"] = config.connection_string
        if config.embedding_model:
            values["embedder"] = config.embedding_model
        return cls.build(**values)


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
            "config", f"is a {type(config).__name__}", fix="Give a MemoryConfig."
        )
    if given:
        raise InvalidInputError(
            "config",
            f"was given beside {', '.join(sorted(given))}",
            fix="Give either a config or single settings.",
        )
    return config
