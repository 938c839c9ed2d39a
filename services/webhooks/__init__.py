"""Webhooks are told what waits for them: signed, tried again, and nowhere but outside."""
