"""Look at a page in Chromium: accessibility, size, focus. Each function returns a list of faults."""

from __future__ import annotations

from typing import Any

WIDTHS = (320, 390, 640, 768, 1280, 1600)
# axe runs at the widths at which the layout changes.
AXE_WIDTHS = (390, 768, 1280)
SCHEMES = ("light", "dark")
# WCAG 2.2, success criterion 2.5.8.
MIN_TARGET = 24

# Return the violations as ``rule: element``, with the reason.
RUN_AXE = """async (options) => (await axe.run(document, options)).violations.flatMap((violation) =>
  violation.nodes.map((node) => `${violation.id}: ${node.target.join(" ")}: ${node.failureSummary.split("\\n").slice(1).join(";").slice(0, 300)}`))"""
FIND_WIDE = """() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  const wide = [...document.querySelectorAll("body *")].filter((element) => element.getBoundingClientRect().right > width + 1);
  return [`${document.documentElement.scrollWidth} px, for example ${wide.slice(-1).map((e) => e.outerHTML.slice(0, 160))}`];
}"""
# The label of a box is part of its target. A link within a line of text is exempt.
FIND_SMALL = """(min) => [...document.querySelectorAll("button, select, textarea, summary, input:not([type=hidden]), .ca-button, nav a")]
  .map((element) => element.matches("[type=checkbox], [type=radio]") ? element.closest("label") ?? element.labels[0] ?? element : element)
  .map((element) => [element, element.getBoundingClientRect()])
  .filter(([element, box]) => box.width && box.height && (box.width < min || box.height < min) && element.checkVisibility())
  .map(([element, box]) => `${Math.round(box.width)} x ${Math.round(box.height)}: ${element.outerHTML.slice(0, 160)}`)"""
READ_FOCUS = """() => {
  const element = document.activeElement, style = getComputedStyle(element), box = element.getBoundingClientRect();
  if (element === document.body) return null;
  const isSeen = box.width > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
  const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
  const index = [...document.querySelectorAll("*")].indexOf(element);
  return [index, outlined && isSeen ? "" : `${outlined ? "out of sight" : "no outline"}: ${element.outerHTML.slice(0, 160)}`];
}"""


def inspect(tab: Any) -> list[str]:
    """Return the faults of a page: as it is, and with all that opens open."""
    faults = [fault for width in AXE_WIDTHS for scheme in SCHEMES for fault in run_axe(tab, width, scheme)]
    faults += find_overflow(tab) + find_small_targets(tab)
    if tab.locator("main details").count():
        tab.evaluate("for (const details of document.querySelectorAll('main details')) details.open = true")
        faults += inspect_briefly(tab)
    # The menu and the dialogs lie above the page, so what is below them is out of reach.
    for menu in tab.locator("details[data-menu]").all():
        menu.evaluate("(menu) => { menu.open = true; }")
        faults += run_axe(tab, 390, "light", skip="target-size") + find_overflow(tab)
        menu.evaluate("(menu) => { menu.open = false; }")
    if tab.locator("a[data-confirm]").count():
        tab.locator("a[data-confirm]").first.click()
        tab.locator("dialog[open]").wait_for()
        faults += run_axe(tab, 390, "dark") + run_axe(tab, 1280, "light")
        tab.keyboard.press("Escape")
    return faults


def inspect_briefly(tab: Any) -> list[str]:
    """Return the faults of a page that differs from an inspected one in its rows only."""
    return run_axe(tab, 390, "light") + run_axe(tab, 1280, "dark") + find_overflow(tab) + find_small_targets(tab)


def run_axe(tab: Any, width: int, scheme: str, skip: str = "") -> list[str]:
    """Return the violations of all rules of axe but ``skip``."""
    from axe_playwright_python.base import AXE_SCRIPT

    if not tab.evaluate("'axe' in window"):
        tab.evaluate(AXE_SCRIPT)
    tab.set_viewport_size({"width": width, "height": 900})
    # A transition would give axe the colours between two schemes.
    tab.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    options = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": skip != "target-size"}}}
    return [f"{width} {scheme} {fault}" for fault in tab.evaluate(RUN_AXE, options)]


def find_overflow(tab: Any) -> list[str]:
    """Return what makes the page scroll sideways. 640 px are those of a window of 1280 px at a zoom of 200 %."""
    faults = []
    for width in WIDTHS:
        tab.set_viewport_size({"width": width, "height": 900})
        faults += [f"{width}: {fault}" for fault in tab.evaluate(FIND_WIDE)]
    return faults


def find_small_targets(tab: Any) -> list[str]:
    """Return the controls that a finger may miss, on a phone and on a desk."""
    faults = []
    for width in (390, 1280):
        tab.set_viewport_size({"width": width, "height": 900})
        faults += [f"{width}: {fault}" for fault in tab.evaluate(FIND_SMALL, MIN_TARGET)]
    return faults


def walk_by_tab(tab: Any, limit: int = 400) -> list[str]:
    """Press Tab until the focus leaves the page. Return the elements with no visible focus, and a trap."""
    faults: list[str] = []
    seen = set()
    for _ in range(limit):
        tab.keyboard.press("Tab")
        found = tab.evaluate(READ_FOCUS)
        if found is None or found[0] in seen:
            return faults
        seen.add(found[0])
        faults += [found[1]] if found[1] else []
    return [*faults, "The focus does not leave the page."]
