"""One model over several processes under torchrun: FSDP2 (torch.distributed.fsdp.fully_shard), for models that do not
fit on one GPU. Alone, every function here does nothing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, TypeVar

T = TypeVar("T")


def world() -> tuple[int, int]:
    """(this process' rank, number of processes); torchrun sets both."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def is_first() -> bool:
    """Whether this process speaks and writes for all."""
    return world()[0] == 0


def shard(net: Any, device: Any) -> Any:
    """Spread the network's parameters over the processes, layer by layer; alone, the network as it is."""
    if world()[1] == 1:
        return net
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    mesh = init_device_mesh(device.type, (world()[1],))
    names = set(getattr(net, "_no_split_modules", None) or ())
    for layer in [m for m in net.modules() if type(m).__name__ in names]:
        fully_shard(layer, mesh=mesh)
    return fully_shard(net, mesh=mesh)


def my_bins(bins: Sequence[T]) -> list[tuple[T, bool]]:
    """This process' share of a step's bins, and whether each counts. All processes make as many passes, since gradients
    are gathered together: who runs out repeats the first bin at weight 0."""
    rank, size = world()
    mine = [(b, True) for b in bins[rank::size]]
    return mine + [(bins[0], False)] * (-(-len(bins) // size) - len(mine))


def summed(value: float, device: Any) -> float:
    """The sum of a number over all processes."""
    if world()[1] == 1:
        return value
    import torch
    import torch.distributed as dist

    total = torch.tensor(value, device=device, dtype=torch.float64)
    dist.all_reduce(total)
    return total.item()


def agreed(value: int) -> bool:
    """Whether all processes have the same number: a kill may have left checkpoints of different steps."""
    size = world()[1]
    if size == 1:
        return True
    import torch.distributed as dist

    found: list[int] = [0] * size
    dist.all_gather_object(found, value)
    return len(set(found)) == 1


def local(tensor: Any) -> Any:
    """This process' part of a sharded tensor; a plain tensor as it is."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def full(tensor: Any) -> Any:
    """A sharded tensor put together; a plain tensor as it is."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def gathered(net: Any) -> Any:
    """A plain copy of a sharded network on the CPU, in the first process; the network itself where it is not
    sharded."""
    if world()[1] == 1:
        return net
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
    from transformers import AutoModelForCausalLM

    state = get_model_state_dict(net, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    if not is_first():
        return None
    plain = AutoModelForCausalLM.from_config(net.config)
    plain.load_state_dict(state)
    return plain
