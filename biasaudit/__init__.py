"""biasaudit: what did that corpus do to the model?"""

__version__ = "0.1.0"
