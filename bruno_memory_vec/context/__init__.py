"""The context builder: the right few hundred tokens for a prompt."""

from bruno_memory_vec.context.report import BuiltContext, ContextItem, ContextReport, LeftOut
from bruno_memory_vec.context.strategies import STRATEGIES, Strategy

__all__ = ["STRATEGIES", "BuiltContext", "ContextItem", "ContextReport", "LeftOut", "Strategy"]
