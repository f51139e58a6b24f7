"""`--hypothesis-profile=long`: the property tests of the planner at length, by hand."""

from hypothesis import settings

settings.register_profile("long", max_examples=5000, deadline=None)
