"""The compiled greedy pass; see result.greedy."""

from __future__ import annotations

from instdata.util.kernels import jit


@jit
def greedy_pass(order, copy_of, at, earlier, similarity, threshold, target, value):
    for row in order:
        source = copy_of[row]
        if source != -1:
            if source < -1 or target[source] == -1:
                target[row], value[row] = source, 1.0
            else:
                target[row], value[row] = target[source], value[source]
            continue
        for i in range(at[row], at[row + 1]):
            other = earlier[i]
            if similarity[i] < threshold or (other >= 0 and target[other] != -1):
                continue
            if target[row] == -1 or similarity[i] > value[row]:
                target[row], value[row] = other, similarity[i]
