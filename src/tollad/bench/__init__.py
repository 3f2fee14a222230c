"""The paper's tables, re-run: what each cell takes, what was published, and what was measured."""
