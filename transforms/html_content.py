"""Which blocks of a web page are its main content: a few rules over lengths, links, places and tags.

The rules know no language and no names of classes. Lengths are in letters (code points that are not white space); where
letters take three bytes on average, as in Chinese or Thai, each counts twice. Their numbers were chosen on pages with
known content, by cross-validation over sites (docs/html.md).

1. **Landmarks.** Text in navigation, footer, aside and form elements, or in what has such an ARIA role, is no content,
   unless the element holds half of the page's text: then its author used the wrong element.
2. **Main container.** The element whose own paragraphs (60 letters or more, few of them in links) have the most text.
3. **Runs.** A block is worth its letters outside links, less those inside links, less what every block costs: 10 in
   the main container, 40 elsewhere. The run of blocks with the largest sum is content (maximum subsequence
   segmentation: Pasternack and Roth, "Extracting article text from the web", WWW 2009), and so is, before and after it,
   the best run of at least a fifth of its sum: an article may be interrupted.
4. **Inside a run** go: blocks of which more than half is links; captions; what is shorter than 80 letters and in no
   element for text (paragraph, list item, heading, quotation, table): labels and buttons; what is shorter than 15
   letters outside the main container; and headings with less than 100 letters of content below them.
"""

import numpy as np
from numpy.typing import NDArray

from cc100.transforms.html_blocks import (
    IN_ASIDE,
    IN_CAPTION,
    IN_FOOTER,
    IN_FORM,
    IN_HEADING,
    IN_ITEM,
    IN_NAVIGATION,
    IN_PARAGRAPH,
    IN_PRE,
    IN_QUOTE,
    IN_TABLE,
    Blocks,
)

_LANDMARKS = (IN_NAVIGATION, IN_FOOTER, IN_ASIDE, IN_FORM)
_TEXT_ELEMENTS = IN_PARAGRAPH | IN_ITEM | IN_HEADING | IN_QUOTE | IN_PRE | IN_TABLE
_LARGEST_LANDMARK = 0.5
_WIDE_BYTES = 2.4
_PARAGRAPH_LETTERS, _PARAGRAPH_LINKS = 60, 0.3
_COST_INSIDE, _COST, _COST_OUTSIDE = 10.0, 25.0, 40.0
_CONTAINER_SHARE = 0.4
_SECOND_RUN = 0.2
_MOST_LINKS, _LONG_LETTERS = 0.5, 400
_UNMARKED_LETTERS, _STRAY_LETTERS, _SECTION_LETTERS = 80, 15, 100

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def main_content(blocks: Blocks) -> Bools:
    """Which of the blocks of a page are its main content, bool[n]."""
    if not len(blocks.letters):
        return np.zeros(0, np.bool_)
    bytes_per_letter = np.diff(blocks.offsets) / np.maximum(blocks.letters, 1)
    letters = blocks.letters * np.where(bytes_per_letter > _WIDE_BYTES, 2.0, 1.0)
    links = blocks.link_letters / np.maximum(blocks.letters, 1)
    is_frame = _in_landmarks(blocks, letters)
    is_paragraph = ~is_frame & (letters >= _PARAGRAPH_LETTERS) & (links <= _PARAGRAPH_LINKS)
    is_inside = _in_container(blocks.group, np.where(is_paragraph, letters * (1 - links), 0.0))
    cost = np.where(is_inside, _COST_INSIDE, _COST_OUTSIDE if is_inside.any() else _COST)
    is_kept = _runs(np.where(is_frame, -_COST_OUTSIDE, letters * (1 - 2 * links) - cost))
    is_kept &= ~is_frame & ((links <= _MOST_LINKS) | (letters >= _LONG_LETTERS))
    is_kept &= blocks.within & IN_CAPTION == 0
    is_heading = blocks.within & IN_HEADING != 0
    is_kept &= (blocks.within & _TEXT_ELEMENTS != 0) | (letters >= _UNMARKED_LETTERS)
    is_kept &= is_heading | is_inside | (letters >= _STRAY_LETTERS)
    return is_kept & ~_empty_headings(is_heading, is_kept, letters)


def _in_landmarks(blocks: Blocks, letters: Floats) -> Bools:
    found = np.zeros(len(letters), np.bool_)
    for landmark in _LANDMARKS:
        is_in = blocks.within & landmark != 0
        if letters[is_in].sum() < _LARGEST_LANDMARK * letters.sum():
            found |= is_in
    return found


def _in_container(groups: NDArray[np.int32], text: Floats) -> Bools:
    """Which blocks stand in the main container; none where no container has much of the text."""
    sums = np.bincount(groups, weights=text)
    best = int(np.argmax(sums))
    if sums[best] <= _CONTAINER_SHARE * sums.sum():
        return np.zeros(len(groups), np.bool_)
    return groups == best


def _runs(values: Floats) -> Bools:
    """Blocks of the run with the largest sum, and of those before and after it that are worth it."""
    is_in = np.zeros(len(values), np.bool_)
    best, begin, end = _best_run(values)
    is_in[begin:end] = True
    for first, last in ((0, begin), (end, len(values))):
        value, start, stop = _best_run(values[first:last])
        if value > _SECOND_RUN * best:
            is_in[first + start : first + stop] = True
    return is_in


def _best_run(values: Floats) -> tuple[float, int, int]:
    """The largest sum of a contiguous run above 0, its begin and end; the first of equal ones (Kadane)."""
    best = (0.0, 0, 0)
    value, start = 0.0, 0
    for at, step in enumerate(values.tolist()):
        value += step
        if value <= 0:
            value, start = 0.0, at + 1
        elif value > best[0]:
            best = (value, start, at + 1)
    return best


def _empty_headings(is_heading: Bools, is_kept: Bools, letters: Floats) -> Bools:
    """Headings below which, up to the next one, there is little content."""
    numbers = np.cumsum(is_heading)
    below = np.bincount(numbers, weights=np.where(is_kept & ~is_heading, letters, 0.0))
    return is_heading & (below[numbers] < _SECTION_LETTERS)
