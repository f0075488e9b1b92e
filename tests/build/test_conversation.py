"""A Hugging Face folder with a chat template holds a conversation: `tools/story --model FOLDER -m chat`.

What it should say is worked out apart: the conversation as plain Jinja2 and the tests' own encoder have it, and the likeliest tokens
of the generator's forward pass (codegen/golden_run.py), which the program proves itself by.
"""

from __future__ import annotations

import json
import signal
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "codegen")]

import byte_level_files as given  # noqa: E402
import model_files  # noqa: E402

from codegen.formats import open_model  # noqa: E402
from codegen.golden_run import forward  # noqa: E402

CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
ADDED = {"<|endoftext|>": True, "<|im_start|>": True, "<|im_end|>": True}
END = 2
CONTEXT = 96
NO_ROW = "<no row>"  # an added token that came after the model
TOKENIZER = given.train("tell me a story about a dragon the user and the assistant and then and why", "gpt2", 20, ADDED)


@dataclass(frozen=True)
class Chat:
    """A baked program, and the folder that it was baked from."""

    command: list[str]
    folder: Path

    def say(self, *lines: str, **options: str) -> subprocess.CompletedProcess[str]:
        words = [word for name, value in options.items() for word in (f"-{name}", value)]
        text = "".join(f"{line}\n" for line in lines)
        return subprocess.run([*self.command, "-t", "0", *words], input=text, capture_output=True, text=True, timeout=120, check=False)

    def answers(self, *lines: str, **options: str) -> list[str]:
        """What the model says to each line."""
        done = self.say(*lines, **{"m": "chat", "y": ""} | options)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("User: Assistant: ") and done.stdout.endswith("\nUser: \n")
        return done.stdout.removeprefix("User: Assistant: ").removesuffix("\nUser: \n").split("\nUser: Assistant: ")


