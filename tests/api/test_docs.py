"""The documentation works without the internet, and shows an example for every route."""

from __future__ import annotations

import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter

from blockchain.api import examples, schemas, schemas_history, schemas_proofs
from blockchain.api.docs import STATIC_FOLDER
from blockchain.api.problems import PROBLEM_MEDIA_TYPE
from blockchain.primitives import codec
from blockchain.primitives.crypto import Hash32, SigningKey
from blockchain.primitives.jsonform import transaction_from_json
from blockchain.primitives.transaction import verify_transaction
from blockchain.wallet import Wallet
from tests.api.asking import ask, check_problem
from tests.api.fake_node import FakeNode


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("src", "href") and value]


@pytest.mark.parametrize("path", ["/api/v1/docs", "/api/v1/docs/"])
def test_the_page_and_all_it_loads_come_from_this_node(path: str) -> None:
    page = ask(FakeNode(), path)
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    links = _Links()
    links.feed(page.text)
    assert len(links.found) == 4
    for link in links.found:
        assert link.startswith("/api/v1/static/"), link
        assert ask(FakeNode(), link).status_code == 200
    assert "//" not in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy


@pytest.mark.parametrize("path", ["/api/v1/docs/", "/api/v1/static/docs.js"])
@pytest.mark.parametrize("wanted", ["bytes=x", "bytes=9999999-", "bytes=5-1", "lines=1-2", "bytes=0-1"])
def test_a_file_is_sent_as_a_whole(path: str, wanted: str) -> None:
    """What the framework says of a wrong range is no problem document."""
    part = ask(FakeNode(), path, headers={"Range": wanted})
    assert (part.status_code, part.content) == (200, ask(FakeNode(), path).content)


@pytest.mark.parametrize(
    "path", ["docs.py", "%2e%2e/docs.py", "..%2fdocs.py", "..%5cdocs.py", "%2fetc%2fpasswd", "%00", ""]
)
def test_no_path_leads_out_of_the_folder_that_is_served(path: str) -> None:
    check_problem(ask(FakeNode(), f"/api/v1/static/{path}"), 404, "not_found")


