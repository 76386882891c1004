"""fastText's hierarchical softmax: the Huffman tree of the labels, and the walk to the best one.

Source: `HierarchicalSoftmaxLoss` in https://github.com/facebookresearch/fastText, src/loss.cc (0.9.2).
"""

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from numba import njit

Nodes: TypeAlias = npt.NDArray[np.int32]
Floats: TypeAlias = npt.NDArray[np.float32]
_F32, _F64 = np.float32, np.float64


def huffman_tree(counts: list[int]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Children of the inner nodes of fastText's Huffman tree (`HierarchicalSoftmaxLoss::buildTree`).

    Args:
        counts: Occurrences of the labels, in descending order.

    Returns:
        Left and right children, int32[labels - 1] each: a label, or labels + the number of an inner node.
    """
    labels = len(counts)
    weights = counts + [10**15] * (labels - 1)
    left, right = np.zeros(labels - 1, np.int32), np.zeros(labels - 1, np.int32)
    leaf, node = labels - 1, labels
    for inner in range(labels - 1):
        pair = []
        for _ in range(2):
            if leaf >= 0 and weights[leaf] < weights[node]:
                pair.append(leaf)
                leaf -= 1
            else:
                pair.append(node)
                node += 1
        left[inner], right[inner] = pair
        weights[labels + inner] = weights[pair[0]] + weights[pair[1]]
    return left, right


@njit(nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _log(probability: np.float32) -> np.float32:
    return _F32(math.log(_F64(probability) + 1e-5))


@njit(cache=True, nogil=True, error_model="numpy")
def top_labels(
    hidden: Floats,
    rows: npt.NDArray[np.int64],
    left: Nodes,
    right: Nodes,
    output: Floats,
    out_labels: Nodes,
    out_scores: Floats,
) -> None:
    """Top label and its score of every hidden vector.

    The walk is depth first, left before right; subtrees below the best label so far, and those whose probability is
    below 1e-5, are cut off; of equal labels the last one visited wins. Exponentials and logarithms are taken in float64
    and rounded to float32, so that the last bits of a machine's mathematical library do not show.

    Args:
        hidden: float32[p, dim].
        rows: int64[p], numbers of rows that make up the vectors; without any there is no label.
        left: int32[labels - 1], see `huffman_tree`.
        right: int32[labels - 1].
        output: float32[labels - 1 or more, dim], rows of the classifier, one per inner node.
        out_labels: int32[p], receives labels, -1: none.
        out_scores: float32[p], receives scores; 0 without a label, NaN if values are no numbers.
    """
    labels = len(left) + 1
    nodes, scores = np.zeros(2 * labels, np.int32), np.zeros(2 * labels, np.float32)
    lowest = _log(_F32(0))
    for page in range(len(hidden)):
        label, best = np.int64(-1), _F32(0)
        nodes[0], scores[0] = 2 * labels - 2, _F32(0)
        waiting = 1 if rows[page] > 0 else 0
        while waiting:
            waiting -= 1
            node, score = nodes[waiting], scores[waiting]
            if score < lowest or (label >= 0 and score < best):
                continue
            if node < labels:
                label, best = np.int64(node), score
                continue
            dot = _F32(0)
            for k in range(hidden.shape[1]):
                dot += output[node - labels, k] * hidden[page, k]
            share = _F32(1.0 / _F64(_F32(_F32(1) + _F32(math.exp(_F64(-dot))))))  # of the right subtree
            nodes[waiting], scores[waiting] = right[node - labels], score + _log(share)
            nodes[waiting + 1], scores[waiting + 1] = left[node - labels], score + _log(_F32(1.0 - _F64(share)))
            waiting += 2
        out_labels[page], out_scores[page] = label, _F32(math.exp(_F64(best))) if label >= 0 else _F32(0)
