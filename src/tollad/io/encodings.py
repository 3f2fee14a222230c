"""Guess the encoding of text that is no UTF-8, so that a message can name it: the letters it shows must fit."""

from __future__ import annotations

import itertools
import re

# Encodings of one byte a character, each with the most frequent letters of its script.
_COMMON = {
    "cp1251": "оеаинтсрвлі",
    "koi8-r": "оеаинтсрвл",
    "cp866": "оеаинтсрвл",
    "cp1253": "αοιετσνηρκάίόή",
    "cp1255": "יוהלאתרבמש",
    "cp1256": "اليمنترودبة",
    "cp874": "านรกอเงมยลท",
}
# The common letters of a language are more than half of its text; those of a wrong guess are about a third.
_LEAST_COMMON, _LEAD = 0.45, 0.05
# Of the characters of Latin text, that many stand where those of the right encoding do.
_LEAST_PLAUSIBLE = 0.8
# Fewer characters tell nothing about a script of thousands, or of one byte each.
_LEAST = 6
_KANA, _HANGUL, _HAN = ("\u3040", "\u30ff"), ("\uac00", "\ud7a3"), ("\u4e00", "\u9fff")
# First bytes of the more frequent half of the Chinese characters.
_FREQUENT = {"gb18030": (0xB0, 0xD7), "big5": (0xA4, 0xC6)}
_LAST_JAPANESE = 0xCF
# Encodings of Latin letters, the likelier first: the languages they are for, and the letters of these beyond ASCII.
_LATIN = {
    "cp1252": (
        "Western European",
        "äöüßéèêëàâçñáíóúîïôûùìòãõåæøœ",
    ),
    "cp1250": (
        "Central European",
        "ąćęłńóśźżčďěňřšťůýžáéíúäöüßôőűăâîşţđľ",
    ),
    "cp1254": ("Turkish", "çğıöşüâîûİ"),
    "cp1257": ("Baltic", "āčēģīķļņšūžąęėįųäöüõ"),
    "mac_roman": ("Western European, of an old Mac", ""),
    "cp850": ("Western European, of DOS", ""),
    "cp852": ("Central European, of DOS", ""),
    "mac_latin2": ("Central European, of an old Mac", ""),
}
_SAME_LETTERS = {"mac_roman": "cp1252", "cp850": "cp1252", "cp852": "cp1250", "mac_latin2": "cp1250"}
# Signs that stand within a word, before or after one, and beside numbers.
_WITHIN, _BEFORE, _AFTER = (
    "\u2019\u00b4\u00b7\u2013\u00ad",
    "\u201e\u201c\u201d\u2018\u00ab\u00a1\u00bf",
    "\u201d\u201c\u2019\u00bb\u2026",
)
_BESIDE_NUMBERS = "\u20ac\u00a3\u00b0\u00b2\u00b3\u00b5\u00bd\u00bc\u00be\u00b1\u00d7\u00a7\u00ba\u00aa\u2030\u2013"
_STRANGE = 0.3


def encoding_hint(text: bytes) -> str:
    """Return what to do with text that is no UTF-8, from its beginning: with the encoding that its letters fit, if any.

    Examples
    --------
    >>> encoding_hint("M\u00fcller".encode("cp1252"))
    "save it as UTF-8 text, or name its encoding, as in encoding='cp1252'"
    >>> encoding_hint(", ".join(["Москва", "Казань", "Самара"]).encode("koi8-r"))
    "save it as UTF-8 text, or name its encoding, as in encoding='koi8-r'"
    """
    lines = [line for line in re.split(rb"[\r\n]+", text) if not line.isascii()]
    lines = lines[:-1] or lines  # the last one may be cut within a character
    if sum(_decoded(line, "utf-8") is not None for line in lines) > len(lines) / 2:
        return "the lines around it are UTF-8 text, so correct this one"
    foreign = b"\n".join(lines)
    save = "save it as UTF-8 text, or name its encoding"
    found = _with_syllables(foreign) or _one_byte(foreign) or _chinese(foreign) or _latin(foreign)
    if not found:
        return f"{save}, which cannot be told from its bytes"
    if len(found) > 1:
        return f"{save}, {', '.join(f'encoding={name!r} if it is {_LATIN[name][0]}' for name in found)}"
    return f"{save}, as in encoding={found[0]!r}"


def _decoded(text: bytes, encoding: str) -> str | None:
    try:
        return text.decode(encoding)
    except UnicodeDecodeError:
        return None


def _share(text: str, letters: tuple[str, str]) -> float:
    return sum(letters[0] <= character <= letters[1] for character in text) / len(text)


def _foreign(text: bytes, encoding: str) -> str:
    """Return the characters beyond ASCII; "" if they are too few or the text has another encoding."""
    shown = re.sub("[\0-\x7f]", "", _decoded(text, encoding) or "")
    return shown if len(shown) >= _LEAST else ""


