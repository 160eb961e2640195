"""The evaluator: from what is published to incidents and mails; one consumer of states, events, spans and time.

``evaluation`` is one evaluation, top to bottom; ``evaluator`` runs one a second. What is wrong is found by ``problems``
(``check_problems``, ``agent_problems``, ``findings``, ``objectives``, ``self_checks``, ``detectors``) and by ``past``;
``outgoing_mail`` writes the mails; ``alerting`` wires it to the channels.
"""
