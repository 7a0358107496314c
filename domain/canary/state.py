"""The judge's state between looks. It survives a JSON round trip, so that an activity can store it."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from domain.canary.compared import Compared
from domain.canary.counts import SideCounts, WindowCounts, since
from domain.canary.error_rate import EFFECTS
from domain.canary.late import Late
from domain.canary.latency_evidence import NO_BETS
from domain.canary.two_sample import ODDS_RATIOS


class SideState(BaseModel):
    """One side so far: all counts, and those still waiting for the other side's requests to be compared with."""

    model_config = ConfigDict(frozen=True)

    seen: SideCounts | None = None
    total: WindowCounts = WindowCounts()
    pending: WindowCounts = WindowCounts()

    @property
    def known(self) -> WindowCounts:
        """Counts that were compared already, on which bets on pending ones may depend."""
        return self.total.minus(self.pending)

    def read(self, now: SideCounts) -> tuple[Self, bool]:
        """The state after a reading, and whether there was a gap; requests in a gap are not counted."""
        nothing = (0,) * len(now.bounds)
        before = self.seen or SideCounts(epoch=now.epoch, bounds=now.bounds, at_or_below=nothing, client_errors=0)
        new = since(before, now)
        if new is None:
            return self.model_copy(update={"seen": now.model_copy(update={"samples": ()})}), True
        # Errors beyond the number of requests are left for the next reading, which includes their requests.
        known = {"samples": (), "errors": before.errors + new.errors}
        if now.client_errors is not None:
            known["client_errors"] = (before.client_errors or 0) + new.client_errors
        seen = now.model_copy(update=known)
        update = {"seen": seen, "total": self.total.plus(new), "pending": self.pending.plus(new)}
        return self.model_copy(update=update), False

    def from_here(self, now: SideCounts) -> Self:
        """Continue counting at this reading; counts since the last one, and pending ones, are dropped."""
        return self.model_copy(update={"seen": now.model_copy(update={"samples": ()})}).compared()

    def compared(self) -> Self:
        """Without pending counts."""
        return self.model_copy(update={"pending": WindowCounts()})


class JudgeState(BaseModel):
    """Bets are logarithms of e-values. `failed` is the total number of such looks, `unmeasured` the number in a row.

    `compared` and `compared_timed` are the requests (with latency) on which bets were placed.
    """

    model_config = ConfigDict(frozen=True)

    started_at: datetime | None = None
    looked_at: datetime | None = None
    stable: SideState = SideState()
    canary: SideState = SideState()
    history: WindowCounts = Field(default=WindowCounts(), description="of the stable release, before the analysis")
    worse: tuple[float, ...] = Field(default=(0.0,) * EFFECTS, description="one bet an effect on errors")
    not_worse: float = Field(default=0.0, description="evidence that errors are not worse by min_effect")
    slower: tuple[tuple[float, ...], ...] = Field(default=NO_BETS, description="a row a quantile, a bet an odds ratio")
    refused_more: tuple[float, ...] = Field(default=(0.0,) * len(ODDS_RATIOS), description="bets on more 4xx")
    refused_fewer: tuple[float, ...] = Field(default=(0.0,) * len(ODDS_RATIOS), description="bets on fewer 4xx")
    late: Late = Field(default=Late(), description="the same bets again, laid little by little")
    compared: Compared = Compared()
    compared_timed: Compared = Compared()
    gaps: int = 0
    lost_seconds: float = Field(default=0, description="of which nothing is known, because of gaps")
    failed: int = 0
    unmeasured: int = 0
    harm: tuple[str, ...] = Field(default=(), description="reasons of the last failed look")
    held_s: float = Field(default=0.0, description="how long people held the analysis so far, left out of its time")

    def resumed(self, held_s: float, *, stable: SideCounts | None, canary: SideCounts) -> Self:
        """The state after a pause: its time and requests are dropped, and counting continues at these readings.

        Args:
            held_s: total length of all pauses; repeating a value changes nothing.
            stable: cumulative counters now.
            canary: cumulative counters of the new release.
        """
        if held_s <= self.held_s:
            return self
        if self.started_at is None:  # nothing was counted before the pause
            return self.model_copy(update={"held_s": held_s})
        update: dict[str, object] = {
            "held_s": held_s,
            "started_at": self.started_at + timedelta(seconds=held_s - self.held_s),
            "canary": self.canary.from_here(canary),
        }
        if self.looked_at is not None:
            update["looked_at"] = self.looked_at + timedelta(seconds=held_s - self.held_s)
        if stable is not None:
            update["stable"] = self.stable.from_here(stable)
        return self.model_copy(update=update)

    @model_validator(mode="before")
    @classmethod
    def _of_before_it_was_counted(cls, stored: Any) -> Any:
        """A state of an older release: all counts that are not pending were compared."""
        if not isinstance(stored, Mapping) or "compared" in stored or not stored.get("started_at"):
            return stored
        sides = {name: SideState.model_validate(stored.get(name) or {}).known for name in ("canary", "stable")}
        return {
            **stored,
            "compared": {name: known.requests for name, known in sides.items()},
            "compared_timed": {name: known.timed for name, known in sides.items()},
        }

    @classmethod
    def begin(
        cls,
        now: datetime,
        *,
        stable: SideCounts | None = None,
        canary: SideCounts | None = None,
        history: WindowCounts | None = None,
    ) -> Self:
        """The start of an analysis. Counting starts at the given readings, else at zero.

        `history` are earlier counts of the stable release. They never count as evidence; they only choose the first
        bets, while the stable release's own error rate and latency are not known yet.
        """
        sides = {"stable": SideState(seen=stable), "canary": SideState(seen=canary)}
        return cls(started_at=now, history=history or WindowCounts(), **sides)

    def has_new_errors(self, stable: SideCounts | None, canary: SideCounts) -> bool:
        """Whether a reading has more errors than the last one."""
        return any(
            now is not None and side.seen is not None and now.errors > side.seen.errors
            for side, now in ((self.stable, stable), (self.canary, canary))
        )

    def passed_over(self, stable: SideCounts | None, canary: SideCounts) -> Self:
        """Drops the requests since the last reading on both sides: they say nothing about the versions."""
        theirs = self.stable.from_here(stable) if stable else self.stable
        return self.model_copy(
            update={"canary": self.canary.from_here(canary), "stable": theirs, "gaps": self.gaps + 1}
        )

    def prolonged(self, seconds: float) -> Self:
        """Extended by seconds that do not count as observation."""
        begun = self.started_at
        return self if begun is None else self.model_copy(update={"started_at": begun + timedelta(seconds=seconds)})