def _with_syllables(text: bytes) -> list[str]:
    """Return the encoding of Japanese or Korean text; none for other text."""
    for encoding in ("shift_jis", "euc_jp", "euc_kr"):
        if shown := _foreign(text, encoding):
            kana = _share(shown, _KANA)
            if _share(shown, _HANGUL) > 0.95 or (kana > 0.15 and kana + _share(shown, _HAN) > 0.9):
                return [encoding]
    return []


def _chinese(text: bytes) -> list[str]:
    """Return the encoding of Chinese text; none for other text."""
    for encoding, (low, high) in _FREQUENT.items():
        if shown := _foreign(text, encoding):
            code = "gb2312" if encoding == "gb18030" else encoding
            first = [character.encode(code, "replace")[0] for character in shown]
            if sum(low <= byte <= high for byte in first) > 0.8 * len(shown) and _share(shown, _HAN) > 0.8:
                # Japanese has no frequent character beyond 0xCF in its own code, which is made alike.
                return [encoding] if encoding == "big5" or max(first) > _LAST_JAPANESE else []
    return []


def _one_byte(text: bytes) -> list[str]:
    """Return the encoding of text in Cyrillic, Greek, Hebrew, Arabic or Thai letters; none for other text."""
    runs = re.findall(rb"[\x80-\xff]+", text)
    if sum(map(len, runs)) < max(_LEAST, 3 * len(runs)):
        return []
    shares = []
    for encoding, common in _COMMON.items():
        words = re.findall("[^\0-\x7f]+", _decoded(text, encoding) or "")
        shown = "".join(words)
        if sum(map(str.isalpha, shown)) > 0.7 * len(shown):
            # A capital letter after a small one is the sign of a wrong guess: codes differ in where capitals are.
            swapped = sum(a.islower() and b.isupper() for word in words for a, b in itertools.pairwise(word))
            share = sum(character in common for character in shown.lower()) - swapped
            shares.append((share / len(shown), encoding))
    (best, encoding), *others = sorted(shares, reverse=True) or [(0.0, "")]
    if best < _LEAST_COMMON or (others and others[0][0] > best - _LEAD):
        return []
    return [encoding]


def _latin(text: bytes) -> list[str]:
    """Return the encoding of text in Latin letters, or several if more fit; none if no encoding fits."""
    n_foreign, n_letters = (len(re.findall(letters, text)) for letters in (rb"[\x80-\xff]", rb"[A-Za-z]"))
    if n_foreign > n_letters and re.search(rb"[\x80-\xff]{2}", text):
        return []
    if not n_foreign:
        return []
    fits: dict[str, tuple[float, str]] = {}
    for encoding in _LATIN:
        shown = _decoded(text, encoding)
        if shown is not None and shown not in [other for _, other in fits.values()]:
            fits[encoding] = _plausible(shown, _LATIN[_SAME_LETTERS.get(encoding, encoding)][1]), shown
    best = max((share for share, _ in fits.values()), default=0.0)
    if best < _LEAST_PLAUSIBLE:
        return []
    likely = [encoding for encoding, (share, _) in fits.items() if share > best - _LEAD]
    # Old Macs and DOS are rare: where Western European text fits, they need not be named.
    return [encoding for encoding in likely if encoding not in _SAME_LETTERS] if "cp1252" in likely else likely


def _plausible(text: str, letters: str) -> float:
    """Return how well the characters beyond ASCII stand in a text of a language with some letters, from 0 to 1."""
    points = [
        _fits(text[place - 1 : place] or " ", text[place], text[place + 1 : place + 2] or " ", letters)
        for place in range(len(text))
        if not text[place].isascii()
    ]
    return sum(points) / len(points)


def _fits(before: str, sign: str, after: str, letters: str) -> float:
    """Return how well a character stands between two others."""
    if sign.isalpha() and sign not in "\u00aa\u00ba":
        # A capital letter after a small one, or a small one between capitals, is the sign of a wrong guess.
        swapped = (sign.isupper() and before.islower()) or (sign.islower() and before.isupper() and after.isupper())
        strange = _STRANGE if sign.lower() not in letters and sign not in letters else 1.0
        return 0.0 if swapped else strange
    if before.isalpha() and after.isalpha():
        return _STRANGE if sign == "\u2013" and after.islower() else float(sign in _WITHIN)
    if before.isalpha():
        return float(sign in _AFTER)
    if sign == "\u00a0":  # between a number and its unit, or digits
        return float(before.isdigit() and after.isalnum())
    return float(sign in _BESIDE_NUMBERS or (sign in _BEFORE and after.isalpha()) or sign in _AFTER)
