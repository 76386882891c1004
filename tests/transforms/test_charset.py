import codecs
import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cc100.transforms.charset import decode_page

RUSSIAN = "<title>Проверка кодировки</title><p>Съешь же ещё этих мягких французских булок, да выпей чаю."
JAPANESE = "<p>これは日本語の文章です。文字コードの判定を確認します。①②髙"
KOREAN = "<p>이것은 한국어 문장입니다. 똠방각하 펲시콜라"
CHINESE = "<p>这是一个中文句子,用来检查字符编码。镕"


def html(content_type: str) -> str:
    return f"text/html; charset={content_type}"


def test_a_mark_goes_before_everything():
    for mark, name in [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ]:
        assert decode_page(mark + RUSSIAN.encode(name), html("windows-1251")) == RUSSIAN


def test_valid_utf8_goes_before_statements():
    assert decode_page(RUSSIAN.encode(), html("iso-8859-1")) == RUSSIAN
    assert decode_page(RUSSIAN.encode()) == RUSSIAN


def test_a_page_that_was_cut_inside_a_letter_is_still_utf8():
    assert decode_page("<p>Съешь".encode()[:-1], html("windows-1251")) == "<p>Съеш\ufffd"
    assert decode_page("<p>語語語".encode()[:-2]) == "<p>語語\ufffd"


@pytest.mark.parametrize(
    ("text", "label", "codec"),
    [
        (RUSSIAN, "windows-1251", "cp1251"), (RUSSIAN, "KOI8-R", "koi8-r"), (RUSSIAN, "iso-8859-5", "iso8859-5"),
        (JAPANESE, "Shift_JIS", "cp932"), (JAPANESE.rstrip("①②髙"), "euc-jp", "euc_jp"), (KOREAN, "euc-kr", "cp949"),
        (CHINESE, "gb2312", "gb18030"), ("<p>“quoted” – naïve", "iso-8859-1", "cp1252"),
        ("<p>ประเทศไทย", "tis-620", "iso8859-11"),
    ],
)  # fmt: skip
def test_the_header_then_the_page(text, label, codec):
    data = text.encode(codec)
    assert decode_page(data, html(label)) == text
    assert decode_page(data, html(f'"{label}"')) == text
    declared = f'<meta charset="{label}">'.encode() + data
    assert decode_page(declared).endswith(text)
    assert decode_page(declared, html("unknown-set")).endswith(text)
    older = f"<META http-equiv=Content-Type content='text/html; charset={label}'>".encode() + data
    assert decode_page(older).endswith(text)
    assert decode_page(f'<?xml version="1.0" encoding="{label}"?>'.encode() + data).endswith(text)
    other = b"<meta charset=windows-1253>" + data
    assert decode_page(other, html(label)).endswith(text)  # the header goes first


def test_detection_where_nothing_is_stated():
    assert decode_page((RUSSIAN * 20).encode("cp1251")) == RUSSIAN * 20
    assert decode_page((JAPANESE.rstrip("①②髙") * 20).encode("euc_jp")) == JAPANESE.rstrip("①②髙") * 20
    assert (
        decode_page(("<p>Größe, Übung, Straße und Äpfel. " * 20).encode("cp1252"))
        == "<p>Größe, Übung, Straße und Äpfel. " * 20
    )


def test_utf8_that_is_stated_and_mostly_right_is_believed():
    data = RUSSIAN.encode() + b"\xff" + RUSSIAN.encode()
    assert decode_page(data, html("utf-8")) == RUSSIAN + "\ufffd" + RUSSIAN
    assert decode_page((RUSSIAN * 20).encode("cp1251"), html("utf-8")) == RUSSIAN * 20


def test_seven_bit_sets_are_believed_where_all_is_ascii():
    assert decode_page(JAPANESE[:10].encode("iso2022_jp"), html("iso-2022-jp")) == JAPANESE[:10]
    assert decode_page("<p>wide".encode("utf-16-le"), html("utf-16le")) == "<p>wide"
    assert decode_page(b"<p>plain", html("utf-16le")) == "<p>plain"


@given(
    st.binary(max_size=200),
    st.sampled_from(["", html("utf-8"), html("shift_jis"), html("utf-16"), html("x"), html("gbk")]),
)
def test_every_page_has_a_text(data, content_type):
    for page in (data, b"<meta charset=big5>" + data, b"<meta charset=\xff>" + data):
        assert isinstance(decode_page(page, content_type), str)


@given(st.text(max_size=100))
def test_utf8_is_never_taken_for_something_else(text):
    text = text.replace("\ufeff", "")
    assert decode_page(text.encode(), html("windows-1252")) == text


def test_real_pages(shared_data):
    """Pages whose set is known: those that state UTF-8, and are, must be read as it."""
    from cc100.transforms.http_response import parse_response
    from cc100.transforms.warc import read_records

    with open(shared_data / "gold" / "pages.tsv", encoding="utf-8", newline="") as stream:
        valid = {row["record_id"] for row in csv.DictReader(stream, delimiter="\t") if row["utf8_valid"] == "1"}
    count = 0
    for path in sorted((shared_data / "warc").glob("*.warc.gz")):
        with open(path, "rb") as stream:
            for record in read_records(stream, max_record_bytes=1 << 28, on_reject=print):
                if record.record_id in valid:
                    body = bytes(parse_response(record.payload).body)
                    assert decode_page(body) == body.decode().removeprefix("\ufeff")
                    count += 1
    assert count > 400
