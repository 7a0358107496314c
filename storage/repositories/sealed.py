"""Encrypted values of any table, in batches, for key rotation."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from storage.sealed import SealedColumn


class SealedRepository:
    """The values of one column, in the order of their rows' primary keys."""

    def __init__(self, session: AsyncSession, place: SealedColumn) -> None:
        self._session = session
        self._model = place.model
        self._id = getattr(place.model, place.key)
        self._value = getattr(place.model, place.column)

    async def batch(self, after: Any, limit: int) -> Sequence[tuple[Any, bytes]]:
        """Ids and values after an id (None: from the first), locked until the transaction ends."""
        statement = select(self._id, self._value).where(self._value.is_not(None))
        if after is not None:
            statement = statement.where(self._id > after)
        # NO KEY: rows with a foreign key to these can still be written meanwhile.
        statement = statement.order_by(self._id).limit(limit).with_for_update(key_share=True)
        return [(row[0], row[1]) for row in await self._session.execute(statement)]

    async def put(self, row_id: Any, sealed: bytes) -> None:
        """Write a re-encrypted value: the secret is the same, so nothing else of the row changes."""
        values: dict[Any, Any] = {self._value: sealed}
        if hasattr(self._model, "updated_at"):
            values[self._model.updated_at] = self._model.updated_at
        await self._session.execute(update(self._model).where(self._id == row_id).values(values))

    async def keys(self) -> Mapping[str, int]:
        """Number of values encrypted with each key, by the key's id in hexadecimal."""
        key = func.encode(func.substring(self._value, 2, 8), "hex")
        statement = select(key, func.count()).where(self._value.is_not(None)).group_by(key)
        return {row[0]: row[1] for row in await self._session.execute(statement)}
