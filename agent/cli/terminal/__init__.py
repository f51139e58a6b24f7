"""The terminal: screens of runs, tables, times, progress, and streams of any encoding."""
