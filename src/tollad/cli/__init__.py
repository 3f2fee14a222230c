"""The command line. No other room imports it, and only its messages name options."""
