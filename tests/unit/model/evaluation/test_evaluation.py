"""Evaluations with a small random model: what is told, what is asked, and when."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import chain, pairwise, repeat
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch

from mplus_ray.model import MPlus
from mplus_ray.model.errors import DocumentError, InvalidInputError
from mplus_ray.model.evaluation import plots
from mplus_ray.model.evaluation.abstention import (
    CANDIDATES,
    After,
    Sample,
    abstention,
    choose,
    collect,
    evidence_of,
)
from mplus_ray.model.evaluation.citations import citations
from mplus_ray.model.evaluation.data.facts import WAYS, tell_fact
from mplus_ray.model.evaluation.data.passages import Plan as PassagePlan
from mplus_ray.model.evaluation.data.passages import lay_out, plain_cut
from mplus_ray.model.evaluation.data.questions import Passage, Question
from mplus_ray.model.evaluation.data.telling import Chunk, Due, ToldDocument, tell
from mplus_ray.model.evaluation.data.text import RunningText
from mplus_ray.model.evaluation.perplexity import perplexity, place_windows, tokens_to_memorize
from mplus_ray.model.evaluation.qa import qa
from mplus_ray.model.evaluation.retention import Plan, pool_only, retention
from mplus_ray.model.evaluation.scoring.asking import Reply, ask, log_probabilities, views_of
from mplus_ray.model.generation.answer import evidence_of as evidence_in
from mplus_ray.model.generation.confidence import FEATURES, Confidence, Evidence
from mplus_ray.model.generation.prompt import question_prompt
from mplus_ray.model.generation.read_pass import begin
from mplus_ray.model.memory.digest import digest
from mplus_ray.model.memory.memory import Memory, link
from tests.checkpoints import write_checkpoint

SIZE = 160  # bytes are tokens; the longest sentence has to fit


@pytest.fixture(scope="module")
def mplus(tmp_path_factory: pytest.TempPathFactory) -> MPlus:
    folder = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(
        folder,
        num_hidden_layers=2,
        chunk_tokens=SIZE,
        retrieval="blocks",
        initial_rf_when_moving_stm_to_ltm=1000,
    )
    return MPlus.load(folder, device="cpu")


@pytest.fixture(scope="module")
def text(mplus: MPlus) -> RunningText:
    rng = Random(0)
    prose = " ".join("".join(rng.choices("abcdefgh", k=6)) for _ in range(1500))
    return RunningText.of(prose, "invented", mplus.tokenizer)


def piece(mplus: MPlus, words: str) -> Chunk:
    return Chunk(words, mplus.tokenizer.encode(words))


def document(mplus: MPlus, *parts: str, asked: str | None = None) -> ToldDocument:
    questions = [Question(asked, ("yes",))] if asked else []
    return ToldDocument([piece(mplus, part) for part in parts], questions)


def others(mplus: MPlus, words: str = "0123456789") -> Iterator[ToldDocument]:
    return repeat(document(mplus, words))


def memory_of(mplus: MPlus, log: Sequence[Chunk], seed: int) -> Memory:
    memory = mplus.empty_memory(seed=seed)
    for chunk in log:
        (memory,) = mplus.memorize_chunks([memory], [chunk.ids])
    return memory


class TestTelling:
    def told(self, mplus: MPlus) -> list[Due]:
        logs = [
            [document(mplus, "aaaa", "bb", asked="1?"), document(mplus, "cccccc", asked="2?")],
            [document(mplus, "ddd"), document(mplus, "eeeeeeeee", asked="3?")],
        ]
        return list(tell(mplus, logs, [others(mplus), others(mplus)], [0, 25, 7], seed=3))

    def test_every_question_is_due_once_at_every_distance(self, mplus: MPlus) -> None:
        counts = Counter((d.document.questions[0].text, d.distance) for d in self.told(mplus))
        assert counts == Counter({(f"{n}?", d): 1 for n in (1, 2, 3) for d in (0, 7, 25)})

    def test_so_many_tokens_stand_between(self, mplus: MPlus) -> None:
        for due in self.told(mplus):
            after = [len(c.ids) for c in due.log[due.steps.stop : due.memory.step]]
            assert sum(after) >= due.distance
            assert sum(after[:-1]) < due.distance or not after

    def test_the_memory_is_that_of_its_log(self, mplus: MPlus) -> None:
        for due in self.told(mplus):
            fresh = memory_of(mplus, due.log[: due.memory.step], seed=6 + due.tenant)
            assert digest(fresh) == digest(due.memory)
            assert list(due.document.chunks) == [due.log[step] for step in due.steps]

    def test_text_that_ends_is_an_error(self, mplus: MPlus) -> None:
        logs = [[document(mplus, "aaaa", asked="1?")]]
        with pytest.raises(InvalidInputError, match="not enough other text"):
            list(tell(mplus, logs, [iter(())], [5]))


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


def chosen(asked: Reply) -> list[int]:
    """The tokens that were decoded, with the one that ended the answer."""
    generation = asked.generation
    (stop,) = generation.stop_ids
    return generation.tokens + [stop] * (generation.finish_reason == "stop")


class TestFacts:
    @pytest.mark.parametrize("way", WAYS)
    def test_the_answer_is_told_and_fits_into_chunks(
        self, mplus: MPlus, text: RunningText, way: str
    ) -> None:
        rng = Random(4)
        reader = text.reader(rng)
        for _ in range(20):
            told = tell_fact(way, rng, reader, mplus.tokenizer, SIZE)
            (question,) = told[-1].questions
            assert not any(d.questions for d in told[:-1])
            assert question.answers[0].casefold() in told[-1].chunks[0].text.casefold()
            sizes = [len(chunk.ids) for d in told for chunk in d.chunks]
            assert max(sizes) <= SIZE
            assert way == "sentence" or set(sizes) == {SIZE}

    def test_sentences_that_never_fit(self, mplus: MPlus, text: RunningText) -> None:
        rng = Random(0)
        with pytest.raises(InvalidInputError, match="does not fit"):
            tell_fact("prose", rng, text.reader(rng), mplus.tokenizer, 4)


class TestRetention:
    def test_the_shape_is_the_contract(self, mplus: MPlus, text: RunningText) -> None:
        memorized: list[int] = []
        plan = Plan([700, 0], questions=5, tenants=2, seed=1)
        result = retention(mplus, text, plan, memorized.append)
        assert set(result["arms"]) == {"mplus", "memoryllm", "none"}
        for points in result["arms"].values():
            assert list(points) == ["0", "700"]
            for entry in points.values():
                assert set(entry) == {"exact", "low", "high", "n"}
                assert entry["n"] == 5
                assert 0 <= entry["low"] <= entry["exact"] <= entry["high"] <= 1
        assert sum(memorized) == pytest.approx(plan.tokens(SIZE), rel=0.5)
        assert result == retention(mplus, text, plan)
        json.dumps(result)

    def test_what_was_just_told_is_read_in_the_pool(self, mplus: MPlus, text: RunningText) -> None:
        result = retention(mplus, text, Plan([0], questions=4, tenants=1))
        assert result["read"]["0"]["block"] == result["read"]["0"]["rows"] == 1.0

    def test_a_model_that_repeats_the_fact_scores(
        self, mplus: MPlus, text: RunningText, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The whole way from fact to figure, with answers looked up in the log of the tenant."""
        from mplus_ray.model.evaluation import retention as module

        facts: dict[str, str] = {}

        def remember(*arguments: Any) -> list[ToldDocument]:
            told = tell_fact(*arguments)
            facts[told[-1].questions[0].text] = told[-1].questions[0].answers[0]
            return told

        def know(mplus: MPlus, views: Any, questions: Any, **options: Any) -> Any:
            answers = ask(mplus, views, questions, **options)
            for view, question, asked in zip(views, questions, answers, strict=True):
                pool = view.memory.membership.pool
                known = pool.shape[1] > 0 and len(view.retrievable[0]) > 0
                object.__setattr__(asked.answer, "text", facts[question] if known else "?")
            return answers

        monkeypatch.setattr(module, "tell_fact", remember)
        monkeypatch.setattr(module, "ask", know)
        arms = retention(mplus, text, Plan([2000], questions=4, tenants=2))["arms"]
        assert {arm: points["2000"]["exact"] for arm, points in arms.items()} == {
            "mplus": 1.0,
            "memoryllm": 0.0,
            "none": 0.0,
        }

    def test_the_pool_alone_has_no_long_term_rows(self, mplus: MPlus) -> None:
        memory = memory_of(mplus, [piece(mplus, "x" * 9)] * 9, 0)
        alone = pool_only(memory)
        assert len(memory.membership.retrievable(0)) > 0
        assert len(alone.membership.retrievable(0)) == 0
        assert np.array_equal(alone.membership.pool, memory.membership.pool)

    @pytest.mark.parametrize("plan", [Plan([]), Plan([-1]), Plan([0], questions=0)])
    def test_nothing_to_measure(self, mplus: MPlus, text: RunningText, plan: Plan) -> None:
        with pytest.raises(InvalidInputError):
            retention(mplus, text, plan)


