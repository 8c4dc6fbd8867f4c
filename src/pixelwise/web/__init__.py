"""The doors for browsers and other programs: a service over HTTP, on this machine unless asked otherwise."""

from pixelwise.web.app import create_app
from pixelwise.web.limits import Limits
from pixelwise.web.service import Service, open_service
from pixelwise.web.serving import serve

__all__ = ["Limits", "Service", "create_app", "open_service", "serve"]
