"""Badges: how the newest run of a flow stands, as a small picture. Pure; whatever a name holds is only ever text in it."""

from html import escape

from agent.spec.outcome import Conclusion
from agent.spec.status import RunStatus
from agent.visible import show_name

_COLOURS = {
    Conclusion.SUCCESS.value: "#2e7d32",
    Conclusion.FAILURE.value: "#c62828",
    Conclusion.CANCELLED.value: "#6d4c41",
    Conclusion.SKIPPED.value: "#616161",
    RunStatus.RUNNING.value: "#1565c0",
    RunStatus.QUEUED.value: "#5e35b1",
}
_GREY = "#616161"
_LONGEST = 60
_CHARACTER = 6.6  # pixels, of 11 px sans-serif
_PADDING = 10


def draw_badge(label: str, state: str) -> str:
    """An SVG of `label` and `state`: no script, no link, nothing from elsewhere."""
    label, state = _plain(label), _plain(state)
    left, right = _width(label), _width(state)
    width = left + right
    colour = _COLOURS.get(state, _GREY)
    shown_label, shown_state = escape(label), escape(state)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" '
        f'aria-label="{shown_label}: {shown_state}">'
        f"<title>{shown_label}: {shown_state}</title>"
        f'<clipPath id="r"><rect width="{width}" height="20" rx="3"/></clipPath>'
        f'<g clip-path="url(#r)"><rect width="{left}" height="20" fill="#3c4450"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{colour}"/></g>'
        '<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f'<text x="{left / 2:g}" y="14">{shown_label}</text>'
        f'<text x="{left + right / 2:g}" y="14">{shown_state}</text></g></svg>'
    )


def _width(text: str) -> int:
    return round(len(text) * _CHARACTER) + _PADDING


def _plain(text: str) -> str:
    """On one line, with nothing unseen in it, and not too long."""
    text = show_name(text)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
