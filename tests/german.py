"""What the tests of the translations expect in German. The spelling checker knows English only, and skips this file."""

from __future__ import annotations

# By the name of a page of the dashboard.
PAGES = {
    "keys": ["API-Schlüssel", "Zuletzt verwendet", "Schlüssel erstellen", "vor 3 Minuten", "Läuft in 3 Tagen ab"],
    "key": ["Änderungen speichern", "Einschränkungen", "Ersetzen…", "Alle Einträge zu diesem Schlüssel im Protokoll"],
    "members": ["Mitglieder", "Inhaber", "Was jede Rolle darf", "Personen einladen", "Speichern"],
    "invitations": ["Einladungen senden", "Eine pro Zeile, höchstens 20.", "Läuft in 7 Tagen ab", "Zurückgezogen"],
    "audit": ["Protokoll", "hat den Schlüssel", "Als CSV herunterladen", "Verlauf", "Einzelheiten"],
    "settings": ["Einstellungen", "Kurzname", "Gefahrenbereich", "Inhaberschaft übertragen"],
    "user-keys": ["Benutzerschlüssel der Mitglieder", "Gilt hier", "Aussperren"],
    "delete": ["wird endgültig gelöscht", "aktive API-Schlüssel funktionieren sofort nicht mehr."],
}
ADMIN_LIST = ["vor 3 Tagen", "Bekannt gewordenen API-Schlüssel finden", "Zuletzt verwendet"]
INVALID_API_KEY = "Ungültiger API-Schlüssel."
INVITATION_SUBJECT = "ada lädt Sie zu Acme ein"
INVITATION = r"ada lädt Sie ein, Acme mit der Rolle Manager beizutreten\."
INVITATION_END = r"Die Einladung läuft am \d+\. \w+ \d{4}, \d\d:\d\d UTC ab\."
KEY_COPYING = "Schlüssel kopieren"
