"""Reports as single HTML files, which need no network: tables that sort, and charts that show values on hover."""

from graphtasks.report.charts import Interval, Series, chart, intervals
from graphtasks.report.page import Section, check_ours, is_page, page, paragraph, table, write_page

__all__ = [
    "Interval",
    "Section",
    "Series",
    "chart",
    "check_ours",
    "intervals",
    "is_page",
    "page",
    "paragraph",
    "table",
    "write_page",
]
