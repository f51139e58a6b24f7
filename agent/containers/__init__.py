"""Containers: an engine behind a protocol, what a job may ask of it, and where its folders lie inside."""
