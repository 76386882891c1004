"""Blocks of text of a parsed web page: the second of two kernels around an HTML parser.

The parser gives its tree back as well-formed HTML: every element has its end tag, attribute values are quoted, `<` and
`&` in text are escaped. One pass over these bytes cuts the text into blocks, at the tags that begin or end a line in a
browser, and notes of each block what scoring needs.
"""

import dataclasses

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cc100.transforms.html_tokens import Bytes, contains, is_space, name_code, read_name

IN_NAVIGATION, IN_HEADER, IN_FOOTER, IN_ASIDE, IN_FORM, IN_MAIN, IN_ARTICLE, IN_FIGURE, IN_TABLE, IN_LIST = (
    1 << bit for bit in range(10)
)
IN_BODY_PROPERTY, IN_QUOTE, IN_PRE, IN_HEADING, IN_PARAGRAPH, IN_ITEM, IN_HIDDEN, IN_CAPTION = (
    1 << bit for bit in range(10, 18)
)
"""What a block stands in, as bits of `Blocks.within`."""

_FLAGS = {
    "nav": IN_NAVIGATION, "menu": IN_NAVIGATION, "header": IN_HEADER, "footer": IN_FOOTER, "aside": IN_ASIDE, "form": IN_FORM,
    "fieldset": IN_FORM, "label": IN_FORM, "dialog": IN_ASIDE, "main": IN_MAIN, "article": IN_ARTICLE,
    "figure": IN_FIGURE, "figcaption": IN_FIGURE | IN_CAPTION, "caption": IN_CAPTION, "table": IN_TABLE, "ul": IN_LIST, "ol": IN_LIST,
    "dl": IN_LIST, "blockquote": IN_QUOTE, "pre": IN_PRE, "p": IN_PARAGRAPH, "li": IN_ITEM, "dd": IN_ITEM,
    **{f"h{level}": IN_HEADING for level in range(1, 7)},
}  # fmt: skip
_ROLES = {
    "navigation": IN_NAVIGATION, "menu": IN_NAVIGATION, "menubar": IN_NAVIGATION, "banner": IN_HEADER, "contentinfo": IN_FOOTER,
    "complementary": IN_ASIDE, "dialog": IN_ASIDE, "alert": IN_ASIDE, "alertdialog": IN_ASIDE, "search": IN_FORM, "form": IN_FORM,
    "main": IN_MAIN, "article": IN_ARTICLE, "heading": IN_HEADING, "toolbar": IN_NAVIGATION, "tablist": IN_NAVIGATION,
}  # fmt: skip
"""The landmarks of WAI-ARIA 1.2, and other roles that say what HTML's elements say."""


