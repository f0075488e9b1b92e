"""The templates as they are read: their heads, and the way back from generated code to them."""

from __future__ import annotations

import re

import jinja2
import pytest
from jinja2 import meta

from codegen.emit import OUTPUTS, render
from codegen.model import Model
from codegen.plan import make_plan
from codegen.targets import find_target
from codegen.templating import MARK, TEMPLATES, environment, name_templates, plus

MODEL = Model("m", 64, 172, 2, 8, 4, 300, 40, head_size=8, shared_classifier=False, weight_type="q4", classifier_type="f16",
              group_size=4, kv_type="f16")  # fmt: skip
NAMES = sorted(path.name for path in TEMPLATES.glob("*.jinja"))


@pytest.mark.parametrize("name", NAMES)
def test_a_template_opens_with_what_it_gets(name: str) -> None:
    """A comment before anything else names every variable that comes from outside."""
    source = (TEMPLATES / name).read_text()
    head = re.match(r"\{#(.*?)#\}", source, re.DOTALL)
    assert head, "expected {# what it makes; its variables #}"
    gets = meta.find_undeclared_variables(environment().parse(source)) - {"loop", "caller", "range"}
    missing = [variable for variable in gets if not re.search(rf"\b{variable}\b", head[1])]
    assert not missing, f"{name}: its head does not name {', '.join(sorted(missing))}"


@pytest.mark.parametrize("target", ["portable", "x86-64-v3", "avx512", "duo", "rvv1"])
def test_marks_change_nothing_and_every_function_names_its_template(target: str) -> None:
    plan = make_plan(MODEL, find_target(target))
    texts = render(plan)
    for output, (pattern, scope) in OUTPUTS.items():
        template = pattern.format(kernels=plan.target.kernels)
        gets = {"plan": plan, "m": plan.model, "scope": scope, "header": "x.hpp", "banner": "//"}
        plain, marked = (environment(marked=m).get_template(template).render(gets) for m in (False, True))
        assert MARK.sub("", marked) == plain
        named = name_templates(marked, template)
        assert re.sub(r"// templates/\S+\n", "", named) == plain
        assert "\x01" not in texts[output] and "\x02" not in texts[output]
    for text in (texts["kernels.cpp"], texts["plain.cpp"]):
        named = re.findall(r"^// templates/(\S+)$", text, re.MULTILINE)
        assert len(named) >= 3 and set(named) <= set(NAMES)


def test_a_function_is_told_from_what_is_none() -> None:
    text = "\x01a\x02struct S {\n};\n\n\x01b\x02/// Says it.\n\x01b\x02void f(int x,\n\x01b\x02       int y) {\n}\n\n"
    text += "\x01b\x02constexpr int k = g(1);\n\n"
    text += "\x01c\x02int h(int x) { return x; }\n"
    assert name_templates(text, "a").split("\n")[3:5] == ["// templates/b", "/// Says it."]
    assert name_templates(text, "a").count("// templates/") == 2
    assert name_templates(text, "b").count("// templates/") == 1


def test_nothing_is_added_to_an_expression_where_there_is_nothing_to_add() -> None:
    assert [plus("x", n) for n in (0, 3, -3)] == ["x", "x + 3", "x - 3"]
    for text in render(make_plan(MODEL, find_target("duo"))).values():
        assert not re.search(r"[\w)] [-+] 0\b(?![.x])| \* 1\b(?!\.)", re.sub(r"//.*", "", text))


def test_only_a_familys_own_file_has_its_intrinsics() -> None:
    """What another family of processors has to say is a simd_<family>.jinja, and nothing else."""
    words = re.compile(r"\b(_mm\w*|__m(128|256|512)\w*|__builtin_cpu_supports)\b")
    found = {name for name in NAMES if words.search((TEMPLATES / name).read_text())}
    assert found == {"simd_x86.jinja"}


def test_an_undefined_name_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        environment().from_string("${ nobody }").render()


@pytest.mark.parametrize("target", ["x86-64-v3", "avx512", "duo"])
def test_a_family_without_a_product_takes_the_portable_one(monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    """So that a weight type serves every target from its first day."""
    plan = make_plan(MODEL, find_target(target))
    types = [matrix.weight_type.name for matrix in plan.typical]
    assert types and any(f"portable_matmul_{name}.jinja" not in render(plan)["kernels.cpp"] for name in types)
    monkeypatch.setattr(type(plan), "matmul_template", lambda self, matrix: "none.jinja")
    text = render(plan)["kernels.cpp"]
    assert all(f"// templates/portable_matmul_{name}.jinja" in text for name in types)
