"""Analyses in progress: the judge's state between measurements, so that another worker can resume them."""

from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from storage.models.base import Base, Timestamped


class Analysis(Timestamped, Base):
    """`state` is a `domain.canary.state.JudgeState`, `judgement` the result of the last measurement."""

    __tablename__ = "analyses"

    deployment_id: Mapped[UUID] = mapped_column(ForeignKey("deployments.id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    state: Mapped[dict[str, Any]]
    judgement: Mapped[dict[str, Any]]
