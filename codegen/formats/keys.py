"""Says of every key of the files that describe a model what becomes of it: nothing in them is ignored silently.

A key is *honoured*; or *harmless*, with the reason; or allowed with *neutral* values alone, those that change nothing. An
unknown key is refused when its name says that it is about what a model computes or which tokens it reads, and told once
otherwise. A key whose value is null (JSON) says nothing. docs/formats.md has the table as `table` prints it.
"""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from codegen.errors import BakeError, shown

Tell = Callable[[str], None]


def ignore(_: str) -> None:
    """Tells nobody: a Tell for whoever has told it already, or has nobody to tell."""


@dataclass(frozen=True)
class Rule:
    """Says what becomes of the keys that match one of `names` (fnmatch patterns).

    `neutral`: the only values allowed, none for any. `words`: why they are harmless, or what the neutral values mean.
    """

    names: tuple[str, ...]
    words: str = ""
    neutral: tuple[Any, ...] = ()

    @property
    def what(self) -> str:
        return "neutral" if self.neutral else "harmless" if self.words else "honoured"


def _honoured(names: str) -> Rule:
    return Rule(tuple(names.split()))


def _harmless(names: str, why: str) -> Rule:
    return Rule(tuple(names.split()), why)


def _neutral(names: str, words: str, *values: Any) -> Rule:
    return Rule(tuple(names.split()), words, values)


_SAMPLING = (
    "do_sample temperature top_k top_p min_p typical_p epsilon_cutoff eta_cutoff max_length max_new_tokens min_length "
    "min_new_tokens num_beams num_beam_groups num_return_sequences early_stopping length_penalty diversity_penalty "
    "repetition_penalty encoder_repetition_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size penalty_alpha "
    "remove_invalid_values renormalize_logits guidance_scale low_memory use_cache cache_implementation cache_config "
    "return_legacy_cache max_time output_attentions output_hidden_states output_scores output_logits "
    "return_dict_in_generate return_dict num_assistant_tokens* assistant_* max_matching_ngram_size prompt_lookup_num_tokens "
    "prefill_chunk_size disable_compile target_lookbehind is_assistant trust_remote_code"
)
_FORCED = (
    "forced_*_token_id suppress_tokens begin_suppress_tokens bad_words_ids force_words_ids sequence_bias "
    "exponential_decay_length_penalty watermarking_config constraints"
)
_NO_TEXT = "no text has them: they fill up batches and mark places of other tasks"
_ABOUT = "about the file"

ARCHITECTURE = "<arch>."  # begins the keys of GGUF that are a family's: "llama.", "qwen2.", ...

