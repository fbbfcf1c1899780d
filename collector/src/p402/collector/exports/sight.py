"""Which exports somebody may see (pure): who may not ask for something gets it from no export of somebody else either."""

from __future__ import annotations

from dataclasses import dataclass

from p402.collector.exports.ports import Export, ExportFormat
from p402.vocabulary import Attribution

__all__ = ["Sight"]


@dataclass(frozen=True, slots=True)
class Sight:
    """What somebody might have asked for themselves."""

    bound_to: Attribution
    """Those of a part within this one."""
    personal: bool
    """Whether those with personal data."""
    evidence: bool
    """Whether those of evidence, which have records of the whole organisation."""

    def has(self, export: Export) -> bool:
        """Tell whether an export is among them."""
        asked = export.request
        own = all(value is None or getattr(asked.within, level.value) == value for level, value in self.bound_to)
        named = (asked.within.employee, asked.within.session) != (self.bound_to.employee, self.bound_to.session)
        is_personal, is_evidence = bool(asked.disclose) or named, asked.format is ExportFormat.EVIDENCE
        return own and (self.personal or not is_personal) and (self.evidence or not is_evidence)