def passages() -> list[Passage]:
    """Each context has a word of its own, which is the answer; the third takes several chunks."""
    made = []
    for n, word in enumerate(["zebra", "yacht", "xylem", "walrus", "vortex", "umbra"]):
        filler = f"passage number {n} says something. " * (12 if n == 2 else 2)
        questions = [Question(f"where is the {word}", (word, "nowhere"))] * (2 if n == 0 else 1)
        made.append(Passage("", f"{filler} Here is the {word}.", questions))
    made.append(Passage("", "Nobody asks about this.", [Question("why", ())]))
    return made


class TestPassages:
    def test_every_context_is_told_once_and_never_to_follow_itself(self, mplus: MPlus) -> None:
        plan = PassagePlan([0, 400], limit=None, tenants=2)
        logs = lay_out(passages(), plain_cut(mplus.tokenizer, SIZE), plan)
        own = [[logs.context(d) for d in told] for told in logs.told]
        assert sorted(chain.from_iterable(own)) == sorted(p.context for p in passages()[:6])
        assert logs.unanswered == 1
        for contexts, rest in zip(own, logs.others, strict=True):
            follow = {"".join(c.text for c in next(rest).chunks) for _ in range(30)}
            assert follow == {p.context for p in passages()} - set(contexts)

    def test_a_limit_counts_questions(self, mplus: MPlus) -> None:
        plan = PassagePlan([0], limit=3, tenants=4)
        logs = lay_out(passages(), plain_cut(mplus.tokenizer, SIZE), plan)
        assert sum(len(d.questions) for told in logs.told for d in told) == 3

    def test_running_text_may_follow_instead(self, mplus: MPlus, text: RunningText) -> None:
        cut = plain_cut(mplus.tokenizer, SIZE)
        logs = lay_out(passages()[:1], cut, PassagePlan([0], tenants=1), text)
        taken = next(logs.others[0]).chunks[0].text
        assert taken in mplus.tokenizer.decode(text.ids.tolist() * 2)

    def test_one_passage_alone_cannot_wait(self, mplus: MPlus) -> None:
        plan = PassagePlan([0, 50])
        logs = lay_out(passages()[:1], plain_cut(mplus.tokenizer, SIZE), plan)
        with pytest.raises(InvalidInputError, match="not enough other text"):
            qa(mplus, logs, plan)

    def test_qa(self, mplus: MPlus) -> None:
        plan = PassagePlan([0, 300], limit=None, tenants=2)

        def measure() -> dict[str, Any]:
            logs = lay_out(passages(), plain_cut(mplus.tokenizer, SIZE), plan)
            return qa(mplus, logs, plan)

        result = measure()
        assert result == measure()
        assert result["questions_without_answer"] == 1
        assert set(result["arms"]) == {"mplus", "context", "none", "bm25"}
        for arm, points in result["arms"].items():
            assert list(points) == ["0", "300"]
            for entry in points.values():
                assert entry["n"] == 7
                assert {"exact", "low", "high", "f1", "in_output"} <= set(entry)
            if arm in ("context", "none"):
                assert points["0"] == points["300"]
        json.dumps(result)

    def test_citations_beside_bm25(self, mplus: MPlus) -> None:
        """BM25 must find a word that stands in one chunk only, at any distance."""
        plan = PassagePlan([0, 300], limit=None, tenants=2)
        logs = lay_out(passages(), plain_cut(mplus.tokenizer, SIZE), plan)
        result = citations(mplus, logs, plan)
        for level in ("arms", "documents"):
            for distance in ("0", "300"):
                assert result[level]["bm25"][distance]["hit@1"] == 1.0
                found = result[level]["retriever"][distance]
                assert found["n"] == 7
                assert found["hit@1"] <= found["hit@3"]

    def test_an_answer_in_no_single_chunk_counts_for_documents_only(self, mplus: MPlus) -> None:
        passage = Passage("", "About the yacht.", [Question("the yacht?", ("somewhere else",))])
        plan = PassagePlan([0], tenants=1)
        logs = lay_out([passage], plain_cut(mplus.tokenizer, SIZE), plan)
        result = citations(mplus, logs, plan)
        assert result["arms"]["bm25"]["0"]["n"] == 0
        assert result["arms"]["bm25"]["0"]["hit@1"] is None
        assert result["documents"]["bm25"]["0"]["hit@1"] == 1.0


