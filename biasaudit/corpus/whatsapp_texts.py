"""What WhatsApp itself writes into the texts of an export: pictures left out, deleted messages, marks, mentions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biasaudit.corpus.fields import USER

_MARK = "\u200e"
"""iOS puts it before everything that WhatsApp says itself."""
_MENTION = "@\u2068[^\u2069\n]{0,200}\u2069"
_THINGS = (
    "imagem|foto|fotografia|vídeo|áudio|figurinha|gif|documento|mídia|arquivo de mídia|cartão do contato|"
    "cartão de contato|image|photo|picture|video|video note|audio|sticker|document|media|contact card|imagen|"
    "multimedia|mensagem de vídeo|nota de vídeo"
)
_GONE = "ocultad[ao]|ocult[ao]|omitid[ao]|omitted"
_DELETED = (
    "this message was deleted|you deleted this message|mensagem apagada|(?:esta|essa) mensagem foi apagada|"
    "você apagou (?:esta|essa) mensagem|(?:eliminou|apagou) esta mensagem|esta mensagem foi eliminada|"
    "this message was deleted by admin .{0,200}|mensagem apagada pelo admin .{0,200}|se eliminó este mensaje|"
    "eliminaste este mensaje"
)
_NOTHING = rf"(?i)^{_MARK}?\s*(?:<{_MARK}?(?:{_THINGS}) (?:{_GONE})>|(?:{_DELETED})\.?)\s*$"
_LEFT_OUT = rf"(?i)^{_MARK}\s*(?:{_THINGS}) (?:{_GONE})\s*$"
"""Without angle brackets only behind iOS' mark: people write `foto omitida` too."""
_EDITED = "this message was edited|mensagem editada|esta mensagem foi editada|editado|se editó este mensaje"
_BEHIND = rf"(?i)\s*(?:{_MARK}<[^<>\n]{{1,300}}>|<{_MARK}?(?:{_EDITED})>)\s*$"
_FILE = rf"^{_MARK}?[^\n]{{1,200}}\.\w{{2,5}} \((?:arquivo anexado|ficheiro anexado|file attached|archivo adjunto)\)\s*"

Bools = npt.NDArray[np.bool_]


def own_words(text: pa.StringArray) -> tuple[pa.StringArray, Bools, Bools]:
    """Take WhatsApp's own words out of texts.

    Returns:
        The texts; which of them were nothing but a sentence of WhatsApp (shape (texts,)); and which are empty now
        (shape (texts,)): pictures without words, deleted messages.
    """
    text = _replaced(text, pc.match_substring(text, "@\u2068"), _MENTION, USER)
    marked = pc.match_substring(text, _MARK)
    ending = pc.match_substring_regex(text, r">\s*$")
    text = _replaced(text, ending, _BEHIND, "")
    text = _replaced(text, pc.match_substring(text, " ("), _FILE, "")
    gone = pc.or_(pc.match_substring_regex(text, _NOTHING), pc.and_(marked, pc.match_substring_regex(text, _LEFT_OUT)))
    if pc.any(gone).as_py():
        text = pc.if_else(gone, "", text)
    own = pc.starts_with(text, _MARK).to_numpy(zero_copy_only=False)
    empty = pc.invert(pc.match_substring_regex(text, r"\S")).to_numpy(zero_copy_only=False)
    return text, own, empty


def _replaced(text: pa.StringArray, where: pa.BooleanArray, pattern: str, by: str) -> pa.StringArray:
    """The texts with a pattern replaced in those that a cheaper test points at."""
    if not pc.any(where).as_py():
        return text
    return pc.replace_with_mask(text, where, pc.replace_substring_regex(text.filter(where), pattern, by))
