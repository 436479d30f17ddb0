"""Decisions: from facts to jobs, and reasons for what is not done; without input or output."""
