"""What a transaction makes of the database's refusals."""

import pytest

from domain.errors import ConflictError, ErrorCode
from runtime.ids import new_id
from storage.engine import transaction
from storage.models import Project


async def test_a_row_whose_parent_is_gone_is_a_conflict(sessions):
    orphan = Project(id=new_id(), organization_id=new_id(), name="a", slug="a", host_label="a", repository_url="a")
    with pytest.raises(ConflictError) as refused:
        async with transaction(sessions) as session:
            session.add(orphan)
    assert refused.value.code is ErrorCode.CONFLICT
    assert "deleted" in refused.value.message
