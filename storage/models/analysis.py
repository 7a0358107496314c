"""Analyses under way: what the judge carries from look to look, so that another worker can go on with it."""

from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base, Timestamped


class Analysis(Timestamped, Base):
    """`state` is a `domain.canary.state.JudgeState`, `judgement` the answer of the last look."""

    __tablename__ = "analyses"

    deployment_id: Mapped[UUID] = mapped_column(ForeignKey("deployments.id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    state: Mapped[dict[str, Any]]
    judgement: Mapped[dict[str, Any]]
