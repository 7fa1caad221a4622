"""The sections of the report as its page shows them: tables, plots and images."""
