// Arguments of monitor commands: their kinds, their check, and how usage lines show them.

interface Common {
  readonly name: string;
  readonly isOptional?: boolean;
  /** Takes all words that are left. */
  readonly isMany?: boolean;
  /** The smallest number that it may be. */
  readonly least?: number;
}

export type Argument = Common&(
  {readonly kind: 'pool' | 'text' | 'int' | 'float' | 'flag' | 'address' | 'osd'}|
  {readonly kind: 'choice', readonly choices: readonly string[]});

export const pool = (name = 'pool'): Argument => ({name, kind: 'pool'});
export const text = (name: string): Argument => ({name, kind: 'text'});
export const int = (name: string): Argument => ({name, kind: 'int'});
export const float = (name: string): Argument => ({name, kind: 'float'});
export const atLeast = (least: number, argument: Argument): Argument => ({...argument, least});
export const flag = (name: string): Argument => ({name, kind: 'flag', isOptional: true});
export const choice = (name: string, choices: readonly string[]): Argument => ({name, kind: 'choice', choices});
export const optional = (argument: Argument): Argument => ({...argument, isOptional: true});
export const many = (argument: Argument): Argument => ({...argument, isMany: true});

/** As usage lines show it: "<pool>", "[<pg_num:int>]", "[detail]", "[--bulk]". */
export function show(argument: Argument): string {
  const plain = argument.kind === 'choice' ? argument.choices.join('|') :
      argument.kind === 'flag'             ? `--${argument.name.replaceAll('_', '-')}` :
      argument.kind === 'int'              ? `<${argument.name}:int>` :
      argument.kind === 'float'            ? `<${argument.name}:float>` :
      argument.kind === 'osd'              ? '<id|osd.id>' :
                                             `<${argument.name}>`;
  const repeated = argument.isMany ? `${plain}...` : plain;
  return argument.isOptional ? `[${repeated}]` : repeated;
}

/** Values of a command's arguments, as its JSON carried them. */
export class Values {
  constructor(private readonly given: Readonly<Record<string, unknown>>) {}

  /** "" where it is absent. BadField where it is of another type. */
  text(name: string): string {
    const value = this.given[name];
    if (value === undefined) return '';
    if (typeof value !== 'string') throw new BadField(name);
    return value;
  }

  has(name: string): boolean {
    return this.given[name] !== undefined;
  }

  /** A number, or text that is one. */
  number(name: string): number|undefined {
    const value = this.given[name];
    if (value === undefined) return undefined;
    const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
    if (typeof number !== 'number' || !Number.isFinite(number)) throw new BadField(name);
    return number;
  }

  flag(name: string): boolean {
    const value = this.given[name];
    return value === true || value === 'true' || value === `--${name.replaceAll('_', '-')}`;
  }

  /** A list of texts; one text is a list of one. */
  texts(name: string): string[] {
    const value = this.given[name];
    if (value === undefined) return [];
    const list: unknown[] = Array.isArray(value) ? value : [value];
    return list.map((item) => {
      if (typeof item !== 'string') throw new BadField(name);
      return item;
    });
  }
}

/** A field of the JSON command has the wrong type. */
export class BadField extends Error {
  constructor(readonly field: string) {
    super(`bad or missing field '${field}'`);
  }
}
