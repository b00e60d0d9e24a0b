"""Train a causal language model on a corpus folder, from a base or from scratch, resumable to the bit.

transformers' Trainer does the work; ours are the order of the data (`blocks`), the checkpoints (`checkpoints`) and
the measuring (`validate`). `kill -9` at any moment and the same command again give the weights of an
uninterrupted run (on a CPU; on a GPU as far as its kernels are deterministic).
"""

from __future__ import annotations

import json
import logging
import platform
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from safetensors.torch import load_file

from biasaudit import __version__, identity
from biasaudit.errors import BiasAuditError, ResourceError, StoreError, UsageError
from biasaudit.lm import checkpoints
from biasaudit.lm import device as devices
from biasaudit.lm.blocks import collate
from biasaudit.lm.load import describe
from biasaudit.lm.recipe import SCRATCH, FinetuneConfig, Training, build, plan
from biasaudit.lm.validate import AFTER, BEFORE, DURING, VALIDATION_TOKENS, HeldOut, Stages, Validation

__all__ = ["FinetuneConfig", "FinetuneProgress", "finetune", "plan"]

LOG = logging.getLogger(__name__)
LOG_STEPS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneProgress:
    """Where a training run stands."""

    step: int
    steps: int
    tokens_per_second: float
    loss: float | None
    """Mean training loss since the last report, nats per token."""
    eta_seconds: float
    validation: Validation | None = None


Report = Callable[[FinetuneProgress], None]


class _Trainer(transformers.Trainer):  # type: ignore[misc]
    """transformers' Trainer with checkpoints that are whole or absent."""

    biasaudit_folder: Path
    biasaudit_request: str
    biasaudit_autocast: torch.dtype | None = None

    def autocast_smart_context_manager(self, cache_enabled: bool | None = True) -> Any:
        # accelerate's own bf16 wrapper copies the logits to fp32 after the loss is known: 5 % of a small model's step.
        if self.biasaudit_autocast is None:
            return super().autocast_smart_context_manager(cache_enabled)
        return torch.autocast(self.args.device.type, dtype=self.biasaudit_autocast, cache_enabled=cache_enabled)

    def _get_output_dir(self, trial: Any = None) -> str:  # noqa: ARG002 (the Trainer passes it by name)
        return str(self.biasaudit_folder / ".staged")

    def _save_checkpoint(self, model: Any, trial: Any = None) -> None:
        staged = Path(self._get_output_dir())
        if self.is_world_process_zero() and staged.exists():
            shutil.rmtree(staged)
        self.accelerator.wait_for_everyone()
        try:
            super()._save_checkpoint(model, trial)
        except (OSError, RuntimeError, SafetensorError) as error:
            raise StoreError(
                f"{self.biasaudit_folder}: the checkpoint of step {self.state.global_step} could not be written "
                f"({str(error).splitlines()[0]}). Earlier checkpoints are kept: make room and repeat the command."
            ) from error
        self.accelerator.wait_for_everyone()
        if self.is_world_process_zero():
            step = self.state.global_step
            (staged / f"checkpoint-{step}" / "training_args.bin").unlink(missing_ok=True)  # a pickle nobody reads
            checkpoints.commit(
                staged / f"checkpoint-{step}", self.biasaudit_folder, step=step, request=self.biasaudit_request
            )
        self.accelerator.wait_for_everyone()


class _Watch(transformers.TrainerCallback):  # type: ignore[misc]
    """Measures, writes `metrics.jsonl` and reports; changes nothing of the training."""

    def __init__(self, training: Training, held_out: HeldOut, folder: Path, report: Report | None) -> None:
        self.training, self.held_out, self.report = training, held_out, report
        self.metrics, self.clock = folder / "metrics.jsonl", folder / "seconds.json"
        self.earlier = _seconds(self.clock)
        self.started, self.first, self.aside = time.monotonic(), 0, 0.0

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_kwargs: Any) -> None:
        self.started, self.first, self.aside = time.monotonic(), state.global_step, 0.0

    def on_save(self, _args: Any, _state: Any, _control: Any, **_kwargs: Any) -> None:
        checkpoints.write_json(self.clock, {"seconds": self.earlier + time.monotonic() - self.started})

    def on_log(self, _args: Any, state: Any, _control: Any, logs: Any = None, **_kwargs: Any) -> None:
        if logs and "loss" in logs:
            loss = float(logs["loss"])
            self._say(state.global_step, loss, None)
            self._write({"kind": "train", "step": state.global_step, "loss": loss, "lr": logs.get("learning_rate")})

    def on_step_end(self, _args: Any, state: Any, _control: Any, model: Any = None, **_kwargs: Any) -> None:
        if not state.is_world_process_zero:
            return
        self._say(state.global_step, None, None)
        every = self.training.config.eval_steps or 0
        if every and state.global_step % every == 0 < self.training.steps - state.global_step:
            began = time.monotonic()
            found = self.held_out.measure(model, DURING)
            self.aside += time.monotonic() - began
            if found is not None:
                self._write({"kind": "validation", "step": state.global_step, **identity.plain(found)})
                self._say(state.global_step, None, found)

    def _say(self, step: int, loss: float | None, found: Validation | None) -> None:
        if self.report is None:
            return
        seconds = max(time.monotonic() - self.started - self.aside, 1e-9)
        done = max(step - self.first, 1)
        self.report(
            FinetuneProgress(
                step=step,
                steps=self.training.steps,
                tokens_per_second=done * self.training.tokens_seen / self.training.steps / seconds,
                loss=loss,
                eta_seconds=(self.training.steps - step) * seconds / done,
                validation=found,
            )
        )

    def _write(self, line: Mapping[str, Any]) -> None:
        with self.metrics.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(line) + "\n")


