"""The settings of the fleet-wide rules."""

from __future__ import annotations

from pydantic import Field

from ...settings.section import Duration, Section
from .sample import SAMPLE


class FailingRules(Section):
    """The same call, with the same arguments, failing for many runs."""

    within: Duration = Field(
        600_000, ge=60_000, le=86_400_000, description="How far apart, by event time, the failures may lie."
    )
    least_runs: int = Field(10, ge=2, le=SAMPLE, description="Runs that the call fails for; a warning.")
    critical_runs: int = Field(30, ge=2, le=SAMPLE, description="As many are critical.")
    share: float = Field(
        0.5, gt=0, le=1, description="Share of such calls that fail: one that mostly works is not broken."
    )


class StormRules(Section):
    """A trouble that a share of a tool's calls has, all over the fleet."""

    sustain: Duration = Field(180_000, ge=0, le=86_400_000, description="How long the share must have been high.")
    least_calls: int = Field(50, ge=1, description="Calls of the tool in that time, without which nothing is said.")
    least_runs: int = Field(5, ge=1, le=SAMPLE, description="Runs that the trouble must have hit in that time.")
    factor: float = Field(3.0, gt=1, description="How many times its usual share is too much.")
    least_share: float = Field(0.2, gt=0, le=1, description="A share below this is never too much.")
    young_share: float = Field(0.5, gt=0, le=1, description="What is too much where the usual share is not known yet.")
    critical_share: float = Field(0.5, gt=0, le=1, description="A share that is critical, if it hit enough runs.")
    critical_runs: int = Field(20, ge=1, le=SAMPLE, description="Runs hit, without which nothing is critical.")
    window_calls: int = Field(10, ge=1, description="Calls that a window needs to say what is usual.")
    least_windows: int = Field(15, ge=1, description="Windows that must have said so before it is known.")
    baseline_windows: int = Field(60, ge=1, le=1_440, description="The latest windows whose median is the usual.")
    cool: Duration = Field(
        300_000, ge=0, le=86_400_000, description="How long the share must have been low again to end an episode."
    )
    resolve_factor: float = Field(0.5, gt=0, le=1, description="Low is below this part of what was too much.")


class HandoffRules(Section):
    """Runs that start each other in turns: A hands to B, B to A, and so on; or A to itself, ever deeper."""

    within: Duration = Field(
        1_800_000, ge=60_000, le=86_400_000, description="How far apart the first and the last of the runs may begin."
    )
    longest_period: int = Field(4, ge=1, le=8, description="Most agents that take turns.")
    rounds: int = Field(3, ge=2, le=32, description="Rounds of the agents; a warning.")
    least_runs: int = Field(6, ge=2, le=64, description="Runs in a chain below which nothing is said.")
    critical_rounds: int = Field(5, ge=2, le=32, description="As many rounds are critical.")
    critical_runs: int = Field(10, ge=2, le=64, description="Runs in a chain below which nothing is critical.")
    cool: Duration = Field(900_000, ge=0, le=86_400_000, description="How long without such a chain ends an episode.")
    most_runs: int = Field(
        200_000, ge=1_000, description="Runs whose parents are remembered, some 300 bytes each; the oldest go first."
    )


class FleetRules(Section):
    """What goes wrong in many runs at once."""

    failing: FailingRules = Field(default_factory=FailingRules, description="The same call failing for many runs.")
    retries: StormRules = Field(
        default_factory=StormRules, description="A tool's calls that are retries, or answered 429 or 5xx."
    )
    timeouts: StormRules = Field(
        default_factory=lambda: StormRules(least_share=0.1, young_share=0.3),
        description="A tool's calls that time out: the trouble is upstream.",
    )
    handoffs: HandoffRules = Field(default_factory=HandoffRules, description="Hand-off loops along parent_run_id.")
    window: Duration = Field(60_000, ge=1_000, le=3_600_000, description="Length of a window of event time.")
    grace: Duration = Field(
        10_000, ge=0, le=3_600_000, description="How long after a window's end, by event time, it is closed."
    )
    skew: Duration = Field(
        5_000, ge=0, description="An event's clock moves the watermark no further ahead of the log than this."
    )
    quiet: Duration = Field(
        180_000, ge=100, description="A partition that was silent for so long, by log time, is not waited for."
    )
    settle: Duration = Field(
        5_000, ge=0, description="How long after its first part came a window is judged: partitions take turns to send."
    )
    most_windows: int = Field(
        240, ge=1, description="Windows that may be waiting; beyond it the oldest is judged as it is."
    )
    most_tools: int = Field(200, ge=1, le=5_000, description="Tools that a partition tells of a window.")
    most_calls: int = Field(100, ge=1, le=5_000, description="Failing calls that a partition tells of a window.")
    most_edges: int = Field(20_000, ge=0, description="Runs with a parent that a partition tells of a stretch.")
    buffer_events: int = Field(
        65_536, ge=1, le=4_194_304, description="Events that are kept as columns before they are grouped."
    )
    stretch: Duration = Field(
        7_200_000,
        ge=60_000,
        le=86_400_000,
        description="Stretch of log time by which fleet parts are replayed when a worker starts: one to two of them.",
    )
