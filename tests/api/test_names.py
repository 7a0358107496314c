"""Names that people are shown, wherever they come in: each field of each request is refused what nobody should see."""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin

import pytest
from pydantic import TypeAdapter, ValidationError

import api.schemas
from api.auth.claims import outside_principal
from api.schemas.base import Body
from domain.permissions import Role
from runtime.trusted_issuers import TrustedIssuer
from tests.api.http.test_errors import check_error
from tests.api.people import acceptance, invited, organization

for module in pkgutil.iter_modules(api.schemas.__path__):
    importlib.import_module(f"api.schemas.{module.name}")

# Faults that no field has a use for, whatever else it takes.
CONTROLS = ["\x00", "\x1b[31m", "\x07", "\x9b2J", "\u202e", "\u2066", "\ud800"]
NAME_FAULTS = ["\n", "\t", "\u200b", "\u2060", "\ufeff", "\u2028", "\u3164", "\u0335" * 9]
# Whatever a test wrote: JSON of any shape, shown as JSON.
FREE = {"ResultCreate.logs"}


def bodies(of: type[Body] = Body) -> Iterator[type[Body]]:
    for body in of.__subclasses__():
        yield body
        yield from bodies(body)


def texts(annotation: Any, metadata: tuple[Any, ...] = ()) -> Iterator[Any]:
    """The types of text in an annotation."""
    if annotation is str:
        yield Annotated[(str, *metadata)] if metadata else str
    elif get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        yield from texts(inner, tuple(more))
    else:
        for inner in get_args(annotation):
            yield from texts(inner)


def fields() -> Iterator[Any]:
    for body in {one for one in bodies() if one.__module__.startswith("api.schemas.")}:
        for name, field in body.model_fields.items():
            for kind in texts(Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation):
                if f"{body.__name__}.{name}" not in FREE:
                    yield pytest.param(kind, id=f"{body.__name__}.{name}")


@pytest.mark.parametrize("kind", sorted(fields(), key=lambda one: str(one.id)))
def test_no_field_takes_what_nobody_should_see(kind):
    adapter = TypeAdapter(kind)
    for fault in CONTROLS:
        for text in (f"ab{fault}cd", f"{fault}abcd", f"abcd{fault}"):
            with pytest.raises(ValidationError):
                adapter.validate_python(text)


@pytest.fixture(scope="module")
async def org(platform):
    return await organization(platform, "named")


def named(org: str, name: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Requests that name something."""
    account, scopes = {"name": name, "role": "viewer"}, ["projects:read"]
    app = {"name": name, "type": "public", "redirect_uris": ["https://a.example/cb"], "scopes": scopes}
    return {
        "organization": ("/organizations", {"name": name, "slug": "odd-name"}),
        "project": (
            f"/organizations/{org}/projects",
            {"name": name, "slug": "odd", "repository_url": "https://git.example.com/a/b"},
        ),
        "service account": (f"/organizations/{org}/service-accounts", account),
        "application": (f"/organizations/{org}/clients", app),
        "webhook": (f"/organizations/{org}/webhooks", {"url": "https://hooks.example.com/", "description": name}),
    }


@pytest.mark.parametrize("noun", ["organization", "project", "service account", "application", "webhook"])
async def test_a_dangerous_name_is_400_and_says_which_character(platform, org, noun):
    for fault in (*CONTROLS[:-1], *NAME_FAULTS):
        path, body = named(org, f"Ac{fault}me")[noun]
        error = check_error(await platform.post(path, body), 400, "VALIDATION_ERROR")
        assert "U+" in error["details"][0]["message"] or "marks" in error["details"][0]["message"]


async def test_half_of_a_surrogate_pair_is_400(platform):
    body = b'{"name": "Ac\\ud800me", "slug": "odd-name"}'
    headers = {"Content-Type": "application/json"}
    check_error(await platform.http.post("/organizations", content=body, headers=headers), 400, "VALIDATION_ERROR")


async def test_names_are_kept_in_one_spelling_and_found_in_any(platform):
    made = await platform.made("/organizations", {"name": " Cafe\u0301  Corp ", "slug": "cafe-corp"})
    assert made["name"] == "Café Corp"
    found = await platform.get("/organizations", params={"search": "Cafe\u0301"})
    assert [one["id"] for one in found.json()["data"]] == [made["id"]]


async def test_a_name_of_spaces_alone_is_400(platform):
    for name in ("  ", "\u00a0\u00a0\u00a0", "a  "):
        body = {"name": name, "slug": "blank-name"}
        check_error(await platform.post("/organizations", body), 400, "VALIDATION_ERROR")


async def test_the_name_of_a_person_is_a_name_too(platform, caller, org):
    token = await invited(platform, org, "bidi@example.com")
    answer = await platform.post("/invitations/accept", acceptance(token, name="Ada\u202eecalevoL"))
    check_error(answer, 400, "VALIDATION_ERROR")
    key = {"name": "ci\u200b", "scopes": ["projects:read"]}
    check_error(await caller(Role.ADMIN, org).post(f"/organizations/{org}/api-keys", key), 400, "VALIDATION_ERROR")


ISSUER = TrustedIssuer(
    name="corp",
    issuer="https://login.corp.example",
    audience="us",
    jwks_url="https://login.corp.example/keys",
    organization="0193b5a0-0000-7000-8000-00000000000a",
    role=Role.VIEWER,
)


@pytest.mark.parametrize("subject", ["ada\u202eadmin", "a\u3164", "a\nb", "a" + "\u0335" * 9])
def test_a_subject_of_another_issuer_can_be_read(subject):
    with pytest.raises(ValueError, match=r"must not|nobody can read"):
        outside_principal({"sub": subject, "iat": 0}, ISSUER)


@pytest.mark.parametrize("email", ["ada@example.com\nBcc: all@example.com", "\u202emoc", "x" * 300, 7])
def test_an_address_of_another_issuer_is_an_address_or_not_shown(email):
    assert outside_principal({"sub": "ada", "email": email}, ISSUER).email == ""


def test_an_address_of_another_issuer_is_shown_in_one_spelling():
    assert outside_principal({"sub": "ada", "email": "Ada@Example.com"}, ISSUER).email == "ada@example.com"
