"""The page: runs side by side, or one alone, in one file that opens offline."""
