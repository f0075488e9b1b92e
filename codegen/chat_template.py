"""Reads a chat format out of a model's template: a Jinja2 program that comes with untrusted files.

It runs when the model is baked, never later: in Jinja2's immutable sandbox, in a process of its own whose time, memory and
output are bounded. It writes down conversations of marked messages; what stands between the messages is the format, and
longer conversations have to come out as the format says. What the template sees is what transformers shows it
(apply_chat_template), but for the date: a bake must not depend on the day.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox

from codegen.chat import FORMATS, Between
from codegen.errors import BakeError, shown

LARGEST = 1 << 17  # characters of a template; the longest published ones have 20000
LONGEST = 1 << 16  # characters of a conversation that is written down
CPU_SECONDS = 0.7
WALL_SECONDS = 30.0  # bounds it on a machine that is busy with other things
MEMORY = 96 << 20  # bytes beyond what the generator has
ROLES = ("user", "assistant")

Message = dict[str, str]
Conversation = tuple[list[Message], bool]  # holds the messages, and whether the model's turn is begun after them


@dataclass(frozen=True)
class Template:
    """Holds a template as a file has it, with the texts of special tokens that it may name: bos_token, eos_token, ..."""

    source: str  # names the file, and the key in it
    text: str
    tokens: Mapping[str, str]


class _Generation(jinja2.ext.Extension):
    """Knows transformers' {% generation %}, which marks what a model is trained on: the text inside is written as it is."""

    tags = {"generation"}

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _refuse(reason: str) -> NoReturn:
    raise jinja2.TemplateError(reason)


def _environment() -> jinja2.sandbox.ImmutableSandboxedEnvironment:
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"]
    )
    env.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)
    env.globals = {name: env.globals[name] for name in ("range", "dict", "namespace", "joiner", "cycler")}
    env.globals["raise_exception"] = _refuse
    return env


def _write_down(template: Template, conversations: Iterable[Conversation]) -> list[str | None]:
    """Writes each conversation as the template has it; None for one that it refuses."""
    compiled = _environment().from_string(template.text)
    texts: list[str | None] = []
    for messages, answer in conversations:
        text, size = [], 0
        try:
            for part in compiled.generate(messages=messages, add_generation_prompt=answer, tools=None, documents=None, **template.tokens):
                text.append(part)
                size += len(part)
                if size > LONGEST:
                    raise MemoryError
            texts.append("".join(text))
        except jinja2.exceptions.SecurityError:
            raise
        except jinja2.TemplateError as error:
            if type(error) is not jinja2.TemplateError:  # it is not raise_exception()'s
                raise
            texts.append(None)
    return texts


