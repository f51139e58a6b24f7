"""One server process: its folder, limits, logs, figures, and how it says that something is wrong.

Called by all rooms above; it knows neither people nor jobs.
"""
