"""Models and tokenizers: loading, fine-tuning, and the small embedded arms."""
