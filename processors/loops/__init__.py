"""Loops within a run: what changes is progress, what does not is a loop.

A call is its tool and its arguments, an outcome what came back: status, error and result, all as hashes. A frame's
calls go through in arrays: `streaks` says how often something held in a row, `measures` what is measured of a call,
`verdicts` which rule a measure meets, and `find` what is said of it, once a run.

| rule | what it finds |
|---|---|
| `loop.repeat` | the same call with the same outcome, in a row or with other calls between |
| `loop.failing` | the same call failing in a row, however it fails |
| `loop.cycle` | the same 2 to 6 calls with the same outcomes, round after round |
| `loop.stale` | calls in a row that were all made before, with outcomes that were all seen before |
| `loop.error` | one tool failing in a row the same way, whatever the arguments |
| `loop.stagnation` | calls in a row that brought nothing: each failed, or repeated an earlier one |
| `loop.waiting` | patience without end: the same call with the same outcome, asked at decent intervals |
| `loop.retries` | a run most of whose calls are retries, or answered with 429 or 5xx |
| `loop.runaway` | a run that takes far more steps, tokens or money than its agent's runs do |
"""

from .columns import calls_of
from .find import find
from .report import of_loop, of_runaway
from .rules import LoopRules
from .runaway import Runaways

__all__ = ["LoopRules", "Runaways", "calls_of", "find", "of_loop", "of_runaway"]
