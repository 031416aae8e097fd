"""Read the HTML of a page: its forms with what a browser would send, and what a strict page must not contain."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

# Attributes with an address.
ADDRESSES = ("href", "src", "action", "formaction", "poster", "data")
# Elements that no page needs. ``base`` and ``meta http-equiv`` would change how the browser reads the page.
FORBIDDEN = ("style", "iframe", "object", "embed", "base")


@dataclass
class Form:
    """A form: ``fields`` are the values that a browser would send for an untouched form, without the button's."""

    method: str
    action: str
    fields: dict[str, list[str]] = field(default_factory=dict)
    # The controls by name: the type, and the values to choose from.
    controls: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)

    def add(self, name: str, kind: str, value: str | None, *, sent: bool) -> None:
        """Add a control, and its value if the browser would send it."""
        _, choices = self.controls.setdefault(name, (kind, []))
        if value is not None:
            choices.append(value)
        if sent:
            self.fields.setdefault(name, []).append(value or "")


class Markup(HTMLParser):
    """A parsed page: ``forms``, ``ids``, ``language``, ``headings``, ``title``, and ``faults`` against a strict policy."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.headings: list[int] = []
        self.language = self.title = ""
        self.faults: list[str] = []
        self._ids: Counter[str] = Counter()
        self._open: list[str] = []
        self._form: Form | None = None
        self._by_id: dict[str, Form] = {}
        self._select: tuple[str, bool, list[tuple[str, bool]]] | None = None
        self._textarea: str | None = None
        self._text = ""
        self.feed(text)
        self.close()
        self.faults += [f"id {name!r} twice" for name, number in self._ids.items() if number > 1]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self._look_for_faults(tag, values)
        self._open.append(tag)
        if "id" in values:
            self._ids[values["id"]] += 1
        if tag == "html":
            self.language = values.get("lang", "")
        elif tag in ("h1", "h2", "h3", "h4", "h5", "h6"):
            self.headings.append(int(tag[1]))
        elif tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag == "title" or tag == "textarea":
            self._text = ""
            self._textarea = values.get("name") if tag == "textarea" else None
        elif tag == "form":
            self._form = Form(values.get("method", "get").lower(), values.get("action", ""))
            self.forms.append(self._form)
            self._by_id[values.get("id", "")] = self._form
        else:
            self._read_control(tag, values)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag == "title" and "svg" not in self._open:
            self.title = self._text.strip()
        elif tag == "textarea" and self._form and self._textarea:
            # A browser drops the first line break.
            self._form.add(self._textarea, "textarea", self._text.removeprefix("\n"), sent=True)
        elif tag == "select" and self._select:
            self._end_select(*self._select)
            self._select = None
        elif tag == "svg":
            self._open = [name for name in self._open if name != "svg"]

    def handle_data(self, data: str) -> None:
        self._text += data

    def _get_form(self, values: dict[str, str]) -> Form | None:
        return self._by_id.get(values["form"]) if "form" in values else self._form

    def _read_control(self, tag: str, values: dict[str, str]) -> None:
        form, name = self._get_form(values), values.get("name", "")
        if tag == "option" and self._select:
            self._select[2].append((values.get("value", ""), "selected" in values))
        if form is None or "disabled" in values:
            return
        if tag == "button" and values.get("type", "submit") == "submit":
            form.buttons.append((name, values.get("value", "")))
        elif tag == "select" and name:
            self._select = (name, "multiple" in values, [])
        elif tag == "input" and name:
            kind = values.get("type", "text")
            is_box = kind in ("checkbox", "radio")
            form.add(name, kind, values.get("value", "on" if is_box else ""), sent=not is_box or "checked" in values)

    def _end_select(self, name: str, is_multiple: bool, options: list[tuple[str, bool]]) -> None:
        if self._form is None:
            return
        selected = [value for value, is_selected in options if is_selected]
        if not selected and not is_multiple:
            selected = [value for value, _ in options[:1]]
        for value, _ in options:
            self._form.add(name, "select", value, sent=value in selected)

    def _look_for_faults(self, tag: str, values: dict[str, str]) -> None:
        if tag in FORBIDDEN:
            self.faults.append(f"<{tag}>")
        if tag == "script" and "src" not in values:
            self.faults.append("a script in the page")
        if tag == "meta" and "http-equiv" in values:
            self.faults.append(f"meta {values['http-equiv']}")
        if tag == "a" and values.get("target") == "_blank" and "noopener" not in values.get("rel", ""):
            self.faults.append("target=_blank without noopener")
        for name, value in values.items():
            if name == "style" or name.startswith("on"):
                self.faults.append(f"{name}={value!r} of <{tag}>")
            if name in ADDRESSES and value.strip().lower().startswith(("javascript:", "data:", "http:", "//")):
                self.faults.append(f"{name}={value!r} of <{tag}>")


def fill(form: Form, texts: dict[str, Any]) -> dict[str, Any]:
    """Return what a person would send with this form, by its first button. ``texts`` are what the person enters."""
    data: dict[str, Any] = {name: values for name, values in form.fields.items() if name != "csrfmiddlewaretoken"}
    for name, (kind, choices) in form.controls.items():
        # People have to choose one of the radios.
        if kind == "radio" and name not in data:
            data[name] = choices[0]
    data |= texts
    return data | {name: value for name, value in form.buttons[:1] if name}
