// What a passage or a document is called.

const MADE = /^text-[0-9a-f]{32}$/; // an id that the service made of the text

/** Its title; where that is only how the text begins, which is shown anyway, its id, unless nobody chose that. */
export function titleOf({ title, document_id: document, id = document, text }) {
  const words = text.split(/\s+/).filter(Boolean).join(" ");
  const begins = title === words || (title.endsWith("…") && words.startsWith(title.slice(0, -1)));
  if (title && !begins) return title;
  return MADE.test(id) ? "Untitled text" : id;
}
