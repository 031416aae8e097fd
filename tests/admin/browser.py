"""Read the form of a page as a browser does, with hidden inputs and its line ends."""

from __future__ import annotations

from html.parser import HTMLParser

from django.http import QueryDict


class FormReader(HTMLParser):
    """Collect the name and value of each field that a browser would send. Buttons are left out."""

    def __init__(self):
        super().__init__()
        self.pairs = []
        self.name, self.text, self.is_text = None, "", False

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        name, value = attrs.get("name"), attrs.get("value")
        if tag == "textarea":
            self.name, self.text, self.is_text = name, "", True
        elif tag == "select":
            self.name = name
        elif tag == "option" and "selected" in attrs:
            self.pairs.append((self.name, value))
        elif tag == "input" and name and attrs.get("type") not in ("submit", "button", "file"):
            is_box = attrs.get("type") in ("checkbox", "radio")
            if not is_box or "checked" in attrs:
                self.pairs.append((name, ("on" if is_box else "") if value is None else value))

    handle_startendtag = handle_starttag

    def handle_data(self, data):
        if self.is_text:
            self.text += data

    def handle_endtag(self, tag):
        if tag == "textarea":
            self.pairs.append((self.name, self.text.removeprefix("\n")))
            self.is_text = False


def read_form(response, form_id):
    """Return the data of the form with this id as a browser would send it, by name a list of values."""
    form = response.content.decode().partition(f'id="{form_id}"')[2].partition("</form>")[0]
    assert form
    reader = FormReader()
    reader.feed(form)
    data = QueryDict(mutable=True)
    for name, value in reader.pairs:
        data.appendlist(name, "\r\n".join(value.splitlines()))
    del data["csrfmiddlewaretoken"]
    return dict(data.lists())
