"""What other frameworks call the words of a recipe, and what each of them is here."""

from __future__ import annotations

import re
from collections.abc import Sequence

from resgraph.diagnostics import did_you_mean

_FIELDS = """
iterations: steps num_steps total_steps max_steps max_iter max_iters num_iters n_iters iters
  total_iters train_steps num_iterations max_iterations num_train_steps
epochs: num_epochs max_epochs n_epochs epoch total_epochs num_train_epochs train_epochs
batch: batch_size bs train_batch_size global_batch_size per_device_train_batch_size mini_batch
  minibatch_size
lr: learning_rate base_lr init_lr initial_lr initial_learning_rate max_lr peak_lr eta rate
schedule: lr_scheduler scheduler sched lr_schedule lr_policy lr_scheduler_type learning_rate_schedule
  lr_decay_style
milestones: lr_steps steps_at boundaries lr_milestones decay_steps step_milestones decay_milestones
gamma: lr_gamma decay_rate lr_decay lr_decay_rate lr_factor drop_factor
warmup_iterations: warmup_steps num_warmup_steps warmup_iters lr_warmup_steps warmup_length
warmup_epochs: num_warmup_epochs lr_warmup_epochs
warmup_lr: warmup_lr_init warmup_init_lr warmup_start_lr lr_warmup_init warmup_learning_rate
warmup: warmup_mode warmup_method warmup_type lr_warmup_method
min_lr: eta_min lr_min final_lr end_lr end_learning_rate lr_end
optimizer: opt optim optimiser optimizer_name
momentum: sgd_momentum mom
nesterov: use_nesterov nesterov_momentum
betas: beta beta1 beta2 opt_betas adam_betas adam_beta1 adam_beta2
eps: epsilon opt_eps adam_epsilon adam_eps
weight_decay: wd l2 l2_reg l2_penalty weight_decay_rate l2_regularization weightdecay
no_weight_decay: filter_bias_and_bn no_decay weight_decay_exempt weight_decay_exclude
  no_decay_bn no_decay_bias skip_weight_decay
clip_grad_norm: clip_grad grad_clip gradient_clip gradient_clipping gradient_clip_val max_grad_norm
  clip_norm grad_clip_norm clipnorm global_clipnorm clip max_norm
label_smoothing: smoothing smooth label_smooth label_smoothing_factor
ema: model_ema ema_decay model_ema_decay ema_momentum use_ema ema_beta
ema_start: ema_update_after_step update_after_step ema_start_step ema_warmup
pad: padding crop_padding random_crop
flip: hflip horizontal_flip random_flip mirror
"""
_PARTS = {
    "optimizer": """
sgd: momentum sgd_momentum nesterov sgd_nesterov vanilla_sgd heavy_ball
adamw: adamw_torch adamw_hf adam_w adamw_fused
""",
    "schedule": """
steps: step multistep multi_step multi_step_lr multistep_lr step_lr piecewise piecewise_constant
  stepwise
cosine: cos cosine_annealing cosine_annealing_lr cosine_decay cosine_lr cosine_with_warmup
linear: linear_lr linear_decay linear_with_warmup poly polynomial polynomial_lr
one_cycle: onecycle one_cycle_lr 1cycle cyclic cyclic_lr
""",
}


def _bare(word: str) -> str:
    """Without case, module and the marks between words."""
    return re.sub(r"[\W_]", "", word.lower().rpartition(".")[2])


def _read(lines: str) -> dict[str, str]:
    joined = lines.replace("\n  ", " ").strip().splitlines()
    pairs = (line.split(":") for line in joined)
    return {
        _bare(word): here for here, words in pairs for word in (here, *words.split())
    }


_HERE = {"": _read(_FIELDS)} | {part: _read(text) for part, text in _PARTS.items()}


def called_here(word: str, part: str = "") -> str | None:
    """What a word of another framework is here."""
    return _HERE[part].get(_bare(word))


def hint_for(word: str, known: Sequence[str], part: str = "") -> str | None:
    """What to write instead of a word that is none of the `known` ones.

    `part` is `optimizer` or `schedule` where the word is to name one.
    """
    here = called_here(word, part)
    if here in known and here != word:
        return f"here it is '{here}'"
    return did_you_mean(word, known)
