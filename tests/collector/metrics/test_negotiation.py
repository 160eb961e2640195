"""Which format a scraper gets: RFC 9110's rules, and the headers that scrapers really send."""

import pytest

from collector.metrics.negotiation import OPENMETRICS, TEXT, NotAcceptable, negotiate

PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
PROMETHEUS_2 = "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;"
    "q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text; version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", True),
        ("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.2", True),
        ("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;q=0.7,text/plain", False),
        ("text/html,application/xhtml+xml,*/*;q=0.8", False),
        (PROMETHEUS_2, True),
        (PROMETHEUS_3, True),
        (f"{PROTOBUF},{PROMETHEUS_3}", True),
        # the greater quality, in whatever order
        ("application/openmetrics-text;q=0.4,text/plain;q=0.5", False),
        ("text/plain;q=0.5,application/openmetrics-text;q=0.9", True),
        ("text/plain;version=0.0.4;q=0.2, application/openmetrics-text;version=1.0.0;q=0.3", True),
        ("*/*;q=0.1,application/openmetrics-text", True),
        ("text/plain;q=0.999,*/*", True),
        # equals: the more specific one, then the first
        ("text/*,application/openmetrics-text", True),
        ("text/plain,application/openmetrics-text;version=1.0.0", True),
        ("application/*,text/plain", False),
        ("application/openmetrics-text,text/plain", True),
        ("text/plain,application/openmetrics-text", False),
        # the most specific range says what an offer is worth
        ("text/*;q=0.1,text/plain;q=0.9,application/openmetrics-text;q=0.5", False),
        ("*/*,application/openmetrics-text;q=0", False),
        ("text/plain;q=0,*/*;q=0.1", True),
        # versions that there are not
        ("application/openmetrics-text;version=0.0.1,text/plain;q=0.1", False),
        ("text/plain;version=1.0.0,application/openmetrics-text;q=0.1", True),
        # as others write it
        ('APPLICATION/OpenMetrics-Text; Version="1.0.0"; Q=1', True),
        (" , text/plain ;q=abc, application/openmetrics-text", True),
        (",;=", False),
    ],
)
def test_the_format_is_the_one_asked_for(accept: str, openmetrics: bool) -> None:
    form = negotiate(accept, "")
    assert form.openmetrics is openmetrics
    assert form.content_type == (OPENMETRICS if openmetrics else TEXT)


@pytest.mark.parametrize(
    "accept",
    [PROTOBUF, "application/json", "*/*;q=0", "text/plain;q=0", "text/plain;version=0.0.3", "image/*,text/html"],
)
def test_nobody_gets_what_they_refuse(accept: str) -> None:
    with pytest.raises(NotAcceptable, match=r"text/plain; version=0\.0\.4"):
        negotiate(accept, "")


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("gzip", True),
        ("", False),
        ("identity", False),
        ("deflate, gzip;q=1.0", True),
        ("gzip;q=0", False),
        ("*", True),
        ("*;q=0", False),
        ("gzip;q=0.0, *", False),
        ("gzip;q=0.5, identity", False),
        ("identity;q=0.5, gzip;q=0.8", True),
        ("br, zstd", False),
    ],
)
def test_compression_is_the_one_asked_for(accept: str, expected: bool) -> None:
    assert negotiate("", accept).gzip is expected
