"""Whether a row is of the ability that was asked for."""

from __future__ import annotations

from instdata.steps.generate.new_row_checks import NewRow, Novelty, judge
from instdata.steps.generate.right_ability import other_ability
from instdata.util.build_context import Context
from tests.generate.conftest import ABILITIES, rows, seeds, taxonomy

THINGS = [
    "苹果",
    "雨伞",
    "火车",
    "书包",
    "茶杯",
    "自行车",
    "台灯",
    "地图",
    "钢琴",
    "窗户",
    "手表",
    "面包",
    "椅子",
    "雪花",
]


def labelled(context: Context):
    """14 plain examples of each of two abilities."""
    sums = [
        [("user", f"{w}每个{n}元，买{n + 2}个一共多少元？"), ("assistant", f"{n}×{n + 2}={n * (n + 2)}元")]
        for n, w in enumerate(THINGS, 3)
    ]
    tales = [
        [
            ("user", f"写一个关于{w}的短篇故事，要有结局"),
            ("assistant", f"从前有一只{w}，它走了很远的路，最后回到了家。"),
        ]
        for w in THINGS
    ]
    return rows([*sums, *tales], ["math"] * 14 + ["story"] * 14, context)


def test_a_story_is_no_sum():
    other = other_ability(labelled(Context(taxonomy=taxonomy())))
    tale = ("写一个关于风筝的短篇故事，要有结局", "从前有一只风筝，它走了很远的路，最后回到了家。")
    assert other(*tale, "math")["ability"] == "story" and other(*tale, "story") is None
    assert other("风筝每个6元，买8个一共多少元？", "6×8=48元", "story")["ability"] == "math"
    assert other(*tale, "chat") is None, "nothing is known of chat"


def test_where_there_is_little_to_learn_from_nothing_is_refused():
    context = Context(taxonomy=taxonomy(), seed_sources=frozenset(["seeds"]))
    other = other_ability(seeds(context))  # three of each
    assert all(other("写一个故事", "从前有一只风筝", name) is None for name in ABILITIES)
    assert other_ability(rows([[("user", "请写诗")]], [None], context))("写诗", "好", None) is None


def test_such_a_row_is_refused_with_evidence():
    given = labelled(Context(taxonomy=taxonomy()))
    tale = ("写一个关于风筝的短篇故事，要有结局", "从前有一只风筝，它走了很远的路，最后回到了家。")
    items = [NewRow(*tale, "math", "m"), NewRow(*tale, "story", "m")]
    judge(items, Novelty([]), [], "zh", other_ability(given))
    assert [i.reason for i in items] == ["other_ability", None]
    assert items[0].evidence["ability"] == "story" and 0.6 <= items[0].evidence["confidence"] <= 1
