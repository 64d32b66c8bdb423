// Fencing a writer: raising a volume's epoch and telling the chunkservers, who then refuse whoever opened it before
// (shared facts: CURVEBS.md, "Fencing a writer"). Knows no session.

import { setTimeout as pause } from 'node:timers/promises';
import { ServiceError } from '../../service/errors.js';
import type { ChunkserverAddress, MdsClient } from './mds.js';

const PATH = '/curve.chunkserver.ChunkService/UpdateEpoch';
const PAUSE_MS = 200;

/** From when this resolves on, nobody who opened the volume before writes to it. ETIMEDOUT where a chunkserver could not be told, ESHUTDOWN where the daemon ended first. */
export async function fence(mds: MdsClient, path: string, owner: string, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  const { info, chunkservers } = await mds.increaseEpoch(path, owner);
  await Promise.all(chunkservers.map((chunkserver) => tell(chunkserver, { fileId: info.id, epoch: info.epoch ?? 0 }, path, { deadline, ended: mds.ended })));
}

async function tell(where: ChunkserverAddress, what: { fileId: number; epoch: number }, path: string, { deadline, ended }: { deadline: number; ended: AbortSignal }): Promise<void> {
  for (let last = ''; ; await pause(PAUSE_MS)) {
    if (ended.aborted) throw new ServiceError('ESHUTDOWN', `the daemon ends, and chunkserver ${where.hostIp}:${where.port} was not told the new epoch of '${path}': ${last}`);
    const left = deadline - performance.now();
    if (left <= 0) throw new ServiceError('ETIMEDOUT', `chunkserver ${where.hostIp}:${where.port} was not told the new epoch of '${path}': ${last}`);
    try {
      const response = await fetch(`http://${where.hostIp}:${where.port}${PATH}`, {
        method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(what), signal: AbortSignal.any([ended, AbortSignal.timeout(Math.ceil(left))]),
      });
      const text = await response.text();
      // A chunkserver that knows a newer epoch refuses older openers already.
      if (response.ok && !/FAILURE|UNKNOWN|INVALID/.test(text)) return;
      last = `${response.status} ${text.slice(0, 100)}`;
    } catch (error) {
      last = error instanceof Error ? error.message : String(error);
    }
  }
}
