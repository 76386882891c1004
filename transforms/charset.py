"""Which character set a web page is in, and its text.

The order, in which the first that applies decides:

1. a byte order mark (UTF-8, UTF-16);
2. bytes that are valid UTF-8 and not plain ASCII are UTF-8, whatever is stated: text in another set hardly ever is, and
   a wrong statement is common;
3. the `charset` of the HTTP header;
4. a `<meta>` or XML declaration in the first 4,096 bytes;
5. detection (uchardet, over the first and last 64 KiB);
6. Windows-1252.

Labels mean what the WHATWG Encoding Standard says (ISO-8859-1 is Windows-1252, GB2312 is GBK, and so on). A statement of
UTF-8 for bytes that mostly are not, and one of an unknown label, are passed over. Bytes that the chosen set does not
have become U+FFFD.
"""

import codecs
import re

from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([^\s\"';,>]{1,40})", re.IGNORECASE)
_META = re.compile(rb"<meta\b[^>]{0,512}?charset\s*=\s*[\"']?\s*([^\s\"'/>;]{1,40})", re.IGNORECASE)
_XML = re.compile(rb"\s*<\?xml\b[^>]{0,256}?encoding\s*=\s*[\"']([^\"'>]{1,40})", re.IGNORECASE)
_PRESCAN_BYTES = 4096
_SEVEN_BIT = ("iso2022_jp",)
_WIDE = ("utf-16-le", "utf-16-be")
_SUPERSETS = {"shift_jis": "cp932", "gbk": "gb18030", "gb2312": "gb18030", "euc_kr": "cp949", "big5": "big5hkscs"}
"""Python's codecs for what the Encoding Standard means by these names."""
_MOST_WRONG = 0.05  # share of non-ASCII sequences that may be wrong in a page that says it is UTF-8


def decode_page(data: bytes, content_type: str = "") -> str:
    """Text of a page.

    Args:
        data: Bytes of the page.
        content_type: The HTTP header of that name; empty if absent.
    """
    for mark, name in _BOMS:
        if data.startswith(mark):
            return data[len(mark) :].decode(name, "replace")
    if data.isascii():
        names = _stated(data, content_type)
        name = next((name for name in names if name in _SEVEN_BIT or (name in _WIDE and b"\0" in data[:64])), "ascii")
        return data.decode(name, "replace")
    utf8 = data.decode("utf-8", "replace")
    wrong = utf8.count("\ufffd")
    if wrong <= data.count(b"\xef\xbf\xbd") + _is_cut(data):
        return utf8
    for name in _stated(data, content_type):
        if name == "utf-8":
            if wrong <= _MOST_WRONG * _non_ascii(utf8):
                return utf8
        elif name not in _SEVEN_BIT:
            return data.decode(name, "replace")
    name = _python_name(detect_encoding(data) or "utf-8")
    if name == "utf-8" and wrong > _MOST_WRONG * _non_ascii(utf8):
        name = "cp1252"  # the detector's last resort is UTF-8
    return data.decode(name, "replace")


def _stated(data: bytes, content_type: str) -> list[str]:
    """Python's names of the sets that the HTTP header and the page state, in this order; unknown ones are left out."""
    found = _CHARSET.search(content_type)
    labels = [found[1]] if found else []
    begin = data[:_PRESCAN_BYTES]
    declared = _XML.match(begin) or _META.search(begin)
    if declared:
        label = declared[1].decode("latin-1")
        labels.append("utf-8" if label.lower().startswith("utf-16") else label)  # it would not have been readable
    names = [map_encoding_to_html5(label, fallback_utf8=False) for label in labels]
    return [_python_name(name) for name in names if name]


def _python_name(name: str) -> str:
    return _SUPERSETS.get(name, name)


def _is_cut(data: bytes) -> bool:
    """Whether the last sequence is an incomplete one: a crawler cuts at bytes, not at code points."""
    for back in range(1, min(4, len(data) + 1)):
        byte = data[-back]
        if byte >= 0xC0:
            return back < (2 if byte < 0xE0 else 3 if byte < 0xF0 else 4)
        if byte < 0x80:
            return False
    return False


def _non_ascii(text: str) -> int:
    return len(text) - len(text.encode("ascii", "ignore"))
