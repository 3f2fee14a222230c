"""Guesses at the encoding of text that is no UTF-8."""

from __future__ import annotations

import re

import pytest

from tollad.io.encodings import encoding_hint
from tollad.io.sources import open_table, read_table

RUSSIAN = "Москва,Казань,Самара,Нижний Новгород,Омск"
CHINESE = "姓名,年龄,城市\n张三,31,北京\n李四,40,上海"
JAPANESE = "日付,温度,メモ\n東京,2,こんにちは"
OLD = ("mac_roman", "cp850")
KNOWN = [
    *((RUSSIAN, encoding) for encoding in ("cp1251", "koi8-r", "cp866")),
    *((RUSSIAN.upper(), encoding) for encoding in ("cp1251", "koi8-r", "cp866")),
    (CHINESE, "gb18030"),
    ("臺北,高雄,臺中,臺南,新竹", "big5"),
    *((JAPANESE, encoding) for encoding in ("shift_jis", "euc_jp")),
    ("이름,나이,도시\n김,31,서울", "euc_kr"),
    ("Αθήνα,Θεσσαλονίκη,Πάτρα,Ηράκλειο", "cp1253"),
    ("ירושלים,תל אביב,חיפה,ראשון לציון", "cp1255"),
    ("القاهرة,الرياض,بغداد,دمشق,الجزائر", "cp1256"),
    ("กรุงเทพ,เชียงใหม่,ภูเก็ต,พัทยา", "cp874"),
    ("Müller,größe,Köln", "cp1252"),
    ("21 °C,5 €", "cp1252"),
    ("Łódź,Kraków,Gdańsk,Wrocław", "cp1250"),
    ("Dvořák,Plzeň,Děčín", "cp852"),
    ("Łódź,Kraków,Gdańsk,Wrocław", "mac_latin2"),
    ("Rīga,Cēsis,Jūrmala,Ķekava", "cp1257"),
    ("Šiauliai,Panevėžys,Kėdainiai,Marijampolė", "cp1257"),
    ("Beşiktaş,İstanbul,Muğla,Ağr\u0131", "cp1254"),
    *(
        (text, encoding)
        for text in ("Müller,größe,Köln,Ämter", "José,Besançon,été", "Malmö,Åre,Växjö")
        for encoding in OLD
    ),
    ("España,Córdoba,niño,León", "mac_roman"),
    ("don\u2019t,l\u2019eau", "cp1252"),
]


@pytest.mark.parametrize(("text", "encoding"), KNOWN)
def test_an_encoding_is_named_that_reads_the_text(text, encoding):
    named = re.findall("encoding='([^']*)'", encoding_hint(text.encode(encoding)))
    assert text in [text.encode(encoding).decode(name) for name in named]
    assert len(named) < 4


@pytest.mark.parametrize("text", ["Müller,größe,Köln", "José,Besançon,été", "España,Córdoba,niño,León"])
def test_western_european_text_is_not_called_baltic(text):
    assert "cp1257" not in encoding_hint(text.encode("cp1252"))


@pytest.mark.parametrize(
    ("text", "encoding"),
    [("да,нет", "cp1251"), ("東京,大阪,名古屋,札幌,横浜", "euc_jp")],
)
def test_what_cannot_be_told_is_said_to_be_so(text, encoding):
    assert encoding_hint(text.encode(encoding)).endswith("which cannot be told from its bytes")


def test_where_several_encodings_show_letters_all_are_named():
    hint = encoding_hint("Plzeň,Dvořák".encode("cp1250"))
    assert hint.endswith(
        "encoding='cp1252' if it is Western European, encoding='cp1250' if it is Central European, "
        "encoding='cp1257' if it is Baltic"
    )


def test_text_of_an_old_mac_is_not_taken_for_that_of_windows():
    hint = encoding_hint("Besançon,Orléans,élève,forêt".encode("mac_roman"))
    assert hint.endswith("or name its encoding, as in encoding='mac_roman'")


def test_text_without_a_foreign_letter_has_no_encoding():
    """Half of a character may be cut off at the end of the beginning of a file."""
    assert encoding_hint(b"a,b\n1,2\n").endswith("which cannot be told from its bytes")


def test_one_line_among_others_in_utf_8():
    text = b"\n".join([*["Zürich".encode()] * 9, b"Z\xfcrich", b""])
    assert encoding_hint(text) == "the lines around it are UTF-8 text, so correct this one"


@pytest.mark.parametrize("encoding", ["koi8-r", "gb18030", "shift_jis"])
def test_the_hint_is_that_of_the_file(tmp_path, encoding):
    path = tmp_path / "data.csv"
    text = {"koi8-r": RUSSIAN, "gb18030": CHINESE, "shift_jis": JAPANESE}[encoding]
    path.write_bytes(f"id\n{text}\n".replace(",", "\n").encode(encoding))
    with pytest.raises(ValueError, match=f"line 2: is no UTF-8 text; .* as in encoding='{encoding}'"):
        read_table(open_table(path))
