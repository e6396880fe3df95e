"""Numbers and claims that the papers print, as data with their source."""

from actscope.studies.printed.values import PrintedValue, claim_text, printed_table

__all__ = ["PrintedValue", "claim_text", "printed_table"]
