// What `cbd2rbd doctor` finds: one line each, good or bad, with what to do about it.

export type Grade = 'ok'|'note'|'bad';

export interface Finding {
  /** "library", "conf", "socket", "key", "pools", "nebd", "preload", "commands". */
  readonly about: string;
  readonly grade: Grade;
  readonly text: string;
  /** What to do. */
  readonly advice?: string;
}

export const ok = (about: string, text: string): Finding => ({about, grade: 'ok', text});
export const note = (about: string, text: string, advice?: string): Finding => ({about, grade: 'note', text, ...(advice !== undefined ? {advice} : {})});
export const bad = (about: string, text: string, advice: string): Finding => ({about, grade: 'bad', text, advice});
