import ast
import inspect
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lite_llm4rec import errors
from lite_llm4rec.errors import DataError, LiteLLM4RecError, MissingExtraError, nearest


def test_an_error_says_what_is_wrong_and_what_to_do() -> None:
    error = DataError("log.csv, row 3: the id is missing.", "Drop it.")
    assert str(error) == "log.csv, row 3: the id is missing.\n  What to do: Drop it."
    assert (error.problem, error.remedy) == ("log.csv, row 3: the id is missing.", "Drop it.")


def test_without_a_remedy_the_problem_is_all() -> None:
    assert str(DataError("No.")) == "No."


def test_every_error_is_of_the_family() -> None:
    classes = [value for value in vars(errors).values() if inspect.isclass(value)]
    raised = [value for value in classes if issubclass(value, Exception)]
    assert len(raised) >= 8
    assert all(issubclass(value, LiteLLM4RecError) for value in raised)


def test_every_wrong_setting_is_told_with_its_remedy() -> None:
    package = Path(errors.__file__).parent
    calls = [
        (path.name, node)
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "ConfigError"
    ]
    assert len(calls) > 20
    bare = [f"{name}:{node.lineno}" for name, node in calls if len(node.args) < 2]
    assert bare == []


def test_a_missing_extra_says_how_to_install_it() -> None:
    error = MissingExtraError("faiss", "ann", "The index")
    assert error.problem == "The index needs the package 'faiss', which is not installed."
    assert error.remedy == "pip install 'lite-llm4rec[ann]'"


@pytest.mark.parametrize("error", [DataError("a", "b"), MissingExtraError("faiss", "ann", "It")])
def test_errors_cross_process_borders(error: LiteLLM4RecError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (str(copy), copy.problem, copy.remedy) == (str(error), error.problem, error.remedy)


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("user_idd", ["item_id", "user_id"], "did you mean 'user_id'?"),
        ("zzz", ["a", "b"], "known: a, b"),
        ("zzz", [], "known: "),
        (3, [30, 41], "did you mean '30'?"),
        ("HEAT", ["Casino", "Heat"], "did you mean 'Heat'?"),
    ],
)
def test_nearest(name: str, known: list[object], expected: str) -> None:
    assert nearest(name, known) == expected


def test_a_long_list_of_names_is_cut() -> None:
    text = nearest("zzz", range(30))
    assert text.endswith("18, 19, …")


@given(st.lists(st.text("abcdef", min_size=4), min_size=1))
def test_a_known_name_is_its_own_nearest(names: list[str]) -> None:
    assert nearest(names[0], names) == f"did you mean '{names[0]}'?"
