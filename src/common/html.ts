/** Templates for HTML and SVG that escape their values, because class names and paths may hold any character. */

import { visible } from './text.js';

/** Markup that may be inserted without escaping. */
export class Html {
  constructor(readonly markup: string) {}

  toString(): string {
    return this.markup;
  }
}

export type HtmlValue = Html | string | number | readonly Html[];

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Escapes text for content or a quoted attribute. Control and direction characters become visible. */
function escapeHtml(text: string): string {
  return visible(text, '\n\t').replace(/[&<>"']/g, (character) => ESCAPES[character] ?? character);
}

/** Template tag. Inserts {@link Html} as it is and escapes every other value. */
export function html(strings: TemplateStringsArray, ...values: readonly HtmlValue[]): Html {
  const markup = strings.map((text, i) => text + (i < values.length ? insert(values[i]) : ''));
  return new Html(markup.join(''));
}

function insert(value: HtmlValue | undefined): string {
  if (value === undefined) return '';
  if (value instanceof Html) return value.markup;
  if (typeof value === 'string') return escapeHtml(value);
  if (typeof value === 'number') return String(value);
  return value.map(({ markup }) => markup).join('');
}

/** Returns a script element with JSON. A `</script>` in a string cannot end it. */
export function jsonScript(id: string, value: unknown): Html {
  const json = JSON.stringify(value).replaceAll('<', '\\u003c');
  return new Html(`${jsonStart(id)}${json}</script>`);
}

/** Returns the tag before the JSON of {@link jsonScript}, by which a page is recognised. */
export function jsonStart(id: string): string {
  return `<script type="application/json" id="${escapeHtml(id)}">`;
}
