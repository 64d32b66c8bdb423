// Who is at the other end of a session, and what he may do there: proof of the key, trust in the daemon's own uid.
// It knows neither sockets nor the store.
import {randomBytes} from 'node:crypto';
import {ServiceError} from '../service/errors.js';
import type {PeerCredentials} from '../native/addon.js';
import {Identity} from './identity.js';
import {proofMatches, secretOf} from './key.js';
import type {UserRecords} from './user.js';

/** What a session's first message says about its sender. */
export interface Caller {
  readonly entity: string;
  readonly peer: PeerCredentials;
}

/** One session's challenge, between `session.hello` and `session.auth`; used once. */
export interface Challenge {
  readonly caller: Caller;
  /** Hex. */
  readonly nonce: string;
  /** False where the peer's uid is trusted. */
  readonly keyRequired: boolean;
}

export interface AccessOptions {
  readonly users: UserRecords;
  /** A peer of the daemon's own uid needs no key. */
  readonly trustOwnUid: boolean;
  /** Told why somebody was refused: entity, pid, uid and reason; never a key. */
  readonly log: (line: string) => void;
}

export class Access {
  constructor(private readonly options: AccessOptions) {}

  /** Starts a handshake. Any entity gets a challenge: whether it exists is said only with the answer to the proof. */
  challenge(caller: Caller): Challenge {
    return {caller, nonce: randomBytes(16).toString('hex'), keyRequired: !this.trusts(caller.peer)};
  }

  /**
   * Ends a handshake. `proof` and `nonce` are hex, as `session.auth` carries them; both are absent where no key is presented.
   * EACCES for an unknown user, a wrong key, no key where one is needed, and a user whose caps do not reach the monitor.
   */
  async authenticate(challenge: Challenge, answer: {nonce?: string, proof?: string}): Promise<Identity> {
    const {caller} = challenge;
    const user = await this.options.users.read(caller.entity);
    if (!user) throw this.refusal(caller, 'no such user');
    const presented = answer.proof !== undefined;
    if (presented) {
      const nonces = {daemon: challenge.nonce, client: answer.nonce ?? ''};
      if (!proofMatches({secret: secretOf(user.key), nonces, entity: caller.entity, proof: answer.proof ?? ''})) {
        throw this.refusal(caller, 'wrong key');
      }
    } else if (challenge.keyRequired) {
      throw this.refusal(caller, 'no key was presented, and its uid is not trusted');
    }
    const identity = new Identity(user, {trusted: !presented});
    if (!identity.mayConnect) throw this.refusal(caller, 'its caps do not let it ask the monitor');
    return identity;
  }

  private trusts(peer: PeerCredentials): boolean {
    return this.options.trustOwnUid && peer.uid === process.getuid?.();
  }

  private refusal(caller: Caller, reason: string): ServiceError {
    this.options.log(`refused ${JSON.stringify(caller.entity)} (pid ${caller.peer.pid}, uid ${caller.peer.uid}): ${reason}`);
    return new ServiceError('EACCES', `${caller.entity} may not connect`);
  }
}