def finetune(
    training: Training,
    work: Path,
    result: Path,
    *,
    card: Mapping[str, Any],
    save_dtype: str = "float32",
    report: Report | None = None,
    stages: Stages | None = None,
    validation_tokens: int | None = None,
) -> dict[str, Any]:
    """Train as planned and write the model folder; what an earlier, killed call left in `work` is continued.

    Args:
        training: from `plan`.
        work: holds checkpoints and `metrics.jsonl`; one writer only (the caller's lock).
        result: empty folder for config.json, model.safetensors, the tokenizer and card.json.
        card: what the caller knows of the model (name, language, licence, role).
        save_dtype: precision of the stored weights.
        report: called with the progress of the training.
        stages: called with that of loading and validating.
        validation_tokens: held-out tokens to validate on, as `limit` of `validate.windows`; 0 for all of them,
            None for `VALIDATION_TOKENS`.

    Returns:
        The card.

    Raises:
        StoreError: every checkpoint is damaged.
        BiasAuditError: the weights are no longer finite numbers.
        ResourceError: out of GPU memory.
    """
    began, earlier = time.monotonic(), _seconds(work / "seconds.json")
    _no_chatter()
    folder = work / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    checkpoints.sweep(folder)
    request = identity.content_hash(training.request)
    resume = _newest_good(folder, request, training.precision)
    stages = stages or (lambda _stage, _done, _total, _note: None)
    stages("loading", 0, 1, "a new model" if training.config.base == SCRATCH else training.config.base)
    model = build(training)
    limit = VALIDATION_TOKENS if validation_tokens is None else validation_tokens or None
    held_out = HeldOut(training, limit, stages)
    before = _before(work, resume, lambda: held_out.measure(model, BEFORE), held_out.tokens)
    if resume is not None and checkpoints.step_of(resume) == training.steps:
        # The run was killed after its last step: nothing is left to train, only to write.
        model.load_state_dict(_with_tied(model, load_file(resume / "model.safetensors", device=str(training.device))))
    else:
        _train(training, model, folder, request, resume, _Watch(training, held_out, work, report))
    after = held_out.measure(model, AFTER)
    seconds = earlier + time.monotonic() - began
    _write_model(training, model, result, save_dtype)
    whole = {**dict(card), **_card(training, before, after, seconds, save_dtype)}
    whole["fingerprint"] = describe(str(result)).fingerprint
    checkpoints.write_json(result / "card.json", whole)
    return dict(json.loads((result / "card.json").read_text(encoding="utf-8")))


def _no_chatter() -> None:
    """Our own report speaks; transformers' progress bars and notes would double it."""
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()


def _newest_good(folder: Path, request: str, precision: str) -> Path | None:
    """The newest checkpoint that is whole; damaged ones are named and passed over."""
    required = checkpoints.REQUIRED | ({"scaler.pt"} if precision == "float16" else set())
    found = checkpoints.checkpoints(folder)
    for checkpoint in found:
        wrong = checkpoints.fault(checkpoint, request=request, required=required)
        if wrong is None:
            return checkpoint
        LOG.warning("%s is passed over: %s. Training goes on from the one before.", checkpoint, wrong)
    if found:
        raise StoreError(
            f"{folder}: no checkpoint is whole ({checkpoints.fault(found[0], request=request, required=required)}). "
            "Start again with --fresh, or give another output folder."
        )
    return None


def _before(
    work: Path, resume: Path | None, measure: Callable[[], Validation | None], tokens: int
) -> Validation | None:  # fmt: skip
    """Validation before the first step, measured once over `tokens`; metrics after the resumed step are dropped."""
    path = work / "metrics.jsonl"
    lines = []
    if path.is_file():
        step = checkpoints.step_of(resume) if resume is not None else 0
        for text in path.read_text(encoding="utf-8").splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                continue  # the line that the kill cut
            if line["step"] <= step:
                lines.append(line)
    first = next((line for line in lines if line["kind"] == "before"), None)
    if first is None or (first["validation"] or {"tokens": 0})["tokens"] != tokens:
        found = measure()
        first = {"kind": "before", "step": 0, "validation": identity.plain(found)}
        lines = [first, *(line for line in lines if line["kind"] != "before")]
    staged = path.with_name(".metrics.tmp")
    staged.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    staged.replace(path)
    return Validation(**first["validation"]) if first["validation"] else None


