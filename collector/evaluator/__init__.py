"""The evaluator: from what is published to incidents and mails; one consumer of states, events, spans and time.

``evaluation`` is one evaluation, top to bottom; ``evaluator`` runs one a second. ``problems`` finds what is wrong;
``outgoing_mail`` writes the mails; ``alerting`` wires it to the channels.
"""