RULES: dict[str, tuple[Rule, ...]] = {
    "config.json": (
        _honoured("hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads head_dim "
                  "vocab_size max_position_embeddings rms_norm_eps rope_theta rope_parameters rope_scaling "
                  "tie_word_embeddings bos_token_id eos_token_id model_type architectures no_rope_layers "
                  "no_rope_layer_interval sliding_window use_sliding_window max_window_layers layer_types"),
        _neutral("hidden_act", "silu", "silu"),
        _neutral("attention_bias mlp_bias qkv_bias use_bias bias", "no biases", False),
        _neutral("partial_rotary_factor rotary_pct", "RoPE on the whole head", 1),
        _neutral("rope_interleaved rotary_interleaved", "pairs as transformers has them", False),
        _neutral("use_mrope is_encoder_decoder add_cross_attention use_qk_norm qk_norm qk_layernorm", "a plain decoder",
                 False),
        _neutral("quantization_config", "float weights", {}),
        _neutral("embedding_multiplier residual_multiplier logits_scaling logit_scale", "no scale", 1),
        _neutral("num_experts num_local_experts", "no experts", 0),
        _neutral("pruned_heads", "all heads", {}),
        _neutral(_FORCED, "nothing forced", [], {}),
        _harmless("pretraining_tp torch_dtype dtype use_bfloat16 chunk_size_feed_forward torchscript _attn_implementation* "
                  "_flash_attn_2_enabled attn_implementation", "how it is computed, not what"),
        _harmless("attention_dropout *dropout initializer_range layerdrop gradient_checkpointing", "of training"),
        _harmless("pad_token_id sep_token_id decoder_start_token_id", _NO_TEXT),
        _harmless("transformers_version transformers.js_config _name_or_path name_or_path id2label label2id finetuning_task "
                  "task_specific_params problem_type is_llama_config is_decoder tie_encoder_decoder tokenizer_class prefix unsloth_*",
                  _ABOUT),
        _harmless(_SAMPLING, "how to sample is for the program's options to say"),
    ),
    "config.json of a Gemma": (
        _honoured("query_pre_attn_scalar rope_local_base_freq sliding_window_pattern _sliding_window_pattern attn_logit_softcapping "
                  "final_logit_softcapping"),
        _neutral("hidden_act hidden_activation", "the tanh form of GELU", "gelu_pytorch_tanh"),
        _neutral("use_bidirectional_attention", "every position sees those before it", False),
    ),
    "config.json of the first Gemma": (
        _neutral("hidden_act", "the tanh form of GELU, which gelu means here", "gelu", "gelu_pytorch_tanh"),
        _neutral("hidden_activation", "the tanh form of GELU", "gelu_pytorch_tanh"),
        _neutral("use_bidirectional_attention", "every position sees those before it", False),
    ),
    "generation_config.json": (
        _honoured("bos_token_id eos_token_id"),
        _harmless("pad_token_id decoder_start_token_id", _NO_TEXT),
        _neutral(_FORCED, "nothing forced", [], {}),
        _neutral("stop_strings", "no stop texts (--stop has them)", []),
        _harmless("_from_model_config transformers_version _commit_hash", _ABOUT),
        _harmless(_SAMPLING, "how to sample is for the program's options to say"),
    ),
    "tokenizer_config.json": (
        _honoured("bos_token eos_token add_bos_token add_eos_token add_prefix_space added_tokens_decoder chat_template"),
        _harmless("unk_token pad_token sep_token cls_token mask_token additional_special_tokens extra_special_tokens "
                  "image_token audio_token video_token boi_token eoi_token "
                  "pad_token_type_id padding_side truncation* max_length stride pad_to_multiple_of",
                  _NO_TEXT),
        _harmless("clean_up_tokenization_spaces spaces_between_special_tokens errors", "how transformers prints; here pieces are"),
        _harmless("legacy tokenizer_class from_slow use_fast tokenizer_file", "the tokenizer itself says it"),
        _neutral("split_special_tokens do_lower_case use_default_system_prompt", "off", False),
        _neutral("sp_model_kwargs", "none", {}),
        _harmless("model_max_length name_or_path special_tokens_map_file model_input_names processor_class auto_map "
                  "tokenizer_type is_local backend model_specific_special_tokens chat_template_* response_schema local_files_only",
                  _ABOUT),
    ),
    "special_tokens_map.json": (
        _honoured("bos_token eos_token"),
        _harmless("unk_token pad_token sep_token cls_token mask_token additional_special_tokens *_token", _NO_TEXT),
    ),
    "tokenizer.json": (
        _honoured("added_tokens normalizer pre_tokenizer post_processor decoder model"),
        _neutral("version", "1.0", "1.0"),
        _harmless("truncation padding", "transformers sets both anew for each text"),
    ),
    "tokenizer.json: model": (
        _honoured("vocab merges unk_token ignore_merges byte_fallback fuse_unk"),
        _neutral("type", "BPE", "BPE"),
        _neutral("dropout", "none", 0),
        _neutral("continuing_subword_prefix end_of_word_suffix", "none", ""),
    ),
    "GGUF of a Gemma": (
        _honoured("<arch>.attention.sliding_window <arch>.attention.sliding_window_pattern <arch>.rope.freq_base_swa "
                  "<arch>.attn_logit_softcapping <arch>.final_logit_softcapping"),
    ),
    "GGUF": (
        _honoured("general.architecture general.alignment <arch>.context_length <arch>.embedding_length <arch>.block_count "
                  "<arch>.feed_forward_length <arch>.attention.head_count <arch>.attention.head_count_kv "
                  "<arch>.attention.key_length <arch>.attention.value_length <arch>.attention.layer_norm_rms_epsilon "
                  "<arch>.rope.dimension_count <arch>.rope.freq_base <arch>.rope.scaling.type <arch>.rope.scaling.factor "
                  "<arch>.rope.scale_linear <arch>.vocab_size tokenizer.ggml.model tokenizer.ggml.pre "
                  "tokenizer.ggml.tokens tokenizer.ggml.scores tokenizer.ggml.token_type tokenizer.ggml.merges "
                  "tokenizer.ggml.bos_token_id tokenizer.ggml.eos_token_id tokenizer.ggml.eot_token_id "
                  "tokenizer.ggml.eom_token_id tokenizer.ggml.unknown_token_id tokenizer.ggml.add_bos_token "
                  "tokenizer.ggml.add_eos_token tokenizer.ggml.add_space_prefix tokenizer.chat_template"),
        _neutral("<arch>.rope.scaling.attn_factor", "no scaling", 0, 1),
        _neutral("<arch>.logit_scale <arch>.residual_scale <arch>.embedding_scale", "no scale", 1),
        _neutral("<arch>.rope.scaling.finetuned <arch>.use_parallel_residual", "off", False),
        _harmless("<arch>.rope.scaling.original_context_length <arch>.rope.scaling.yarn_*", "of YaRN, which is refused"),
        _neutral("<arch>.attention.causal", "every position sees those before it", True),
        _neutral("<arch>.attention.sliding_window <arch>.attention.scale <arch>.attention.max_alibi_bias <arch>.attention.clamp_kqv "
                 "<arch>.attention.layer_norm_epsilon <arch>.attention.group_norm_groups <arch>.attention.q_lora_rank "
                 "<arch>.attention.kv_lora_rank <arch>.attn_logit_softcapping <arch>.final_logit_softcapping", "none", 0),
        _neutral("<arch>.expert_*", "no experts", 0),
        _neutral("split.count", "one file", 0, 1),
        _harmless("split.no split.tensors.count", "of a file in parts, which is refused"),
        _harmless("general.*", _ABOUT),
        _harmless("<arch>.tensor_data_layout quantize.*", _ABOUT),
        _harmless("tokenizer.ggml.padding_token_id tokenizer.ggml.seperator_token_id tokenizer.ggml.separator_token_id "
                  "tokenizer.ggml.cls_token_id tokenizer.ggml.mask_token_id tokenizer.ggml.fim_*_token_id "
                  "tokenizer.ggml.prefix_token_id tokenizer.ggml.suffix_token_id tokenizer.ggml.middle_token_id", _NO_TEXT),
        _harmless("tokenizer.huggingface.json", "the same tokenizer once more"),
        _harmless("tokenizer.chat_template.* tokenizer.chat_templates", "templates beside the one that is used"),
        _neutral("tokenizer.ggml.add_sep_token", "none", False),
        _neutral("tokenizer.ggml.remove_extra_whitespaces", "spaces are kept", False),
    ),
}  # fmt: skip

