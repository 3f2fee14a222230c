"""The Open Inference Protocol v2, and the description of requests in OpenAPI."""

from __future__ import annotations

import json

import numpy as np
import pytest
from detectors import FEW_STEPS, people, table, train
from hypothesis import given
from hypothesis import strategies as st
from served import client_of, limits

from tollad import TollDetector

pytest.importorskip("prometheus_client")
pytest.importorskip("fastapi.testclient")

pytestmark = pytest.mark.filterwarnings(FEW_STEPS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("inference")
    train("table", false_alarm_rate=0.2).save(path / "numbers.tollad")
    TollDetector(steps=12, hidden=(8,), random_state=0).fit(people()).save(path / "people.tollad")
    return path


@pytest.fixture(scope="module")
def client(folder):
    return client_of(folder / "numbers.tollad", folder / "people.tollad")


def tensor(name="X", shape=(2, 5), datatype="FP64", data=None):
    return {"name": name, "shape": [*shape], "datatype": datatype, "data": [0.0] * 10 if data is None else data}


def columns(n=3):
    frame = people(n, seed=2)
    frame["member"] = frame["member"].astype(float)
    texts = {"city": frame["city"].tolist(), "seen": frame["seen"].dt.strftime("%Y-%m-%d").tolist()}
    numbers = {name: [None if np.isnan(x) else x for x in frame[name]] for name in ("age", "member")}
    return [
        *(tensor(name, (n,), "FP64", values) for name, values in numbers.items()),
        *(tensor(name, (n,), "BYTES", values) for name, values in texts.items()),
    ]


class TestInfer:
    @pytest.mark.parametrize("nested", [True, False])
    def test_a_matrix_has_the_answers_of_score(self, client, nested):
        rows = table(6, seed=4)
        data = rows.tolist() if nested else rows.ravel().tolist()
        body = {"id": "mine", "inputs": [tensor(shape=rows.shape, data=data)]}
        said = client.post("/v2/models/numbers/infer", json=body).json()
        wanted = client.post("/models/numbers/score", json={"rows": rows.tolist()}).json()
        assert (said["model_name"], said["id"]) == ("numbers", "mine")
        assert said["parameters"] == {"threshold": wanted["threshold"]}
        assert {output["name"]: output["data"] for output in said["outputs"]} == {
            name: wanted[name] for name in ("anomaly_score", "anomaly", "p_value")
        }
        assert [(output["datatype"], output["shape"]) for output in said["outputs"]] == [
            ("FP64", [6]),
            ("BOOL", [6]),
            ("FP64", [6]),
        ]

    def test_mixed_columns_are_one_input_each(self, client):
        inputs = columns()
        said = client.post("/v2/models/people/infer", json={"inputs": inputs, "outputs": [{"name": "anomaly_score"}]})
        wanted = client.post(
            "/models/people/score", json={"columns": {each["name"]: each["data"] for each in inputs}}
        ).json()
        assert said.status_code == 200, said.text
        (output,) = said.json()["outputs"]
        assert output["data"] == wanted["anomaly_score"]

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            ({}, 'the body must be {"inputs"'),
            ({"inputs": []}, "the inputs lack X"),
            ({"inputs": [3]}, "the inputs must be X"),
            ({"inputs": [tensor("Y")]}, "the inputs must be X"),
            ({"inputs": [tensor(), tensor()]}, "each once"),
            ({"inputs": [tensor(datatype="BYTES")]}, "the datatype must be FP64"),
            ({"inputs": [tensor(shape=(2, 4))]}, "the shape must be [-1, 5]"),
            ({"inputs": [tensor(shape=(10,))]}, "the shape must be [-1, 5]"),
            ({"inputs": [tensor(shape=(3, 5))]}, "the shape [3, 5] wants 15 values; there are 10"),
            ({"inputs": [tensor(data=[[0.0] * 5, [0.0] * 6])]}, "5 values a row"),
            ({"inputs": [tensor(data=["a"] * 10)]}, "value 0: 'a' is no number"),
            ({"inputs": [tensor()], "outputs": [{"name": "other"}]}, "the outputs are anomaly_score"),
        ],
    )
    def test_what_cannot_be_read_is_400(self, client, body, words):
        response = client.post("/v2/models/numbers/infer", json=body)
        assert response.status_code == 400
        assert words in response.json()["error"]

    def test_limits_and_names_hold_here_too(self, folder, client):
        assert client.post("/v2/models/none/infer", json={}).status_code == 404
        small = client_of(folder / "numbers.tollad", limits=limits(n_rows=1))
        assert small.post("/v2/models/numbers/infer", json={"inputs": [tensor()]}).status_code == 413
        uneven = [*columns()[:-1], tensor("seen", (2,), "BYTES", ["2024-01-01"] * 2)]
        said = client.post("/v2/models/people/infer", json={"inputs": uneven})
        assert "as many rows as one another" in said.json()["error"]

    @given(
        st.fixed_dictionaries(
            {
                "name": st.sampled_from(["X", "age", "city"]) | st.none(),
                "shape": st.lists(st.integers(-1, 6), max_size=3) | st.none() | st.just([2, 5]),
                "datatype": st.sampled_from(["FP64", "INT8", "BYTES", "ODD"]) | st.integers(),
                "data": st.recursive(
                    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
                    lambda inner: st.lists(inner, max_size=10),
                    max_leaves=20,
                ),
            }
        )
    )
    def test_no_request_ends_in_an_error_of_the_server(self, client, one):
        for name in ("numbers", "people"):
            body = json.dumps({"inputs": [one], "outputs": one["shape"]}).encode()
            response = client.post(f"/v2/models/{name}/infer", content=body)
            assert response.status_code in (200, 400), response.text


