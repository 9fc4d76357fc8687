"""Everything that can go wrong in a product; see `agents.common.errors`."""

from agents.common.errors import AgentError, NetworkFailure, Refused, StateDamaged, UsageError, VerificationFailed

__all__ = ["AgentError", "NetworkFailure", "Refused", "StateDamaged", "UsageError", "VerificationFailed"]
