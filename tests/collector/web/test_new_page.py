"""A new page is one module and one template: nothing else is touched, and every page leads to it."""

from pathlib import Path

import pytest

from collector.web import layout, pages
from tests.collector.web.test_api import Running, config_for

MODULE = """
from alerts.incident.message import message
from collector.web.pages import PageRoute

def pages(context):
    return ProviderPages(context)

class ProviderPages:
    menu = (("/providers", message("Providers & lines")),)

    def __init__(self, context):
        self._reader = context.reader
        self._draw = context.layout.render

    def routes(self):
        return [PageRoute("/providers", "viewer", self.list_page)]

    def posts(self):
        return [PageRoute("/providers", "operator", self.submit)]

    async def submit(self, request):
        return self._draw(request, "providers.html", checks=-1)

    async def list_page(self, request):
        return self._draw(request, "providers.html", checks=len(self._reader.current_checks()))
"""
TEMPLATE = """{% extends "base.html" %}
{% block content %}<p class="made-up">{{ province.name.in_(language) }}: {{ checks }} {{ "<b>" }}</p>
<form method="post"><input type="hidden" name="form_token" value="{{ principal.form_token }}"></form>{% endblock %}
"""


@pytest.fixture
def overlay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modules, templates = tmp_path / "modules", tmp_path / "templates"
    for folder, name, text in ((modules, "providers.py", MODULE), (templates, "providers.html", TEMPLATE)):
        folder.mkdir()
        (folder / name).write_text(text)
    monkeypatch.setattr(pages, "__path__", [*pages.__path__, str(modules)])
    monkeypatch.setattr(layout, "TEMPLATES", (*layout.TEMPLATES, templates))


@pytest.mark.usefixtures("overlay")
async def test_a_page_is_one_module_and_one_template(tmp_path: Path) -> None:
    async with Running(config_for(tmp_path)) as running:
        status, body = await running.get("/providers?lang=en")
        assert status == 200 and '<p class="made-up">Soc Trang: 3 &lt;b&gt;</p>' in body.decode()
        for path in ("/?lang=en", "/incidents?lang=en", "/agencies/so-ttt?lang=en"):
            text = (await running.get(path))[1].decode()
            assert '<a href="/providers?lang=en">Providers &amp; lines</a>' in text
            assert '<a href="/incidents?lang=en">Incidents</a>' in text


@pytest.mark.usefixtures("overlay")
async def test_its_form_is_taken_from_a_page_of_ours_alone(tmp_path: Path) -> None:
    async with Running(config_for(tmp_path)) as running:
        for fields in ({}, {"form_token": "x"}):
            async with running.session.post("/providers", data=fields) as response:
                assert (response.status, b"-1" in await response.read()) == (403, False)
        page = (await running.get("/providers"))[1].decode()
        token = page.partition('name="form_token" value="')[2].partition('"')[0]
        async with running.session.post("/providers", data={"form_token": token}) as response:
            assert (response.status, b"-1" in await response.read()) == (200, True)


async def test_without_it_there_is_no_such_page(tmp_path: Path) -> None:
    async with Running(config_for(tmp_path)) as running:
        assert (await running.get("/providers"))[0] == 404
        assert b"/providers" not in (await running.get("/"))[1]
