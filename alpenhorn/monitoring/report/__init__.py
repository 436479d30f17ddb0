"""The report on an archive as one web page: its data, charts and template."""
