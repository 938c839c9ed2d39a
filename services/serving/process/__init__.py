"""The process that runs the service: what it sets, logs, hears and watches."""
