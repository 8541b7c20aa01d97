/** Prepares patterns for tinyglobby: `*`, `?` and `[abc]` are special, every other character stands for itself. */

import { ConfigError } from '../common/errors.js';

/** Returns whether a path or a part of one has a character that may be special. */
export function isPattern(part: string): boolean {
  return /[*?[]/.test(part);
}

const POSIX_CLASSES =
  /^\[:(?:alnum|alpha|ascii|blank|cntrl|digit|graph|lower|print|punct|space|upper|word|xdigit):\]$/;

/**
 * Returns a part of a pattern, without slashes, in tinyglobby's syntax. A bracket without a partner stands for itself,
 * and so do braces, parentheses and a leading `!`.
 *
 * @throws ConfigError for a range whose end comes before its begin, such as `[z-a]`, or an unknown class of characters.
 */
export function globPart(part: string): string {
  let text = '';
  let at = 0;
  while (at < part.length) {
    const end = part[at] === '[' ? closingBracket(part, at) : -1;
    text += end === -1 ? literal(part.charAt(at)) : brackets(part.slice(at, end + 1));
    at = Math.max(at, end) + 1;
  }
  return text;
}

/**
 * Returns the position of the bracket that closes the one at `open`; -1 if there is none. It encloses at least one
 * character beside a leading `!` or `^`, so the first one may be `]` itself.
 */
function closingBracket(part: string, open: number): number {
  const first = open + (/[!^]/.test(part.charAt(open + 1)) ? 2 : 1);
  let at = first;
  while (at < part.length) {
    const named = /^\[:[a-z]+:\]/.exec(part.slice(at))?.[0];
    if (named !== undefined) at += named.length;
    else if (part[at] === ']' && at > first) return at;
    else at++;
  }
  return -1;
}

/** Escapes all that may be special but `*` and `?`. */
function literal(character: string): string {
  return /[^\p{L}\p{N}\p{C}\s*?._-]/u.test(character) ? `\\${character}` : character;
}

/** Returns a bracket expression whose members are escaped. */
function brackets(source: string): string {
  const isNegated = /^\[[!^]/.test(source);
  const members = source.slice(isNegated ? 2 : 1, -1).match(/\[:[a-z]+:\]|[\s\S]/gu) ?? [];
  const [only = ''] = members;
  if (members.length === 1 && only.length === 1 && !isNegated) {
    return isPattern(only) ? `\\${only}` : literal(only);
  }
  let text = '';
  for (let i = 0; i < members.length; i++) {
    const [from = '', dash, to] = members.slice(i, i + 3);
    if (from.length > 2) {
      if (!POSIX_CLASSES.test(from)) throw wrong(source, 'an unknown class of characters');
      text += from;
    } else if (dash === '-' && to !== undefined && to.length <= 2) {
      if ((from.codePointAt(0) ?? 0) > (to.codePointAt(0) ?? 0)) {
        throw wrong(source, 'a range that runs backwards');
      }
      text += `${member(from)}-${member(to)}`;
      i += 2;
    } else text += member(from);
  }
  return `[${isNegated ? '^' : ''}${text}]`;
}

/** Escapes what is special between brackets. */
function member(character: string): string {
  return /[\][\\^-]/.test(character) ? `\\${character}` : character;
}

function wrong(source: string, found: string): ConfigError {
  return new ConfigError(
    `expected characters or ranges such as [a-z] in the brackets of a pattern, found ${found} in ${source}; ` +
      'turn it round, or write [[] for a bracket that is part of a name',
  );
}
