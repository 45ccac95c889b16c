"""A site of the editors' own: Wagtail, with one kind of page that has words and a picture."""
