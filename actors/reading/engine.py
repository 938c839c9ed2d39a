"""Questions of many tenants answered at once: continuous batching over their memories.

One thread decodes. At every step it reads the prompts of questions whose memory is open and adds
a token to every answer under way, so a new question waits for a step and not for an answer.
Memories are opened in other threads meanwhile; so are prompts read that would hold up the rest.
Searches decode nothing: they wait for their memory like questions and then for no slot.

    waiting (for room) → opening → ready (for a slot) → running
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from mplus_ray.actors.messages import AskRequest, ReaderStats, SearchRequest
from mplus_ray.actors.reading.admission import AdmissionQueue
from mplus_ray.actors.reading.decoding import complete, decode, read_prompts
from mplus_ray.actors.reading.request import Event, Pending, ReadRequest, RequestHandle
from mplus_ray.actors.reading.residency import Bytes
from mplus_ray.actors.reading.search_threads import SearchThreads
from mplus_ray.actors.reading.searching import SearchRun
from mplus_ray.model import MPlus
from mplus_ray.model.errors import MPlusError, OverloadedError
from mplus_ray.model.object_store.object_store import ObjectStore

_OPENING = 4  # threads that open memories
_ASIDE = 2  # threads that read prompts which would hold up the others
_PROMPT_TOKENS = 512  # read in one step; a longer prompt is read aside
_PROMPTS_BESIDE = 4  # read in one step while others wait for their next token
_log = logging.getLogger(__name__)


class Answering:
    """Takes questions at any time, from any thread."""

    def __init__(
        self,
        model: MPlus,
        files: ObjectStore,
        *,
        device_bytes: int,
        host_bytes: int,
        slots: int = 32,
        queue: int = 256,
    ) -> None:
        """
        Args:
            device_bytes: for prepared memories and what questions fetch from them.
            host_bytes: for the retriever keys and ids of open memories.
            slots: answers decoded at once.
            queue: questions that may wait for a slot or for their memory.
        """
        self._model = model
        self._slots, self._queue = slots, queue
        self._far = files.local is None
        self._changed = threading.Condition()
        self._aside: list[ReadRequest] = []
        self._running: list[ReadRequest] = []
        self._arriving = 0
        self._stopping = self._broken = False
        self._counts = dict.fromkeys(
            ("asked", "answered", "failed", "cancelled", "prompt_tokens", "tokens"), 0
        )
        self._openers = ThreadPoolExecutor(_OPENING, thread_name_prefix="opening")
        self._readers = ThreadPoolExecutor(_ASIDE, thread_name_prefix="aside")
        budget = Bytes(device_bytes, host_bytes)
        self._admission = AdmissionQueue(model, files, budget, self._changed, self._openers)
        self._searches = SearchThreads(model, self._admission, self._changed, self._counts)
        self._thread = threading.Thread(target=self._run, name="decoding", daemon=True)
        self._thread.start()

    def ask(self, asked: AskRequest, deliver: Callable[[Event], None]) -> RequestHandle:
        """Take a question; everything else happens in threads of the reader's.

        Args:
            deliver: called with pieces of the answer as they come, and at last with what was told
                or with an error. It holds up all answers, so it must not wait for anything.

        Raises:
            OverloadedError: too many questions wait already, or the reader is stopping.
        """
        return self._enter(ReadRequest(asked), deliver)

    def prepare(self, asked: AskRequest) -> None:
        """Compile the form of a question's answer, if it is to have one: some milliseconds, the
        first time a second or two. `ask` would do it where it is called.

        Raises:
            InvalidInputError: it cannot be followed.
        """
        constraint = asked.sampling.get("constraint")
        if constraint is not None:
            self._model.grammars.compile(constraint, asked.plan.tenant)

    def search(self, asked: SearchRequest, deliver: Callable[[Event], None]) -> RequestHandle:
        """Take a search, as `ask` takes a question.

        Args:
            deliver: called once, with a `SearchResult` or an error.

        Raises:
            OverloadedError: too many questions wait already, or the reader is stopping.
        """
        return self._enter(SearchRun(asked), deliver)

    def _enter(self, question: Pending, deliver: Callable[[Event], None]) -> RequestHandle:
        question.handle = RequestHandle(deliver, lambda: self._leave(question))
        with self._changed:
            self._check_queue()
            self._counts["asked"] += 1
            self._arriving += 1
        refused = self._refuse(question)
        with self._changed:
            self._arriving -= 1
            if refused is not None or self._stopping:
                self._admission.failed.append((question, refused or _stopped()))
            else:
                self._admission.enter(question)
                self._searches.start()
            self._changed.notify_all()
        if self._stopping:  # the decoding thread may have told its last by now
            self._fail()
        return question.handle

    def close(self, tenant: str) -> None:
        """Let go of a tenant's memory; answers under way go on, later questions open it anew."""
        with self._changed:
            self._admission.memories.close(tenant)
            self._admission.place()

    def stats(self) -> ReaderStats:
        with self._changed:
            held = self._admission.memories
            views, memories, opening = held.count()
            residency, hits = held.residency, held.hits
            return ReaderStats(
                running=self._taken(),
                queued=self._queued(),
                opening=opening,
                slots=self._slots,
                views=views,
                memories=memories,
                device_used=residency.used.device,
                device_bytes=residency.budget.device,
                host_used=residency.used.host,
                host_bytes=residency.budget.host,
                evictions=residency.evictions,
                device_hits=hits["device"],
                host_hits=hits["host"],
                misses=hits["miss"],
                **self._counts,
            )

    @property
    def broken(self) -> bool:
        """Whether it answers no more, though nobody has told it to stop."""
        return self._broken

    def stop(self) -> None:
        """Answer everything that is not answered yet with an error, and end the threads."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join()
        for pool in (self._openers, self._readers):
            pool.shutdown(cancel_futures=True)
        self._searches.shutdown()
        self._end()

    # Entering.

    def _check_queue(self) -> None:
        if self._stopping:
            raise _stopped()
        if self._queued() >= self._queue:
            raise OverloadedError(f"{self._queue} questions are waiting already; ask again later")

    def _refuse(self, question: Pending) -> MPlusError | None:
        """Make the prompt; an error is of this question alone."""
        try:
            question.read(self._model)
            footprint = self._admission.memories.footprint
            question.own = footprint.question(len(question.prompt), question.most_tokens)
            self._admission.memories.check(question.plan, question.own)
        except MPlusError as error:
            return error
        return None

    def _leave(self, question: Pending) -> None:
        """It was cancelled. What the decoding thread has in hand, it lets go of itself."""
        with self._changed:
            self._counts["cancelled"] += 1
            self._admission.leave(question)
            self._changed.notify_all()

    # Slots: all of these with the lock held.

    def _taken(self) -> int:
        """Slots in use; a cancelled answer has none."""
        return sum(question.handle.open for question in (*self._running, *self._aside))

    def _queued(self) -> int:
        return self._arriving + len(self._admission) + len(self._searches)

    def _take(self) -> list[ReadRequest]:
        """Those whose prompts are read now; the ones that are read aside begin there."""
        free = self._slots - self._taken()
        most = min(free, _PROMPTS_BESIDE) if self._running else free
        taken: list[ReadRequest] = []
        tokens = 0
        while self._admission.ready and free:
            size = len(self._admission.ready[0].prompt)
            if self._far or size > _PROMPT_TOKENS:
                question = self._admission.ready.popleft()
                self._aside.append(question)
                self._readers.submit(self._read_aside, question)
                free -= 1
                continue
            tokens += size
            if len(taken) == min(most, free) or (taken and tokens > _PROMPT_TOKENS):
                break
            taken.append(self._admission.ready.popleft())
        self._running += taken
        self._counts["prompt_tokens"] += sum(len(question.prompt) for question in taken)
        return taken

    # The decoding thread.

    def _run(self) -> None:
        try:
            while self._step():
                pass
        except Exception:  # noqa: BLE001 - the reader's supervisor is to see it
            self._broken = True
            _log.exception("decoding has ended")
        finally:
            with self._changed:
                self._stopping = True
            self._end()

    def _step(self) -> bool:
        """Tell what failed, read new prompts, one token for each answer; False at the end."""
        with self._changed:
            self._changed.wait_for(self._has_work)
            if self._stopping:
                return False
            cancelled = [question for question in self._running if not question.handle.open]
            for question in cancelled:
                self._running.remove(question)
                self._admission.release(question)
            if cancelled:
                self._admission.place()
            self._searches.start()
            fresh = self._take()
        self._fail(read_prompts(self._model, fresh))
        self._tell(self._now_running())
        active = [q for q in self._now_running() if q.handle.open and not q.done]
        self._fail(decode(self._model, active))
        self._tell(active)
        return True

    def _has_work(self) -> bool:
        ready = bool(self._admission.ready) and self._taken() < self._slots
        waiting = self._running or self._admission.failed or self._admission.searches
        return self._stopping or ready or bool(waiting)

    def _now_running(self) -> list[ReadRequest]:
        with self._changed:
            return list(self._running)

    def _tell(self, questions: list[ReadRequest]) -> None:
        for question in questions:
            if question.generation is None:  # it failed
                continue
            question.tell_more()
            if question.done:
                told = complete(self._model, question)
                if isinstance(told, MPlusError):
                    self._fail([(question, told)])
                    continue
                with self._changed:
                    self._running.remove(question)
                    self._counts["tokens"] += told.answer.usage.completion_tokens
                    self._counts["answered"] += question.handle.open
                    self._admission.release(question)
                    self._admission.place()
                question.handle.tell(told)

    def _fail(self, failures: Sequence[tuple[Pending, MPlusError]] = ()) -> None:
        """Tell these errors and those that were noted elsewhere."""
        with self._changed:
            failed, self._admission.failed = [*self._admission.failed, *failures], []
            for question, _ in failed:
                if isinstance(question, ReadRequest) and question in self._running:
                    self._running.remove(question)
                self._counts["failed"] += question.handle.open
                self._admission.release(question)
            self._admission.place()
        for question, error in failed:
            question.handle.tell(error)

    def _read_aside(self, question: ReadRequest) -> None:
        failures = read_prompts(self._model, [question]) if question.handle.open else []
        with self._changed:
            if question not in self._aside:  # all were told to stop
                return
            self._aside.remove(question)
            self._counts["prompt_tokens"] += len(question.prompt)
            self._admission.failed += failures
            if not failures:
                self._running.append(question)
            self._changed.notify_all()

    def _end(self) -> None:
        """Answer everything that is left with an error."""
        with self._changed:
            left = [*self._admission.empty(), *self._aside, *self._running]
            left += self._searches.empty()
            self._aside.clear()
            self._running.clear()
        self._fail([(question, _stopped()) for question in left])


def _stopped() -> OverloadedError:
    return OverloadedError("this reader is stopping; ask again")
