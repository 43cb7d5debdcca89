"""The true Jaccard similarity of two n-gram sets."""

from __future__ import annotations

import numpy as np

from instdata.util.kernels import inner


@inner
def jaccard(x, a, a_end, y, b, b_end, floor):
    """Jaccard similarity of the sorted sets x[a:a_end] and y[b:b_end]; where they hold two sides (prompt n-grams are
    even, response ones odd) the smaller of the two similarities. -1 where it is below `floor`."""
    need = floor / (1.0 + floor) * ((a_end - a) + (b_end - b)) - 1e-9
    size, odd_size, both, odd = (a_end - a) + (b_end - b), 0, 0, 0
    for i in range(a, a_end):
        odd_size += np.int64(x[i] & np.uint64(1))
    for i in range(b, b_end):
        odd_size += np.int64(y[i] & np.uint64(1))
    while a < a_end and b < b_end:
        left, right = x[a], y[b]
        if left == right:
            both += 1
            odd += np.int64(left & np.uint64(1))
        elif both + min(a_end - a, b_end - b) < need:
            return -1.0
        a += left <= right
        b += right <= left
    even_all, odd_all = (size - odd_size) - (both - odd), odd_size - odd
    similarity = 1.0
    if even_all:
        similarity = (both - odd) / even_all
    if odd_all:
        similarity = min(similarity, odd / odd_all)
    return similarity if similarity >= floor else -1.0
