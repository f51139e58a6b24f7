"""Parts that the triggers of streams share: libraries, bodies, handing on in order, bookmarks that are held, and waiting."""
