"""The OpenAPI description of requests and answers, with the columns of each model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from tollad.detector.estimator import TollDetector
from tollad.serve.bodies import FORM, JSON
from tollad.serve.inference import inputs_of
from tollad.serve.models import Served, TableAnswers
from tollad.tables.schema import MAX_LEVELS, Column

_SCORES = {"type": "array", "items": {"type": "number"}}
_ANSWER = {
    "type": "object",
    "required": ["anomaly_score", "anomaly", "threshold"],
    "properties": {
        "anomaly_score": {**_SCORES, "description": "One a row; high is anomalous."},
        "anomaly": {"type": "array", "items": {"type": "boolean"}},
        "p_value": {**_SCORES, "description": "Of a calibrated model."},
        "threshold": {"type": "number"},
    },
}
_REASONS = {"type": "array", "items": {"type": "array", "items": {"type": "string"}}}
_EXPLAINED = {**_ANSWER, "properties": {**_ANSWER["properties"], "reasons": _REASONS}}  # type: ignore[dict-item]
_ERROR = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
_OF_NAMES = {"401": "The token is missing or wrong.", "404": "There is no such model."}
_REFUSALS = {
    **_OF_NAMES,
    "408": "The body took too long.",
    "413": "The body or its rows are too many.",
    "415": "The content type is not known.",
    "422": "The rows cannot be read; one sentence says why.",
    "503": "Too many requests are waiting.",
}


def with_models(base: dict[str, Any], models: Mapping[str, Served]) -> dict[str, Any]:
    """Return the description of the service, with the paths and rows of its models.

    Parameters
    ----------
    base : dict
        An OpenAPI document of the other paths.
    models : mapping of str to Served
    """
    schemas, paths = {"answer": _ANSWER, "explained": _EXPLAINED, "error": _ERROR}, dict(base["paths"])
    told = {"description": "For Prometheus.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    paths["/metrics"]["get"]["responses"] = {"200": told}
    for path in ("/v2/models/{name}", "/v2/models/{name}/ready"):
        answered = {"200": {"description": "The answer."}}
        paths[path]["get"]["responses"] = {**answered, **_refusals({"400": "It is no model of a table.", **_OF_NAMES})}
    for number, (name, model) in enumerate(models.items()):
        answers, rows, tensors = model.loaded.answers, f"rows-{number}", f"tensors-{number}"
        reasons = {"name": "reasons", "in": "query", "schema": {"type": "integer", "minimum": 1, "default": 3}}
        for path in [f"/models/{quote(name)}", *([""] if len(models) == 1 else [])]:
            paths[f"{path}/score"] = {"post": _posted(f"Score by {name}.", answers.types, rows, "answer", [])}
            paths[f"{path}/explain"] = {
                "post": _posted(f"Score by {name}, and say why.", answers.types, rows, "explained", [reasons])
            }
        if not isinstance(answers, TableAnswers):
            continue
        schemas[rows] = {"title": f"Rows of {name}", **rows_schema(answers.detector, answers.reader.names)}
        schemas[tensors] = {"title": f"Tensors of {name}", **tensors_schema(answers.detector, answers.reader.names)}
        paths[f"/v2/models/{quote(name)}/infer"] = {
            "post": {
                "summary": f"Score tensors by {name}, in the Open Inference Protocol.",
                "requestBody": _body({"application/json": _reference(tensors)}),
                "responses": {
                    "200": {"description": "The answers as tensors."},
                    **_refusals({("400" if status == "422" else status): why for status, why in _REFUSALS.items()}),
                },
            }
        }
    return {**base, "paths": paths, "components": {"schemas": schemas}}


def rows_schema(detector: TollDetector, names: list[str]) -> dict[str, Any]:
    """Return the JSON schema of a body with rows of one model: lists of exactly its width, objects, or columns."""
    learnt = {column.name: column for column in getattr(detector, "columns_", [])}
    values = {name: _value(learnt.get(name)) for name in names}
    as_list = {"type": "array", "prefixItems": [*values.values()], "items": False, "minItems": len(names)}
    as_object = {"type": "object", "properties": values, "required": names}
    columns = {name: {"type": "array", "minItems": 1, "items": value} for name, value in values.items()}
    rows = {"type": "array", "minItems": 1, "items": {"anyOf": [as_list, as_object]}}
    return {
        "oneOf": [
            _only("rows", rows),
            _only("columns", {"type": "object", "properties": columns, "required": names}),
        ]
    }


def tensors_schema(detector: TollDetector, names: list[str]) -> dict[str, Any]:
    """Return the JSON schema of a request for inference by one model."""
    tensors = []
    for name, (datatype, shape) in inputs_of(detector, names).items():
        sides = [{"type": "integer", "minimum": 1}, *({"const": side} for side in shape[1:])]
        properties = {
            "name": {"const": name},
            "datatype": {"const": datatype},
            "shape": {"type": "array", "prefixItems": sides, "items": False, "minItems": len(sides)},
            "data": {"type": "array"},
        }
        tensors.append({"type": "object", "required": [*properties], "properties": properties})
    inputs = {"type": "array", "minItems": len(tensors), "maxItems": len(tensors), "items": {"anyOf": tensors}}
    properties = {"id": {"type": "string"}, "inputs": inputs}
    return {"type": "object", "required": ["inputs"], "properties": properties}


def _value(column: Column | None) -> dict[str, Any]:
    """Return the schema of a value; null is a missing one."""
    if column is None or column.kind == "number":
        return {"type": ["number", "boolean", "null"]}
    if column.kind == "date":
        return {"type": ["string", "null"], "description": "A date or a time as ISO 8601 writes it."}
    if len(column.levels) > MAX_LEVELS:
        return {"type": ["string", "null"]}
    other = {"type": ["string", "number", "boolean", "null"], "description": "One that the training rows did not have."}
    return {"anyOf": [{"enum": [*column.levels]}, other]}


def _only(key: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": [key], "properties": {key: value}, "additionalProperties": False}


def _posted(
    summary: str, types: Sequence[str], rows: str, answer: str, parameters: list[dict[str, Any]]
) -> dict[str, Any]:
    text: dict[str, Any] = {"type": "string", "format": "binary"}
    form = {"type": "object", "additionalProperties": {"type": "array", "items": text}}
    others = {JSON: _reference(rows), FORM: form}
    content = {content_type: others.get(content_type, text) for content_type in types}
    answered = {"description": "The answers.", "content": {"application/json": {"schema": _reference(answer)}}}
    responses = {"200": answered, **_refusals(_REFUSALS)}
    return {"summary": summary, "parameters": parameters, "requestBody": _body(content), "responses": responses}


def _refusals(reasons: Mapping[str, str]) -> dict[str, Any]:
    error = {JSON: {"schema": _reference("error")}}
    return {status: {"description": reason, "content": error} for status, reason in reasons.items()}


def _body(schemas: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    return {"required": True, "content": {content_type: {"schema": schema} for content_type, schema in schemas.items()}}


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}
