"""A web page without what carries no text: the first of two kernels around an HTML parser.

Scripts, styles, comments and most attributes are more than half of a page. `strip_markup` removes them before the page
is parsed, and counts what the parser would have to build, so that a page that is a trap is refused before it costs
anything. It follows the states of the tokenizer of the HTML standard (section 13.2.5) for tags, quoted attribute
values, comments, and elements whose content is no markup.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

_LT, _GT, _SLASH, _BANG, _QUESTION, _DASH, _EQUALS = (ord(char) for char in "<>/!?-=")
_QUOTE, _APOSTROPHE, _SPACE = ord('"'), ord("'"), ord(" ")


def name_code(name: str) -> int:
    """A tag or attribute name as a number: its first eight letters in lower case, plus its length."""
    return int.from_bytes(name.encode()[:8].ljust(8, b"\0"), "little") ^ len(name) << 56


def _codes(names: str) -> NDArray[np.uint64]:
    return np.array(sorted(name_code(name) for name in names.split()), np.uint64)


DROPPED = _codes("script style iframe noembed noframes textarea xmp svg template")
"""Elements that are removed with their content, which is no markup, or no text of the page."""
_FORMATTING = _codes("b big code em font i s small strike strong tt u")
"""Elements that the parser opens again in every block until they are closed; of equal ones it remembers three."""
_UNBALANCED = _codes(
    "area base br col embed hr img input link meta param source track wbr p li dt dd td th tr tbody thead tfoot "
    "option optgroup colgroup html head body rp rt a nobr button form"
)
"""Elements without an end tag, whose end tag may be left out, or which end the one before: they say nothing about
how deep a page is nested."""
_KEPT_ATTRIBUTES = _codes("class id role hidden style itemprop href type")
_SCRIPT, _HREF, _SVG = (np.uint64(name_code(name)) for name in ("script", "href", "svg"))
_EQUAL_FORMATTING = 3
_SEEN = 1 << 12


@njit(cache=True, nogil=True)
def contains(sorted_codes: NDArray[np.uint64], code: np.uint64) -> bool:
    """Whether a sorted array holds a number."""
    at = np.searchsorted(sorted_codes, code)
    return bool(at < sorted_codes.size and sorted_codes[at] == code)


@njit(cache=True, nogil=True)
def is_space(byte: int) -> bool:
    """Whether a byte is white space in HTML."""
    return byte == 32 or (9 <= byte <= 13 and byte != 11)


@njit(cache=True, nogil=True)
def read_name(data: Bytes, at: int, is_attribute: bool) -> tuple[np.uint64, int]:
    """Code of the name at a position, as by `name_code`, and the position behind it."""
    code = np.uint64(0)
    begin = at
    while at < data.size:
        byte = data[at]
        if is_space(byte) or byte in (_GT, _SLASH) or (is_attribute and byte == _EQUALS and at > begin):
            break
        if at - begin < 8:
            lower = byte | 32 if 65 <= byte <= 90 else byte
            code |= np.uint64(lower) << np.uint64(8 * (at - begin))
        at += 1
    return code ^ np.uint64(at - begin) << np.uint64(56), at


@njit(cache=True, nogil=True)
def _find_end_tag(data: Bytes, at: int, name: np.uint64) -> int:
    """Position of the `</name` that ends an element whose content is no markup; the size of the data without one."""
    is_script = name == _SCRIPT
    is_escaped = False  # in a script, between `<!--` and `-->` ...
    is_nested = False  # ... and a `<script` there: its end tag does not end the element
    while at + 1 < data.size:
        if data[at] != _LT:
            if (
                is_escaped
                and data[at] == _DASH
                and at + 2 < data.size
                and data[at + 1] == _DASH
                and data[at + 2] == _GT
            ):
                is_escaped = is_nested = False
            at += 1
            continue
        following = data[at + 1]
        if following == _SLASH:
            found, _ = read_name(data, at + 2, False)
            if found == name:
                if not is_nested:
                    return at
                is_nested = False
        elif (
            is_script and following == _BANG and at + 3 < data.size and data[at + 2] == _DASH and data[at + 3] == _DASH
        ):
            is_escaped = True
        elif is_escaped:
            found, _ = read_name(data, at + 1, False)
            is_nested |= found == name
        at += 1
    return data.size


@njit(cache=True, nogil=True)
def _skip_declaration(data: Bytes, at: int) -> int:
    """Position behind the comment or declaration that begins with `<!` or `<?`."""
    is_comment = at + 3 < data.size and data[at + 1] == _BANG and data[at + 2] == _DASH and data[at + 3] == _DASH
    if not is_comment:
        while at < data.size and data[at] != _GT:
            at += 1
        return at + 1
    at += 4
    if at < data.size and data[at] == _GT:  # <!-->
        return at + 1
    begin = at
    while at < data.size:
        if data[at] == _GT and at - begin >= 1 and data[at - 1] == _DASH and (at - begin == 1 or data[at - 2] == _DASH):
            return at + 1
        if (
            data[at] == _GT
            and at - begin >= 3
            and data[at - 1] == _BANG
            and data[at - 2] == _DASH
            and data[at - 3] == _DASH
        ):
            return at + 1
        at += 1
    return at


@njit(cache=True, nogil=True)
def _skip_value(data: Bytes, at: int) -> int:
    """Position behind the attribute value at a position."""
    if at < data.size and (data[at] == _QUOTE or data[at] == _APOSTROPHE):
        quote = data[at]
        at += 1
        while at < data.size and data[at] != quote:
            at += 1
        return at + 1
    while at < data.size and not is_space(data[at]) and data[at] != _GT:
        at += 1
    return at


@njit(cache=True, nogil=True)
def _copy(data: Bytes, begin: int, end: int, out: Bytes, size: int) -> int:
    for at in range(begin, min(end, data.size)):
        out[size] = data[at]
        size += 1
    return size


@njit(cache=True, nogil=True)
def _copy_attributes(data: Bytes, at: int, out: Bytes, size: int, is_copied: bool) -> tuple[int, int]:
    """Position behind the `>` of a tag whose name ends at `at`, and the size after its wanted attributes."""
    while at < data.size:
        byte = data[at]
        if byte == _GT:
            return at + 1, size
        if is_space(byte) or byte == _SLASH:
            at += 1
            continue
        begin = at
        name, at = read_name(data, at, True)
        after = at
        while after < data.size and is_space(data[after]):
            after += 1
        if after < data.size and data[after] == _EQUALS:
            after += 1
            while after < data.size and is_space(data[after]):
                after += 1
            value_end = _skip_value(data, after)
        else:
            after = value_end = at
        if is_copied and value_end <= data.size and contains(_KEPT_ATTRIBUTES, name):
            out[size] = _SPACE
            size = _copy(data, begin, at if name == _HREF else value_end, out, size + 1)
        at = value_end
    return at, size


@njit(cache=True, nogil=True)
def _is_new(seen: NDArray[np.uint64], out: Bytes, begin: int, end: int) -> bool:
    """Add a tag to a table of hashes (FNV-1a, open addressing); False where it is in it."""
    value = np.uint64(0xCBF29CE484222325)
    for at in range(begin, end):
        value = (value ^ np.uint64(out[at])) * np.uint64(0x100000001B3)
    slot = np.int64(value & np.uint64(_SEEN - 1))
    while seen[slot]:
        if seen[slot] == value:
            return False
        slot = (slot + 1) & np.int64(_SEEN - 1)
    seen[slot] = value
    return True


@njit(cache=True, nogil=True)
def strip_markup(data: Bytes, max_nodes: int, max_depth: int) -> tuple[Bytes, int, int]:
    """Remove from a page what carries no text.

    Args:
        data: uint8[n], the page in UTF-8.
        max_nodes: Most nodes that a parser may have to build.
        max_depth: Deepest nesting.

    Returns:
        The stripped page, uint8[m]; an upper estimate of the nodes of its tree, and of the depth of its nesting. Above
        a limit it ends early. The estimates follow from tags alone: a formatting element that is not closed may be opened
        again in every element after it, so that their number multiplies that of the tags.
    """
    out = np.empty(data.size + data.size // 4 + 16, np.uint8)  # id=""id="" becomes id="" id="": a fifth more
    size = at = 0
    nodes = depth = deepest = unclosed = 0
    has_svg_end = True
    seen = np.zeros(_SEEN, np.uint64)  # formatting tags, by a hash
    distinct = 0
    while at < data.size:
        byte = data[at]
        if byte != _LT or at + 1 == data.size:
            if byte != 0:
                out[size] = byte
                size += 1
            at += 1
            continue
        following = data[at + 1]
        is_end = following == _SLASH
        if following in (_BANG, _QUESTION):
            end = _skip_declaration(data, at)
            if at + 9 < data.size and (data[at + 2] | 32) == 100 and (data[at + 3] | 32) == 111:  # <!doctype
                size = _copy(data, at, end, out, size)
            at = end
            continue
        letter = at + 1 + is_end
        if letter >= data.size or not 97 <= (data[letter] | 32) <= 122:
            if is_end:  # a bogus comment
                at = _skip_declaration(data, at)
                continue
            out[size] = byte
            size += 1
            at += 1
            nodes += 1
            if nodes > max_nodes:
                break
            continue
        name, name_end = read_name(data, letter, False)
        if contains(DROPPED, name):
            at, size = _copy_attributes(data, name_end, out, size, False)
            is_empty = name == _SVG and data[min(at, data.size) - 2] == _SLASH
            if not (is_end or is_empty):
                is_svg = name == _SVG
                end = _find_end_tag(data, at, name) if has_svg_end or not is_svg else data.size
                has_svg_end &= end < data.size or not is_svg
                if end < data.size or not is_svg:  # an svg without an end is a tag like others
                    at, size = _copy_attributes(data, min(end + 2, data.size), out, size, False)
                    at = min(at, data.size)
            continue
        begin = size
        size = _copy(data, at, name_end, out, size)
        at, size = _copy_attributes(data, name_end, out, size, not is_end)
        out[size] = _GT
        size += 1
        # What the parser would build.
        step = 0 if contains(_UNBALANCED, name) else (-1 if is_end else 1)
        depth = max(0, depth + step)
        is_formatting = contains(_FORMATTING, name)
        if is_formatting:
            unclosed = max(0, unclosed + step)
            if not is_end and distinct < _SEEN // 2:
                distinct += _is_new(seen, out, begin, size)
        if not is_end:
            nodes += 2 + (0 if is_formatting else min(unclosed, _EQUAL_FORMATTING * distinct))
        deepest = max(deepest, depth)
        if nodes > max_nodes or deepest > max_depth:
            break
    return out[:size], nodes, deepest
