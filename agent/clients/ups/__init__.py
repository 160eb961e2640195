"""UPS clients, all into one model: ``model`` (a UPS's state and its meaning), ``nut``, ``apcupsd``, ``snmp``, and
``asking``, which asks by either for the kinds of check.

Each way fills in a ``model.Reading``; the probe judges that and knows no way's quirks. What a UPS does not say stays
missing. The SNMP families are tables, one small module each in ``mibs``.
"""
