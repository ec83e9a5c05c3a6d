"""What a step has to pass before it begins, and before it counts as good: one file a gate. They are
asked in this order.
"""

from toolkit.gates.addresses import AddressGate
from toolkit.gates.alarms import AlarmGate
from toolkit.gates.bake import BakeGate
from toolkit.gates.base import Gate
from toolkit.gates.checks import CheckGate
from toolkit.gates.live import LiveGate
from toolkit.operations import Job
from toolkit.targets.base import JudgedSettings

GATES: tuple[Gate, ...] = (LiveGate(), AddressGate(), CheckGate(), AlarmGate(), BakeGate())


def has_gate(job: Job) -> bool:
    """Whether something says if a deploy of it is good. What is only built is not live."""
    settings = job.settings
    if job.is_build or not isinstance(settings, JudgedSettings):
        return False
    return any(gate.asked_for(settings) for gate in GATES)
