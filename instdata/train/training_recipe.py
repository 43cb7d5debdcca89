"""Training recipes, frozen by name: between two runs only the data may change (the idea of DCLM, Li et al. 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from instdata.train.learning_rate import Schedule, learning_rate, stable
from instdata.util.errors import InputError
from instdata.util.yaml import did_you_mean


class Training(BaseModel):
    """How a model is fine-tuned. One step takes about `batch` rows, packed into bins of at most `length` tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    lr: float = Field(gt=0, description="The highest learning rate.")
    final_lr: float = Field(0.0, ge=0, description="Where linear and wsd end.")
    schedule: Schedule = Field(description="wsd: warm-up, stable, decay (Hu et al. 2024): sizes share one trunk.")
    warmup: int = Field(0, ge=0, description="Steps of linear warm-up.")
    decay: float = Field(0.2, gt=0, lt=1, description="wsd: the share of the steps in which the rate falls.")
    epochs: int = Field(ge=1)
    batch: int = Field(ge=1, description="Rows a step, on average.")
    length: int = Field(ge=16, description="Tokens of a packed bin; longer rows are cut there.")
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = Field(0.0, ge=0)
    clip: float = Field(1.0, gt=0, description="The gradient's largest norm.")
    best_after: int | None = Field(
        None, description="Keep the epoch, after this one, with the lowest loss on the validation half of the holdout."
    )
    lora: int | None = Field(None, ge=1, description="Rank of LoRA adapters (peft) instead of full fine-tuning.")
    checkpointing: bool = Field(False, description="Recompute activations: less memory, about a third slower.")
    compile: bool = Field(False, description="torch.compile.")
    reasoning: Literal["learn", "mask", "drop"] = Field(
        "learn", description="Thoughts before an answer: learned, shown but not learned, or left out."
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="What matrices are multiplied in.")

    @property
    def trunk(self) -> bool:
        """Whether sizes can share one trunk: until its decay, no step may know how long the run will be."""
        return self.schedule == "wsd" and self.epochs == 1

    def rate(self, step: int, total: int) -> float:
        """The learning rate of a step (from 0) of `total`."""
        return learning_rate(self.schedule, step, total, self.lr, self.final_lr, self.warmup, self.decay)

    def stable(self, total: int) -> int:
        """wsd: how many steps precede the decay."""
        return stable(total, self.decay)


RECIPES = {
    r.name: r
    for r in (
        # BELLE's: batch 64, 2 epochs, constant 3e-6, weight decay 0.001 (Ji et al. 2023). Length and warm-up are not
        # stated there; 2,048 and none are ours.
        Training(name="belle", lr=3e-6, schedule="constant", epochs=2, batch=64, length=2048, weight_decay=0.001),
        # DoIT's: AdamW (0.9, 0.95), weight decay 0.1, 1e-5 falling to 1e-6, 15 epochs, the best after epoch 5 on
        # validation (Song et al. 2023).
        Training(
            name="doit", lr=1e-5, final_lr=1e-6, schedule="linear", epochs=15, batch=64, length=2048,
            betas=(0.9, 0.95), weight_decay=0.1, best_after=5,
        ),
        # Small models on small machines; every size is a branch of one trunk.
        Training(name="proxy", lr=5e-5, schedule="wsd", warmup=2, epochs=1, batch=8, length=1024, betas=(0.9, 0.95)),
    )
}  # fmt: skip


def training(name: str = "proxy", changes: Sequence[str] = ()) -> Training:
    """A recipe by name, with `KEY=VALUE` changes; a changed one says so in its name. Raises InputError."""
    if name not in RECIPES:
        raise InputError(f'unknown training recipe "{name}".{did_you_mean(name, RECIPES)} One of {", ".join(RECIPES)}')
    values = RECIPES[name].model_dump()
    for change in changes:
        key, equals, value = change.partition("=")
        known = [k for k in values if k != "name"]
        if key not in known:
            raise InputError(
                f'--set {change}: no setting "{key}".{did_you_mean(key, known)} There are: {", ".join(known)}'
            )
        if not equals:
            raise InputError(f"--set {change}: write {key}=VALUE")
        values[key] = None if value == "null" else value.split(",") if key == "betas" else value
    values["name"] = name + "".join(f",{c}" for c in changes)
    try:
        return Training.model_validate(values)
    except ValidationError as e:
        problem = e.errors()[0]
        raise InputError(f"--set {problem['loc'][0]}={problem['input']}: {problem['msg'].lower()}") from e
