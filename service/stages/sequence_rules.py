"""All rules of sequence detection, as data, and what is believed before any of them speaks.

Weights are log-odds, set by hand. Physics ranges are domain knowledge, not from a source.
"""

from service.domain.sequence import SequenceLabel
from service.stages.sequence_rules_diffusion import DIFFUSION_RULES
from service.stages.sequence_rules_other import FUNCTION_RULES, OTHER_RULES
from service.stages.sequence_rules_pixels import PIXEL_RULES
from service.stages.sequence_rules_relaxation import RELAXATION_RULES
from service.stages.sequence_rules_vessels import SUSCEPTIBILITY_RULES, VESSEL_RULES

RULES = (
    *DIFFUSION_RULES,
    *SUSCEPTIBILITY_RULES,
    *VESSEL_RULES,
    *RELAXATION_RULES,
    *FUNCTION_RULES,
    *OTHER_RULES,
    *PIXEL_RULES,
)

# Without evidence a volume is some other MR image.
PRIOR = dict.fromkeys(SequenceLabel, 0.0) | {SequenceLabel.OTHER_MR: 1.5}
