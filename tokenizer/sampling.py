"""Which paragraphs the tokenizer is trained on: smoothed shares of the languages, and a draw keyed by paragraph id.

    p_l = n_l / sum n        q_l = p_l^alpha / sum p^alpha

as in XLM-R (Conneau et al. 2020, 3.1), with n = paragraphs. The draw depends on nothing but ids and seed: not on the order of the
input, the number of workers, or on which other paragraphs there are.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from cc100.shards.records import UInt64s

SHARE_DIGITS = 12
_GOLDEN = 0x9E3779B97F4A7C15


def shares(counts: Mapping[str, int], alpha: float) -> dict[str, float]:
    """Smoothed share q of every language.

    Rounded to 12 significant digits: the last bits of `pow` differ between processors. A language without text gets 0.

    Args:
        counts: size of each language, in any unit.
        alpha: exponent; 1 leaves the shares as they are, 0 makes them equal.
    """
    total = sum(counts.values())
    powers = {code: (counts[code] / total) ** alpha if counts[code] else 0.0 for code in sorted(counts)}
    norm = sum(powers.values())
    return {code: float(f"{power / norm:.{SHARE_DIGITS}g}") if power else 0.0 for code, power in powers.items()}


def sampling_rates(
    counts: Mapping[str, int], share: Mapping[str, float], target: int, max_repeats: int
) -> dict[str, float]:
    """Copies of each paragraph of a language that are taken on average.

    Args:
        counts: paragraphs of each language, none 0.
        share: share q of each language.
        target: paragraphs of the whole sample.
        max_repeats: most copies of a paragraph; a language that would need more stays below its share.
    """
    return {code: min(float(max_repeats), target * share[code] / counts[code]) for code in sorted(counts)}


def uniform(ids: UInt64s, seed: int) -> npt.NDArray[np.float64]:
    """A number in [0, 1) for every paragraph id, float64[n].

    The 53 high bits of splitmix64's finaliser (Steele et al. 2014) of id + (seed + 1) * 0x9E3779B97F4A7C15 modulo 2^64.
    """
    x = ids + np.uint64((seed + 1) * _GOLDEN % 2**64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((x ^ (x >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def copies(ids: UInt64s, rate: float, seed: int) -> npt.NDArray[np.int32]:
    """How often each paragraph is taken: floor(rate) times, and once more where uniform(id) < rate - floor(rate); int32[n]."""
    whole = int(rate)
    return (whole + (uniform(ids, seed) < rate - whole)).astype(np.int32)