def test_the_page_asks_no_outside_validator() -> None:
    script = ask(FakeNode(), "/api/v1/static/docs.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert "validatorUrl: null" in script.text
    assert 'url: "/api/v1/openapi.json"' in script.text


def test_the_style_sheet_loads_nothing_from_elsewhere() -> None:
    style = (STATIC_FOLDER / "swagger-ui.css").read_text(encoding="utf-8")
    targets = re.findall(r"""url\(["']?([^"')]{1,20})""", style)
    assert targets
    assert all(target.startswith("data:") for target in targets)
    assert "@import" not in style


def test_the_bundled_files_are_those_of_the_note() -> None:
    note = (STATIC_FOLDER / "README.md").read_text(encoding="utf-8")
    noted = re.findall(r"^    ([0-9a-f]{64})  (\S+)$", note, re.MULTILINE)
    assert {name for _, name in noted} == {"swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"}
    for digest, name in noted:
        content = (STATIC_FOLDER / name).read_bytes()
        if not name.endswith(".png"):
            content = content.replace(b"\r\n", b"\n")  # as git checks it out on Windows
        assert hashlib.sha256(content).hexdigest() == digest, name
    assert "Apache License" in (STATIC_FOLDER / "swagger-ui.LICENSE.txt").read_text(encoding="utf-8")


def _document() -> dict[str, Any]:
    document: dict[str, Any] = ask(FakeNode(), "/api/v1/openapi.json").json()
    return document


PATHS = {
    "/ping/",
    "/livez",
    "/readyz",
    "/health",
    "/api/v1/blockchain/",
    "/api/v1/blocks/{reference}/",
    "/api/v1/genesis/",
    "/api/v1/transaction/transaction_pool/",
    "/api/v1/transaction/create/",
    "/api/v1/transactions/{transaction_id}/",
    "/api/v1/status/",
    "/api/v1/consensus/",
    "/api/v1/consensus/why/",
    "/api/v1/accounts/{address}/",
    "/api/v1/blocks/",
    "/api/v1/fees/",
    "/api/v1/transaction/dry_run/",
    "/api/v1/accounts/{address}/transactions/",
    "/api/v1/transactions/{transaction_id}/proof/",
    "/api/v1/accounts/{address}/proof/",
    "/api/v1/validators/",
    "/api/v1/validators/{address}/",
    "/api/v1/peers/",
    "/api/v1/lottery/{height}/{round}/",
}


def test_the_document_lists_every_path_once() -> None:
    document = _document()
    assert set(document["paths"]) == PATHS
    assert document["openapi"].startswith("3.1")


def test_nothing_but_create_changes_a_node() -> None:
    methods = {(method, path) for path, item in _document()["paths"].items() for method in item}
    assert {(method, path) for method, path in methods if method != "get"} == {
        ("post", "/api/v1/transaction/create/"),
        ("post", "/api/v1/transaction/dry_run/"),  # which only asks: tests/node/test_dry_run.py
    }


@pytest.mark.parametrize("path", sorted(PATHS))
def test_every_route_has_examples(path: str) -> None:
    document = _document()
    (operation,) = document["paths"][path].values()
    assert operation["summary"]
    for status, response in operation["responses"].items():
        for media_type, content in response["content"].items():
            assert (media_type == PROBLEM_MEDIA_TYPE) is (not status.startswith("2"))
            assert _examples(document, content), (path, status)
    if "requestBody" in operation:
        shown = operation["requestBody"]["content"]["application/json"]["example"]  # nulls are left out of it
        assert transaction_from_json(shown) == transaction_from_json(examples.SIGNED_TRANSACTION)


def test_every_parameter_has_an_example() -> None:
    shown = [
        (path, parameter["name"], parameter["schema"].get("examples"))
        for path, item in _document()["paths"].items()
        for operation in item.values()
        for parameter in operation.get("parameters", ())
    ]
    assert shown
    assert not [one for one in shown if not one[2]]


def test_every_problem_names_its_codes() -> None:
    for item in _document()["paths"].values():
        for operation in item.values():
            assert {"400", "405", "414", "421", "422", "429", "431", "500", "503"} <= operation["responses"].keys()
            for status, response in operation["responses"].items():
                for code, shown in response["content"].get(PROBLEM_MEDIA_TYPE, {}).get("examples", {}).items():
                    problem = schemas.Problem.model_validate(shown["value"])
                    assert (problem.code, problem.status) == (code, int(status))
                    assert f"`{code}`" in response["description"]


def _examples(document: dict[str, Any], content: dict[str, Any]) -> list[Any]:
    if "examples" in content:
        return [shown["value"] for shown in content["examples"].values()]
    schema = content["schema"]
    schema = schema.get("items", schema)
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    found: list[Any] = schema.get("examples", [])
    return found


MODELS = [
    model
    for room in (schemas, schemas_history, schemas_proofs)
    for model in vars(room).values()
    if isinstance(model, type)
    and issubclass(model, BaseModel)
    and model.__module__ == room.__name__
    and "json_schema_extra" in model.model_config
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_example_fits_its_schema(model: type[BaseModel]) -> None:
    extra = model.model_config["json_schema_extra"]
    assert isinstance(extra, dict)
    shown = extra["examples"]
    assert isinstance(shown, list)
    for example in shown:
        TypeAdapter(model).validate_python(example)


def test_the_signed_example_is_really_signed() -> None:
    genesis_hash = Hash32(bytes.fromhex(examples.GENESIS_HASH))
    signed = verify_transaction(codec.encode(transaction_from_json(examples.SIGNED_TRANSACTION)), genesis_hash)
    assert signed.id.hex() == examples.TRANSACTION_ID
    assert Wallet(SigningKey(bytes(range(32))), genesis_hash).transfer(examples.ADDRESS_B, 1, 2) == signed


def test_every_integer_of_a_path_or_a_query_has_its_bounds_in_the_document() -> None:
    unbounded = []
    for path, item in _document()["paths"].items():
        for operation in item.values():
            for parameter in operation.get("parameters", ()):
                schema = parameter["schema"]
                for one in (schema, *schema.get("anyOf", ())):
                    if one.get("type") == "integer" and not {"minimum", "maximum"} <= one.keys():
                        unbounded.append((path, parameter["name"], schema))
    assert unbounded == []