def _child(template: Template, conversations: list[Conversation], out: int) -> NoReturn:
    """Writes the texts, or the reason for there being none, as JSON; ends the process whatever happens."""
    try:
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)  # ends it in the midst of a long operation as well
        with contextlib.suppress(OSError, ValueError):
            size = int(open("/proc/self/statm", encoding="ascii").read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
        answer: Any
        try:
            answer = _write_down(template, conversations)
        except (MemoryError, OverflowError):
            answer = "writes more than a conversation takes"
        except RecursionError:
            answer = "is nested too deeply"
        except jinja2.TemplateSyntaxError as error:
            answer = f"line {error.lineno}: {error.message}"
        except jinja2.exceptions.SecurityError as error:
            answer = f"reaches for what is forbidden: {error}"
        except Exception as error:  # a template can do anything
            answer = f"fails: {error}"
        data = json.dumps(answer).encode()
        while data:
            data = data[os.write(out, data) :]
    finally:
        os._exit(0)


def write_down(template: Template, conversations: list[Conversation]) -> list[str | None]:
    """Returns what the template makes of conversations, None of those that it refuses. Raises BakeError for a template that
    can't be run to its end within the bounds."""
    if len(template.text) > LARGEST:
        raise _bad(template, f"expected at most {LARGEST} characters, found {len(template.text)}")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        _child(template, conversations, write)
    os.close(write)
    data, deadline = b"", time.monotonic() + WALL_SECONDS
    try:
        while select.select([read], [], [], max(0.0, deadline - time.monotonic()))[0]:
            part = os.read(read, 1 << 16)
            data += part
            if not part:
                break
    finally:
        os.close(read)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    try:
        answer = json.loads(data)
    except ValueError:
        raise _bad(template, "takes longer, or more memory, than a conversation does") from None
    if isinstance(answer, str):
        raise _bad(template, shown(answer)[1:-1] if answer.isprintable() else "can't be run")
    texts: list[str | None] = answer
    return texts


def _bad(template: Template, reason: str) -> BakeError:
    return BakeError(f"{template.source}: {reason}; bake with -Dchat=none, or one of {', '.join(FORMATS)}")


def _conversation(turns: int, system: bool, form: str, answer: bool = True) -> Conversation:
    """Makes `turns` messages of a user with answers between them, each message marked by who says it and when."""
    said = ([("system", 0)] if system else []) + [(ROLES[at % 2], at // 2) for at in range(2 * turns - 1)]
    if not answer:
        said.append(("assistant", turns - 1))
    return [{"role": role, "content": form.format(f"Z{role[0].upper()}{at}Z")} for role, at in said], answer


# Hold messages as people write them: short, with white space around, long; with digits, line feeds, quotes and other letters.
FORMS = ("{}", "  {} \n", "{} is 7, isn't it?\n\nYes: \"no\" & <b>{{{{}}}}</b> \u00e9\u4e2d", "{} " + "and then some " * 60)


def read_format(template: Template) -> Between:
    """Finds what stands between the messages of a conversation. Raises BakeError, with -Dchat= as the remedy, for a template that
    does not write a conversation down as messages with fixed texts between them."""
    conversations = {
        system: [_conversation(2, system, FORMS[0])]
        + [_conversation(turns, system, form) for form in FORMS for turns in (1, 2, 3, 6)]
        + [_conversation(turns, system, FORMS[0], answer=False) for turns in (1, 2)]
        for system in (False, True)
    }
    texts = write_down(template, [*conversations[False], *conversations[True]])
    written = {system: texts[system * len(texts) // 2 :][: len(texts) // 2] for system in (False, True)}
    if written[False][0] is None:
        raise _bad(template, "refuses a conversation without a system prompt")
    user_first, answered, next_user, answer = _cut(template, written[False][0] or "", conversations[False][0][0])
    if not answered.startswith(answer):
        raise _bad(template, "begins an answer otherwise than it writes one down")
    plain = Between(user_first, answer, answered, next_user, has_system=False)
    trims = [trim for trim in (False, True) if _fits(replace(plain, trim=(trim, False)), conversations[False], written[False])]
    if not trims:
        raise _bad(template, "is not of messages with fixed texts between them")
    between = replace(plain, trim=(trims[0], False))
    # Without this, a template that has no place for a system prompt, or another one later, still chats.
    with contextlib.suppress(BakeError):
        system_first, after_system, *rest = _cut(template, written[True][0] or "", conversations[True][0][0])
        for trim in (False, True) if rest == [answered, next_user, answer] else ():
            found = replace(between, system_first=system_first, after_system=after_system, has_system=True, trim=(trims[0], trim))
            if _fits(found, conversations[True], written[True]):
                return found
    return between


def _fits(between: Between, conversations: list[Conversation], texts: list[str | None]) -> bool:
    """Tells whether conversations are written down as the format says, with or without the white space around answers."""
    pairs = list(zip(conversations, texts, strict=True))
    return any(all(_follows(between, *pair, trims) for pair in pairs) for trims in (False, True))


def _cut(template: Template, text: str, messages: list[Message]) -> list[str]:
    """Finds what stands before, between and after the messages in a text."""
    parts: list[str] = []
    for message in messages:
        before, found, text = text.partition(message["content"])
        if not found or any(other["content"] in text for other in messages[: len(parts) + 1]):
            raise _bad(template, "does not write each message down once, in turn")
        parts.append(before)
    return [*parts, text]


def _follows(between: Between, conversation: Conversation, found: str | None, trims_answers: bool) -> bool:
    """Tells whether a conversation is written down as the format says."""
    messages, answer = conversation
    if found is None:
        return False
    rest = found
    for at, message in enumerate(messages):
        role, content = message["role"], message["content"]
        if role == "system":
            text, content = between.system_first, content.strip() if between.trim[1] else content
        elif role == "user":
            after_system = at == 1 and messages[0]["role"] == "system"
            text = between.user_first if at == 0 else between.after_system if after_system else between.next_user
            content = content.strip() if between.trim[0] else content
            if after_system and not rest.startswith(text + content):
                content = message["content"].rstrip()  # Llama 2's trims both together
        else:
            text, content = between.answered, content.strip() if trims_answers else content
        if not rest.startswith(text + content):
            return False
        rest = rest[len(text + content) :]
    return rest == between.answer or not answer  # the model has to say itself what ends the last answer