class TestAbstention:
    def documents(self, mplus: MPlus, count: int = 12) -> list[ToldDocument]:
        rng = Random(0)
        return [
            document(mplus, f"The {rng.random()} of {n}.", asked=f"What of {n}?")
            for n in range(count)
        ]

    def test_every_question_is_asked_of_both(self, mplus: MPlus) -> None:
        samples = collect(mplus, self.documents(mplus), 0, lambda tokens: None)
        assert Counter((s.question, s.stored) for s in samples) == Counter(
            {(n, stored): 1 for n in range(12) for stored in (True, False)}
        )

    def test_the_tenant_was_told_what_is_called_stored(self, mplus: MPlus) -> None:
        documents = self.documents(mplus, 8)
        samples = collect(mplus, documents, 1, lambda tokens: None)
        order = list(range(8))
        Random(1).shuffle(order)
        for half, seed in ((order[0::2], 2), (order[1::2], 3)):
            log = [chunk for n in half for chunk in documents[n].chunks]
            view = mplus.view(memory_of(mplus, log, seed))
            for number in half:
                question = documents[number].questions[0].text
                (wanted,) = evidence_of(mplus, [view], [question])
                (found,) = [s.evidence for s in samples if s.question == number and s.stored]
                assert found.best_vote == pytest.approx(wanted.best_vote, rel=1e-4)
                assert found.mean_logprob == pytest.approx(wanted.mean_logprob, rel=1e-3)

    def test_figures(self, mplus: MPlus) -> None:
        documents = self.documents(mplus)
        result, confidence = abstention(mplus, documents, seed=2)
        assert 0 <= result["low"] <= result["auroc"] <= result["high"] <= 1
        assert result["n"] == 6
        assert result["roc"][0] == [0.0, 0.0]
        assert result["roc"][-1] == [1.0, 1.0]
        assert confidence.fingerprint == mplus.fingerprint
        names, figures = list(result["candidates"]), list(result["candidates"].values())
        chosen = names.index("+".join(result["features"]))
        assert all(figure < figures[chosen] for figure in figures[:chosen])
        assert result == abstention(mplus, documents, seed=2)[0]

    @pytest.mark.parametrize(
        ("telling", "chosen"),
        [
            ({"standing_out", "certainty"}, ("standing_out", "mean_logprob")),
            ({"certainty"}, ("certainty",)),
        ],
    )
    def test_what_is_preferred_is_chosen_unless_it_is_worse(
        self, telling: set[str], chosen: tuple[str, ...]
    ) -> None:
        rng = Random(0)
        samples = [
            Sample(
                number,
                number,
                stored,
                Evidence(*(rng.random() + 2 * (stored and name in telling) for name in FEATURES)),
            )
            for number in range(40)
            for stored in (False, True)
        ]
        kinds = [sample.stored for sample in samples]
        evidence = [sample.evidence for sample in samples]
        fitted = {names: Confidence.fit(evidence, kinds, names, "") for names in CANDIDATES}
        assert choose(fitted, samples, 0)[0] == chosen

    def test_text_may_come_between(self, mplus: MPlus, text: RunningText) -> None:
        documents, memorized = self.documents(mplus, 8), list[int]()
        collect(mplus, documents, 0, memorized.append, After(text, 500))
        told = sum(len(chunk.ids) for d in documents for chunk in d.chunks)
        assert told + 1000 <= sum(memorized) < told + 1000 + 2 * SIZE

    def test_too_few(self, mplus: MPlus) -> None:
        with pytest.raises(InvalidInputError, match="at least 8"):
            abstention(mplus, self.documents(mplus, 7))


