"""The service against its own OpenAPI document: answers are as it says, whatever is sent; none is a 500."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from pixelwise.web.app import create_app
from pixelwise.web.limits import Limits
from pixelwise.web.service import open_service

pytestmark = pytest.mark.slow
LIMITS = Limits(max_megabytes=1, max_megapixels=1)
ROUTES = ["/v1/colourise", "/v1/segment", "/v1/models", "/healthz", "/metrics"]


@pytest.fixture(scope="module")
def service():
    return open_service(num_lanes=1)


@pytest.fixture
def document(service, tmp_path):
    return schemathesis.openapi.from_asgi("/openapi.json", create_app(service, LIMITS, tmp_path, hosts=None))


@pytest.mark.parametrize("route", ROUTES)
def test_answers_are_as_the_document_says(document, route):
    (operation,) = (one.ok() for one in document.get_all_operations() if one.ok().path == route)

    @settings(
        max_examples=60,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy())
    def ask(case):
        # no document can say which bytes are a photo, or which points lie in it
        case.call_and_validate(excluded_checks=[positive_data_acceptance])

    ask()
