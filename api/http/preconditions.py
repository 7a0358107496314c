"""`If-Match`: prevents lost updates. The tags are set by `reply`, from `api.http.etags`.

async def change(session): row = await FeatureRepository(session, principal.tenant).get(feature_id, lock=True)
precondition.check(FeatureView.model_validate(row))
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request
from pydantic import BaseModel

from api.http.errors import InvalidRequestError
from api.http.etags import ANY, IF_MATCH, MAX_HEADER, etag_of, parse_tags
from domain.errors import CallerError, ErrorCode


class PreconditionFailedError(CallerError):
    """The resource has changed since the caller read it."""

    default_code = ErrorCode.PRECONDITION_FAILED


@dataclass(frozen=True)
class Condition:
    """The tags of `If-Match`; `tags` is None without the header."""

    tags: Sequence[str] | None

    @property
    def given(self) -> bool:
        """Whether there is anything to check."""
        return self.tags is not None

    def check(self, current: BaseModel) -> None:
        """Compare with the resource's view as GET would answer it now; lock its row before.

        Raises:
            PreconditionFailedError: the tag differs. Weak tags never match (RFC 9110, 13.1.1).
        """
        if self.tags is None or ANY in self.tags:
            return
        etag = etag_of(current)
        if etag not in self.tags:
            raise PreconditionFailedError(
                "the resource was changed since you read it; read it again, and send its present ETag in If-Match",
                details={"etag": etag},
            )


async def _if_match(
    request: Request,
    if_match: Annotated[
        str | None,
        Header(
            max_length=MAX_HEADER,
            description="the ETag that was read; another one now is a 412",
            json_schema_extra={"pattern": IF_MATCH},
        ),
    ] = None,
) -> Condition:
    if if_match is None:
        return Condition(None)
    tags = parse_tags(request.headers.getlist("if-match"))
    if tags is None:
        raise InvalidRequestError(
            "If-Match", 'must be * or a list of tags, each in double quotes: "abc"', code="etag_invalid", in_body=False
        )
    return Condition(tags)


Precondition = Annotated[Condition, Depends(_if_match)]
