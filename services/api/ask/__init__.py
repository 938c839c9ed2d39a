"""Questions over HTTP: the service behind all routes, OpenAI's messages, local readers."""
