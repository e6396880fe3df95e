"""One page that says what a model's activation patterns look like on its data."""

from actscope.report.examination import Report, examine, report_on_codes

__all__ = ["Report", "examine", "report_on_codes"]
