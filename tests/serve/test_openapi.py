"""Requests made up from our own OpenAPI description: nothing of it may fail on our side."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.python.asgi import shutdown_lifespans
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from lite_llm4rec.serve.app import create_app
from lite_llm4rec.serve.settings import Settings

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
QUIET = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


@pytest.fixture(scope="module")
def described(made_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One service for all examples; what they add and record stays."""
    database = f"sqlite:///{tmp_path_factory.mktemp('fuzzed') / 'state.db'}"
    yield schemathesis.openapi.from_asgi("/openapi.json", create_app(Settings(made_run, database)))
    shutdown_lifespans()


@pytest.mark.parametrize("examples", [4, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("mode", GenerationMode)
def test_made_up_requests_are_answered_as_described(
    described: Any, mode: GenerationMode, examples: int
):
    """Requests that the description allows, and such that it does not."""
    asked = 0
    for found in described.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=examples, deadline=None, suppress_health_check=QUIET,
            derandomize=examples < 100,
        )  # fmt: skip
        def answered(case: Case) -> None:
            nonlocal asked
            asked += 1
            case.call_and_validate(checks=CHECKS)

        try:
            answered()
        except Unsatisfiable:
            assert (
                mode.is_negative and not operation.body and not operation.query
            )  # cannot be wrong
    assert asked > 10 * examples


def test_every_address_is_described_with_its_refusals(described: Any):
    paths = described.raw_schema["paths"]
    asking = {path: set(paths[path]) for path in paths}
    assert asking["/recommend"] == {"post"} and asking["/users/{user}"] == {"get", "delete"}
    for path, methods in paths.items():
        for operation in methods.values():
            assert operation["description"], path
            if not path.startswith("/health"):
                assert {"401", "422", "429"} <= set(operation["responses"]), path
    examples = described.raw_schema["components"]["schemas"]["RecommendRequest"]["examples"]
    assert len(examples) == 3
