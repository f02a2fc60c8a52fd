"""Keys that are guarded in a run: the first policy says so, and every other says it, too (`policies.text`)."""

from __future__ import annotations

import json
from collections.abc import Sequence

from consistency.core.model import PreconditionFailed, Written
from consistency.core.store import OutcomeUnknown, StoreError
from simulation.instance import Instance
from simulation.life import Gone
from simulation.record import PolicySent, Run

PATIENCE = 8.0
"""Virtual seconds that it may take."""


async def guard(run: Run, instances: Sequence[Instance]) -> None:
    """Have the keys guarded that the plan names, before anybody asks for anything."""
    policy = {"note": "0", "guarded": run.plan.guarded, "history": {}, "schemas": {}, "reason_required": []}
    text, life = json.dumps(policy), instances[0].alive
    try:
        if life is None:
            raise Gone("refused")
        written: Written = await life.answer(life.cache.put_policy(text.encode()), PATIENCE)
    except (OutcomeUnknown, Gone):
        run.policies.append(PolicySent(text, None, 0))
    except (StoreError, PreconditionFailed):
        run.policies.append(PolicySent(text, False, 0))
    else:
        run.policies.append(PolicySent(text, True, written.revision))
        run.guarded = run.plan.guarded
