"""Django's settings. The folder that everything is kept in is the environment's GALLERY."""

import os
from pathlib import Path

KEPT = Path(os.environ["GALLERY"])
SECRET_KEY = "of a test"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "gallery.urls"
WSGI_APPLICATION = "django.core.wsgi.get_wsgi_application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "gallery",
    "wagtail.sites",
    "wagtail.users",
    "wagtail.snippets",
    "wagtail.documents",
    "wagtail.images",
    "wagtail.search",
    "wagtail.admin",
    "wagtail",
    "modelcluster",
    "taggit",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.debug",
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": KEPT / "gallery.sqlite", "OPTIONS": {"timeout": 20}}}
STATIC_URL = "/static/"
MEDIA_ROOT = KEPT / "media"
MEDIA_URL = "/media/"
# What is behind TLS knows it by what its proxy says: the cookies are secure, and forms are taken from https only.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
WAGTAIL_SITE_NAME = "Gallery"
WAGTAILADMIN_BASE_URL = "https://gallery.test"
# Nothing is sent unless somebody acts: a page that saves and pings by itself gives up on what is on its way when it is left,
# and whether anything then is depends on how fast the machine is.
WAGTAIL_AUTOSAVE_INTERVAL = 0
WAGTAIL_EDITING_SESSION_PING_INTERVAL = 24 * 60 * 60 * 1000
# It asks the outside world for nothing.
WAGTAIL_ENABLE_UPDATE_CHECK = False
WAGTAIL_GRAVATAR_PROVIDER_URL = None


class Synced(dict):
    """No application's tables come by the dozens of steps of its history, which take ten seconds: all are made as they are."""

    def __contains__(self, application: object) -> bool:
        return True

    def __getitem__(self, application: object) -> None:
        return None


MIGRATION_MODULES = Synced()
