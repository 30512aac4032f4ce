"""Student's t and Fisher's F, of which nothing that is installed anyway has more than the normal distribution."""

from math import atan, exp, lgamma, pi, sqrt

import numpy as np

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)


def two_sided_p(t: float, freedom: float) -> float:
    """The probability of a value at least as far from 0 as `t`, with so many degrees of freedom."""
    # t = sqrt(freedom) tan(angle) makes the density a power of a cosine over a finite range
    low, high = atan(abs(t) / sqrt(freedom)), pi / 2
    # the peak near 0 is as narrow as 1 / sqrt(freedom): beyond some widths nothing is left
    high = min(high, low + 20 / sqrt(freedom))
    angles = low + (high - low) * (_NODES + 1) / 2
    scale = exp(lgamma((freedom + 1) / 2) - lgamma(freedom / 2)) / sqrt(pi)
    area = float(np.sum(_WEIGHTS * np.cos(angles) ** (freedom - 1))) * (high - low) / 2
    return min(1.0, 2 * scale * area)


def quantile(freedom: float, confidence: float = 0.95) -> float:
    """What bounds the middle `confidence` of the distribution: 1.96 with many degrees of freedom, 12.7 with one."""
    low, high = 0.0, 1e4
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if two_sided_p(middle, freedom) > 1 - confidence else (low, middle)
    return low


def f_p(f: float, numerator: float, denominator: float) -> float:
    """The probability of an F ratio at least as large, with these degrees of freedom; of 1 and n, it is t's of n."""
    # tan^2(angle) = n / (m f) makes it a beta integral over a finite range
    end = atan(sqrt(denominator / (numerator * f))) if f else pi / 2
    peak = atan(sqrt(denominator / numerator))
    low = max(0.0, min(end, peak) - 20 / sqrt(numerator + denominator))
    angles = low + (end - low) * (_NODES + 1) / 2
    heights = np.sin(angles) ** (denominator - 1) * np.cos(angles) ** (numerator - 1)
    scale = exp(lgamma((numerator + denominator) / 2) - lgamma(numerator / 2) - lgamma(denominator / 2))
    return min(1.0, scale * float(np.sum(_WEIGHTS * heights)) * (end - low))
