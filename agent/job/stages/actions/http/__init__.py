"""Stages that send: `webhook` (`sender`) answers, judged (`answers`), and requests made of a stage's configuration (`requests`)."""
