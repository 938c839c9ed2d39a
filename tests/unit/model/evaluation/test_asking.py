"""Many memories asked at once."""

from __future__ import annotations

from dataclasses import asdict

import pytest
import torch

from mplus_ray.model import MPlus
from mplus_ray.model.evaluation.scoring.asking import ask, log_probabilities, views_of
from mplus_ray.model.generation.answer import evidence_of as evidence_in
from mplus_ray.model.generation.confidence import Evidence
from mplus_ray.model.generation.prompt import question_prompt
from mplus_ray.model.generation.read_pass import begin
from tests.unit.model.evaluation.told import chosen, memory_of, piece


class TestAsking:
    def test_answers_are_those_of_the_library(self, mplus: MPlus) -> None:
        memories = [memory_of(mplus, [piece(mplus, "abc " * n)], n) for n in (1, 2, 3)]
        questions = ["who?", "what is it?", "why?"]
        found = ask(mplus, views_of(mplus, memories), questions, max_tokens=8)
        assert [a.answer for a in found] == mplus.ask_many(memories, questions, max_tokens=8)

    def test_one_memory_has_one_view(self, mplus: MPlus) -> None:
        one, other = mplus.empty_memory(1), mplus.empty_memory(2)
        first, second, third = views_of(mplus, [one, other, one])
        assert first is third
        assert first is not second

    def test_a_passage_stands_before_the_question(self, mplus: MPlus) -> None:
        view = mplus.view(mplus.empty_memory())
        (found,) = ask(mplus, [view], ["who?"], ["A passage."], max_tokens=1)
        alone = question_prompt(mplus.tokenizer, mplus.config, "who?")
        assert found.generation.prompt == [*mplus.tokenizer.encode("A passage."), *alone]

    def test_log_probabilities_are_those_of_reading_all_at_once(self, mplus: MPlus) -> None:
        view = mplus.view(mplus.empty_memory())
        prompts, rest = [[5, 6, 7], [8]], [[9, 10], [11, 12, 13]]
        found, entropies = log_probabilities(mplus, [view] * 2, prompts, rest)
        for prompt, more, values, entropy in zip(prompts, rest, found, entropies, strict=True):
            _, (logits,) = begin(
                mplus.networks.reader, [view], [torch.tensor(prompt + more)], whole=True
            )
            rows = logits.log_softmax(-1)[len(prompt) - 1 : -1]
            wanted = rows.gather(1, torch.tensor(more)[:, None])[:, 0]
            torch.testing.assert_close(values, wanted, rtol=1e-4, atol=1e-4)
            assert entropy == pytest.approx(float(-(rows[0].exp() * rows[0]).sum()), rel=1e-4)

    @pytest.mark.parametrize("max_tokens", [1, 12])
    def test_what_decoding_notes_is_what_a_second_pass_finds(
        self, mplus: MPlus, max_tokens: int
    ) -> None:
        memories = [memory_of(mplus, [piece(mplus, f"told {n}")] * n, n) for n in (0, 1, 5)]
        views = views_of(mplus, memories)
        answers = ask(mplus, views, ["what?", "who?", "where is it?"], max_tokens=max_tokens)
        prompts = [answer.generation.prompt for answer in answers]
        found, entropies = log_probabilities(mplus, views, prompts, [chosen(a) for a in answers])
        for answer, values, entropy in zip(answers, found, entropies, strict=True):
            votes = answer.generation.reading.known_votes
            wanted = Evidence.of(votes[votes.isfinite()].numpy(), values.tolist(), entropy)
            noted = evidence_in(answer.generation)
            assert asdict(noted) == pytest.approx(asdict(wanted), abs=1e-4, rel=1e-4)

    def test_greedy_tokens_are_the_likeliest(self, mplus: MPlus) -> None:
        view = mplus.view(memory_of(mplus, [piece(mplus, "something told")], 0))
        (found,) = ask(mplus, [view], ["what?"], max_tokens=3)
        prompt, tokens = found.generation.prompt, chosen(found)
        (best,), _ = log_probabilities(mplus, [view], [prompt], [tokens])
        for at, token in enumerate(tokens):
            worse = [*tokens[:at], (token + 1) % mplus.config.vocab_size]
            (values,), _ = log_probabilities(mplus, [view], [prompt], [worse])
            assert values[at] <= best[at]
