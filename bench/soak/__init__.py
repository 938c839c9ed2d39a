"""Writers that are killed again and again while documents come and go."""
