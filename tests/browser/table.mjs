// Which client publishes and watches which codec, as `docs/clients.md` tells it: two tables of Markdown, whose first heads are `publishes` and `watches`.
// A cell is `yes`, or says in a few words what the client lacks.

import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

export const CODECS = ['H264', 'VP8', 'VP9', 'AV1'];
export const YES = 'yes';
const PAGE = fileURLToPath(new URL('../../docs/clients.md', import.meta.url));
const TABLE = /^\| (publishes|watches) \|.*\n\| ---.*\n((?:\|.*\n)*)/gm;

/// What the page tells: `{ publishes: { client: { codec: text } }, watches: … }`.
export function read(markdown) {
  const told = {};
  for (const [, role, rows] of markdown.matchAll(TABLE)) {
    const cells = rows.trimEnd().split('\n').map((row) => row.split('|').slice(1, -1).map((cell) => cell.trim()));
    told[role] = Object.fromEntries(cells.map(([client, ...texts]) => [client, Object.fromEntries(CODECS.map((codec, i) => [codec, texts[i]]))]));
  }
  return told;
}

/// One table as Markdown.
export function render(role, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |\n`;
  const body = Object.entries(rows).map(([client, cells]) => line([client, ...CODECS.map((codec) => cells[codec].text)]));
  return line([role, ...CODECS]) + line(['---', ...CODECS.map(() => '---')]) + body.join('');
}

/// What is told otherwise than it was seen, of these clients; `seen` has `{ text, why }` in each cell.
export function differences(told = {}, seen) {
  const all = [];
  for (const [client, cells] of Object.entries(seen)) {
    for (const [codec, { text, why }] of Object.entries(cells)) {
      const page = told[client]?.[codec];
      if (text === page) continue;
      const lost = text === YES ? 'won' : 'lost';
      all.push(`${lost}: ${client}, ${codec}: the page says ${page ?? 'nothing'}, it is ${text}${why ? `: ${why}` : ''}`);
    }
  }
  return all;
}

export const readPage = async () => read(await readFile(PAGE, 'utf8'));

/// Puts what was seen in place of what was told.
export async function writePage(seen) {
  const page = await readFile(PAGE, 'utf8');
  await writeFile(PAGE, page.replace(TABLE, (_, role) => render(role, seen[role])));
}
