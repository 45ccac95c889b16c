"""Makes its database anew, with an editor and a first page: `python -m gallery`."""

import django
from django.core.management import call_command

django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from wagtail.models import Collection, Locale, Page, Site  # noqa: E402

from gallery.models import GalleryPage  # noqa: E402

call_command("migrate", run_syncdb=True, verbosity=0)
get_user_model().objects.create_superuser("ana", "ana@gallery.test", "a fig tree")
Locale.objects.create(language_code="en")
Collection.add_root(name="Root")
root = Page.add_root(title="Root", slug="root")
page = root.add_child(instance=GalleryPage(title="Gallery", slug="gallery", words="<p>Nothing yet.</p>"))
Site.objects.create(hostname="gallery.test", root_page=page, is_default_site=True)
