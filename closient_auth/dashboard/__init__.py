"""Pages for the members of organizations: keys, members, invitations, the audit log and settings.

The pages have no rules of their own. They ask ``core.access`` what the user may see, and write through the methods of the
models with ``by=``. They take Django's session only, and they do not need REST framework.
"""
