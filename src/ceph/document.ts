// Answers as data, and Ceph's four ways of writing them: json, json-pretty, xml, xml-pretty. It knows nothing of commands.

/** A double, written with 17 significant digits as Ceph's formatter does. */
export class Float {
  constructor(readonly value: number) {}
}

/** An array; `item` is what XML calls each element, `names` the elements one by one where they differ. */
export class List {
  constructor(readonly item: string, readonly values: readonly Doc[], readonly names?: readonly string[]) {}
}

/** A section whose names are data (integer-like ones would lose their place in a plain object). */
export class Fields {
  constructor(readonly entries: readonly (readonly [string, Doc])[]) {}
}

export type Doc = string|number|bigint|boolean|Float|List|Fields|{readonly [name: string]: Doc};

export const formats = ['json', 'json-pretty', 'xml', 'xml-pretty'] as const;
export type Format = (typeof formats)[number];

export function isFormat(text: unknown): text is Format {
  return formats.some((format) => format === text);
}

/** `root` is the outermost element's name in XML; JSON has none. The pretty forms end in a newline. */
export function render(root: string, doc: Doc, format: Format): string {
  switch (format) {
    case 'json': return json(doc, undefined);
    case 'json-pretty': return `${json(doc, 0)}\n`;
    case 'xml': return xml(root, doc, undefined);
    case 'xml-pretty': return xml(root, doc, 0);
  }
}

function fieldsOf(doc: Fields|{readonly [name: string]: Doc}): readonly (readonly [string, Doc])[] {
  return doc instanceof Fields ? doc.entries : Object.entries(doc);
}

function isScalar(doc: Doc): doc is number|bigint|boolean {
  return typeof doc === 'number' || typeof doc === 'bigint' || typeof doc === 'boolean';
}

/** As printf's %.17g. */
export function double(value: number): string {
  if (!Number.isFinite(value)) return 'null';
  if (value === 0) return '0';
  const exponent = Number(value.toExponential(16).split('e')[1]);
  if (exponent >= -5 && exponent < 17) {
    const digits = value.toFixed(Math.min(100, 16 - exponent));
    return digits.includes('.') ? digits.replace(/\.?0+$/, '') : digits;
  }
  const [mantissa = '', power = ''] = value.toExponential(16).split('e');
  const tidy = mantissa.replace(/\.?0+$/, '');
  return `${tidy}e${power.startsWith('-') ? '-' : '+'}${power.replace(/[+-]/, '').padStart(2, '0')}`;
}

function json(doc: Doc, depth: number|undefined): string {
  if (typeof doc === 'string') return quote(doc);
  if (isScalar(doc)) return String(doc);
  if (doc instanceof Float) return double(doc.value);
  const isList = doc instanceof List;
  const [open, close] = isList ? '[]' : '{}';
  const inner = depth === undefined ? undefined : depth + 1;
  const parts = isList ? doc.values.map((value) => json(value, inner)) :
                         fieldsOf(doc).map(([name, value]) => `${quote(name)}:${inner === undefined ? '' : ' '}${json(value, inner)}`);
  if (parts.length === 0) return `${open}${close}`;
  if (inner === undefined || depth === undefined) return `${open}${parts.join(',')}${close}`;
  const indent = '    '.repeat(inner);
  return `${open}\n${parts.map((part) => `${indent}${part}`).join(',\n')}\n${'    '.repeat(depth)}${close}`;
}

// Ceph escapes what JSON must escape, and DEL; text beyond ASCII stays as it is.
function quote(text: string): string {
  return JSON.stringify(text).replaceAll('\x7f', '\\u007f');
}

function xml(name: string, doc: Doc, depth: number|undefined): string {
  const tag = elementName(name);
  const indent = depth === undefined ? '' : ' '.repeat(depth);
  const end = depth === undefined ? '' : '\n';
  if (typeof doc === 'string') return `${indent}<${tag}>${escape(doc)}</${tag}>${end}`;
  if (isScalar(doc)) return `${indent}<${tag}>${doc}</${tag}>${end}`;
  if (doc instanceof Float) return `${indent}<${tag}>${double(doc.value)}</${tag}>${end}`;
  const inner = depth === undefined ? undefined : depth + 1;
  const parts = doc instanceof List ? doc.values.map((value, at) => xml(doc.names?.[at] ?? doc.item, value, inner)) :
                                      fieldsOf(doc).map(([name, value]) => xml(name, value, inner));
  return `${indent}<${tag}>${end}${parts.join('')}${indent}</${tag}>${end}`;
}

// Blanks become "_", save in the two names that Ceph writes by another way ("removed_ranks: ").
function elementName(name: string): string {
  return name.endsWith(': ') ? name : name.replaceAll(/\s/g, '_');
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('\'', '&apos;').replaceAll('"', '&quot;');
}
