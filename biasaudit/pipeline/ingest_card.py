"""The data card of a corpus that was just written, as JSON and as a page."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biasaudit import identity
from biasaudit.errors import BiasAuditError
from biasaudit.pipeline import ingest_folder as folder

if TYPE_CHECKING:
    from biasaudit.corpus.gather import Tally
    from biasaudit.pipeline.ingest_settings import IngestSettings
    from biasaudit.pipeline.ingest_write import Written

_JUDGED = 300
"""Documents whose language is judged for the card."""


def write_card(
    corpus: Path, *, settings: IngestSettings, named: Sequence[str], sources: Sequence[dict[str, Any]], tally: Tally,
    near: int, written: Written, digests: Future[dict[str, str]],
) -> dict[str, Any]:  # fmt: skip
    """Write `card.json` and `card.html` into `corpus`; return the card. `digests` gives the SHA-256 of its shards."""
    from biasaudit.corpus.card import card
    from biasaudit.corpus.card_command import command
    from biasaudit.corpus.card_ngrams import ngrams
    from biasaudit.pipeline.corpus_page import corpus_page
    from biasaudit.pipeline.ingest_settings import settings_of

    language = settings.language or settings.only_language
    plain = identity.plain(settings)
    usual = identity.plain(settings_of({})[0])
    made = card(
        settings=plain, sources=sources, tally=tally, near_duplicates=near, cleaning=dict(tally.cleaning),
        census=written.census, tokenizer=written.tokenizer, language=language,
        command=command(plain, usual, named),
        set_aside={"other_language": tally.other_language} if settings.only_language else {},
        languages=_languages(written.sample), ngrams=ngrams(written.sample, masked=settings.privacy),
        limits={"documents_judged_for_language": _JUDGED},
        shards={name: digests.result()[name] for name in ("train.bin", "val.bin")},
    )  # fmt: skip
    folder.write_json(corpus / "card.json", made)
    locale = "pt" if _mostly(made, language).startswith("pt") else "en"
    (corpus / "card.html").write_text(corpus_page(made, locale), "utf-8")
    return made


def _mostly(card: dict[str, Any], language: str) -> str:
    """The language that the user named, or else the one that most documents looked at are in."""
    found: dict[str, int] = (card["languages"] or {}).get("documents") or {}
    return language or (max(found, key=lambda name: found[name]) if found else "")


def _languages(sample: Any) -> dict[str, int] | str:
    """Languages of a few documents, or why they were not judged."""
    from biasaudit.corpus.language import languages_of

    try:
        return dict(languages_of(sample.first(_JUDGED).to_pylist()))
    except BiasAuditError:
        return "not measured: the extra [score] is not installed"
