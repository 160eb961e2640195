"""UPSs by any way into one model: ``model`` (what a UPS says and what that means), ``nut``, ``apcupsd``, ``snmp``, and
``asking``, which asks by either for the kinds of check.

Each way fills in a ``model.Reading``; the probe judges that and knows no way's quirks. What a UPS does not say stays
missing. The SNMP families are tables, one small module each in ``mibs``.
"""
