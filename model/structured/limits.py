"""What one grammar may take of time and memory, and what is said where it takes more."""

from __future__ import annotations

from llguidance import LLMatcher, LLParserLimits

_LONGEST = 300  # characters of what the compiler says


def parser_limits() -> LLParserLimits:
    """At most some 10 ms to compile, a few a token, and 8 MB."""
    return LLParserLimits(
        max_items_in_row=1_000,
        initial_lexer_fuel=500_000,
        step_lexer_fuel=50_000,
        step_max_items=25_000,
        max_lexer_states=4_000,
        max_grammar_size=100_000,
        precompute_large_lexemes=False,
    )


def reason(matcher: LLMatcher) -> str:
    """Why a matcher cannot go on, short enough to be sent."""
    return matcher.get_error().split("\n<state>")[0].strip()[:_LONGEST]
