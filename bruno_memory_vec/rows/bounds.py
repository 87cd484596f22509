"""How much one call may give to be stored, and the error for more."""

from __future__ import annotations

from dataclasses import dataclass

from bruno_memory_vec.errors import InvalidInputError


@dataclass(frozen=True)
class Bounds:
    """The settings of these names, see :class:`~bruno_memory_vec.config.MemoryConfig`."""

    max_content_chars: int = 10_000_000
    max_metadata_bytes: int = 4 * 2**20
    max_rows_per_call: int = 100_000

    def content(self, field: str, characters: int) -> None:
        """Refuse a text that is too long.

        Raises:
            InvalidInputError: the error names the field, its length and the setting.
        """
        self._hold(field, characters, "characters", "max_content_chars")

    def metadata(self, field: str, size: int) -> None:
        """Refuse metadata, tags or other values that are too large, by their bytes as JSON.

        Raises: as :meth:`content`.
        """
        self._hold(field, size, "bytes as JSON", "max_metadata_bytes")

    def rows(self, field: str, count: int) -> None:
        """Refuse a call of too many messages or memories.

        Raises: as :meth:`content`.
        """
        self._hold(field, count, "entries", "max_rows_per_call")

    def _hold(self, field: str, size: int, unit: str, setting: str) -> None:
        most: int = getattr(self, setting)
        if size > most:
            raise InvalidInputError(
                field,
                f"has {size:,} {unit}, and {setting} is {most:,}",
                fix=f"Give less at once, or open the memory with a larger {setting}.",
            )