class TestMetadata:
    def test_of_the_server_and_its_models(self, client):
        assert client.get("/v2").json()["name"] == "tollad"
        assert client.get("/v2/health/live").json() == {"live": True}
        assert client.get("/v2/health/ready").json() == {"ready": True}
        assert client.get("/v2/models/people/ready").json() == {"name": "people", "ready": True}
        assert client.get("/v2/models/none/ready").status_code == 404
        numbers = client.get("/v2/models/numbers").json()
        assert numbers["inputs"] == [{"name": "X", "datatype": "FP64", "shape": [-1, 5]}]
        assert [output["name"] for output in numbers["outputs"]] == ["anomaly_score", "anomaly", "p_value"]
        mixed = client.get("/v2/models/people").json()
        assert [(each["name"], each["datatype"]) for each in mixed["inputs"]] == [
            ("age", "FP64"),
            ("city", "BYTES"),
            ("seen", "BYTES"),
            ("member", "FP64"),
        ]


class TestDescription:
    def test_rows_are_described_by_the_columns_of_each_model(self, client):
        said = client.get("/openapi.json").json()
        assert {"/models/numbers/score", "/models/people/explain", "/v2/models/people/infer"} <= {*said["paths"]}
        assert "/score" not in said["paths"]
        posted = said["paths"]["/models/people/score"]["post"]["requestBody"]["content"]
        schema = said["components"]["schemas"][posted["application/json"]["schema"]["$ref"].rpartition("/")[2]]
        as_list, as_object = schema["oneOf"][0]["properties"]["rows"]["items"]["anyOf"]
        assert len(as_list["prefixItems"]) == as_list["minItems"] == 4
        assert as_list["items"] is False
        assert sorted(as_object["properties"]["city"]["anyOf"][0]["enum"]) == ["Bonn", "Oslo", "Rome"]
        assert as_object["required"] == ["age", "city", "seen", "member"]

    def test_the_schema_takes_what_is_scored_and_no_other_width(self, folder, client):
        jsonschema = pytest.importorskip("jsonschema")
        said = client.get("/openapi.json").json()["components"]["schemas"]
        rows = {title["title"]: jsonschema.Draft202012Validator(title) for title in said.values() if "title" in title}
        for schema in said.values():
            jsonschema.Draft202012Validator.check_schema(schema)
        row = [31, "Bonn", "2024-03-01", True]
        people_rows = rows["Rows of people"]
        for body, fits in [
            ({"rows": [row]}, True),
            ({"rows": [row[:3]]}, False),
            ({"rows": [[*row, 1]]}, False),
            ({"rows": [dict(zip(["age", "city", "seen", "member"], row, strict=True))]}, True),
            ({"rows": [{"age": 3}]}, False),
            ({"rows": [["old", *row[1:]]]}, False),
            ({"columns": {"age": [1], "city": ["Bonn"], "seen": ["2024-03-01"], "member": [None]}}, True),
            ({"rows": [row], "columns": {}}, False),
        ]:
            assert people_rows.is_valid(body) == fits, body
            assert (client.post("/models/people/score", json=body).status_code == 200) == fits
        assert rows["Tensors of people"].is_valid({"inputs": columns()})
        assert not rows["Tensors of numbers"].is_valid({"inputs": columns()})
