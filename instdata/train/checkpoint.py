"""A run set aside, in memory or in a file, and taken up again: bitwise the same on a CPU."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instdata.train.fsdp import agreed, local
from instdata.util.atomic import whole
from instdata.util.errors import BuildError

if TYPE_CHECKING:
    from instdata.train.state import Run

MOMENTS = ("exp_avg", "exp_avg_sq", "step")  # what AdamW keeps for each parameter


def snapshot(run: Run) -> tuple[int, dict[str, Any]]:
    """(step, tensors): a copy of the trained parameters and the optimiser's state."""
    return run.step, {k: v.detach().clone() for k, v in _tensors(run).items()}


def restore(run: Run, taken: tuple[int, dict[str, Any]]) -> None:
    """Put the run back to where a snapshot or checkpoint was taken."""
    import torch

    run.step, tensors = taken
    run.optimizer.state.clear()
    with torch.no_grad():
        for name, parameter in zip(run.names, run.parameters()):
            local(parameter).copy_(tensors[name])
            state = {}
            for moment in (m for m in MOMENTS if f"{m}:{name}" in tensors):
                value = tensors[f"{moment}:{name}"]
                state[moment] = (
                    torch.zeros_like(parameter) if moment != "step" else value.to(parameter.device, copy=True)
                )
                local(state[moment]).copy_(value)
            if state:
                run.optimizer.state[parameter] = state
    run.optimizer.zero_grad(set_to_none=True)


def _tensors(run: Run) -> dict[str, Any]:
    """By name; of a sharded run this process' part."""
    found = {}
    for name, parameter in zip(run.names, run.parameters()):
        found[name] = local(parameter)
        found |= {f"{m}:{name}": local(v) for m, v in run.optimizer.state.get(parameter, {}).items() if m in MOMENTS}
    return found


def write_checkpoint(run: Run, path: Path, of: str, loss: float | None = None) -> None:
    """Save the run. `of` says what it is a run of: a checkpoint of something else is not taken up. `loss`: on
    validation.

    Raises BuildError where it cannot be written; the one before it stays."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    tensors = {k: v.detach().contiguous().cpu() for k, v in _tensors(run).items()}
    try:
        save_file(tensors, partial, metadata={"step": str(run.step), "of": of, "loss": repr(loss)})
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except Exception as e:
        partial.unlink(missing_ok=True)
        raise BuildError(
            f"{path}: the checkpoint could not be written ({e}); free some disk space and run again"
        ) from e


def read_checkpoint(run: Run, path: Path, of: str, most: int) -> bool:
    """Take up the run where the checkpoint left it, if it is one of this run and of at most `most` steps."""
    from safetensors.torch import load_file

    said = _said(path)
    step = int(said["step"]) if said.get("of") == of else -1
    if not agreed(step) or not run.step < step <= most:
        return False
    restore(run, (step, load_file(path)))
    return True


def best_loss(path: Path, of: str) -> float:
    """The validation loss of a checkpoint of this run; infinite where there is none."""
    said = _said(path)
    return float(said["loss"]) if said.get("of") == of and said["loss"] != "None" else float("inf")


def _said(path: Path) -> dict[str, str]:
    """A checkpoint's own words; none where it is not there or broken: the run then starts anew."""
    from safetensors import safe_open

    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except Exception:
        return {}


def weights(run: Run) -> dict[str, Any]:
    """A copy of the trained parameters in ordinary memory."""
    return {n: p.detach().to("cpu", copy=True) for n, p in zip(run.names, run.parameters())}


def set_weights(run: Run, tensors: dict[str, Any]) -> None:
    """Put these values into the trained parameters."""
    import torch

    with torch.no_grad():
        for name, parameter in zip(run.names, run.parameters()):
            parameter.copy_(tensors[name])


def write_delta(run: Run, start: dict[str, Any], path: Path) -> None:
    """Keep what training made of the parameters `start`, to the bit: the bits that changed, byte plane by byte plane,
    compressed (fine-tuning leaves sign and exponent mostly alone). Raises OSError where there is no room."""
    import numpy as np
    import pyarrow as pa
    from safetensors.numpy import save

    found = {}
    for name, now in weights(run).items():
        changed = _bytes(now) ^ _bytes(start[name])
        planes = np.ascontiguousarray(changed.T)
        found[name] = np.frombuffer(pa.compress(planes.tobytes(), codec="zstd", asbytes=True), np.uint8)
    with whole(path) as file:
        file.write(save(found, metadata={"sum": _sum(found)}))


def read_delta(run: Run, start: dict[str, Any], path: Path) -> bool:
    """Make the run's parameters those that were kept; False where they are not there, damaged, or of another
    network."""
    import numpy as np
    import pyarrow as pa
    import torch
    from safetensors.numpy import load_file

    try:
        found = load_file(path)
        if _said(path).get("sum") != _sum(found) or set(found) != set(start):
            return False
        tensors = {}
        for name, packed in found.items():
            before = _bytes(start[name])
            planes = pa.decompress(packed.tobytes(), decompressed_size=before.size, codec="zstd", asbytes=True)
            now = np.frombuffer(planes, np.uint8).reshape(before.shape[::-1]).T ^ before
            flat = torch.from_numpy(np.ascontiguousarray(now)).view(start[name].dtype)
            tensors[name] = flat.reshape(start[name].shape)
    except Exception:  # a damaged file has a dozen ways to fail; each means that the cell is trained again
        return False
    set_weights(run, tensors)
    return True


def _bytes(tensor: Any) -> Any:
    """[elements, bytes of each]"""
    import torch

    return tensor.contiguous().reshape(-1, 1).view(torch.uint8).numpy()


def _sum(tensors: dict[str, Any]) -> str:
    found = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        found.update(name.encode())
        found.update(tensors[name].tobytes())
    return found.hexdigest()
