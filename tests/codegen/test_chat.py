"""Chat templates: what stands between the messages, its ids, and templates that are no templates.

The templates are of the structure of published ones, retyped. The right ids are those of the whole conversation, rendered by
plain Jinja2 as transformers does (apply_chat_template) and encoded by the tests' own reference, special tokens found whole."""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import byte_level_files as given
import jinja2
import llama_cpp
import model_files
import pytest
import vocabulary_files
from conftest import with_tokenizers
from model_files import STRING, U32

from codegen.chat import FORMATS
from codegen.chat_template import FORMS, Template, read_format
from codegen.errors import BakeError
from codegen.formats import open_tokenizer
from codegen.tokenizer import Vocabulary, bake, with_chat

ROOT = Path(__file__).resolve().parents[2]
Messages = list[dict[str, str]]

MARKED = "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] + END + '\n' }}{% endfor %}"
TEMPLATES = {
    "smollm2": "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "qwen2": "{%- if messages[0]['role'] == 'system' %}{{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}"
    "{%- else %}{{- '<|im_start|>system\nYou are Qwen.<|im_end|>\n' }}{%- endif %}\n{%- for m in messages %}\n"
    "    {%- if (m.role == 'user') or (m.role == 'system' and not loop.first) or (m.role == 'assistant' and not m.tool_calls) %}\n"
    "        {{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' + '\n' }}\n    {%- endif %}\n{%- endfor %}\n"
    "{%- if add_generation_prompt %}\n    {{- '<|im_start|>assistant\n' }}\n{%- endif %}\n",
    "llama2": "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
    "{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}"
    "{% endif %}{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}{% if loop.index0 == 0 and system_message != false %}"
    "{% set content = '<<SYS>>\n' + system_message + '\n<</SYS>>\n\n' + message['content'] %}{% else %}"
    "{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
    "{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}",
    "llama3": "{% set loop_messages = messages %}{% for message in loop_messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}",
    "zephyr": "{% for message in messages %}\n{% if message['role'] == 'user' %}\n{{ '<|user|>\n' + message['content'] + eos_token }}\n"
    "{% elif message['role'] == 'system' %}\n{{ '<|system|>\n' + message['content'] + eos_token }}\n"
    "{% elif message['role'] == 'assistant' %}\n{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif %}\n"
    "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}",
    "gemma": "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}"
    "{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}",
    "phi3": "{% for message in messages %}{% if message['role'] == 'system' %}{{'<|system|>\n' + message['content'] + '<|end|>\n'}}"
    "{% elif message['role'] == 'user' %}{{'<|user|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'assistant' %}"
    "{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}",
    "mistral": "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
    "{{ message['content'] + eos_token}}{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}"
    "{% endif %}{% endfor %}",
    "vicuna": "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set s = messages[0]['content'] %}"
    "{% else %}{% set loop_messages = messages %}{% set s = 'A chat between a curious user and an assistant.' %}{% endif %}"
    "{{ s }}{% for message in loop_messages %}{% if message['role'] == 'user' %}{{ ' USER: ' + message['content'] }}"
    "{% else %}{{ ' ASSISTANT: ' + message['content'] + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ ' ASSISTANT:' }}{% endif %}",
    "deepseek": "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{{ bos_token }}"
    "{% for message in messages %}{% if message['role'] == 'user' %}{{ 'User: ' + message['content'] + '\n\n' }}"
    "{% elif message['role'] == 'assistant' %}{{ 'Assistant: ' + message['content'] + eos_token }}"
    "{% elif message['role'] == 'system' %}{{ message['content'] + '\n\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}",
    "tulu": MARKED.replace("END", "''") + "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}",
    "generation": "{%- for m in messages -%}{{ '<|im_start|>' + m.role + '\n' }}{% generation %}{{ m.content }}{% endgeneration %}"
    "{{ '<|im_end|>\n' }}{%- endfor -%}{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}",
}  # fmt: skip
WITHOUT_SYSTEM = {"gemma", "mistral"}
SPECIAL = ["<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|user|>",
           "<|assistant|>", "<|system|>", "<|end|>", "<start_of_turn>", "<end_of_turn>"]  # fmt: skip
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
CONVERSATION: Messages = [
    {"role": "user", "content": "Tell me a story, about 12 cats."}, {"role": "assistant", "content": "Once upon a time\n\nthere were."},
    {"role": "user", "content": "And then? \u00e9"}, {"role": "assistant", "content": "They slept."}, {"role": "user", "content": "Why"},
]  # fmt: skip
SYSTEM = {"role": "system", "content": "You are a storyteller. Be brief."}


def tokenizer() -> given.ByteLevel:
    return given.train(given.repository_text(ROOT)[:20000], "gpt2", 120, dict.fromkeys(SPECIAL, True))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chat")
    (folder / "tokenizer.json").write_text(json.dumps(given.tokenizer_json(tokenizer())))
    return folder


def opened(folder: Path, template: Any, asked: str = "auto") -> Vocabulary:
    (folder / "tokenizer_config.json").write_text(json.dumps({**TOKENS, "chat_template": template}))
    return with_chat(open_tokenizer(folder / "tokenizer.json"), asked, "tokenizer")


def rendered(template: str, messages: Messages) -> str:
    """As transformers renders it."""

    def refuse(reason: str) -> None:
        raise jinja2.TemplateError(reason)

    plain = template.replace("{% generation %}", "").replace("{% endgeneration %}", "")
    env = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    env.globals["raise_exception"] = refuse
    return env.from_string(plain).render(messages=messages, add_generation_prompt=True, **TOKENS)


CHAT_MAIN = """
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>
#include "tokenizer.hpp"

// Reads a baked vocabulary, then messages: who says it (s, u or a), the text with its u32 length. Prints the ids of the whole
// conversation, the model's turn begun, answers as text.
int main(int, char** argv) {
    using namespace storybake;
    using Between = ChatFormat::Between;
    std::vector<char> blob(std::strtoul(argv[1], nullptr, 10));
    if (std::fread(blob.data(), 1, blob.size(), stdin) != blob.size()) return 1;
    auto tokenizer = Tokenizer::view(std::as_bytes(std::span(blob)), std::atoi(argv[2]));
    if (!tokenizer || !tokenizer->chat()) return 2;
    const ChatFormat& format = *tokenizer->chat();
    ChatFormat::Turn turn;
    char before = 0;
    for (int who = 0; (who = std::getchar()) != EOF; before = static_cast<char>(who)) {
        unsigned length = 0;
        if (std::fread(&length, 4, 1, stdin) != 1) return 1;
        std::string text(length, 0);
        if (std::fread(text.data(), 1, length, stdin) != length) return 1;
        if (who == 's') {
            format.append(turn, Between::kSystemFirst);
            format.append_system(turn, text);
        } else if (who == 'u') {
            format.append(turn, before == 0 ? Between::kUserFirst : before == 's' ? Between::kAfterSystem : Between::kNextUser);
            format.append_user(turn, text);
        } else {
            format.append(turn, Between::kAnswered);
            turn.emplace_back(text);
        }
    }
    format.append(turn, Between::kAnswer);
    // Texts that follow each other are one.
    ChatFormat::Turn whole;
    for (auto& part : turn) {
        if (auto* text = std::get_if<std::string>(&part); text && !whole.empty() && std::holds_alternative<std::string>(whole.back())) {
            std::get<std::string>(whole.back()) += *text;
        } else {
            whole.push_back(part);
        }
    }
    for (int id : tokenizer->encode_turn(whole, true)) std::printf("%d ", id);
    return 0;
}
"""
ChatIds = Callable[[Vocabulary, Messages], list[int]]


@pytest.fixture(scope="module")
def chat_ids(tmp_path_factory: pytest.TempPathFactory) -> ChatIds:
    program = with_tokenizers(tmp_path_factory.mktemp("program"), CHAT_MAIN)

    def ids(data: Vocabulary, messages: Messages) -> list[int]:
        blob = bake(data)
        said = b"".join(one["role"][:1].encode() + struct.pack("<I", len(text)) + text for one in messages
                        for text in [one["content"].encode()])  # fmt: skip
        done = subprocess.run([program, str(len(blob)), str(len(data.pieces))], input=blob + said, capture_output=True, check=True)
        return [int(at) for at in done.stdout.split()]

    return ids


@pytest.mark.parametrize("name", TEMPLATES)
def test_ids_are_those_of_the_rendered_conversation(name: str, files: Path, chat_ids: ChatIds) -> None:
    data = opened(files, TEMPLATES[name])
    chat = data.frame.chat
    assert chat is not None and chat.has_system == (name not in WITHOUT_SYSTEM)
    reference = given.Reference(tokenizer())
    for turns in (1, 3, 5):
        for messages in (CONVERSATION[:turns], [SYSTEM, *CONVERSATION[:turns]]):
            if messages[0] is not SYSTEM or chat.has_system:
                assert chat_ids(data, messages) == reference.encode(rendered(TEMPLATES[name], messages).encode()), messages


@pytest.mark.skipif(not llama_cpp.there(), reason=llama_cpp.MISSING)
@pytest.mark.parametrize("name", TEMPLATES)
def test_conversations_in_gguf_are_llama_cpps(name: str, chat_ids: ChatIds, tmp_path: Path) -> None:
    """Written down by its Jinja and encoded by its tokenizer."""
    asked = [messages for turns in (1, 5) for messages in (CONVERSATION[:turns], [SYSTEM, *CONVERSATION[:turns]])
             if messages[0] is not SYSTEM or name not in WITHOUT_SYSTEM]  # fmt: skip
    made = tokenizer()
    model, tensors = model_files.tiny(vocab_size=made.size, seq_len=256)
    keys = given.gguf_keys(made, eos_token_id=(U32, 1)) | {"tokenizer.chat_template": (STRING, TEMPLATES[name])}
    path = tmp_path / "m.gguf"
    path.write_bytes(model_files.gguf(model_files.gguf_kv(model) | keys, model_files.gguf_tensors(tensors)))
    data = with_chat(open_tokenizer(path), "auto", "tokenizer")
    assert [chat_ids(data, messages) for messages in asked] == llama_cpp.judge(path, llama_cpp.write_down(path, asked)).ids


@pytest.mark.parametrize("asked", sorted(FORMATS))
def test_formats_by_name(asked: str, files: Path, chat_ids: ChatIds) -> None:
    data = opened(files, "{{ 1 ", asked)
    text = {"chatml": "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n", "llama2": "<s>[INST] hi [/INST]",
            "llama3": "<s><|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
            "zephyr": "<|user|>\nhi</s>\n<|assistant|>\n",
            "gemma": "<s><start_of_turn>user\nhi<end_of_turn>\n<start_of_turn>model\n"}[asked]  # fmt: skip
    assert chat_ids(data, [{"role": "user", "content": "hi"}]) == given.Reference(tokenizer()).encode(text.encode())


def test_a_format_needs_its_tokens(tmp_path: Path) -> None:
    plain = given.ByteLevel("gpt2", [bytes([byte]) for byte in range(256)], [], {"<|endoftext|>": True})
    (tmp_path / "tokenizer.json").write_text(json.dumps(given.tokenizer_json(plain)))
    data = open_tokenizer(tmp_path / "tokenizer.json")
    with pytest.raises(BakeError, match="-Dchat=chatml needs the special token '<|im_start|>', found none; choose another -Dchat="):
        with_chat(data, "chatml", "x")
    assert with_chat(data, "auto", "x").frame.chat is None, "this kind does not chat by itself"
    assert with_chat(data, "none", "x").frame.chat is None


def test_llama2cs_kind_chats_as_llama_2_where_a_text_can_end(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(vocabulary_files.sentencepiece_model(vocabulary_files.tiny_pieces()))
    data = open_tokenizer(tmp_path / "tokenizer.model")
    assert with_chat(data, "auto", "x").frame.chat is not None
    assert with_chat(replace(data, frame=replace(data.frame, ends=(data.frame.bos,))), "auto", "x").frame.chat is None
    assert with_chat(data, "none", "x").frame.chat is None


def test_a_format_of_tokens_without_a_row_is_refused(files: Path) -> None:
    data = opened(files, TEMPLATES["gemma"])
    last = SPECIAL.index("<end_of_turn>")
    bake(data, last + 1)
    with pytest.raises(BakeError, match=f"the chat template has the token {last}, but the model has {last} rows; bake with -Dchat=none"):
        bake(data, last)


def test_what_the_user_types_names_no_special_token(files: Path, chat_ids: ChatIds) -> None:
    data = opened(files, TEMPLATES["smollm2"])
    ids = chat_ids(data, [{"role": "user", "content": "a<|im_end|>b"}])
    end = SPECIAL.index("<|im_end|>")
    assert ids.count(end) == 2, "of the system prompt and of the message"


def test_where_a_template_comes_from(files: Path, tmp_path: Path) -> None:
    listed = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": TEMPLATES["qwen2"]}]
    first = opened(files, listed).frame.chat
    assert first is not None and first.name == "tokenizer_config.json: chat_template"
    assert first.stretches == opened(files, TEMPLATES["qwen2"]).frame.chat.stretches  # type: ignore[union-attr]
    (files / "chat_template.jinja").write_text(TEMPLATES["llama3"])
    try:
        other = opened(files, TEMPLATES["qwen2"]).frame.chat
        assert other is not None and other.name == "chat_template.jinja" and other.stretches != first.stretches
    finally:
        (files / "chat_template.jinja").unlink()


HOSTILE = {
    "loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}{% endfor %}{% endfor %}",
    "grows": "{{ 'a' * 10000000000 }}",
    "doubles": "{% set ns = namespace(x='a') %}{% for i in range(100) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}",
    "counts": "{{ 2 ** 10 ** 10 }}",
    "fills": "{{ 'a' | center(1000000000) }}",
    "prints": "{% for a in range(99999) %}{{ 'abcdefgh' }}{% endfor %}",
    "recurs": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "nests": "{{ " + "(" * 4000 + "1" + ")" * 4000 + " }}",
    "imports": "{% import 'os' as os %}{{ os.system('id') }}",
    "includes": "{% include '/etc/passwd' %}",
    "extends": "{% extends 'x' %}",
    "classes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "globals": "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "formats": "{{ '{0.__class__.__init__.__globals__}'.format(messages) }}",
    "attributes": "{{ messages|attr('__class__') }}{{ (messages|attr('__class__')).x }}",
    "changes": "{% set _ = messages.append(1) %}",
    "asks for the date": "{{ strftime_now('%Y') }}",
    "asks nobody": "{{ lipsum(n=3) }}",
    "is cut": "{% for m in messages %}{{ m.content }}",
    "is no template": "{{ 1 ",
    "says nothing": "hello",
    "leaves out": "{% for m in messages %}{% if loop.last %}<u>{{ m.content }}{% endif %}{% endfor %}",
    "repeats": "{% for m in messages %}<u>{{ m.content }}{{ m.content }}{% endfor %}",
    "counts turns": "{% for m in messages %}<{{ loop.index }}>{{ m.content }}{% endfor %}",
    "looks ahead": "<{{ messages|length }}>{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}",
    "thinks": "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<assistant><think>{% endif %}",
    "measures": "{% for m in messages %}<{{ m.role }}{{ m.content|length }}>{{ m.content }}{% endfor %}",
    "shouts": "{% for m in messages %}<{{ m.role }}>{{ m.content|upper }}{% endfor %}",
    "is long": "x" * 200000,
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_template_that_is_none_is_refused_with_the_remedy(what: str) -> None:
    with pytest.raises(BakeError) as caught:
        read_format(Template("tokenizer_config.json: chat_template", HOSTILE[what], TOKENS))
    message = str(caught.value)
    assert caught.value.exit_code == 65 and len(message) <= 200 and message.isprintable(), message
    assert message.endswith("; bake with -Dchat=none, or one of llama2, chatml, llama3, zephyr, gemma")


def test_messages_are_as_people_write_them() -> None:
    assert any(form != form.strip() for form in FORMS) and max(map(len, FORMS)) > 500


@pytest.mark.parametrize("value", [1, {"a": 1}, ["x"], [{"name": "default", "template": 5}]])
def test_a_template_of_another_type(value: Any, files: Path) -> None:
    with pytest.raises(BakeError, match="chat_template: expected"):
        opened(files, value)
