"""Which blocks of a web page are its main content: a few rules over lengths, links, places and tags.

The rules know no language and no names of classes. Lengths are in letters (code points that are not white space); where
letters take three bytes on average, as in Chinese or Thai, each counts twice. Their numbers were chosen on pages with
known content, by cross-validation over sites (docs/html.md).

1. **Landmarks.** Text in navigation, footer, aside and form elements, or in what has such an ARIA role, is no content,
   unless the element holds half of the page's text: then its author used the wrong element.
2. **Main container.** The element whose own paragraphs (60 letters or more, few of them in links) have the most text, if that is
   two fifths of all such paragraphs.
3. **Runs.** A block is worth its letters outside links, less those inside links, less what every block costs: 10 in
   the main container, 40 elsewhere, 25 where there is no such container. The run of blocks with the largest sum is
   content (maximum subsequence segmentation: Pasternack and Roth, "Extracting article text from the web", WWW 2009),
   and so is, before and after it, the best run of at least a fifth of its sum: an article may be interrupted.
4. **Inside a run** go: blocks of which more than half is links; captions; what is shorter than 80 letters and in no
   element for text (paragraph, list item, heading, quotation, table): labels and buttons; what is shorter than 15
   letters outside the main container; and headings with less than 100 letters of content below them.
"""

import dataclasses

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
_WIDE_BYTES = 2.4  # bytes per letter, from which letters count twice
_LONG_LETTERS = 400  # a block of so many letters stays, whatever its links


@dataclasses.dataclass(frozen=True)
class Rules:
    """The numbers of the rules above; lengths in letters, shares of 1."""

    largest_landmark: float = 0.5
    paragraph_letters: float = 60
    paragraph_links: float = 0.3
    container_share: float = 0.4
    cost_inside: float = 10
    cost_outside: float = 40
    cost_without_container: float = 25
    second_run: float = 0.2
    most_links: float = 0.5
    unmarked_letters: float = 80
    stray_letters: float = 15
    section_letters: float = 100


_DEFAULT = Rules()

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def main_content(blocks: Blocks, rules: Rules = _DEFAULT) -> Bools:
    """Which of the blocks of a page are its main content, bool[n]."""
    if not len(blocks.letters):
        return np.zeros(0, np.bool_)
    bytes_per_letter = np.diff(blocks.offsets) / np.maximum(blocks.letters, 1)
    letters = blocks.letters.astype(np.float64) * np.where(bytes_per_letter > _WIDE_BYTES, 2.0, 1.0)
    links = blocks.link_letters / np.maximum(blocks.letters, 1)
    is_frame = _in_landmarks(blocks, letters, rules.largest_landmark)
    is_paragraph = ~is_frame & (letters >= rules.paragraph_letters) & (links <= rules.paragraph_links)
    text = np.where(is_paragraph, letters * (1 - links), 0.0)
    is_inside = _in_container(blocks.group, text, rules.container_share)
    elsewhere = rules.cost_outside if is_inside.any() else rules.cost_without_container
    values = letters * (1 - 2 * links) - np.where(is_inside, rules.cost_inside, elsewhere)
    is_kept = _runs(np.where(is_frame, -rules.cost_outside, values), rules.second_run)
    is_kept &= ~is_frame & ((links <= rules.most_links) | (letters >= _LONG_LETTERS))
    is_kept &= blocks.within & IN_CAPTION == 0
    is_kept &= (blocks.within & _TEXT_ELEMENTS != 0) | (letters >= rules.unmarked_letters)
    is_heading = blocks.within & IN_HEADING != 0
    is_kept &= is_heading | is_inside | (letters >= rules.stray_letters)
    return is_kept & ~_empty_headings(is_heading, is_kept, letters, rules.section_letters)


def _in_landmarks(blocks: Blocks, letters: Floats, largest: float) -> Bools:
    found = np.zeros(len(letters), np.bool_)
    for landmark in _LANDMARKS:
        is_in = blocks.within & landmark != 0
        if letters[is_in].sum() < largest * letters.sum():
            found |= is_in
    return found


def _in_container(groups: NDArray[np.int32], text: Floats, share: float) -> Bools:
    """Which blocks stand in the main container; none where no container has much of the text."""
    sums = np.bincount(groups, weights=text)
    best = int(np.argmax(sums))
    if sums[best] <= share * sums.sum():
        return np.zeros(len(groups), np.bool_)
    return groups == best


def _runs(values: Floats, second_run: float) -> Bools:
    """Blocks of the run with the largest sum, and of those before and after it that are worth it."""
    is_in = np.zeros(len(values), np.bool_)
    best, begin, end = _best_run(values)
    is_in[begin:end] = True
    for first, last in ((0, begin), (end, len(values))):
        value, start, stop = _best_run(values[first:last])
        if value > second_run * best:
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


def _empty_headings(is_heading: Bools, is_kept: Bools, letters: Floats, section_letters: float) -> Bools:
    """Headings below which, up to the next one, there is little content."""
    numbers = np.cumsum(is_heading)
    below = np.bincount(numbers, weights=np.where(is_kept & ~is_heading, letters, 0.0))
    return is_heading & (below[numbers] < section_letters)