def write_folder(folder: Path) -> Path:
    """A model of random weights that speaks in letters, and ends its turns."""
    model, tensors = model_files.tiny(shared=False, vocab_size=TOKENIZER.size, seq_len=CONTEXT)
    tensors = {key: values * np.float32(values.shape[1] ** -0.5) for key, values in tensors.items()}
    classifier = tensors["wcls", 0]
    classifier[END] *= np.float32(2)
    for at in range(TOKENIZER.size):
        piece = TOKENIZER.pieces[at - len(ADDED)] if at >= len(ADDED) else b"\0"
        if at != END and not (piece.isascii() and piece.decode().isprintable()):
            classifier[at] = 0
    model_files.hf_folder(folder, model, tensors)
    root = given.tokenizer_json(TOKENIZER)
    root["added_tokens"].append({"id": TOKENIZER.size, "content": NO_ROW, "special": False, "normalized": False})
    beside = {"bos_token": "<|endoftext|>", "eos_token": "<|im_end|>", "chat_template": CHATML}
    for name, value in (("tokenizer.json", root), ("tokenizer_config.json", beside)):
        (folder / name).write_text(json.dumps(value))
    return folder


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Links to this checkout, in which tools/story makes a program; what that needs is installed."""
    folder = tmp_path_factory.mktemp("checkout")
    for path in ROOT.iterdir():
        if path.name != "tools" and not path.name.startswith(("build", ".")):
            (folder / path.name).symlink_to(path)
    (folder / "tools").mkdir()
    for name in ("story", "help.sh"):
        shutil.copy(ROOT / "tools" / name, folder / "tools")  # by a link it would find the checkout that is linked to
    setup = folder / "tools" / "setup"
    setup.write_text("#!/bin/sh\n")
    setup.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def chat(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Chat:
    folder = write_folder(tmp_path_factory.mktemp("models") / "small chat")
    done = subprocess.run([checkout / "tools" / "story", "--model", folder, "--version"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.startswith("small_chat "), done.stderr
    return Chat([str(checkout / "build-story" / "small chat" / "small_chat")], folder)


Answers = Callable[..., list[str]]


@pytest.fixture(scope="module")
def expected(chat: Chat) -> Answers:
    """What the likeliest tokens say to each line, as many of the latest turns being remembered as three quarters of the context hold."""
    source, reference = open_model(chat.folder), given.Reference(TOKENIZER)
    template = jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string(CHATML)

    def written(turns: list[tuple[str, list[int]]], system: str) -> list[int]:
        messages = [{"role": "system", "content": system}] if system else []
        for line, _ in turns:
            messages += [{"role": "user", "content": line}, {"role": "assistant", "content": "\0"}]
        parts = template.render(messages=messages[:-1], add_generation_prompt=True).split("\0")
        ids: list[int] = []
        for part, (_, answer) in zip(parts, turns, strict=True):
            ids += [*reference.encode(part.encode()), *answer]
        return ids

    def answers(*lines: str, system: str = "") -> list[str]:
        found, turns = [], []
        for line in lines:
            answer: list[int] = []
            turns.append((line, answer))
            while len(written(turns, system)) > CONTEXT - CONTEXT // 4:
                turns.pop(0)
            before = written(turns, system)
            while len(before) + len(answer) <= CONTEXT:
                token = int(forward(source, (*before, *answer))[-1].argmax())
                if token in (0, END):
                    break
                answer.append(token)
            found.append(b"".join(TOKENIZER.pieces[at - len(ADDED)] for at in answer).decode())
        return found

    return answers


def test_several_turns_are_remembered(chat: Chat, expected: Answers) -> None:
    lines = "why", "tell me a story", "yes"
    answers = chat.answers(*lines)
    assert answers == expected(*lines) and all(0 < len(answer) < 20 for answer in answers), "each ends with its token"
    assert chat.answers("yes") != answers[-1:], "what came before matters"
    assert chat.answers(*lines, y="be brief") == expected(*lines, system="be brief") != answers


def test_a_conversation_goes_on_beyond_the_context(chat: Chat, expected: Answers) -> None:
    """Its oldest turns are dropped whole, which is told once; so after an answer that filled the context."""
    lines = ["why", "tell me a story", "yes", "a", "why", "dragon", "hi", "yes", "e", "why", "yes"]
    answers = expected(*lines)
    assert max(map(len, answers)) > 30, "one does not end by itself"
    assert chat.answers(*lines) == answers
    told = chat.say(*lines, m="chat", y="").stderr
    assert told.count(f"the conversation fills the {CONTEXT} positions: its oldest turns are forgotten") == 1
    too_long = chat.say("why", "why " * 60, "yes", m="chat", y="")
    assert too_long.returncode == 0 and "say it shorter" in too_long.stderr and too_long.stdout.count("Assistant: ") == 2


def test_its_end_and_an_interruption(chat: Chat, expected: Answers) -> None:
    assert chat.say(m="chat").stdout == "Enter system prompt (optional): \n"
    cut = subprocess.run([*chat.command, "-t", "0", "-m", "chat", "-y", ""], input=b"why", capture_output=True, check=False)
    assert (cut.returncode, cut.stdout.decode()) == (0, f"User: Assistant: {expected('why')[0]}\nUser: \n"), "a line without an end"
    with subprocess.Popen([*chat.command, "-t", "0", "-m", "chat", "-y", ""], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        process.stdin.write(b"why\n")
        process.stdin.flush()
        said = f"User: Assistant: {expected('why')[0]}\nUser: ".encode()
        assert process.stdout.read(len(said)) == said
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == b"\n"
        assert process.wait(30) == 130


def test_the_quick_start_chats(chat: Chat, checkout: Path, expected: Answers) -> None:
    command = [checkout / "tools" / "story", "--model", chat.folder, "-t", "0", "-m", "chat", "-y", ""]
    done = subprocess.run(command, input="why\nyes\n", capture_output=True, text=True, check=False)
    first, second = expected("why", "yes")
    assert (done.returncode, done.stdout) == (0, f"User: Assistant: {first}\nUser: Assistant: {second}\nUser: \n"), done.stderr
    info = subprocess.run([*chat.command, "--info"], capture_output=True, text=True, check=True).stdout
    assert "tokenizer_config.json: chat_template" in info


def test_the_quick_start_asks_for_a_story(chat: Chat, checkout: Path, expected: Answers) -> None:
    """A model that chats gets no beginning of a story, but a question; a prompt or a mode of the user's own counts instead."""
    command = [checkout / "tools" / "story", "--model", chat.folder, "-t", "0"]
    story = expected("Tell me a short story.")[0]
    for words in ((), ("-m", "ask", "-i", "Tell me a short story.")):
        done = subprocess.run([*command, *words], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, f"{story}\n"), done.stderr
    brief = chat.say(m="ask", i="why", y="be brief")
    assert brief.stdout == expected("why", system="be brief")[0] + "\n" != expected("why")[0] + "\n"
    begun = subprocess.run([*command, "-i", "a "], capture_output=True, text=True, check=True)
    assert begun.stdout.startswith("a ") and chat.say(i="a ").stdout == begun.stdout


def test_a_token_that_the_model_has_no_row_for_can_not_be_said(chat: Chat, expected: Answers) -> None:
    refused = chat.say(i=f"a {NO_ROW}")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert f'the token "{NO_ROW}" ({TOKENIZER.size}), which this model has no row for: leave it out' in refused.stderr
    told = chat.say("why", f"a {NO_ROW}", "yes", m="chat", y="")
    first, second = expected("why", "yes")
    assert (told.returncode, told.stdout) == (0, f"User: Assistant: {first}\nUser: User: Assistant: {second}\nUser: \n")
    assert f'the token "{NO_ROW}" ({TOKENIZER.size})' in told.stderr
    assert chat.say(m="chat", y="", i=NO_ROW).returncode == 2
