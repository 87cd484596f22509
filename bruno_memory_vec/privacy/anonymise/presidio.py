"""Microsoft Presidio beside our own patterns, where its package and a model are at hand.

Nothing is ever downloaded: Presidio would fetch its model by itself, so the model is looked for
before it is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any, Final

from bruno_memory_vec.errors import InvalidInputError, MissingDependencyError
from bruno_memory_vec.privacy.anonymise.span import Kind, Span

#: What finds more in a text than our own patterns do.
Finder = Callable[[str], Iterator[Span]]

_KINDS: Final[dict[str, Kind]] = {
    "PERSON": "person",
    "EMAIL_ADDRESS": "email",
    "PHONE_NUMBER": "phone",
    "IBAN_CODE": "iban",
    "CREDIT_CARD": "card",
    "US_SSN": "national_id",
    "US_PASSPORT": "national_id",
    "US_DRIVER_LICENSE": "national_id",
    "US_ITIN": "national_id",
    "UK_NHS": "national_id",
    "UK_NINO": "national_id",
    "ES_NIF": "national_id",
    "IT_FISCAL_CODE": "national_id",
    "US_BANK_NUMBER": "account",
    "IP_ADDRESS": "ip",
}
_LEAST_SCORE: Final = 0.5


def presidio(model: str, language: str) -> Finder:
    """What Presidio finds with a spaCy model.

    Args:
        model: the name of the model's package, or its folder.
        language: of two letters, that of the model.

    Raises:
        MissingDependencyError: Presidio is not installed.
        InvalidInputError: the model is not at hand.
    """
    if find_spec("presidio_analyzer") is None:
        raise MissingDependencyError("presidio-analyzer", "presidio")
    import spacy.util
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import NlpEngineProvider

    if not spacy.util.is_package(model) and not _is_folder(model):
        raise InvalidInputError(
            "presidio",
            f"the spaCy model {model!r} is not installed, and none is downloaded",
            fix="Install the model's package, or name one that is there.",
        )
    settings = {
        "nlp_engine_name": "spacy",
        "models": [{"lang_code": language, "model_name": model}],
    }
    engine: Any = AnalyzerEngine(
        nlp_engine=NlpEngineProvider(nlp_configuration=settings).create_engine(),
        supported_languages=[language],
    )

    def find(text: str) -> Iterator[Span]:
        for found in engine.analyze(
            text, language=language, entities=list(_KINDS), score_threshold=_LEAST_SCORE
        ):
            said = text[found.start : found.end]
            yield Span(found.start, found.end, _KINDS[found.entity_type], said)

    return find


def _is_folder(model: str) -> bool:
    from pathlib import Path

    return (Path(model) / "meta.json").is_file()
