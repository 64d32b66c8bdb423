// Image specs as rbd reads them: [pool/[namespace/]]image[@snap].
import {RbdFailure} from './errors.js';

export interface Spec {
  readonly pool: string|undefined;
  readonly namespace: string|undefined;
  readonly image: string|undefined;
  readonly snap: string|undefined;
}

const none: Spec = {pool: undefined, namespace: undefined, image: undefined, snap: undefined};

const invalid = (text: string): RbdFailure => new RbdFailure(22, `rbd: invalid spec '${text}'\n`);

/** Throws for what has too many or empty parts. */
export function parseImageSpec(text: string|undefined): Spec {
  if (text === undefined || text === '') return none;
  const match = /^(?:([^/@]+)\/(?:([^/@]+)\/)?)?([^/@]+)(?:@([^/@]+))?$/.exec(text);
  if (!match) throw invalid(text);
  return {pool: match[1], namespace: match[2], image: match[3], snap: match[4]};
}

/** [pool[/namespace]] */
export function parsePoolSpec(text: string|undefined): Spec {
  if (text === undefined) return none;
  const match = /^([^/@]+)(?:\/([^/@]+))?$/.exec(text);
  if (!match) throw invalid(text);
  return {...none, pool: match[1], namespace: match[2]};
}
