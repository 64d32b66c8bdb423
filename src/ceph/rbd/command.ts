// What a command of rbd is.
import type {OptionSpec} from './options.js';
import type {RbdShell} from './shell.js';

export interface RbdCommand {
  /** The first is the one that help shows: "create", "snap ls". */
  readonly names: readonly string[];
  /** Its words: "<image-spec> <key>"; options are shown by themselves. */
  readonly usage: string;
  readonly help: string;
  readonly options: readonly OptionSpec[];
  /** Help does not show it. */
  readonly isHidden?: boolean;
  /** The most words that it takes. */
  readonly words: number;
  readonly run: (shell: RbdShell) => Promise<void>;
}

export const value = (name: string, letter?: string): OptionSpec => ({name, ...(letter ? {letter} : {})});
export const toggle = (name: string, letter?: string): OptionSpec => ({name, isSwitch: true, ...(letter ? {letter} : {})});

/** An option that must be given. */
export const required = (name: string, letter?: string): OptionSpec => ({...value(name, letter), isRequired: true});
/** An option that old callers give. */
export const hidden = (option: OptionSpec): OptionSpec => ({...option, isHidden: true});

export const atPool = [value('pool', 'p'), value('namespace')] as const;
export const atImage = [...atPool, value('image')] as const;
export const atSnap = [...atImage, value('snap')] as const;
export const asData = [value('format'), toggle('pretty-format')] as const;
export const progress = [toggle('no-progress')] as const;
export const shape: readonly OptionSpec[] = [
  value('image-format'), toggle('new-format'), value('order'), value('object-size'), {name: 'image-feature', isMany: true}, toggle('image-shared'),
  value('stripe-unit'), value('stripe-count'), value('data-pool'), value('mirror-image-mode'), value('journal-splay-width'), value('journal-object-size'),
  value('journal-pool'),
];
