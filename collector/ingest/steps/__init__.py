"""The steps of the pipeline, one module each; ``context`` is what they pass on, ``effect`` what they gather."""
