// The service's HTTP API with one key. Every failure is a Problem that says what to do.

const PATIENCE = 30_000; // milliseconds for an answer's headers and body
const SILENCE = 150_000; // milliseconds without a word from a stream; longer than the service itself takes

// Where the service itself says nothing: it was not reached, or something before it answered.
const ADVICE = {
  0: "Check that the service runs and can be reached, then try again.",
  408: "Try again; if it happens often, ask for less at once.",
  413: "Split it into smaller parts.",
  503: "The service is busy. Try again in a moment.",
  504: "It was not done in time. Try again in a moment.",
};
const REFUSED = "It is unknown, expired or revoked; sign in with a current one.";

export class Problem extends Error {
  constructor(status, title, detail, body = {}) {
    super(detail || title);
    this.status = status;
    this.title = `${title}.`;
    this.body = body;
  }

  /** Seconds after which the same may be tried again; 0 if nobody said so. */
  retryAfter = 0;

  /** From a response that is an error, or from the problem document of a stream. */
  static from(status, body, retryAfter = null) {
    if (status === 401) return new Problem(status, "This key is not valid", REFUSED, body);
    const seconds = Math.ceil(Number(retryAfter));
    const wait = seconds > 0 ? ` Try again in ${seconds} s.` : "";
    const detail = typeof body.detail === "string" && body.detail ? sentence(body.detail) : ADVICE[status] ?? "";
    const problem = new Problem(status, body.title || `The service answered ${status}`, detail + wait, body);
    problem.retryAfter = Math.max(seconds, 0);
    return problem;
  }
}

const sentence = (text) => text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");

export class Api extends EventTarget {
  #key;

  constructor(key) {
    super();
    this.#key = key;
  }

  get = (path, options) => this.#json("GET", path, options);
  post = (path, options) => this.#json("POST", path, options);
  patch = (path, options) => this.#json("PATCH", path, options);
  remove = (path, options) => this.#json("DELETE", path, options);

  /** A file that the service makes, as a Blob. */
  async file(path, patience) {
    const limit = AbortSignal.timeout(patience);
    const response = await this.#send("GET", path, undefined, {}, [limit]);
    return readable(response.blob(), limit);
  }

  /** `body` is sent as JSON, a FormData or a Blob as it is; returns the parsed answer, null if it is empty. */
  async #json(method, path, { body, headers = {}, signal, patience = PATIENCE } = {}) {
    const limit = AbortSignal.timeout(patience);
    const response = await this.#send(method, path, body, headers, [limit, signal]);
    const text = await readable(response.text(), limit, signal);
    return text ? JSON.parse(text) : null;
  }

  /** Server-sent events as [name, data]; ends with the stream, at once when `signal` aborts. */
  async *stream(path, body, signal) {
    const silence = new AbortController();
    let timer = setTimeout(() => silence.abort(), SILENCE);
    try {
      const response = await this.#send("POST", path, body, { Accept: "text/event-stream" }, [silence.signal, signal]);
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await readable(reader.read(), silence.signal, signal);
        if (done) return;
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENCE);
        // A carriage return at the end may be half of a line's end, so it stays for the next piece.
        const blocks = (rest + value).replace(/\r\n/g, "\n").split("\n\n");
        rest = blocks.pop();
        for (const block of blocks) {
          const event = parseEvent(block);
          if (event) yield event;
        }
      }
    } finally {
      clearTimeout(timer);
    }
  }

  async #send(method, path, body, headers, signals) {
    const plain = body instanceof FormData || body instanceof Blob;
    const all = { Authorization: `Bearer ${this.#key}`, ...headers };
    if (body !== undefined && !plain) all["Content-Type"] = "application/json";
    const given = signals.filter(Boolean);
    const options = { method, headers: all, signal: AbortSignal.any(given), credentials: "omit", cache: "no-store" };
    if (body !== undefined) options.body = plain ? body : JSON.stringify(body);
    const response = await readable(fetch(path, options), ...given);
    if (response.ok) return response;
    const text = await readable(response.text(), ...given);
    const problem = Problem.from(response.status, parseProblem(text), response.headers.get("Retry-After"));
    if (problem.status === 401) this.dispatchEvent(new CustomEvent("refused", { detail: problem }));
    throw problem;
  }
}

/** What a promise of fetch gives; its failures as Problems, a wanted abort as an AbortError. */
async function readable(promise, limit, wanted) {
  try {
    return await promise;
  } catch (error) {
    if (wanted?.aborted) throw new DOMException("stopped", "AbortError");
    if (limit.aborted) throw Problem.from(408, { title: "No answer in time" });
    if (error instanceof TypeError) throw Problem.from(0, { title: "The service did not answer" });
    throw error;
  }
}

function parseProblem(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {}; // something before the service answered, in its own words
  }
}

function parseEvent(block) {
  let name = "message";
  const data = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
  }
  return data.length ? [name, JSON.parse(data.join("\n"))] : null;
}

/** A tenant's address; the slashes of a fork's name stay. */
export const tenantPath = (name) => `v1/tenants/${name.split("/").map(encodeURIComponent).join("/")}`;

/** A document's address: the slashes of its id stay, unless its parts would lead elsewhere. */
export const documentPath = (id) => {
  const parts = id.split("/");
  const plain = parts.every((part) => !["", ".", ".."].includes(part));
  return `v1/documents/${plain ? parts.map(encodeURIComponent).join("/") : encodeURIComponent(id)}`;
};
