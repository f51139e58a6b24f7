"""Pages for people: templates, their one stylesheet, and how they are answered."""
