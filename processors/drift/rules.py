"""Settings of the drift rules."""

from __future__ import annotations

from pydantic import Field

from ...settings.events import METRICS, Metric
from ...settings.section import Duration, Section


class DriftRules(Section):
    """When an agent's metric counts as drifted, and what it is held against."""

    track: tuple[Metric, ...] = Field(
        METRICS, description="Metrics that are watched, of those that the config's metrics.track names as well."
    )
    factor: float = Field(2.0, gt=1, le=100, description="So many times its baseline, sustained, a metric has drifted.")
    sustain: Duration = Field(600_000, ge=60_000, description="For how long, before an episode opens.")
    step: float = Field(
        0.3, gt=0, le=10, description="A smaller change that lasts opens one too: 0.3 is 30 % worse; see `score`."
    )
    step_sustain: Duration = Field(900_000, ge=60_000, description="For how long such a change lasts at least.")
    least_measured: int = Field(4, ge=2, le=100, description="Measurements that such a change needs at least.")
    score: float = Field(
        4.5, ge=1, le=100, description="Robust z: how far beyond the baseline's own noise a change must lie."
    )
    step_score: float = Field(5.0, ge=1, le=100, description="The same of a smaller change: it is met more often.")
    creep: float = Field(
        0.25, gt=0, le=10, description="A slow climb opens an episode once the last hours are so much worse."
    )
    creep_hours: int = Field(12, ge=2, le=48, description="Over how many hours in a row a slow climb is looked at.")
    critical_factor: float = Field(4.0, gt=1, le=1000, description="So many times the baseline is critical at once.")
    critical_after: Duration = Field(
        3_600_000, ge=60_000, description="An episode still at `factor` after so long is critical."
    )
    resolve_factor: float = Field(
        1.5, ge=1, le=100, description="Below so many times the baseline an episode has cooled down."
    )
    cool_points: int = Field(5, ge=1, le=1000, description="Measurements below it in a row that resolve an episode.")
    cooldown: Duration = Field(
        1_800_000, ge=0, description="After an episode, the same metric opens no other one for so long."
    )
    accept: Duration = Field(
        86_400_000, ge=600_000, description="A level that lasted so long, and no longer climbs, is the new baseline."
    )
    silence: Duration = Field(
        3_600_000, ge=60_000, description="An agent that was silent for so long has its episodes resolved."
    )
    fall: bool = Field(True, description="Report as info when metrics fall to a half and stay there.")
    least_runs: int = Field(5, ge=1, le=100_000, description="Runs that a mean is measured over, at least.")
    least_share: int = Field(20, ge=1, le=100_000, description="Runs, or calls, that a share is measured over.")
    least_quantile: int = Field(50, ge=1, le=100_000, description="Calls that a tool's p95 is measured over.")
    least_calls: int = Field(10, ge=1, le=100_000, description="Requests, or calls, that other metrics need.")
    longest: Duration = Field(
        3_600_000, ge=60_000, description="Windows are added up until there is enough in them, but no longer than so."
    )
    least_points: int = Field(
        15, ge=3, le=10_000, description="Measurements that a baseline needs before anything is held against it."
    )
    trailing_points: int = Field(60, ge=3, le=10_000, description="Measurements that make the trailing baseline.")
    trailing_span: Duration = Field(
        10_800_000, ge=600_000, description="Older ones are left out of it, where there are enough."
    )
    days: int = Field(14, ge=2, le=60, description="Days back that the seasonal baseline looks at.")
    least_days: int = Field(3, ge=2, le=60, description="Days that know an hour before it has a seasonal baseline.")
    least_noise: float = Field(
        0.05, gt=0, le=1, description="Noise that every metric is taken to have, as a part of its baseline."
    )
    least_sway: float = Field(
        0.07, gt=0, le=1, description="How far hours differ from one another, as long as little is known about it."
    )
    most_tools: int = Field(20, ge=0, le=10_000, description="Tools of an agent that are judged: its most called ones.")
    most_versions: int = Field(4, ge=0, le=100, description="Versions of an agent that are judged beside each other.")
    most_tracks: int = Field(
        20_000, ge=100, description="Agents, tools and versions that are known at a time; the longest silent leave."
    )
    mix_distance: float = Field(
        0.03, gt=0, le=1, description="Jensen-Shannon distance (bits) at which a mix has changed, chance left out."
    )
    least_mix: int = Field(20, ge=5, le=100_000, description="Runs that a mix is measured over.")