class TestPerplexity:
    def test_memory_is_what_stands_before_each_window(
        self, mplus: MPlus, text: RunningText, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from mplus_ray.model.evaluation import perplexity as module

        seen: list[Any] = []
        real = module._loss

        def look(mplus: MPlus, ids: Any, windows: Any, arm: str) -> list[float]:
            if arm == "mplus":
                seen.extend(windows)
            return real(mplus, ids, windows, arm)

        monkeypatch.setattr(module, "_loss", look)
        memorized: list[int] = []
        distances = [0, 200, 1300]
        perplexity(mplus, text.ids, distances, 5, memorized.append)
        starts = place_windows(len(text), 1300, SIZE, 5)
        assert sum(memorized) == tokens_to_memorize(starts, distances, SIZE)
        assert sorted((w.distance, w.at) for w in seen) == sorted(
            (d, at) for d in distances for place in starts for at in place
        )
        for window in seen:
            assert self.explains(window, text.ids.tolist()), window

    def explains(self, window: Any, ids: list[int]) -> bool:
        """Whether some run of whole chunks that ends where the window begins is its history."""
        for extra in range(0, max(1, window.distance // 8) + 1, SIZE):
            length = window.distance + extra
            start = window.at - length
            first = window.distance % SIZE
            cuts = [0, *range(first, length + 1, SIZE)] if first else range(0, length + 1, SIZE)
            history = b""
            for a, b in pairwise(cuts):
                history = link(history, ids[start + a : start + b])
            if history == window.memory.history:
                return True
        return False

    def test_figures(self, mplus: MPlus, text: RunningText) -> None:
        result = perplexity(mplus, text.ids, [300, 0], 2)
        assert result == perplexity(mplus, text.ids, [0, 300], 2)
        for points in result["arms"].values():
            assert list(points) == ["0", "300"]
            assert points["0"]["ratio"] == 1.0
            for entry in points.values():
                assert entry["low"] <= entry["perplexity"] <= entry["high"]
                # A byte is a token here, and a character.
                bits = entry["bits_per_character"]
                assert 2**bits == pytest.approx(entry["perplexity"], rel=1e-3)
        assert result["arms"]["mplus"]["0"] == result["arms"]["memoryllm"]["0"]

    def test_windows_do_not_overlap_and_fit(self) -> None:
        for length, memory, count in ((3000, 100, 9), (1000, 0, 50), (2000, 1900, 5)):
            starts = list(chain.from_iterable(place_windows(length, memory, 40, count)))
            assert 0 < len(starts) <= count
            assert min(starts) >= memory
            assert max(starts) + 80 <= length
            assert all(b - a >= 40 for a, b in pairwise(starts))

    def test_a_text_that_is_too_short(self) -> None:
        with pytest.raises(InvalidInputError, match="need 180"):
            place_windows(179, 100, 40, 4)


class TestText:
    def test_it_is_read_in_order_and_again(self, mplus: MPlus) -> None:
        text = RunningText.of("abcdef", "x", mplus.tokenizer)
        reader = text.reader(Random(0))
        taken = mplus.tokenizer.decode(reader.take(4) + reader.take(10))
        assert taken in "abcdef" * 4

    def test_files_of_every_kind(self, mplus: MPlus, tmp_path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        (tmp_path / "a.txt").write_text("\ufeffplain é", "utf-8")
        np.save(tmp_path / "b.npy", np.array(mplus.tokenizer.encode("ids"), dtype=np.uint16))
        authors = [f"author {n}" for n in range(80)]
        table = pa.table({"author": authors, "title": authors, "text": [f"<{a}>" for a in authors]})
        pq.write_table(table, tmp_path / "c.parquet")
        paths = [tmp_path / name for name in ("a.txt", "b.npy", "c.parquet")]
        text = RunningText.read(paths, mplus.tokenizer)
        whole = mplus.tokenizer.decode(text.ids.tolist())
        assert whole.startswith("plain éids<author")
        assert 0 < whole.count("<") < 20  # one author in twenty is held out

    @pytest.mark.parametrize(
        ("name", "content"),
        [("a.txt", b""), ("a.txt", b"\xff"), ("a.npy", b"no"), ("a.parquet", b"no")],
    )
    def test_bad_files(self, mplus: MPlus, tmp_path: Path, name: str, content: bytes) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DocumentError, match=name):
            RunningText.read([tmp_path / name], mplus.tokenizer)

    def test_ids_of_another_tokenizer(self, mplus: MPlus, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", np.array([1, 70_000]))
        with pytest.raises(InvalidInputError, match="another checkpoint"):
            RunningText.read([tmp_path / "a.npy"], mplus.tokenizer)
        np.save(tmp_path / "b.npy", np.array([[0.5]]))
        with pytest.raises(DocumentError, match="not token ids"):
            RunningText.read([tmp_path / "b.npy"], mplus.tokenizer)


class TestPlots:
    arms: dict[str, dict[str, dict[str, Any]]] = {
        "mplus": {
            "0": {"f1": 0.5, "low": 0.4, "high": 0.6},
            "20000": {"f1": None, "low": None, "high": None},
        }
    }
    curve = plots.Curve("f1", "low", "high", "F1")

    def test_pictures(self, tmp_path: Path) -> None:
        pytest.importorskip("matplotlib")
        plots.check(tmp_path / "a.png")
        plots.draw_arms(tmp_path / "a.png", self.arms, self.curve, "title")
        plots.draw_roc(tmp_path / "b.svg", [[0.0, 0.0], [1.0, 1.0]], "title")
        assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (tmp_path / "b.svg").read_text()
        with pytest.raises(InvalidInputError, match=r"\.png"):
            plots.check(tmp_path / "a.doc")

    def test_without_matplotlib(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
        with pytest.raises(InvalidInputError, match="pip install"):
            plots.check(Path("a.png"))
