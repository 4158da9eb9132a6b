"""Thresholds of the loop rules, in calls; each rule has two levels."""

from __future__ import annotations

from pydantic import Field, model_validator

from ...settings.section import Duration, Section
from ..runs import RING


class _Levels(Section):
    enabled: bool = Field(True, description="Whether the rule speaks at all.")
    warning: int = Field(..., ge=2, description="Level that is worth a look.")
    critical: int = Field(..., ge=2, description="Level that may stop the run.")

    @model_validator(mode="after")
    def _in_order(self) -> _Levels:
        if self.warning > self.critical:
            raise ValueError(f"warning ({self.warning}) comes before critical ({self.critical}), or with it")
        return self


class RepeatRule(_Levels):
    """The same call with the same outcome."""

    warning: int = Field(3, ge=2, description="Calls in a row.")
    critical: int = Field(4, ge=2, description="Calls in a row.")
    burst: Duration = Field(
        2_000,
        ge=0,
        description="Calls that all come within this are one burst, such as parallel calls of one model turn: "
        "`burst_critical` stands for `critical`.",
    )
    burst_critical: int = Field(6, ge=2, description="Calls of a burst.")
    between_warning: int = Field(6, ge=2, le=RING, description=f"Among the run's last {RING} calls, others between.")
    between_critical: int = Field(12, ge=2, le=RING, description=f"Among the run's last {RING} calls, others between.")
    unknown_warning: int = Field(6, ge=2, description="Calls in a row whose results were not logged.")
    unknown_critical: int = Field(12, ge=2, description="Calls in a row whose results were not logged.")


class FailingRule(_Levels):
    """The same call failing."""

    warning: int = Field(3, ge=2, description="Failures in a row.")
    critical: int = Field(4, ge=2, description="Failures in a row.")
    hopeless: int = Field(3, ge=2, description="Stands for `critical` in a run that has got next to nothing so far.")
    retries_warning: int = Field(
        5, ge=2, description="Stands for `warning` where the calls say that they are retries (`attempt`)."
    )
    retries_critical: int = Field(
        7, ge=2, description="Stands for `critical` where the calls say that they are retries (`attempt`)."
    )


class CycleRule(_Levels):
    """The same calls with the same outcomes, round after round."""

    warning: int = Field(3, ge=2, description="Rounds of three to six calls.")
    critical: int = Field(4, ge=2, description="Rounds of three to six calls.")
    pairs: int = Field(3, ge=2, description="Rounds of two calls; critical at once.")


class StaleRule(_Levels):
    """Calls that were all made before, with outcomes that were all seen before."""

    warning: int = Field(5, ge=2, description="Calls in a row.")
    critical: int = Field(7, ge=2, description="Calls in a row.")
    poor: int = Field(4, ge=2, description="Stands for `critical` where all of them failed or came back empty.")


class ErrorRule(_Levels):
    """One tool failing the same way, whatever the arguments."""

    warning: int = Field(5, ge=2, description="Calls in a row with the same error and the same result.")
    critical: int = Field(7, ge=2, description="Calls in a row with the same error and the same result.")
    class_warning: int = Field(8, ge=2, description="Calls in a row with the same error, whatever the result.")
    class_critical: int = Field(12, ge=2, description="Calls in a row with the same error, whatever the result.")


class StagnationRule(_Levels):
    """Calls that brought nothing: each failed, or repeated an earlier one."""

    warning: int = Field(8, ge=2, description="Calls in a row.")
    critical: int = Field(12, ge=2, description="Calls in a row.")
    hopeless: int = Field(8, ge=2, description="Stands for `critical` in a run that has got next to nothing so far.")


class WaitingRule(_Levels):
    """The same call with the same outcome at decent intervals: patience, until it is too much."""

    warning: int = Field(30, ge=2, description="Calls in a row.")
    critical: int = Field(60, ge=2, description="Calls in a row.")
    interval: Duration = Field(30_000, ge=0, description="A decent interval is at least this long …")
    pace: float = Field(
        3.0, ge=0, description="… and this many times what the run usually takes from one call to a new one."
    )
    backoff: float = Field(
        1.5, ge=1, description="Or it is this many times the one before, as of a client that backs off."
    )


class RetriesRule(_Levels):
    """A storm of retries in one run."""

    warning: int = Field(12, ge=2, le=RING, description=f"Among the run's last {RING} calls.")
    critical: int = Field(20, ge=2, le=RING, description=f"Among the run's last {RING} calls.")


class RunawayRule(Section):
    """A run that takes far more than its agent's runs ever do."""

    enabled: bool = Field(True, description="Whether the rule speaks at all.")
    warning: float = Field(4.0, ge=1, description="Times the most that one of the agent's latest 512 runs took.")
    critical: float = Field(8.0, ge=1, description="Times the most that one of the agent's latest 512 runs took.")
    spread_warning: float = Field(
        5.5, ge=0, description="And so many times as far from the median as most runs are, on a scale of ratios."
    )
    spread_critical: float = Field(7.0, ge=0, description="The same.")
    least_runs: int = Field(30, ge=5, le=512, description="Ended runs of the agent, before anything is held to them.")
    least_steps: int = Field(50, ge=1, description="Fewer steps are never too many.")
    least_tokens: int = Field(100_000, ge=1, description="Fewer tokens are never too many.")
    least_cost_usd: float = Field(1.0, ge=0, description="Less money is never too much.")

    @model_validator(mode="after")
    def _in_order(self) -> RunawayRule:
        if self.warning > self.critical:
            raise ValueError(f"warning ({self.warning}) comes before critical ({self.critical}), or with it")
        return self


class LoopRules(Section):
    """Loops within a run. Only what is critical may stop one."""

    repeat: RepeatRule = Field(default_factory=RepeatRule, description="The same call with the same outcome.")
    failing: FailingRule = Field(default_factory=FailingRule, description="The same call failing, however it fails.")
    cycle: CycleRule = Field(default_factory=CycleRule, description="The same 2 to 6 calls, round after round.")
    stale: StaleRule = Field(default_factory=StaleRule, description="Nothing but calls and outcomes seen before.")
    error: ErrorRule = Field(default_factory=ErrorRule, description="One tool failing the same way, other arguments.")
    stagnation: StagnationRule = Field(default_factory=StagnationRule, description="Calls that brought nothing.")
    waiting: WaitingRule = Field(default_factory=WaitingRule, description="Polling that never ends.")
    retries: RetriesRule = Field(default_factory=RetriesRule, description="Retries, 429 and 5xx in one run.")
    runaway: RunawayRule = Field(default_factory=RunawayRule, description="Far beyond what the agent's runs take.")
    hopeless_share: float = Field(
        0.8,
        gt=0,
        le=1,
        description="A run of whose calls this share failed, came back empty or repeated earlier ones has got next to "
        "nothing: it is given less patience.",
    )
