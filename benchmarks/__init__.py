"""What this extension costs, beside code written by hand and beside other libraries."""