# Matches what a key's name says when it is about more than a file's own affairs.
MATTERS = re.compile(
    r"rope|rotary|posit|alibi|attent|attn|norm|bias|activ|_act\b|token|scal|softcap|window|expert|moe|lora|multiplier"
    r"|residual|qk_|vocab|merges|pre_tokenizer|post_processor|decoder|unk|suffix|prefix|lower|strip|layer_types"
    r"|qkv|clip|clamp|quant|tie_|nextn|query|multi_"
)


@functools.cache
def _find(kind: str, key: str) -> Rule | None:
    return next((rule for rule in RULES[kind] if any(fnmatch.fnmatchcase(key, name) for name in rule.names)), None)


def check_keys(kind: str, values: Mapping[str, Any], source: str, tell: Tell, prefix: str = "", of: str = "") -> None:
    """Refuses, by name, the keys of a file that would change the model and are not honoured; tells of unknown others. In the
    rules, ARCHITECTURE stands for a `prefix`; those of a family's own, `of` which there are some, come first."""
    own = f"{kind} of {of}" if f"{kind} of {of}" in RULES else kind
    unknown = []
    for key, value in values.items():
        name = ARCHITECTURE + key.removeprefix(prefix) if prefix and key.startswith(prefix) else key
        rule = _find(own, name) or _find(kind, name)
        if value is None:
            continue
        if rule is None:
            if MATTERS.search(key):
                raise BakeError(f"{source}: {shown(key)}: an unknown key, found {shown(value)}; this model can't be baked")
            unknown.append(key)
        elif rule.neutral and not any(_equal(value, neutral) for neutral in rule.neutral):
            raise BakeError(f"{source}: {key}: expected {rule.words}, found {shown(value)}; this model can't be baked")
    if unknown:
        rest = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        tell(f"{source}: unknown keys, taken as harmless: {', '.join(map(shown, unknown[:3]))}{rest}")


def _equal(value: Any, neutral: Any) -> bool:
    """Tells whether a value of a file is a neutral one: a number of any type, but no boolean for it; or one again and again, as
    a file may have a value a layer."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list) and value and not isinstance(neutral, list):
        return all(_equal(item, neutral) for item in value)
    if isinstance(neutral, (int, float)) and not isinstance(neutral, bool):
        return isinstance(value, (int, float, np.floating)) and not isinstance(value, bool) and bool(value == neutral)
    return type(value) is type(neutral) and bool(value == neutral)


def table() -> str:
    """Writes the rules as the tables of docs/formats.md."""
    lines = []
    for kind, rules in RULES.items():
        lines += [f"**{kind}**", "", "| keys | |", "| --- | --- |"]
        lines += [f"| {_names(rule.names)} | {_words(rule)} |" for rule in rules]
        lines.append("")
    return "\n".join(lines)


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _words(rule: Rule) -> str:
    return {"honoured": "honoured", "harmless": f"harmless: {rule.words}", "neutral": f"only neutral: {rule.words}"}[rule.what]


if __name__ == "__main__":
    print(table(), end="")
