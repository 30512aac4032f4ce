"""`python -m showtell.config`: prints docs/settings.md."""

from showtell.config.reference import settings_page

if __name__ == "__main__":
    print(settings_page())
