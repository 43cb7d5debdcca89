"""Causal language models for the harness: from a folder, a GGUF file, the registry or the Hub, to one plain shape."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from instdata.llm.hub_revisions import pinned
from instdata.util import paths as places
from instdata.util.errors import BuildError, InputError, InstdataError, MissingExtra
from instdata.util.file_digests import files_digest
from instdata.util.paths import expanded

SHAPING = (".safetensors", ".json", ".jinja", ".txt", ".model", ".tiktoken")
RUN = ("run.json", "checkpoint.safetensors", "checkpoint.best.safetensors")  # what a run adds to its folder
KEEP_BELOW = 500 << 20  # bytes of a GGUF file
AUTO = "smollm2-135m-instruct"  # what `auto` means: small enough to fine-tune on a CPU
Say = Callable[[str], None]


@dataclass(frozen=True)
class Loaded:
    """A network in float32 with its tokenizer. `name` is for people, `digest` names the weights, `context` is the
    number of tokens it can see."""

    net: Any
    tokenizer: Any
    name: str
    digest: str
    context: int


def load(spec: str = "auto", say: Say = print) -> Loaded:
    """A causal LM: `auto`, a registered name, `local:NAME`, a folder, a .gguf file, or the Hub's owner/name[@revision].

    A GGUF is dequantised and put into a plain network, so that it trains and saves like any other. Weights come from
    safetensors or GGUF, never from pickles. Raises InputError where there is no such model or it has no tokenizer."""
    # Threads that wait sleep instead of spinning: beside one other busy process on two cores seven times as fast, alone about  # noqa: E501
    # a tenth slower (docs/harness.md). Read when torch is first imported; a value that is set already stays.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as e:
        raise MissingExtra("training and scoring", "train") from e
    where, name = _find(spec, say)
    quiet()
    digest = _digest(where, name)
    try:
        if isinstance(where, Path) and where.is_file():
            where = _kept_plain(where, digest, say)
        if isinstance(where, Path) and where.is_file():
            tokenizer, net = _dequantised(where)
        else:
            at: dict[str, Any] = {"trust_remote_code": False}
            if isinstance(where, str):
                at["revision"] = digest.partition("@")[2]
            place = str(where).partition("@")[0] if isinstance(where, str) else str(where)
            tokenizer = AutoTokenizer.from_pretrained(place, **at)
            net = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32, use_safetensors=True, **at)
    except InstdataError:
        raise
    except Exception as e:  # transformers raises a dozen kinds; each means that this is no model it can load
        what = str(e).strip().splitlines()[0][:200] if str(e).strip() else type(e).__name__
        hint = "; save the tokenizer beside the weights" if "okenizer" in what else ""
        raise InputError(f"{spec}: not a causal LM that transformers can load: {what}{hint}") from e
    if tokenizer.eos_token_id is None:
        raise InputError(f"{spec}: its tokenizer has no end-of-text token (eos_token), so answers could not end")
    return Loaded(net, tokenizer, name, digest, _context(net.config))


def digest_of(spec: str, say: Say = print) -> tuple[str, str]:
    """(the name for people, what names the weights) of a model, without loading it. Raises InputError."""
    where, name = _find(spec, say)
    return name, _digest(where, name)


def quiet() -> None:
    """No advice and no bars of transformers between our own lines."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _find(spec: str, say: Say) -> tuple[Path | str, str]:
    """(the file, folder or Hub name; the name for people)."""
    from instdata.llm.local_models import MODELS, pull
    from instdata.util.yaml import did_you_mean

    wanted = (AUTO if spec == "auto" else spec).removeprefix("local:")
    if wanted in MODELS:
        return pull(wanted, say), wanted
    path = expanded(wanted)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise InputError(f"{spec}: no model there (no config.json)")
        return path, path.resolve().name
    if path.is_file():
        if path.suffix != ".gguf":
            raise InputError(f"{spec}: give a model's folder, or a .gguf file")
        return path, path.stem
    if wanted.count("/") != 1 or wanted.startswith((".", "~", "/")) or wanted.endswith(".gguf"):
        raise InputError(
            f"{spec}: no such model.{did_you_mean(wanted, MODELS)} Give a folder, a .gguf file, owner/name on the Hub, "
            f"or one of {', '.join(MODELS)}"
        )
    return wanted, wanted.partition("@")[0].rpartition("/")[2]


