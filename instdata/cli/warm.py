"""Compiles every kernel, at install time: `python -m instdata.cli.warm`."""

from __future__ import annotations


def warm() -> None:
    """Compile every kernel by running each once on a few texts."""
    import numpy as np

    from instdata.corpus.interleave import chairman
    from instdata.read.json_values import split_values
    from instdata.read.language import warm as warm_language
    from instdata.steps.ability.linear import warm as warm_ability
    from instdata.steps.dedup import warm as warm_dedup
    from instdata.steps.quality.repeats import warm as warm_quality

    chairman(np.array([1, 2]))
    split_values(b"{}", True)
    warm_language()
    warm_dedup()
    warm_ability()
    warm_quality()


if __name__ == "__main__":
    warm()
