"""Flows that start by themselves: what arrives, which flows it starts, when schedules are due, what is reported back."""
