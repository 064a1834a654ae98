"""What this extension costs, compared with code written by hand and with other libraries."""