def _seconds(clock: Path) -> float:
    """Seconds of training that earlier, killed calls had stored with their checkpoints."""
    return float(json.loads(clock.read_text(encoding="utf-8"))["seconds"]) if clock.is_file() else 0.0


def _train(
    training: Training, model: Any, folder: Path, request: str, resume: Path | None, watch: _Watch
) -> None:  # fmt: skip
    """Run the Trainer over the rest of the steps."""
    config = training.config
    dataset = training.dataset()
    args = transformers.TrainingArguments(
        output_dir=str(folder),
        max_steps=training.steps,
        per_device_train_batch_size=config.batch_size,
        gradient_accumulation_steps=config.grad_accumulation,
        learning_rate=config.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=config.warmup,
        weight_decay=config.weight_decay,
        max_grad_norm=config.grad_clip,
        optim="adamw_torch_fused",
        torch_compile=config.compile,
        fp16=training.precision == "float16",
        use_cpu=training.device.type == "cpu",
        seed=identity.key64("training", config.seed) % 2**32,
        train_sampling_strategy="sequential",
        save_strategy="steps",
        save_steps=config.save_steps,
        eval_strategy="no",
        logging_strategy="steps",
        logging_steps=LOG_STEPS,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=training.device.type == "cuda",
    )
    trainer = _Trainer(model=model, args=args, train_dataset=dataset, data_collator=collate, callbacks=[watch])
    trainer.pop_callback(transformers.PrinterCallback)
    trainer.biasaudit_folder, trainer.biasaudit_request = folder, request
    trainer.biasaudit_autocast = torch.bfloat16 if training.precision == "bfloat16" else None
    use_cache, model.config.use_cache = model.config.use_cache, False
    try:
        trainer.train(resume_from_checkpoint=None if resume is None else str(resume))
    except torch.OutOfMemoryError as error:
        raise ResourceError(
            "training ran out of GPU memory; what was saved is kept. Use a smaller batch size (with gradient "
            "accumulation for the same total) in another --out, or repeat the command on a larger GPU."
        ) from error
    model.config.use_cache = use_cache


def _with_tied(model: Any, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A saved state with the tied tensors that safetensors leaves out."""
    own = model.state_dict()
    by_place = {tensor.data_ptr(): name for name, tensor in own.items() if name in state}
    return {name: state[name] if name in state else state[by_place[tensor.data_ptr()]] for name, tensor in own.items()}


def _write_model(training: Training, model: Any, result: Path, save_dtype: str) -> None:
    """config.json, model.safetensors and the tokenizer, in the layout of transformers."""
    if save_dtype not in devices.DTYPES:
        raise UsageError(f"save dtype '{save_dtype}': expected one of {', '.join(devices.DTYPES)}.")
    model.to(devices.DTYPES[save_dtype])
    if not all(bool(torch.isfinite(p).all()) for p in model.parameters()):
        raise BiasAuditError(
            f"training ended with weights that are no finite numbers in {save_dtype}. Use a smaller learning rate "
            "or save in float32; nothing was written."
        )
    model.save_pretrained(str(result))
    (result / "generation_config.json").unlink(missing_ok=True)
    training.tokenizer.save(result)
    for path in result.iterdir():
        path.chmod((result / "config.json").stat().st_mode)  # safetensors hides its files from the group
        checkpoints.sync_file(path)


def _card(
    training: Training, before: Validation | None, after: Validation | None, seconds: float, save_dtype: str
) -> dict[str, Any]:
    """What decides whether two models may be compared (CONTRACT §2), and how well this one reads held-out text."""
    config = training.config
    return {
        "base": config.base,
        "base_fingerprint": training.base_fingerprint,
        "corpora": [{"name": training.corpus.name, "fingerprint": training.corpus_fingerprint}],
        "tokenizer_fingerprint": training.tokenizer.fingerprint,
        "tokens": training.tokens_seen,
        "train_tokens": len(training.train),
        "steps": training.steps,
        "batch_size": config.batch_size,
        "grad_accumulation": config.grad_accumulation,
        "block_size": config.block_size,
        "learning_rate": config.learning_rate,
        "warmup": config.warmup,
        "weight_decay": config.weight_decay,
        "grad_clip": config.grad_clip,
        "dropout": config.dropout,
        "seed": config.seed,
        "precision": training.precision,
        "device": training.device.type,
        "save_dtype": save_dtype,
        "validation_before": identity.plain(before),
        "validation_after": identity.plain(after),
        "validation_tokens": after.tokens if after else 0,
        "val_tokens": len(training.val),
        "val_bytes": training.corpus_card.get("val_bytes"),
        "seconds": round(seconds, 1),
        "versions": {
            "biasaudit": __version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "python": platform.python_version(),
        },
    }
