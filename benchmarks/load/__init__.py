"""The example app and code written by hand, each under gunicorn, with many requests at once."""