def _table(flags: dict[str, int]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    rows = sorted((name_code(name), value) for name, value in flags.items())
    return np.array([code for code, _ in rows], np.uint64), np.array([value for _, value in rows], np.int64)


def _codes(names: str) -> NDArray[np.uint64]:
    return np.array(sorted(name_code(name) for name in names.split()), np.uint64)


_FLAG_CODES, _FLAG_VALUES = _table(_FLAGS)
_ROLE_CODES, _ROLE_VALUES = _table(_ROLES)
_BLOCKS = _codes(
    "address article aside blockquote body center dd details dialog dir div dl dt fieldset figcaption figure footer form "
    "h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main menu nav ol p pre search section summary table tbody td tfoot "
    "th thead tr ul caption frameset optgroup option"
)
"""Elements that begin and end a line."""
_SILENT = _codes(
    "head title select option button datalist noscript audio video canvas object map meter progress math rp rt script style"
)
"""Elements whose text is not part of what a page says: controls, alternatives for what is shown otherwise, ruby."""
_VOID = _codes("area base br col embed hr img input link meta param source track wbr")
_A, _BR, _HEAD, _PRE, _P = (np.uint64(name_code(name)) for name in ("a", "br", "head", "pre", "p"))
_ROLE, _STYLE, _HIDDEN, _ITEMPROP, _HREF = (
    np.uint64(name_code(name)) for name in ("role", "style", "hidden", "itemprop", "href")
)
_ARTICLE_BODY, _DISPLAY, _VISIBILITY, _NONE = (
    np.uint64(name_code(name)) for name in ("articlebody", "display", "visibility", "none")
)
_LT, _GT, _SLASH, _AMP, _QUOTE, _SEMICOLON, _EQUALS, _COLON = (ord(char) for char in '<>/&";=:')
_LF, _SPACE = 10, 32


@dataclasses.dataclass(frozen=True)
class Blocks:
    """Blocks of text of a page, in order; n blocks.

    Attributes:
        text: uint8[t], UTF-8 of all blocks, white space collapsed.
        offsets: int64[n + 1], block i is `text[offsets[i]:offsets[i + 1]]`.
        letters: int32[n], code points that are not white space.
        link_letters: int32[n], those of them inside links.
        links: int32[n], links that begin in the block.
        within: int32[n], bits `IN_...`.
        heading: int8[n], level of the heading that the block is, or 0.
        depth: int32[n], elements around the block.
        parent: int32[n], number of the innermost block element around it, by order of begin.
        group: int32[n], number of the element around that one.
        nodes: elements of the tree.
        deepest: most elements inside each other.
    """

    text: Bytes
    offsets: NDArray[np.int64]
    letters: NDArray[np.int32]
    link_letters: NDArray[np.int32]
    links: NDArray[np.int32]
    within: NDArray[np.int32]
    heading: NDArray[np.int8]
    depth: NDArray[np.int32]
    parent: NDArray[np.int32]
    group: NDArray[np.int32]
    nodes: int
    deepest: int


@njit(cache=True, nogil=True)
def _lookup(codes: NDArray[np.uint64], values: NDArray[np.int64], code: np.uint64) -> int:
    at = np.searchsorted(codes, code)
    return values[at] if at < codes.size and codes[at] == code else 0


@njit(cache=True, nogil=True)
def _word(data: Bytes, at: int, end: int) -> tuple[np.uint64, int]:
    """Code of the word at a position of an attribute value, as by `name_code`, and where it ends."""
    code = np.uint64(0)
    begin = at
    while at < end and not is_space(data[at]) and data[at] != _COLON and data[at] != _SEMICOLON and data[at] != 33:
        if at - begin < 8:
            byte = data[at]
            lower = byte | 32 if 65 <= byte <= 90 else byte
            code |= np.uint64(lower) << np.uint64(8 * (at - begin))
        at += 1
    return code ^ np.uint64(at - begin) << np.uint64(56), at


@njit(cache=True, nogil=True)
def _hides(data: Bytes, at: int, end: int) -> bool:
    """Whether a style attribute says `display: none` or `visibility: hidden`."""
    before = np.uint64(0)
    while at < end:
        if is_space(data[at]) or data[at] == _COLON or data[at] == _SEMICOLON or data[at] == 33:
            if data[at] == _SEMICOLON:
                before = np.uint64(0)
            at += 1
            continue
        word, at = _word(data, at, end)
        if (before == _DISPLAY and word == _NONE) or (before == _VISIBILITY and word == _HIDDEN):
            return True
        before = word
    return False


@njit(cache=True, nogil=True)
def _read_tag(data: Bytes, at: int) -> tuple[int, int, bool]:
    """Position behind the `>` of a start tag whose name ends at `at`; its flags; whether it is a link's."""
    flags = 0
    is_link = False
    while at < data.size and data[at] != _GT:
        if is_space(data[at]) or data[at] == _SLASH:
            at += 1
            continue
        name, at = read_name(data, at, True)
        begin = end = at
        if at + 1 < data.size and data[at] == _EQUALS and data[at + 1] == _QUOTE:
            begin = end = at + 2
            while end < data.size and data[end] != _QUOTE:
                end += 1
            at = end + 1
        elif at < data.size and data[at] == _EQUALS:
            at += 1
        if name == _HREF:
            is_link = True
        elif name == _HIDDEN or (name == _STYLE and _hides(data, begin, end)):
            flags |= IN_HIDDEN
        elif name in (_ROLE, _ITEMPROP):
            while begin < end:
                word, word_end = _word(data, begin, end)
                begin = word_end + 1
                if name == _ROLE:
                    flags |= _lookup(_ROLE_CODES, _ROLE_VALUES, word)
                elif name == _ITEMPROP and word == _ARTICLE_BODY:
                    flags |= IN_BODY_PROPERTY
    return at + 1, flags, is_link


@njit(cache=True, nogil=True)
def _unescape(data: Bytes, at: int) -> tuple[int, int]:
    """Code point of the escape at a position and its length; the serialiser makes four kinds."""
    if at + 3 < data.size and data[at + 3] == _SEMICOLON and data[at + 2] == 116:  # &lt; &gt;
        if data[at + 1] == 108:
            return _LT, 4
        if data[at + 1] == 103:
            return _GT, 4
    if at + 4 < data.size and data[at + 4] == _SEMICOLON and data[at + 1] == 97:  # &amp;
        return _AMP, 5
    if at + 5 < data.size and data[at + 5] == _SEMICOLON and data[at + 1] == 110 and data[at + 2] == 98:  # &nbsp;
        return _SPACE, 6
    return _AMP, 1


@njit(cache=True, nogil=True)
def _cut(data: Bytes, max_depth: int) -> tuple[Bytes, NDArray[np.int64], NDArray[np.int32], int, int]:
    """Text, offsets, the numbers of each block (int32[n, 8]), how many blocks, nodes, the deepest nesting."""
    text = np.empty(data.size + 1, np.uint8)
    most = 16
    for at in range(data.size):
        most += data[at] == _LT or data[at] == _LF
    offsets = np.zeros(most + 1, np.int64)
    rows = np.zeros((most, 8), np.int32)
    names = np.zeros(max_depth + 2, np.uint64)
    flags = np.zeros(max_depth + 2, np.int64)
    numbers = np.zeros(max_depth + 2, np.int32)  # of block elements
    is_silent = np.zeros(max_depth + 2, np.bool_)
    is_link = np.zeros(max_depth + 2, np.bool_)
    is_block = np.zeros(max_depth + 2, np.bool_)
    size = block = depth = deepest = nodes = at = breaks = 0
    letters = link_letters = links = heading = 0
    begin = 0
    gap = False  # white space is due before the next letter
    while at <= data.size:
        ends = at == data.size
        byte = _LT if ends else data[at]
        if byte == _LT and (
            ends
            or (
                at + 1 < data.size
                and (97 <= (data[at + 1] | 32) <= 122 or data[at + 1] == _SLASH or data[at + 1] == 33)
            )
        ):
            name = np.uint64(0)
            is_end = False
            after = at + 1
            tag_flags = 0
            has_href = False
            if not ends:
                if data[at + 1] == 33:  # the doctype
                    while at < data.size and data[at] != _GT:
                        at += 1
                    at += 1
                    continue
                is_end = data[at + 1] == _SLASH
                name, after = read_name(data, at + 1 + is_end, False)
                after, tag_flags, has_href = _read_tag(data, after)
            breaks = breaks + 1 if name == _BR and not is_end else (0 if not ends and name != _BR else breaks)
            cuts = ends or contains(_BLOCKS, name) or breaks >= 2
            if cuts and size > begin:
                offsets[block + 1] = size
                rows[block, 0], rows[block, 1], rows[block, 2] = letters, link_letters, links
                rows[block, 3] = flags[depth]
                rows[block, 4] = heading
                rows[block, 5] = depth
                rows[block, 6] = numbers[depth]
                up = depth
                while up > 0 and numbers[up] == numbers[depth]:
                    up -= 1
                rows[block, 7] = numbers[up]
                block += 1
                begin = size
                letters = link_letters = links = heading = 0
            if cuts:
                gap = False
            if ends:
                break
            if name == _BR and size > begin:
                gap = True
            if is_end:
                up = depth
                while up > 0 and names[up] != name:
                    up -= 1
                if up > 0:
                    depth = up - 1
            elif not contains(_VOID, name):
                nodes += 1
                if depth < max_depth:
                    depth += 1
                    names[depth] = name
                    is_block[depth] = contains(_BLOCKS, name)
                    flags[depth] = flags[depth - 1] | tag_flags | _lookup(_FLAG_CODES, _FLAG_VALUES, name)
                    numbers[depth] = nodes if is_block[depth] else numbers[depth - 1]
                    is_silent[depth] = is_silent[depth - 1] or contains(_SILENT, name)
                    is_link[depth] = is_link[depth - 1] or (name == _A and has_href)
                    if name == _A and has_href and not is_silent[depth]:
                        links += 1
                    deepest = max(deepest, depth)
                else:
                    deepest = max_depth + 1
                    break
            at = after
            continue
        if is_silent[depth] or (flags[depth] & IN_HIDDEN):
            at += 1
            continue
        length = 1
        code = int(byte)
        if byte == _AMP:
            code, length = _unescape(data, at)
        elif byte == 0xC2 and at + 1 < data.size and data[at + 1] == 0xA0:
            code, length = _SPACE, 2
        if code == _LF and flags[depth] & IN_PRE:
            if size > begin:  # a line of preformatted text is a block
                offsets[block + 1] = size
                rows[block, 0], rows[block, 1], rows[block, 2] = letters, link_letters, links
                rows[block, 3] = flags[depth]
                rows[block, 4] = heading
                rows[block, 5] = depth
                rows[block, 6] = rows[block, 7] = numbers[depth]
                block += 1
                begin = size
                letters = link_letters = links = heading = 0
            gap = False
        elif is_space(code) or code == 11:
            gap = True
        else:
            if gap and size > begin:
                text[size] = _SPACE
                size += 1
            gap = False
            breaks = 0
            if code < 0x80 or code >= 0xC0:
                letters += 1
                link_letters += is_link[depth]
            if size == begin and flags[depth] & IN_HEADING:
                for up in range(depth, 0, -1):
                    digit = int(names[up] >> np.uint64(8)) & 0xFF
                    if (names[up] & np.uint64(0xFF)) == 104 and 49 <= digit <= 54 and names[up] >> np.uint64(56) == 2:
                        heading = digit - 48
                        break
            text[size] = code
            size += 1
        at += length
    return text[:size], offsets[: block + 1], rows[:block], nodes, deepest


def cut_blocks(html: bytes, max_depth: int) -> Blocks:
    """Blocks of the serialised tree of a page; reading ends where it is nested deeper than `max_depth`."""
    text, offsets, rows, nodes, deepest = _cut(np.frombuffer(html, np.uint8), max_depth)
    letters, link_letters, links, within, heading, depth, parent, group = (
        np.ascontiguousarray(rows[:, column]) for column in range(8)
    )
    return Blocks(
        text=text,
        offsets=offsets,
        letters=letters,
        link_letters=link_letters,
        links=links,
        within=within,
        heading=heading.astype(np.int8),
        depth=depth,
        parent=parent,
        group=group,
        nodes=nodes,
        deepest=deepest,
    )