def _kept_plain(path: Path, digest: str, say: Say) -> Path:
    """A small GGUF's plain network, kept in a folder of its own: reading it takes a second, unpacking it several.
    Larger files are unpacked each time, to spare the disk."""
    if path.stat().st_size > KEEP_BELOW:
        return path
    folder = places.home() / "models" / "plain" / f"{path.stem}-{digest[:12]}"
    if not (folder / "config.json").is_file():
        say(f"{path.stem}: unpacking the weights, once")
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".partial-"))
        try:
            tokenizer, net = _dequantised(path)
            save(net, tokenizer, partial)
            os.replace(partial, folder)
        except OSError:
            if not (folder / "config.json").is_file():  # else another process was first
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def _dequantised(path: Path) -> tuple[Any, Any]:
    """(tokenizer, float32 network) of a GGUF file."""
    import contextlib
    import copy
    import io

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    with contextlib.redirect_stderr(io.StringIO()):  # its progress bar heeds no setting
        tokenizer = AutoTokenizer.from_pretrained(str(path.parent), gguf_file=path.name)
        packed = AutoModelForCausalLM.from_pretrained(
            str(path.parent), gguf_file=path.name, quantization_config=GgufConfig(dequantize=True), dtype=torch.float32
        )
    config = copy.deepcopy(packed.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config  # else it could not be saved
    with torch.device("meta"):
        net = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    net.load_state_dict(packed.state_dict(), assign=True)
    net.tie_weights()
    _real_buffers(net, packed)
    return tokenizer, net


def _real_buffers(net: Any, packed: Any) -> None:
    """Buffers that no state dict holds (rotary frequencies) were left without values: take the loaded network's."""
    values = dict(packed.named_buffers())
    for name, buffer in list(net.named_buffers()):
        if buffer.is_meta:
            owner, _, last = name.rpartition(".")
            setattr(net.get_submodule(owner), last, values[name])


def _digest(where: Path | str, name: str) -> str:
    """Names the model: the files that shape it, by name and content; one of the Hub by its commit."""
    if isinstance(where, str):
        return pinned(where)
    files = (
        [where] if where.is_file() else sorted(p for p in where.iterdir() if p.suffix in SHAPING and p.name not in RUN)
    )
    return files_digest(files)


def _context(config: Any) -> int:
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    return int(getattr(text, "max_position_embeddings", None) or getattr(text, "n_positions", None) or 1 << 20)


def save(net: Any, tokenizer: Any, folder: Path) -> None:
    """Write a model that `transformers` (and `load`) reads: safetensors, config, tokenizer with its chat template.

    A LoRA adapter is merged first. Raises BuildError where the disk is full."""
    if hasattr(net, "merge_and_unload"):
        net = net.merge_and_unload()
    try:
        net.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    except Exception as e:
        raise BuildError(f"{folder}: the model could not be saved ({e}); free some disk space and run again") from e


def fast_device() -> Any:
    """The device that this process trains on: a GPU (under torchrun the one of its local rank), else the CPU."""
    import torch

    if not torch.cuda.is_available():
        return torch.device("cpu")
    torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    return torch.device("cuda", torch.cuda.current_device())


def gpus() -> int:
    """How many GPUs this process sees."""
    import torch

    return torch.cuda.device_count()


def fast_dtype(device: Any) -> Any:
    """What matrices are multiplied in: bfloat16 where the hardware does (any recent GPU; CPUs with AVX512-BF16 or AMX),
    else float32. Asked of the hardware, not timed, so that the same machine always gives the same bytes."""
    import torch

    if device.type == "cuda":
        # By default torch counts cards that emulate bfloat16 (T4, V100), where it is slower than float32.
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    return torch.bfloat16 if supported() and _has_bf16_dot() else torch.float32


def dtype_of(name: str, device: Any) -> Any:
    """A recipe's dtype: `auto` is the fast one."""
    import torch

    return fast_dtype(device) if name == "auto" else getattr(torch, name)


def _has_bf16_dot() -> bool:
    """AVX512F alone emulates bfloat16, slower than float32."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def flops_per_token(net: Any, length: float) -> float:
    """Floating-point operations to train on one token: 6 per weight in a matrix product, and 12 x layers x width x
    length for causal attention's scores and values, halved (Chowdhery et al. 2022, appendix B)."""
    config = net.config.get_text_config() if hasattr(net.config, "get_text_config") else net.config
    embedding = net.get_input_embeddings().weight
    tied = net.get_output_embeddings() is not None and net.get_output_embeddings().weight is embedding
    weights = sum(p.numel() for p in net.parameters()) - (0 if tied else embedding.numel())
    layers, width = getattr(config, "num_hidden_layers", 0), getattr(config, "hidden_size", 0)
    return 6 * weights + 6 * layers * width * length


def mfu(flops: float, device: Any, dtype: Any) -> float | None:
    """What share of the card's peak so many floating-point operations a second are.

    None where no peak can be trusted: on a CPU, whose cores others use too (measured beside them, a peak was once a
    fifth of what the run then did), and where the run is faster than the peak, which was then measured so as well."""
    if device.type != "cuda":
        return None
    share = flops / matmul_peak(device, dtype)
    return round(share, 4) if share <= 1 else None


@cache
def matmul_peak(device: Any, dtype: Any) -> float:
    """Floating-point operations a second of one large matrix product on a card: what MFU is a share of. Volatile."""
    import time

    import torch

    n = 8192
    a = torch.rand(n, n, device=device, dtype=dtype)  # a GPU multiplies constants up to an eighth faster than data
    best = math.inf
    for _ in range(4):
        torch.cuda.synchronize()
        start = time.perf_counter()
        a @ a
        torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return 2 * n**3 / best
